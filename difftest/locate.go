package difftest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"bpfvm/isa"
	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/vm"
)

// Step is the first instruction after which two engines are in different states.
type Step struct {
	Run     int    `json:"run"`     // index of the run
	Step    uint64 `json:"step"`    // the instruction's number in the run, from 1
	Program string `json:"program"` // after tail calls another one than the run's
	Func    string `json:"func,omitempty"`
	Slot    int    `json:"slot"`
	Insn    string `json:"insn"`
	// State lists what differs after it, first engine / second engine.
	State []string `json:"state"`
}

// String is the step in a few words: "2: w0 s>>= 1".
func (s *Step) String() string {
	return fmt.Sprintf("%d: %s", s.Step, s.Insn)
}

// ErrNotLocated says that two engines differ at the end of a run but never where
// they are stopped in between: an engine may run other code when its budget is about
// to end. What Shrink leaves of the program then shows the place.
var ErrNotLocated = errors.New("the engines agree wherever they are stopped; only undisturbed runs differ")

// linearSteps is the number of instructions up to which every stop is tried. In
// longer runs the first difference is looked for by halves: what is found is a step
// with equal states before and different ones after it, though perhaps not the
// first.
const linearSteps = 400

// Locate finds the step at which the run in which two engines of ours first differ
// goes apart. Each engine is stopped by its budget after the same number of
// instructions. The error wraps errors.ErrUnsupported for the kernel, which cannot
// be stopped.
func Locate(ctx context.Context, c *Case, a, b Engine) (*Step, error) {
	x, y := machineOf(a), machineOf(b)
	if x == nil || y == nil {
		return nil, fmt.Errorf("stop %s after an instruction: %w", (map[bool]Engine{true: a, false: b})[x == nil].Name(), errors.ErrUnsupported)
	}
	oa, err := a.Run(ctx, c)
	if err != nil {
		return nil, err
	}
	ob, err := b.Run(ctx, c)
	if err != nil {
		return nil, err
	}
	run := slices.IndexFunc(Compare(oa, ob), func(d Difference) bool { return d.Run >= 0 })
	if run < 0 {
		return nil, ErrNotLocated
	}
	l := &locator{ctx: ctx, c: c, a: x, b: y, run: Compare(oa, ob)[run].Run}
	n := max(oa.Runs[l.run].Insns, ob.Runs[l.run].Insns) + 1
	return l.find(n)
}

// locator compares two engines in the middle of a run.
type locator struct {
	ctx  context.Context
	c    *Case
	a, b vm.Engine
	run  int
}

// find returns the step with equal states before it and different ones after it.
func (l *locator) find(n uint64) (*Step, error) {
	if n <= linearSteps {
		for k := uint64(1); k <= n; k++ {
			if s, err := l.at(k); s != nil || err != nil {
				return s, err
			}
		}
		return nil, ErrNotLocated
	}
	low, high := uint64(0), n // equal at low, different at high
	last, err := l.at(high)
	if err != nil {
		return nil, err
	}
	if last == nil {
		return nil, ErrNotLocated
	}
	for high-low > 1 {
		mid := low + (high-low)/2
		s, err := l.at(mid)
		switch {
		case err != nil:
			return nil, err
		case s != nil:
			high, last = mid, s
		default:
			low = mid
		}
	}
	return last, nil
}

// at compares the states after k instructions; nil: they are equal.
func (l *locator) at(k uint64) (*Step, error) {
	a, err := observe(l.ctx, l.c, l.a, l.run, k)
	if err != nil {
		return nil, err
	}
	b, err := observe(l.ctx, l.c, l.b, l.run, k)
	if err != nil {
		return nil, err
	}
	diffs := a.differences(b)
	if len(diffs) == 0 {
		return nil, nil
	}
	before, err := observe(l.ctx, l.c, l.a, l.run, k-1)
	if err != nil {
		return nil, err
	}
	s := &Step{Run: l.run, Step: k, State: diffs, Slot: -1, Insn: "(the end)"}
	if t := before.trap; t != nil {
		s.Program, s.Func, s.Slot = t.Prog, t.Func, int(t.PC)
		if p := l.c.Spec.Program(t.Prog); p != nil {
			s.Insn = insnText(p, t.PC)
		}
	}
	return s, nil
}

// state is where a run stands when its budget is used up.
type state struct {
	trap   *vm.Trap // nil: the run is over
	r0     uint64
	known  uint16 // registers that have a value
	regs   [isa.NumRegisters]uint64
	frames []byte // stacks of the live frames, from the first
	mem    []Digest
}

// registers is what engines of ours that keep registers apart from traps offer
// after a run.
type registers interface {
	Registers() [isa.NumRegisters]uint64
}

var errStop = errors.New("stopped where the state was wanted")

// observe runs a case on an engine and looks at its run number n after k
// instructions.
func observe(ctx context.Context, c *Case, e vm.Engine, n int, k uint64) (*state, error) {
	o := c.Runtime
	o.Engine = e
	l, err := c.load(o)
	if err != nil {
		return nil, err
	}
	defer l.rt.Close()
	limit := func() {
		for cpu := range l.rt.CPUs() {
			l.rt.Machine(cpu).Limit = k
		}
	}
	if n == 0 {
		limit()
	}
	var s *state
	seen := 0
	l.opts.OnRun = func(r *scenario.ProgRun) error {
		seen++
		switch {
		case seen == n:
			limit()
		case seen == n+1:
			s = newState(l.rt.Machine(r.CPU), r)
			return errStop
		}
		return nil
	}
	if _, err := scenario.Run(ctx, l.opts); err != nil && !errors.Is(err, errStop) {
		return nil, err
	}
	if s == nil {
		return nil, fmt.Errorf("%s: run %d did not happen", c.Name, n+1)
	}
	return s, nil
}

// newState looks at a machine after a run.
func newState(m *vm.Machine, r *scenario.ProgRun) *state {
	s := &state{trap: r.Raw.Trap, r0: r.R0, mem: digests(m.Mem)}
	if s.trap == nil {
		return s
	}
	t := s.trap
	switch regs, ok := m.Caller.(registers); {
	case t.Regs != nil:
		for i, r := range t.Regs {
			s.regs[i] = r.Value
			if r.Init {
				s.known |= 1 << i
			}
		}
	case ok:
		s.regs, s.known = regs.Registers(), 1<<isa.NumRegisters-1
	}
	for i := range t.Frame + 1 {
		s.frames = append(s.frames, m.Frame(i)...)
	}
	return s
}

// differences lists what differs between two states.
func (s *state) differences(o *state) []string {
	var out []string
	add := func(what, a, b string) {
		if a != b {
			out = append(out, fmt.Sprintf("%s %s / %s", what, a, b))
		}
	}
	add("at", s.place(), o.place())
	if s.trap == nil && o.trap == nil {
		add("r0", fmt.Sprintf("%#x", s.r0), fmt.Sprintf("%#x", o.r0))
	}
	for r := range isa.Register(isa.NumRegisters) {
		if s.known&o.known&(1<<r) != 0 {
			add(r.String(), fmt.Sprintf("%#x", s.regs[r]), fmt.Sprintf("%#x", o.regs[r]))
		}
	}
	for i := range min(len(s.frames), len(o.frames)) / 8 {
		add(stackName(8*i), fmt.Sprintf("%x", s.frames[8*i:8*i+8]), fmt.Sprintf("%x", o.frames[8*i:8*i+8]))
	}
	for i := range min(len(s.mem), len(o.mem)) {
		add(s.mem[i].Region, fmt.Sprintf("digest %016x", s.mem[i].Sum), fmt.Sprintf("digest %016x", o.mem[i].Sum))
	}
	return out[:min(len(out), maxDifferences)]
}

// place is where a run stands.
func (s *state) place() string {
	if s.trap == nil {
		return "the end"
	}
	if s.trap.Kind != vm.TrapBudget {
		return trapText(s.trap)
	}
	return fmt.Sprintf("%s slot %d frame %d", s.trap.Prog, s.trap.PC, s.trap.Frame)
}

// stackName names an offset in the frames: "fp-8", "fp(1)-16" in the frame of the
// first function called.
func stackName(off int) string {
	frame, below := off/vm.StackSize, vm.StackSize-off%vm.StackSize
	if frame == 0 {
		return fmt.Sprintf("fp-%d", below)
	}
	return fmt.Sprintf("fp(%d)-%d", frame, below)
}

// insnText is one instruction of a program with the names that it uses.
func insnText(p *spec.ProgramSpec, pc isa.PC) string {
	pr := p.Printer()
	return pr.Insn(p.Insns, pc)
}
