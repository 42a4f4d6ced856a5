package debug

import (
	"context"
	"errors"
	"fmt"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/trace"
	"bpfvm/vm"
)

// errStopped ends a playback that nobody wants to go on.
var errStopped = errors.New("playback stopped")

// engine is the vm.Engine of a playback: it counts the steps and hands each one to
// the cursor before it happens.
type engine struct {
	ctx   context.Context
	index *index // nil while it is being made
	max   uint64 // steps after which recording gives up
	world *trace.World
	code  map[*vm.Code]*codeInfo
	ends  []uint64 // while recording: where each run ended

	step  uint64 // the step that happens next
	run   int    // runs of programs that have begun
	at    Point
	lines tracker

	// from is the first step that the visitor sees. Runs that end before it are
	// played by the fast loop.
	from  uint64
	visit func(*Point) (pause bool)
	yield func(struct{}) bool
}

// Point is a place in a playback: what is just about to happen.
type Point struct {
	Step  uint64
	Run   int // index of the run; len(runs) at the end
	Frame int // 0 in the program itself

	st     *interp.Stepper // nil at the end
	e      *engine
	start  bool // a C line, a function or a run begins here
	paused bool // the runtime is unlocked
}

func (e *engine) Name() string { return "debug" }

func (e *engine) Compile(code *vm.Code) (vm.Runner, error) {
	stepping, err := interp.StepEngine{}.Prepare(code)
	if err != nil {
		return nil, err
	}
	return &runner{e: e, stepping: stepping}, nil
}

// runner is one program of a playback.
type runner struct {
	e        *engine
	stepping *interp.Stepping
	fast     vm.Runner // compiled when it is needed first
}

func (r *runner) Code() *vm.Code { return r.stepping.Code() }

func (r *runner) Run(m *vm.Machine, ctx uint64) (vm.Exit, error) {
	e := r.e
	if m.Depth > 0 { // a helper runs another program: part of its step
		return r.stepping.Run(m, ctx)
	}
	run := e.run
	e.run++
	if e.index != nil {
		if run >= len(e.index.runs) {
			return vm.Exit{}, fmt.Errorf("run %d happens, the first playback had %d: %w", run, len(e.index.runs), errDiffers)
		}
		known := &e.index.runs[run]
		if known.First != e.step {
			return vm.Exit{}, fmt.Errorf("run %d begins at step %d instead of %d: %w", run, e.step, known.First, errDiffers)
		}
		if known.End() <= e.from && known.Fault == nil && e.world.Runtime != nil {
			return r.skip(m, ctx, known)
		}
	}
	return r.walk(m, ctx, run)
}

// errDiffers says that a playback went another way than the first one: a fault of
// bpfvm.
var errDiffers = errors.New("the playback differs from the recording")

// skip plays a whole run that nobody looks at.
func (r *runner) skip(m *vm.Machine, ctx uint64, known *Run) (vm.Exit, error) {
	if r.fast == nil {
		var err error
		if r.fast, err = interp.Fast.Compile(r.Code()); err != nil {
			return vm.Exit{}, err
		}
	}
	r.e.step = known.End()
	return r.fast.Run(m, ctx)
}

// ctxEvery is the number of steps between two looks at the context.
const ctxEvery = 1 << 13

// walk plays a run step by step.
func (r *runner) walk(m *vm.Machine, ctx uint64, run int) (vm.Exit, error) {
	e := r.e
	outer := m.Caller
	st := r.stepping.Start(m, ctx)
	defer func() {
		m.Depth, m.Caller = 0, outer
		if e.index == nil {
			e.ends = append(e.ends, e.step)
		}
	}()
	if e.world.Runtime == nil {
		st.SetReg(isa.R2, e.world.R2)
	}
	e.at = Point{Run: run, st: st, e: e}
	e.lines.begin()
	for {
		if e.step%ctxEvery == 0 && e.ctx.Err() != nil {
			return vm.Exit{}, e.ctx.Err()
		}
		if e.index == nil {
			if e.step >= e.max {
				return vm.Exit{}, fmt.Errorf("%w: more than %d steps", ErrTooLong, e.max)
			}
		} else if !e.arrive() {
			return vm.Exit{}, errStopped
		}
		done, err := st.Step()
		e.step++
		switch {
		case err != nil:
			return vm.Exit{}, err
		case done:
			return st.Exit(), nil
		}
	}
}

// arrive shows the visitor the step that comes next, and pauses when it says so.
// It returns false when the playback shall end.
func (e *engine) arrive() bool {
	p := &e.at
	p.Step, p.Frame = e.step, 0
	if p.st != nil {
		p.Frame = p.st.Frame()
		p.start = e.lines.next(e, p)
	}
	if p.Step < e.from || e.visit == nil || !e.visit(p) {
		return true
	}
	ok := false
	p.paused = true
	e.world.Unlocked(func() { ok = e.yield(struct{}{}) })
	p.paused = false
	return ok
}

// unlocked lets fn use the maps.
func (p *Point) unlocked(fn func()) {
	if p.paused || p.st == nil {
		fn()
		return
	}
	p.e.world.Unlocked(fn)
}

// codeInfo is what the debugger looks up for each slot.
type codeInfo struct {
	line  []*spec.Line // the line that the slot belongs to, nil where unknown
	exact []bool       // the line's code begins here
}

// info returns what is known of the code's slots.
func (e *engine) info(code *vm.Code) *codeInfo {
	if c := e.code[code]; c != nil {
		return c
	}
	c := &codeInfo{line: make([]*spec.Line, len(code.Insns)), exact: make([]bool, len(code.Insns))}
	if code.Spec != nil {
		for i := range code.Spec.Lines {
			l := &code.Spec.Lines[i]
			end := len(code.Insns)
			if i+1 < len(code.Spec.Lines) {
				end = min(end, int(code.Spec.Lines[i+1].PC))
			}
			if l.Line == 0 || l.PC < 0 || int(l.PC) >= end {
				continue // of the compiler's own making: part of the line before
			}
			for pc := int(l.PC); pc < end; pc++ {
				c.line[pc] = l
			}
			c.exact[l.PC] = true
		}
		for pc := 1; pc < len(c.line); pc++ {
			if f := code.FuncAt(isa.PC(pc)); c.line[pc] == nil && f != nil && f.PC != isa.PC(pc) {
				c.line[pc] = c.line[pc-1]
			}
		}
	}
	e.code[code] = c
	return c
}

// tracker finds the steps at which a C line begins.
type tracker struct {
	frames [vm.MaxFrames]frameLine
	depth  int // of the step before; -1 at the beginning of a run
}

type frameLine struct {
	code *vm.Code
	line *spec.Line
	pc   isa.PC
}

func (t *tracker) begin() { t.depth = -1 }

// next looks at the step that comes now and says whether a line begins with it. A
// program without line information has one line for each instruction.
func (t *tracker) next(e *engine, p *Point) bool {
	code, pc, depth := p.st.Code(), p.st.PC(), min(p.Frame, vm.MaxFrames-1)
	info := e.info(code)
	line := info.line[pc]
	f := &t.frames[depth]
	entered := depth > t.depth || f.code != code
	t.depth = depth
	last := *f
	*f = frameLine{code, line, pc}
	switch {
	case entered:
		return true
	case line == nil:
		return true
	case last.line == nil || last.line.Line != line.Line || last.line.File != line.File:
		return true
	}
	return pc <= last.pc && info.exact[pc] // a loop on one line
}
