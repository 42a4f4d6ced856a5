package interp

import (
	"fmt"

	"bpfvm/isa"
	"bpfvm/vm"
)

// Step is the step loop with its default options, as an engine.
var Step vm.Engine = StepEngine{}

// StepEngine is the step loop. The zero value checks what the kernel's verifier
// checks for a privileged user.
type StepEngine struct {
	// StrictStack traps when a program reads stack bytes that its function never
	// wrote. Since Linux 6.3 the kernel lets privileged programs do that
	// (verifier.c: env->allow_uninit_stack), so it is off by default.
	StrictStack bool
	// UninitRead, when set, is told of each such read instead.
	UninitRead func(*Stepper, UninitRead)
	// Executed, when set, is told of each instruction that did not trap: the code it
	// is of and the slot that this code goes on with. An exit and a call of another
	// program have no such slot, and the one after them is given.
	Executed func(code *vm.Code, from, to isa.PC)
	// Before, when set, is called before each instruction, those of callbacks
	// included. It may look at the stepper and must not move it.
	Before func(*Stepper)
}

// UninitRead is a read of stack bytes that the function never wrote.
type UninitRead struct {
	PC    isa.PC
	Addr  uint64 // of the first such byte
	Count int    // of such bytes in a row
}

// Name returns "step".
func (StepEngine) Name() string { return "step" }

// Compile is Prepare for those who want any engine.
func (e StepEngine) Compile(code *vm.Code) (vm.Runner, error) {
	p, err := e.Prepare(code)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Prepare checks the code; its error joins one *vm.CompileError for each slot that
// cannot run. What it returns can be stepped through as well as run.
func (e StepEngine) Prepare(code *vm.Code) (*Stepping, error) {
	p, err := vm.Prepare(code)
	if err != nil {
		return nil, err
	}
	return &Stepping{e, p}, nil
}

// maxBudget bounds what a run may spend, so that sums of it fit 64 signed bits.
const maxBudget = 1 << 62

// Stepping is a program prepared by a [StepEngine].
type Stepping struct {
	opt  StepEngine
	prog *vm.Prepared
}

// Code returns what was compiled.
func (p *Stepping) Code() *vm.Code { return p.prog.Code }

// Run steps to the end.
func (p *Stepping) Run(m *vm.Machine, ctx uint64) (vm.Exit, error) {
	outer, outerCtx := m.Caller, m.Ctx
	s := p.Start(m, ctx)
	defer func() {
		m.Depth, m.Caller = s.base, outer
		if m.Depth > 0 { // a helper runs another program
			m.Ctx = outerCtx
		}
	}()
	for {
		done, err := s.Step()
		switch {
		case err != nil:
			return vm.Exit{}, err
		case done:
			return s.Exit(), nil
		}
	}
}

// Start puts a stepper before the first instruction. The caller has reset the
// machine, which belongs to the stepper until it is done.
func (p *Stepping) Start(m *vm.Machine, ctx uint64) *Stepper {
	m.Budget = min(m.Budget, maxBudget)
	s := &Stepper{opt: p.opt, m: m, base: m.Depth, start: m.Budget, stack: &stackShadow{}}
	m.Ctx, m.Caller = ctx, s
	s.prog = p.prog
	if m.Depth >= vm.MaxFrames {
		s.trap = vm.DepthTrap().At(p.Code(), 0, m.Depth-1, 0)
		return s
	}
	m.Depth++
	s.enter(0)
	s.startWith(ctx)
	return s
}

// Stepper executes one instruction at a time. It implements [vm.Stepper] and
// [vm.Caller].
//
// A callback that a helper makes runs to its end inside the step of the call.
type Stepper struct {
	opt   StepEngine
	m     *vm.Machine
	base  int    // frames in use before this run
	start uint64 // budget before this run

	activation
	callers []activation // outermost first
	floor   int          // callers that belong to the caller of a callback
	stack   *stackShadow

	packetGen int    // how often the packet has moved
	packetBy  origin // the last call that moved it

	done bool
	exit vm.Exit
	trap *vm.Trap
	// placed is the last trap that knows its place already.
	placed *vm.Trap
}

// activation is one running function: where it is and what its registers hold.
type activation struct {
	prog    *vm.Prepared
	pc      isa.PC
	reg     [isa.NumRegisters]uint64
	shadow  [isa.NumRegisters]shadow
	mayGoto int // remaining falls through may_goto
}

// enter begins a function in the current frame.
func (s *Stepper) enter(pc isa.PC) {
	s.pc, s.mayGoto = pc, mayGotoLimit
	frame := s.Frame()
	top := s.m.FrameTop(frame)
	reach := uint64(s.prog.ReachAt(pc))
	clear(s.m.Mem.Raw(top-reach, reach))
	s.stack.clear(frame)
	s.reg[isa.FP] = top
	s.shadow[isa.FP] = pointerTo(s.m.Mem, top-1)
}

// startWith sets the registers as a program finds them: the context in R1 and
// nothing in the others.
func (s *Stepper) startWith(ctx uint64) {
	fp, fpShadow := s.reg[isa.FP], s.shadow[isa.FP]
	s.reg, s.shadow = [isa.NumRegisters]uint64{}, [isa.NumRegisters]shadow{}
	s.reg[isa.FP], s.shadow[isa.FP] = fp, fpShadow
	s.reg[isa.R1], s.shadow[isa.R1] = ctx, pointerTo(s.m.Mem, ctx)
	s.shadow[isa.R1].obj.role = roleCtx
}

// Step executes the instruction at PC.
func (s *Stepper) Step() (done bool, err error) {
	switch {
	case s.done:
		return true, nil
	case s.trap != nil:
		return false, s.trap
	}
	if s.trap = s.step(); s.trap != nil {
		return false, s.trap
	}
	return s.done, nil
}

// registers describes all registers, for a trap.
func (s *Stepper) registers() []vm.TrapReg {
	regs := make([]vm.TrapReg, isa.NumRegisters)
	for r := range isa.Register(isa.NumRegisters) {
		v, init := s.Reg(r)
		regs[r] = vm.TrapReg{Value: v, Init: init}
		if _, ok := s.Object(r); ok && init {
			regs[r].Where = s.m.Mem.Symbolize(v)
		}
	}
	return regs
}

// stopEvery is how often the step loop looks whether it is to stop, in instructions.
const stopEvery = 1 << 12

// step executes one instruction and places the trap that it makes.
func (s *Stepper) step() *vm.Trap {
	if s.m.Budget == 0 || s.m.Budget%stopEvery == 0 && s.m.Stopped() {
		return s.place(vm.BudgetTrap(s.m))
	}
	if s.opt.Before != nil {
		s.opt.Before(s)
	}
	s.m.Budget--
	code, from := s.Code(), s.pc
	t := s.execute()
	if t == nil && s.opt.Executed != nil {
		to := s.pc
		if s.Code() != code || s.done {
			to = from + 1
		}
		s.opt.Executed(code, from, to)
	}
	if t == nil || t == s.placed { // of a callback
		return t
	}
	s.m.Budget++
	return s.place(t)
}

// place fills in where a trap happened and what the registers held.
func (s *Stepper) place(t *vm.Trap) *vm.Trap {
	s.placed = t.At(s.Code(), s.pc, s.Frame(), s.Insns())
	t.Regs = s.registers()
	return t
}

// execute is the instruction set: one function for each class. It leaves PC at the
// next instruction, and where it was when it returns a trap.
func (s *Stepper) execute() *vm.Trap {
	ins, form := s.Code().Insns[s.pc], s.prog.Forms[s.pc]
	if t := s.checkReads(ins, form); t != nil {
		return t
	}
	switch class := ins.Op.Class(); {
	case class == isa.ClassALU64:
		s.alu(ins)
	case class == isa.ClassALU:
		s.alu32(ins)
	case class == isa.ClassJMP && ins.Op.Code() == isa.CodeCall:
		return s.call(ins)
	case ins.Op == isa.OpExit:
		return s.leave()
	case class.IsJump():
		s.jump(ins)
		return nil
	case ins.IsWide():
		s.loadConstant(ins)
		return nil
	case class == isa.ClassLD:
		return s.loadPacket(ins)
	case ins.Op.Mode() == isa.ModeATOMIC:
		if t := s.atomic(ins); t != nil {
			return t
		}
	case class == isa.ClassLDX:
		if t := s.load(ins); t != nil {
			return t
		}
	default:
		if t := s.store(ins); t != nil {
			return t
		}
	}
	s.pc++
	return nil
}

// checkReads refuses an instruction that reads a register without a value.
func (s *Stepper) checkReads(ins isa.Instruction, form *isa.Op) *vm.Trap {
	if r := form.Dst.Rule; r == isa.RuleRead || r == isa.RuleReadWrite {
		if t := s.checkKnown(ins.Dst()); t != nil {
			return t
		}
	}
	if r := form.Src.Rule; r == isa.RuleRead || r == isa.RuleReadWrite {
		if t := s.checkKnown(ins.Src()); t != nil {
			return t
		}
	}
	switch {
	case ins.Op.Class() == isa.ClassLD && !ins.IsWide():
		return s.checkKnown(isa.R6)
	case ins.Op.Class() == isa.ClassSTX && ins.Op.Mode() == isa.ModeATOMIC && isa.AtomicOp(ins.Imm) == isa.AtomicCmpXchg:
		return s.checkKnown(isa.R0)
	}
	return nil
}

func (s *Stepper) checkKnown(r isa.Register) *vm.Trap {
	if sh := &s.shadow[r]; !sh.known() {
		return &vm.Trap{Kind: vm.TrapUninit, Msg: sh.lost(r)}
	}
	return nil
}

// set writes a register.
func (s *Stepper) set(r isa.Register, v uint64, sh shadow) { s.reg[r], s.shadow[r] = v, sh }

// Exit returns the result once Step has said done.
func (s *Stepper) Exit() vm.Exit { return s.exit }

// PC is the slot that runs next.
func (s *Stepper) PC() isa.PC { return s.pc }

// Code is the code that PC belongs to.
func (s *Stepper) Code() *vm.Code { return s.prog.Code }

// Frame is the index of the current frame.
func (s *Stepper) Frame() int { return max(s.m.Depth-1, 0) }

// Insns is the number of instructions executed so far.
func (s *Stepper) Insns() uint64 { return s.start - s.m.Budget }

// Reg returns a register and whether it holds a defined value.
func (s *Stepper) Reg(r isa.Register) (uint64, bool) {
	if !r.Valid() {
		return 0, false
	}
	return s.reg[r], s.shadow[r].known()
}

// SetReg changes a register; what it pointed to is forgotten. R10 stays.
func (s *Stepper) SetReg(r isa.Register, v uint64) {
	if r.Valid() && r != isa.FP {
		s.set(r, v, number)
	}
}

// Machine is what the program runs on.
func (s *Stepper) Machine() *vm.Machine { return s.m }

// Object returns what a register points into: accesses through it must stay there.
// ok is false for numbers and pointers of unknown origin.
func (s *Stepper) Object(r isa.Register) (obj vm.Object, ok bool) {
	if !r.Valid() || s.shadow[r].kind != valuePointer {
		return vm.Object{}, false
	}
	o := &s.shadow[r].obj
	low, end := o.bounds()
	obj, _ = s.m.Mem.Object(low)
	return vm.Object{Region: o.region, Base: low, Size: end - low, Index: obj.Index}, true
}

// Written reports, for each byte of a frame, lowest address first, whether the
// function that runs there has written it.
func (s *Stepper) Written(frame int) []bool {
	if frame < 0 || frame >= vm.MaxFrames {
		return nil
	}
	w := s.stack.written[frame]
	return w[:]
}

// Caller returns where frame i of this run continues when the one above it
// returns: the code and the slot after the call.
func (s *Stepper) Caller(i int) (code *vm.Code, pc isa.PC, err error) {
	if i < 0 || i >= len(s.callers) {
		return nil, 0, fmt.Errorf("frame %d has called nothing", i)
	}
	return s.callers[i].prog.Code, s.callers[i].pc, nil
}
