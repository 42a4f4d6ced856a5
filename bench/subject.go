package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"bpfvm/interp"
	"bpfvm/jit"
	"bpfvm/kernel"
	"bpfvm/runtime"
	"bpfvm/vm"
)

// open prepares the program on an engine. The error says why it cannot run there.
func open(ctx context.Context, name string, p *Program, o Options, k *kernelHost) (subject, error) {
	switch name {
	case "step":
		return openOwn(interp.Step, p, o)
	case "interp":
		return openOwn(interp.Fast, p, o)
	case "jit":
		if !jit.Native() {
			return nil, fmt.Errorf("machine code runs on linux/amd64 only: %w", errors.ErrUnsupported)
		}
		if o.JIT != nil {
			return openOwn(o.JIT, p, o)
		}
		return openOwn(jit.Engine, p, o)
	case "kernel":
		return k.open(ctx, p)
	}
	return nil, fmt.Errorf("%w: %s", errUnknown, name)
}

// own runs on one of our engines, in a runtime of its own.
type own struct {
	rt     *runtime.Runtime
	sess   *runtime.Session
	runner vm.Runner
	m      *vm.Machine
	ctx    uint64
}

func openOwn(e vm.Engine, p *Program, o Options) (subject, error) {
	rt, err := runtime.New(runtime.Options{Engine: e, Budget: o.Budget})
	if err != nil {
		return nil, err
	}
	s := &own{rt: rt}
	if err := s.prepare(p); err != nil {
		rt.Close()
		return nil, err
	}
	return s, nil
}

func (s *own) prepare(p *Program) error {
	coll, err := s.rt.LoadWith(p.Coll, runtime.LoadOptions{Programs: []string{p.Name}})
	if err != nil {
		return err
	}
	prog := coll.Program(p.Name)
	if s.runner, err = prog.Func(); err != nil {
		return err
	}
	if s.sess, err = prog.Begin(p.Input); err != nil {
		return err
	}
	s.m, s.ctx = s.sess.Machine(), s.sess.Ctx()
	return nil
}

func (s *own) first() (r0, insns uint64, err error) {
	s.m.Reset()
	exit, err := s.runner.Run(s.m, s.ctx)
	return exit.R0, exit.Insns, err
}

func (s *own) sample(_ context.Context, n int) (float64, error) {
	start := time.Now()
	for range n {
		s.m.Reset()
		if _, err := s.runner.Run(s.m, s.ctx); err != nil {
			return 0, err
		}
	}
	return float64(time.Since(start).Nanoseconds()) / float64(n), nil
}

func (s *own) estimate(ctx context.Context) (float64, error) {
	for n := 1; ; n = min(10*n, maxRepeat) {
		ns, err := s.sample(ctx, n)
		if err != nil || ns*float64(n) >= 500_000 || n == maxRepeat {
			return ns, err
		}
	}
}

func (s *own) close() {
	s.sess.End(vm.Exit{}, nil)
	s.rt.Close()
}

// kernelHost is the kernel, started when it is needed first.
type kernelHost struct {
	k   *kernel.Kernel
	err error
}

func (h *kernelHost) close() {
	if h.k != nil {
		h.k.Close()
	}
}

func (h *kernelHost) open(ctx context.Context, p *Program) (subject, error) {
	if h.k == nil && h.err == nil {
		h.k, h.err = kernel.Start(ctx, kernel.Options{})
	}
	if h.err != nil {
		return nil, h.err
	}
	if s := p.Coll.Program(p.Name); s != nil {
		takes, err := kernel.TestRun(s.Type, s.Attach)
		if err != nil {
			return nil, err
		}
		if takes != "data" {
			return nil, fmt.Errorf("BPF_PROG_TEST_RUN repeats and times packet programs only, not %s: %w", s.Type, errors.ErrUnsupported)
		}
	}
	return &judged{k: h.k, job: kernel.Job{Spec: p.Coll, Program: p.Name, MaxEntries: 1}, in: kernel.Input{Data: p.Data, Ctx: p.Ctx}}, nil
}

// judged runs in the kernel. Nothing stays there while other engines have their turn,
// so that each group of samples loads the program anew.
type judged struct {
	k     *kernel.Kernel
	job   kernel.Job
	in    kernel.Input
	ready []float64 // samples of the group under way
	of    int       // with this many runs each
}

// group is how many samples one load of the program serves: verification of some
// programs takes longer than all their runs.
const group = 5

// run runs the program once for each of the repeats.
func (s *judged) run(ctx context.Context, repeats ...int) ([]kernel.RunResult, error) {
	var ins []kernel.Input
	for _, n := range repeats {
		in := s.in
		in.Repeat = uint32(min(n, math.MaxInt32))
		ins = append(ins, in)
	}
	out, err := s.k.Run(ctx, s.job, ins)
	if err != nil {
		return nil, err
	}
	for _, r := range out.Runs {
		if r.Errno != 0 {
			return nil, fmt.Errorf("BPF_PROG_TEST_RUN: %w", r.Errno)
		}
	}
	return out.Runs, nil
}

func (s *judged) first() (r0, insns uint64, err error) {
	res, err := s.run(context.Background(), 1)
	if err != nil {
		return 0, 0, err
	}
	return uint64(res[0].R0), 0, nil
}

func (s *judged) sample(ctx context.Context, n int) (float64, error) {
	if s.of != n || len(s.ready) == 0 {
		res, err := s.run(ctx, slices.Repeat([]int{n}, group)...)
		if err != nil {
			return 0, err
		}
		s.ready, s.of = s.ready[:0], n
		for _, r := range res {
			s.ready = append(s.ready, float64(r.Duration.Nanoseconds()))
		}
	}
	ns := s.ready[0]
	s.ready = s.ready[1:]
	return ns, nil
}

// estimate is what a run takes, roughly.
func (s *judged) estimate(ctx context.Context) (float64, error) {
	res, err := s.run(ctx, 1, 50)
	if err != nil {
		return 0, err
	}
	return float64(res[1].Duration.Nanoseconds()), nil
}

func (*judged) close() {}
