package interp

import (
	"errors"
	"math"
	"sync"

	"bpfvm/isa"
	"bpfvm/vm"
)

//go:generate go run ./internal/genfast -o zfast.go

// Fast is the fast loop as an engine.
var Fast vm.Engine = fastEngine{}

type fastEngine struct{}

// Name returns "interp".
func (fastEngine) Name() string { return "interp" }

// Compile checks the code and translates it into records; its error joins one
// *vm.CompileError for each slot that cannot run.
func (fastEngine) Compile(code *vm.Code) (vm.Runner, error) { return compileFast(code) }

// record is one step of the fast loop: a BPF instruction, or several of them that
// were joined. a to f are indexes into fastRun.reg.
type record struct {
	op               uint16
	a, b, c, d, e, f uint8
	off              int32 // displacement of an access, or the record that a jump leads to
	delta            int32 // what a taken jump adds to fastRun.acc, or a second displacement
}

// source is where a record comes from.
type source struct {
	slot   isa.PC // where the record begins
	fault  isa.PC // the instruction of it that may trap
	fault2 isa.PC // a second one
}

// Indexes in fastRun.reg beside the eleven registers.
const (
	regScratch = 15 // holds a constant that found no place of its own
	regConst   = 16 // the first constant
	regCount   = 256
)

// listing is a program as records.
type listing struct {
	recs  []record
	from  []source
	at    []int32 // the record where a slot begins; -1 inside of joined ones
	exact bool    // counts every instruction
}

// fastProgram is a program compiled by [Fast].
type fastProgram struct {
	*vm.Prepared
	consts []uint64 // the values from regConst on
	joined *listing

	helpers []helper // those called, by the delta of their records

	once  sync.Once
	exact *listing // made when a budget runs low
}

// helper is a helper or kernel function that the program calls, with its number.
type helper struct {
	id int32
	*vm.Helper
}

// Code returns what was compiled.
func (p *fastProgram) Code() *vm.Code { return p.Prepared.Code }

// exactly returns the listing that counts every instruction.
func (p *fastProgram) exactly() *listing {
	p.once.Do(func() { p.exact = translate(p, true) })
	return p.exact
}

// fastRun is the state of one machine's runs. It stays with the machine, so that
// the next run finds its constants in place.
//
// Instructions are not counted one by one. pos numbers them in the order of slots;
// along a straight line the number executed is acc + pos, where acc changes at
// taken jumps, calls and returns only.
type fastRun struct {
	reg  [regCount]uint64
	m    *vm.Machine
	prog *fastProgram
	list *listing

	pc    int   // next record
	acc   int64 // executed = acc + pos
	limit int64 // what may be executed
	lim   int64 // a jump that leaves acc above it is near the end of the budget

	buf  []byte // the arena
	perm []vm.Perm

	mayGoto int32
	floor   int // the depth at which exit ends the loop
	active  bool
	start   uint64 // budget at the start of the run
	callers [vm.MaxFrames]caller
	placed  *vm.Trap // the last trap that knows its place
}

// caller is what a function leaves behind when it calls another.
type caller struct {
	prog           *fastProgram
	list           *listing
	pc             int
	pos            int64 // of the instruction after the call
	r6, r7, r8, r9 uint64
	fp             uint64
	mayGoto        int32
}

// Run executes the program; the caller has reset the machine.
func (p *fastProgram) Run(m *vm.Machine, ctx uint64) (vm.Exit, error) {
	depth := m.Depth
	if depth >= vm.MaxFrames {
		return vm.Exit{}, vm.DepthTrap().At(p.Code(), 0, depth-1, 0)
	}
	outer, outerCtx := m.Caller, m.Ctx
	st, ok := outer.(*fastRun)
	if !ok || st.active || st.m != m {
		st = &fastRun{m: m}
		m.Caller = st
	}
	m.Ctx = ctx
	st.active = true
	m.Budget = min(m.Budget, maxBudget)
	st.start = m.Budget
	clear(st.reg[:isa.NumRegisters])
	st.reg[isa.R1] = ctx
	m.Depth = depth + 1
	st.floor = m.Depth
	st.view()
	st.load(p)
	st.enter(0)
	t := st.loop()
	m.Depth = depth
	st.active = false
	if depth > 0 { // a helper has run this program: its caller goes on
		m.Caller, m.Ctx = outer, outerCtx
	}
	if t != nil {
		return vm.Exit{}, t
	}
	return vm.Exit{R0: st.reg[isa.R0], Insns: st.start - m.Budget}, nil
}

// load makes p the program that runs.
func (st *fastRun) load(p *fastProgram) {
	if st.prog != p {
		st.prog = p
		copy(st.reg[regConst:], p.consts)
	}
}

// enter begins the function at a slot in the current frame with the machine's
// budget.
func (st *fastRun) enter(slot isa.PC) {
	m, p := st.m, st.prog
	top := m.FrameTop(m.Depth - 1)
	if reach := uint64(p.ReachAt(slot)); reach != 0 {
		clear(m.Mem.Raw(top-reach, reach))
	}
	st.reg[isa.FP] = top
	st.mayGoto = mayGotoLimit
	st.acc = -int64(p.Pos[slot])
	st.resume(slot)
}

// resume sets the next instruction and what may be spent. Far from the end of the
// budget the joined records run: until the next jump back, call or return, which
// checks again, they cannot execute more than the whole program. Near it each
// instruction is counted.
func (st *fastRun) resume(slot isa.PC) {
	p := st.prog
	executed := st.acc + int64(p.Pos[slot])
	st.limit = executed + int64(st.m.Budget)
	st.list, st.lim = p.joined, st.limit-int64(p.Count())
	if st.acc > st.lim || st.list.at[slot] < 0 {
		// Also for callbacks that begin where records were joined.
		st.list, st.lim = p.exactly(), math.MaxInt64
	}
	st.lim = min(st.lim, st.acc+vm.Slice)
	st.pc = int(st.list.at[slot])
}

// view looks at the arena again: it may have grown, and then it is longer.
func (st *fastRun) view() {
	if buf, perm := st.m.Mem.View(); len(buf) != len(st.buf) {
		st.buf, st.perm = buf, perm
	}
}

// spend writes the budget back: everything before the slot has been executed.
func (st *fastRun) spend(slot isa.PC) {
	st.m.Budget = uint64(st.limit - st.acc - int64(st.prog.Pos[slot]))
}

// trap places a trap of the instruction at a slot.
func (st *fastRun) trap(t *vm.Trap, slot isa.PC) *vm.Trap {
	st.spend(slot)
	st.placed = t.At(st.prog.Code(), slot, st.m.Depth-1, st.start-st.m.Budget)
	t.Regs = vm.TrapRegs(st.m.Mem, [isa.NumRegisters]uint64(st.reg[:]))
	return st.placed
}

// trapBefore is a trap of the record before pc.
func (st *fastRun) trapBefore(pc int, t func(*vm.Machine) *vm.Trap) *vm.Trap {
	return st.trap(t(st.m), st.list.from[pc-1].fault)
}

func fullStack(*vm.Machine) *vm.Trap { return vm.DepthTrap() }

// clearStack begins a function that can touch its stack, and sets st.pc there.
func (st *fastRun) clearStack(in *record, top, reach uint64) {
	clear(st.buf[top-reach : top])
	st.pc = int(in.off)
	st.acc += int64(in.delta)
	if st.acc > st.lim {
		st.nearEnd()
	}
}

// memoryTrap is a refused access by the record before pc.
func (st *fastRun) memoryTrap(pc int, addr uint64, size int, need vm.Perm) *vm.Trap {
	return st.trap(vm.MemoryTrap(st.m.Mem.Fault(addr, size, need)), st.list.from[pc-1].fault)
}

// memoryTrap2 is a refused access by the second instruction of the record before pc.
func (st *fastRun) memoryTrap2(pc int, addr uint64, size int, need vm.Perm) *vm.Trap {
	return st.trap(vm.MemoryTrap(st.m.Mem.Fault(addr, size, need)), st.list.from[pc-1].fault2)
}

// poison destroys R1 to R5.
func (st *fastRun) poison() {
	st.reg[1], st.reg[2], st.reg[3] = vm.Poison+1, vm.Poison+2, vm.Poison+3
	st.reg[4], st.reg[5] = vm.Poison+4, vm.Poison+5
}

// callHelper serves the record before st.pc, instruction number pos. It leaves st
// ready to go on.
func (st *fastRun) callHelper(h *helper, pos int64) *vm.Trap {
	m := st.m
	left := uint64(st.limit - st.acc - pos - 1)
	m.Budget = left
	r0, err := h.Fn(m, st.reg[1], st.reg[2], st.reg[3], st.reg[4], st.reg[5])
	if err != nil {
		return st.helperError(st.list.from[st.pc-1].fault, h.id, h.Helper, err)
	}
	st.reg[0] = r0
	st.poison()
	st.view()
	if m.Budget != left { // callbacks have spent the difference
		st.resume(st.list.from[st.pc-1].fault + 1)
	}
	return nil
}

// helperError ends the run or follows a tail call.
func (st *fastRun) helperError(slot isa.PC, id int32, h *vm.Helper, err error) *vm.Trap {
	if errors.Is(err, vm.ErrTailCall) {
		return st.tailCall(slot)
	}
	t := vm.HelperTrap(h.Name(id), err)
	if t == st.placed {
		return t
	}
	executed := st.m.Budget + 1 // the call itself does not count as executed
	st.trap(t, slot)
	st.m.Budget, t.Insns = executed, st.start-executed
	return t
}

// tailCall continues with another program in the same frame.
func (st *fastRun) tailCall(slot isa.PC) *vm.Trap {
	if st.m.Tail == nil {
		return st.trap(&vm.Trap{Kind: vm.TrapCall, Msg: "tail call without a program"}, slot)
	}
	target, err := asFast(st.m.Tail)
	if err != nil {
		return st.trap(&vm.Trap{Kind: vm.TrapCall, Msg: "tail call: " + err.Error(), Cause: err}, slot)
	}
	clear(st.reg[:isa.NumRegisters])
	st.reg[isa.R1] = st.m.Ctx
	st.load(target)
	st.enter(0)
	return nil
}

// asFast returns the fast form of any engine's program.
func asFast(r vm.Runner) (*fastProgram, error) {
	if p, ok := r.(*fastProgram); ok {
		return p, nil
	}
	return compileFast(r.Code())
}

// returnTo continues a caller in another program or another listing than the one
// that runs. executed counts the run's instructions up to here.
func (st *fastRun) returnTo(c *caller, executed int64) {
	slot := c.list.from[c.pc].slot
	st.m.Budget = uint64(st.limit - executed)
	st.load(c.prog)
	st.acc = -int64(c.prog.Pos[slot])
	st.resume(slot)
}

// CallFunc runs a callback to its end in a new frame. Helpers reach it by
// [vm.Machine.Call]; the error is a *vm.Trap.
func (st *fastRun) CallFunc(m *vm.Machine, fn *vm.Func, args [5]uint64) (uint64, error) {
	p := st.prog
	if fn.Target != nil && fn.Target.Code() != p.Code() {
		var err error
		if p, err = asFast(fn.Target); err != nil {
			return 0, &vm.Trap{Kind: vm.TrapCall, Msg: "callback: " + err.Error(), Cause: err}
		}
	}
	if t := p.CheckCallback(m, fn); t != nil {
		return 0, t
	}
	var regs [isa.NumRegisters]uint64
	copy(regs[:], st.reg[:])
	saved := *st.position()
	clear(st.reg[:isa.NumRegisters])
	copy(st.reg[isa.R1:], args[:])
	m.Depth++
	st.floor = m.Depth
	st.load(p)
	st.checkStop()
	st.enter(isa.PC(fn.PC))
	t := st.loop()
	r0 := st.reg[isa.R0]
	if t == nil {
		m.Depth--
	}
	copy(st.reg[:], regs[:])
	st.load(saved.prog)
	st.list, st.pc, st.acc, st.limit, st.lim = saved.list, saved.pc, saved.acc, saved.limit, saved.lim
	st.mayGoto, st.floor = saved.mayGoto, saved.floor
	if t != nil {
		return 0, t
	}
	return r0, nil
}

// position is what a callback must put back, registers apart.
type position struct {
	prog       *fastProgram
	list       *listing
	pc         int
	acc        int64
	limit, lim int64
	mayGoto    int32
	floor      int
}

func (st *fastRun) position() *position {
	return &position{st.prog, st.list, st.pc, st.acc, st.limit, st.lim, st.mayGoto, st.floor}
}

// callX calls the helper whose number is v.
func (st *fastRun) callX(v uint64, reg uint8) *vm.Trap {
	slot := st.list.from[st.pc-1].fault
	h, t := st.prog.CallX(isa.Register(reg), v)
	if t != nil {
		return st.trap(t, slot)
	}
	pos := int64(st.prog.Pos[slot])
	return st.callHelper(&helper{int32(v), h}, pos)
}

// nearEnd is where a jump or a return has left little of the budget or of the slice:
// the next instruction is chosen again, with counting where little is left.
func (st *fastRun) nearEnd() {
	slot := st.list.from[st.pc].slot
	st.spend(slot)
	st.checkStop()
	st.resume(slot)
}

// checkStop takes the rest of the budget away when the run is to be stopped: the
// next instruction traps then.
func (st *fastRun) checkStop() {
	if st.m.Stopped() {
		st.start -= st.m.Budget
		st.m.Budget = 0
	}
}

// leave returns from a function by another instruction than EXIT, the one before
// st.pc. It reports whether the loop ends.
func (st *fastRun) leave() bool {
	slot := st.list.from[st.pc-1].fault
	if st.m.Depth == st.floor {
		st.spend(slot + 1)
		return true
	}
	st.m.Depth--
	c := &st.callers[st.m.Depth]
	st.reg[6], st.reg[7], st.reg[8], st.reg[9], st.reg[10] = c.r6, c.r7, c.r8, c.r9, c.fp
	st.poison()
	st.mayGoto = c.mayGoto
	st.returnTo(c, st.acc+int64(st.prog.Pos[slot])+1)
	return false
}

// loadPacket serves LD_ABS (src is nil) and LD_IND. leave says that the function
// must return.
func (st *fastRun) loadPacket(in *record, index uint64) (leave bool, t *vm.Trap) {
	v, ok, t := st.m.LoadPacket(int32(uint32(index))+in.off, int(in.c))
	if t != nil {
		return false, st.trap(t, st.list.from[st.pc-1].fault)
	}
	st.reg[0] = v
	if ok {
		st.poison()
	}
	return !ok, nil
}

// probeLoad stands in place of an atomic operation's number for a load through a
// kernel pointer, which is as rare and as slow.
const probeLoad = -1

// atomic serves all instructions of mode ATOMIC, and loads that may fault.
func (st *fastRun) atomic(in *record) *vm.Trap {
	if in.delta == probeLoad {
		ins := st.prog.Insns[st.list.from[st.pc-1].fault]
		st.reg[in.a] = st.m.ProbeLoad(st.reg[in.b]+uint64(int64(in.off)), ins)
		return nil
	}
	mem, op, size := st.m.Mem, isa.AtomicOp(in.delta), int(in.c)
	base := in.a
	if op == isa.AtomicLoadAcq {
		base = in.b
	}
	addr := st.reg[base] + uint64(int64(in.off))
	var err error
	var old uint64
	switch op {
	case isa.AtomicLoadAcq:
		if old, err = mem.LoadAcquire(addr, size); err == nil {
			st.reg[in.a] = old
		}
	case isa.AtomicStoreRel:
		err = mem.StoreRelease(addr, size, st.reg[in.b])
	default:
		if old, err = mem.Atomic(op, addr, size, st.reg[in.b], st.reg[0]); err != nil {
			break
		}
		switch {
		case op == isa.AtomicCmpXchg:
			st.reg[0] = old
		case op&isa.AtomicFetch != 0:
			st.reg[in.b] = old
		}
	}
	if f, ok := errors.AsType[*vm.Fault](err); ok {
		return st.trap(vm.MemoryTrap(f), st.list.from[st.pc-1].fault)
	}
	return nil
}
