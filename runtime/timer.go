package runtime

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// timer is a bpf_timer or a bpf_wq in a map value: a function of the program that is
// to run later (kernel/bpf/helpers.c, struct bpf_async_kern). It is known by its
// address; the bytes in the map value stay zero.
type timer struct {
	addr  uint64
	work  bool // a bpf_wq: as soon as possible
	m     kmap
	key   []byte
	value uint64 // where the map value begins
	prog  *Program
	fn    *vm.Func // nil until set

	active  bool
	expires uint64 // by Clock.Now
	seq     uint64 // of starting: timers of the same time run in this order
	cpu     int
}

// TimerRun is one run of a timer's function.
type TimerRun struct {
	Prog    *Program
	Func    string
	Expires uint64 // when it was due, in nanoseconds of CLOCK_MONOTONIC
	Insns   uint64
	Trap    *vm.Trap // why it ended early; nil when it returned
}

// maxTimerRuns bounds the runs of timers between two events: one that starts itself
// again at once would never let the next event happen.
const maxTimerRuns = 10_000

// timerAt returns the timer at an address; it is gone when its element is.
func (rt *Runtime) timerAt(addr uint64) *timer {
	t := rt.timers[addr]
	if t == nil {
		return nil
	}
	if now, e := t.m.lookupElem(t.cpu, t.key); e != 0 || now != t.value {
		delete(rt.timers, addr)
		return nil
	}
	return t
}

// newTimer makes a timer for the element of a map that an address lies in.
func (e *Env) newTimer(m kmap, addr uint64) (*timer, error) {
	next, err := e.elemWalker(m)
	if err != nil {
		return nil, err
	}
	size := uint64(m.Spec().ValueSize)
	for key, value := next(nil); key != nil; key, value = next(key) {
		if addr-value < size {
			return &timer{addr: addr, m: m, key: bytes.Clone(key), value: value, prog: e.prog, cpu: e.cpu}, nil
		}
	}
	return nil, &vm.Fault{Addr: addr, Size: 16, Where: e.rt.mem.Symbolize(addr), Why: fmt.Sprintf("not in an element of map %q", m.Name())}
}

// start makes a timer due.
func (rt *Runtime) startTimer(t *timer, expires uint64) {
	rt.timerSeq++
	t.active, t.expires, t.seq = true, expires, rt.timerSeq
}

// runTimers runs what is due, in the order of time.
func (rt *Runtime) runTimers() error {
	for range maxTimerRuns {
		t := rt.dueTimer()
		if t == nil {
			return nil
		}
		t.active = false
		if rt.timerAt(t.addr) != t {
			continue
		}
		run, err := rt.runTimer(t)
		if err != nil {
			return err
		}
		rt.timerRuns = append(rt.timerRuns, run)
	}
	return fmt.Errorf("timers: more than %d runs were due at %d ns", maxTimerRuns, rt.Clock.Now)
}

// dueTimer returns the timer that is to run next, or nil.
func (rt *Runtime) dueTimer() *timer {
	var due *timer
	for _, t := range rt.timers {
		if !t.active || t.expires > rt.Clock.Now {
			continue
		}
		if due == nil || cmp.Or(cmp.Compare(t.expires, due.expires), cmp.Compare(t.seq, due.seq)) < 0 {
			due = t
		}
	}
	return due
}

// runTimer calls a timer's function with the map, the key and the value, at the time
// that it was due.
func (rt *Runtime) runTimer(t *timer) (TimerRun, error) {
	run := TimerRun{Prog: t.prog, Func: t.fn.Name, Expires: t.expires}
	runner, err := t.prog.asyncFunc(t.fn)
	if err != nil {
		return run, err
	}
	now := rt.Clock.Now
	rt.Clock.Now = t.expires
	defer func() { rt.Clock.Now = max(rt.Clock.Now, now) }()

	c := rt.cpus[t.cpu]
	key, err := rt.nestedWindow(c, windowKey{vm.RegionScratch, timerLevel}, uint64(len(t.key)), vm.PermRead)
	if err != nil {
		return run, err
	}
	copy(rt.mem.Raw(key.Base, key.Size), t.key)
	ctx, err := rt.nestedWindow(c, windowKey{vm.RegionCtx, timerLevel}, 3*8, vm.PermRead)
	if err != nil {
		return run, err
	}
	args := rt.mem.Raw(ctx.Base, ctx.Size)
	for i, v := range []uint64{t.m.Addr(), key.Base, t.value} {
		binary.LittleEndian.PutUint64(args[8*i:], v)
	}
	c.m.Reset()
	c.m.Env = &Env{rt: rt, m: c.m, cpu: t.cpu, prog: t.prog, ctx: ctx, timer: t}
	c.m.PktData, c.m.PktEnd, c.m.Ctx = 0, 0, ctx.Base
	exit, err := runner.Run(c.m, ctx.Base)
	run.Insns = exit.Insns
	if err != nil {
		trap, ok := err.(*vm.Trap)
		if !ok {
			return run, fmt.Errorf("timer of %s: %w", t.prog.Name(), err)
		}
		run.Trap, run.Insns = trap, trap.Insns
	}
	return run, nil
}

// timerLevel is the level of windows for timers, beyond those of nested callbacks.
const timerLevel = 1000

// asyncFunc compiles a program once more so that it begins with one of its functions:
// a few instructions in front load the arguments from the context and call it.
func (p *Program) asyncFunc(fn *vm.Func) (vm.Runner, error) {
	if r := p.async[fn.PC]; r != nil {
		return r, nil
	}
	if _, err := p.bpfFunc(); err != nil { // callbacks of the function are of this code
		return nil, err
	}
	load := func(r isa.Register, off int16) isa.Instruction {
		return isa.Instruction{Op: isa.MemOp(isa.ClassLDX, isa.ModeMEM, isa.SizeDW), Regs: isa.MakeRegs(r, isa.R1), Off: off}
	}
	head := isa.Program{
		load(isa.R3, 16), load(isa.R2, 8), load(isa.R1, 0),
		{Op: isa.OpCall, Regs: isa.MakeRegs(0, isa.Register(isa.PseudoCall)), Imm: int32(fn.PC) + 1},
		{Op: isa.OpExit},
	}
	code := &vm.Code{
		Name: fn.Name, Insns: slices.Concat(head, p.code.Insns), Helpers: p.code.Helpers, Kfuncs: p.code.Kfuncs,
		Funcs: []spec.Func{{Name: fn.Name}},
	}
	if p.code.ProbeMem != nil {
		code.ProbeMem = slices.Concat(make([]bool, len(head)), p.code.ProbeMem)
	}
	for _, f := range p.code.Funcs {
		f.PC += isa.PC(len(head))
		code.Funcs = append(code.Funcs, f)
	}
	r, err := p.rt.opts.Engine.Compile(code)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	if p.async == nil {
		p.async = map[int]vm.Runner{}
	}
	p.async[fn.PC] = r
	return r, nil
}
