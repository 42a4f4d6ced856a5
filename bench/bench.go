package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	goruntime "runtime"
	"slices"
	"time"

	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/vm"
)

// Program is what is measured.
type Program struct {
	Object string // for the report
	Coll   *spec.CollectionSpec
	Name   string        // of the program in the collection
	Input  runtime.Input // what each run gets
	// Data and Ctx are the same input for the kernel's BPF_PROG_TEST_RUN.
	Data, Ctx []byte
}

// Options of a measurement.
type Options struct {
	// Engines are the names of those to measure, in the order of the report: step,
	// interp, jit, kernel.
	Engines []string
	// Repeat is the number of runs of a sample. 0 lets each engine make as many as
	// take SampleTime.
	Repeat     int
	SampleTime time.Duration // 0 means 10 ms
	// Count is the number of samples of each engine; 0 means 15.
	Count int
	// JIT is the compiler to measure as "jit"; nil means jit.Engine.
	JIT vm.Engine
	// Budget bounds the instructions of one run; 0 means a billion.
	Budget uint64
	// Progress, when set, is called before each program.
	Progress func(n int, p *Program)
}

// Defaults of Options.
const (
	defaultSample = 10 * time.Millisecond
	defaultCount  = 15
	defaultBudget = 1_000_000_000
	maxRepeat     = 10_000_000
)

// Report is the outcome of a measurement.
type Report struct {
	Host     string     `json:"host"` // "linux/amd64, 2 CPUs, go1.26"
	Count    int        `json:"count"`
	Programs []Measured `json:"programs"`
}

// Measured is one program on all engines.
type Measured struct {
	Name    string `json:"name"`
	Object  string `json:"object"`
	Type    string `json:"type"`
	R0      uint64 `json:"r0"`
	Insns   uint64 `json:"insns"` // executed in a run
	Differs string `json:"differs,omitempty"`
	// Engines are the figures by engine; Missing says why an engine has none.
	Engines map[string]Figure `json:"engines"`
	Missing map[string]string `json:"missing"`

	ran bool // R0 is that of a run
}

// GeoMean is the geometric mean of an engine's ratio to the kernel over the programs
// that have one, and how many these are.
func (r *Report) GeoMean(engine string) (mean float64, n int) {
	sum := 0.0
	for _, p := range r.Programs {
		if f, ok := p.Engines[engine]; ok && f.Ratio > 0 {
			sum += math.Log(f.Ratio)
			n++
		}
	}
	if n == 0 {
		return 0, 0
	}
	return math.Exp(sum / float64(n)), n
}

// Figure is the speed of one engine on one program.
type Figure struct {
	NsPerRun    float64 `json:"ns_per_run"`    // median of the samples
	InsnsPerRun uint64  `json:"insns_per_run"` // executed
	NsPerInsn   float64 `json:"ns_per_insn"`
	Min         float64 `json:"min"` // ns a run, of the samples
	Max         float64 `json:"max"`
	// Spread is half of the distance between the quartiles as a part of the median.
	Spread  float64 `json:"spread"`
	Repeat  int     `json:"repeat"`  // runs in a sample
	Samples int     `json:"samples"` // how many there were
	// Ratio is NsPerRun divided by that of the kernel in the same call, 0 where the
	// kernel was not measured.
	Ratio float64 `json:"ratio_to_kernel"`
}

// subject runs one program on one engine.
type subject interface {
	// first runs once and returns the result, and how many instructions it took (0:
	// not known).
	first() (r0, insns uint64, err error)
	// sample runs n times and returns the mean of a run in nanoseconds.
	sample(ctx context.Context, n int) (float64, error)
	// estimate says what a run takes, roughly, and warms up on the way.
	estimate(ctx context.Context) (float64, error)
	close()
}

// Measure measures the programs one after the other. The error is that of ctx; the
// report then has what was measured before.
func Measure(ctx context.Context, progs []*Program, o Options) (*Report, error) {
	o.Count = cmp.Or(o.Count, defaultCount)
	o.SampleTime = cmp.Or(o.SampleTime, defaultSample)
	o.Budget = cmp.Or(o.Budget, defaultBudget)
	rep := &Report{Count: o.Count, Programs: []Measured{},
		Host: fmt.Sprintf("%s/%s, %d CPUs, %s", goruntime.GOOS, goruntime.GOARCH, goruntime.NumCPU(), goruntime.Version())}
	k := &kernelHost{}
	defer k.close()
	for i, p := range progs {
		if o.Progress != nil {
			o.Progress(i, p)
		}
		m, err := measure(ctx, p, o, k)
		if err != nil {
			return rep, err
		}
		rep.Programs = append(rep.Programs, *m)
	}
	return rep, nil
}

// contestant is a subject under way.
type contestant struct {
	name    string
	subject subject
	repeat  int
	ns      []float64
}

func measure(ctx context.Context, p *Program, o Options, k *kernelHost) (*Measured, error) {
	m := &Measured{Name: p.Name, Object: p.Object, Engines: map[string]Figure{}, Missing: map[string]string{}}
	if s := p.Coll.Program(p.Name); s != nil {
		m.Type = s.Type.String()
	}
	var field []*contestant
	for _, name := range o.Engines {
		s, err := open(ctx, name, p, o, k)
		if err == nil {
			err = m.enter(name, s)
		}
		if err != nil {
			m.Missing[name] = err.Error()
			if s != nil {
				s.close()
			}
			continue
		}
		field = append(field, &contestant{name: name, subject: s})
	}
	defer func() {
		for _, c := range field {
			c.subject.close()
		}
	}()
	goruntime.GC()
	for range o.Count {
		for _, c := range field {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := c.take(ctx, o); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", p.Name, c.name, err)
			}
		}
	}
	for _, c := range field {
		m.Engines[c.name] = c.figure(m.Insns)
	}
	if base, ok := m.Engines["kernel"]; ok && base.NsPerRun > 0 {
		for name, f := range m.Engines {
			f.Ratio = f.NsPerRun / base.NsPerRun
			m.Engines[name] = f
		}
	}
	return m, nil
}

// enter runs a subject once and compares its result with that of the others.
func (m *Measured) enter(name string, s subject) error {
	r0, insns, err := s.first()
	if err != nil {
		return err
	}
	if insns > 0 && m.Insns == 0 {
		m.Insns = insns
	}
	const low = 1<<32 - 1 // of r0, BPF_PROG_TEST_RUN gives the lower half
	switch {
	case !m.ran:
		m.R0, m.ran = r0, true
	case m.R0&low != r0&low:
		m.Differs = fmt.Sprintf("%s returned %#x, the others %#x", name, r0, m.R0)
	}
	return nil
}

// take adds one sample.
func (c *contestant) take(ctx context.Context, o Options) error {
	if c.repeat == 0 {
		if err := c.calibrate(ctx, o); err != nil {
			return err
		}
	}
	ns, err := c.subject.sample(ctx, c.repeat)
	c.ns = append(c.ns, ns)
	return err
}

// calibrate finds how many runs fill a sample.
func (c *contestant) calibrate(ctx context.Context, o Options) error {
	if c.repeat = o.Repeat; c.repeat > 0 {
		return nil
	}
	ns, err := c.subject.estimate(ctx)
	c.repeat = int(max(1, min(maxRepeat, float64(o.SampleTime)/max(ns, 0.1))))
	return err
}

func (c *contestant) figure(insns uint64) Figure {
	slices.Sort(c.ns)
	at := func(q float64) float64 { return c.ns[int(q*float64(len(c.ns)-1)+0.5)] }
	f := Figure{NsPerRun: at(0.5), InsnsPerRun: insns, Min: c.ns[0], Max: c.ns[len(c.ns)-1], Repeat: c.repeat, Samples: len(c.ns)}
	if insns > 0 {
		f.NsPerInsn = f.NsPerRun / float64(insns)
	}
	if f.NsPerRun > 0 {
		f.Spread = (at(0.75) - at(0.25)) / 2 / f.NsPerRun
	}
	return f
}

// errUnknown marks an engine that nobody knows.
var errUnknown = errors.New("no such engine")

// Engines are the names that Options.Engines takes.
func Engines() []string { return []string{"step", "interp", "jit", "kernel"} }
