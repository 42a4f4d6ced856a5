package tour

import (
	"fmt"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/runtime"
	"bpfvm/scenario"
	"bpfvm/vm"
)

// life is what happened when the script ran.
type life struct {
	res   *scenario.Result
	err   error // nothing could be run at all
	steps []step
	entry string // what r1 was when the program began
	// first is the first run of the program, siblings are all programs that ran on
	// that event, in order.
	first    *scenario.ProgRun
	siblings []*scenario.ProgRun
	links    []*runtime.Link
	stats    map[string][2]uint64 // run_cnt and run_time_ns by program
	insnsi   isa.Program          // as the engine got them
	code     *vm.Code
}

// step is one executed instruction.
type step struct {
	code *vm.Code
	pc   isa.PC
	what string // what it did, in a few words
}

// maxSteps bounds what is recorded of the first run.
const maxSteps = 100_000

// live loads the object and lets the script happen, once.
func (b *builder) live() *life {
	if b.life != nil {
		return b.life
	}
	l := &life{stats: map[string][2]uint64{}}
	b.life = l
	l.err = b.run(l)
	return l
}

func (b *builder) run(l *life) error {
	rec := &recorder{prog: b.prog.Name, life: l}
	script := b.in.Script
	if script == nil {
		script = &scenario.Script{}
	}
	rt, err := runtime.New(runtime.Options{Engine: rec, CPUs: script.CPUs(), Target: b.in.Target})
	if err != nil {
		return err
	}
	defer rt.Close()
	if err := scenario.InstallMocks(rt, script); err != nil {
		return err
	}
	coll, err := rt.LoadWith(b.coll, runtime.LoadOptions{SkipBroken: true})
	if err != nil {
		return err
	}
	prog := coll.Program(b.prog.Name)
	if prog == nil {
		return coll.Skipped[b.prog.Name]
	}
	l.insnsi, l.code = prog.Insns(), prog.Code()
	if b.in.Script == nil {
		_, err := prog.Func() // for what the compiler is told of the program
		return err
	}
	rt.SetStats(true)
	l.res, err = scenario.Run(b.ctx, scenario.Options{
		Runtime: rt, Collection: coll, Script: script, Files: b.in.Files, MapChanges: true, KeepRuns: true,
		OnRun: func(r *scenario.ProgRun) error {
			if r.Program == b.prog.Name && l.first == nil {
				l.first = r
				l.links = rt.Attached(prog.Target())
			}
			return nil
		},
	})
	for _, p := range coll.Programs() {
		cnt, ns := p.Stats()
		l.stats[p.Name()] = [2]uint64{cnt, ns}
	}
	if l.first != nil {
		for _, r := range l.res.Runs {
			if r.Index == l.first.Index {
				l.siblings = append(l.siblings, r)
			}
		}
	}
	return err
}

// recorder is the step engine; it writes down the first run of one program.
type recorder struct {
	prog string
	life *life
}

func (*recorder) Name() string { return interp.Step.Name() }

// UsesFacts makes the runtime ask the verifier, so that the machine code shown is
// what the compiler makes of a program that it has accepted.
func (*recorder) UsesFacts() bool { return true }

func (r *recorder) Compile(code *vm.Code) (vm.Runner, error) {
	s, err := interp.StepEngine{}.Prepare(code)
	if err != nil || code.Name != r.prog {
		return s, err
	}
	return &recording{s, r.life}, nil
}

// recording runs the program; the first time it looks at every step.
type recording struct {
	*interp.Stepping
	life *life
}

func (r *recording) Run(m *vm.Machine, ctx uint64) (vm.Exit, error) {
	l := r.life
	if len(l.steps) > 0 {
		return r.Stepping.Run(m, ctx)
	}
	l.entry = m.Mem.Symbolize(ctx)
	s := r.Start(m, ctx)
	for {
		code, pc, frame := s.Code(), s.PC(), s.Frame()
		at := storeAddr(s)
		done, err := s.Step()
		if len(l.steps) < maxSteps {
			st := step{code: code, pc: pc}
			if err == nil {
				st.what = did(s, code, pc, frame, at, done)
			} else {
				st.what = "trap"
			}
			l.steps = append(l.steps, st)
		}
		if err != nil {
			return vm.Exit{}, err
		}
		if done {
			return s.Exit(), nil
		}
	}
}

// storeAddr is where the next instruction stores, if it does.
func storeAddr(s *interp.Stepper) uint64 {
	ins := s.Code().Insns[s.PC()]
	if c := ins.Op.Class(); c != isa.ClassST && c != isa.ClassSTX || ins.Dst() > isa.R10 {
		return 0
	}
	v, _ := s.Reg(ins.Dst())
	return v + uint64(int64(ins.Off))
}

// did says what an instruction did.
func did(s *interp.Stepper, code *vm.Code, pc isa.PC, frame int, at uint64, done bool) string {
	ins := code.Insns[pc]
	mem := s.Machine().Mem
	value := func(r isa.Register) string {
		v, ok := s.Reg(r)
		if !ok {
			return "?"
		}
		return valueText(mem, v)
	}
	class := ins.Op.Class()
	switch {
	case ins.Op == isa.OpExit && done:
		return "r0 = " + value(isa.R0)
	case s.Code() != code:
		return "tail call into " + s.Code().Name
	case ins.Op == isa.OpCall && s.Frame() != frame:
		return "enters a subprogram"
	case ins.Op == isa.OpCall:
		return "r0 = " + value(isa.R0)
	case class.IsJump():
		if s.PC() == pc+1 {
			return "not taken"
		}
		return fmt.Sprintf("taken, to %d", s.PC())
	case at != 0:
		return mem.Symbolize(at)
	}
	return ins.Dst().String() + " = " + value(ins.Dst())
}

// valueText prints a value as what it is: an address of the arena by its object, a
// number in decimal when it is small.
func valueText(mem *vm.Memory, v uint64) string {
	if mem.Find(v) != nil {
		return mem.Symbolize(v)
	}
	if n := int64(v); n > -4096 && n < 1<<20 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%#x", v)
}
