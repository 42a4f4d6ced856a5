package amd64

import (
	"errors"

	"bpfvm/isa"
	"bpfvm/vm"
)

// serveInsn does what machine code leaves to Go and makes it go on behind it.
func (r *run) serveInsn(l *loaded, slot isa.PC) *vm.Trap {
	ins := l.prog.src.Insns[slot]
	switch {
	case l.prog.src.callees[slot] != nil:
		return r.callHelper(l, slot, ins.Imm, l.prog.src.callees[slot])
	case ins.Op == isa.OpCallX:
		v := r.ctx.regs[ins.Dst()]
		h, t := l.prog.src.CallX(ins.Dst(), v)
		if t != nil {
			return r.trap(t, l, slot)
		}
		return r.callHelper(l, slot, int32(v), h)
	case ins.Op.Class() == isa.ClassLD:
		return r.loadPacket(l, slot, ins)
	case ins.Op.Class() == isa.ClassLDX:
		r.ctx.regs[ins.Dst()] = r.m.ProbeLoad(r.ctx.regs[ins.Src()]+uint64(int64(ins.Off)), ins)
		return nil
	}
	return r.atomic(l, slot, ins)
}

// callHelper calls a helper and follows a tail call.
func (r *run) callHelper(l *loaded, slot isa.PC, id int32, h *vm.Helper) *vm.Trap {
	m, regs := r.m, &r.ctx.regs
	m.Budget--
	after := m.Budget
	r0, err := h.Fn(m, regs[1], regs[2], regs[3], regs[4], regs[5])
	if err != nil {
		return r.helperError(l, slot, id, h, err)
	}
	regs[0] = r0
	r.poison()
	if m.Budget == after {
		return nil // the common case: no callback has spent anything
	}
	return r.goOn(l.prog, slot+1)
}

func (r *run) poison() {
	regs := &r.ctx.regs
	regs[1], regs[2], regs[3] = vm.Poison+1, vm.Poison+2, vm.Poison+3
	regs[4], regs[5] = vm.Poison+4, vm.Poison+5
}

// helperError ends the run or follows a tail call.
func (r *run) helperError(l *loaded, slot isa.PC, id int32, h *vm.Helper, err error) *vm.Trap {
	if errors.Is(err, vm.ErrTailCall) {
		return r.tailCall(l, slot)
	}
	t := vm.HelperTrap(h.Name(id), err)
	if t == r.placed {
		return t // of a callback
	}
	r.m.Budget++ // the call itself does not count as executed
	return r.trap(t, l, slot)
}

// returnSlot is the place on the native stack of the return address of the function
// that has left at slot, and what R6 to R9 were in its caller.
func (r *run) returnSlot(l *loaded, slot isa.PC) (sp uint64, saved [4]uint64) {
	f := l.prog.src.funcAt(slot)
	saved = [4]uint64(r.ctx.regs[isa.R6:isa.R10])
	sp = r.ctx.sp + 8
	if f.mayGoto {
		sp += 8
	}
	for i := len(f.saved) - 1; i >= 0; i-- {
		saved[f.saved[i]-isa.R6] = *r.word(sp)
		sp += 8
	}
	return sp, saved
}

// tailCall continues with another program in the same frame. Its exit must give
// the caller's R6 to R9 back, whatever it saves itself.
func (r *run) tailCall(l *loaded, slot isa.PC) *vm.Trap {
	m, c := r.m, r.ctx
	fail := func(msg string, err error) *vm.Trap {
		m.Budget++
		return r.trap(&vm.Trap{Kind: vm.TrapCall, Msg: msg, Cause: err}, l, slot)
	}
	if m.Tail == nil {
		return fail("tail call without a program", nil)
	}
	target, err := r.program(m.Tail, l.prog.opt)
	if err != nil {
		return fail("tail call: "+err.Error(), err)
	}
	sp, saved := r.returnSlot(l, slot)
	if ret := *r.word(sp); sp != r.top()-8 && ret != leaveAt && ret != restoreAt {
		for i := len(saved) - 1; i >= 0; i-- {
			sp -= 8
			*r.word(sp) = saved[i]
		}
		sp -= 8
		*r.word(sp) = restoreAt
	}
	r.startFrame(target, 0, sp)
	c.regs[isa.R1] = m.Ctx
	return r.goOn(target, 0)
}

// startFrame makes a function's frame below sp, zeroes the registers but R10 and
// the stack that it can see.
func (r *run) startFrame(p *Program, slot isa.PC, sp uint64) {
	c := r.ctx
	c.sp = r.pushFrame(sp, p.src.funcAt(slot)) - 8
	clear(c.regs[:isa.R10])
	top, n := c.regs[isa.R10], uint64(p.src.ReachAt(slot))
	clear(r.m.Mem.Raw(top-n, n))
}

// program returns the machine code of any engine's program.
func (r *run) program(target vm.Runner, opt Options) (*Program, error) {
	if p, ok := target.(*Program); ok {
		return p, nil
	}
	code := target.Code()
	if p := r.other[code]; p != nil {
		return p, nil
	}
	p, err := Compile(code, opt)
	if err != nil {
		return nil, err
	}
	if r.other == nil {
		r.other = map[*vm.Code]*Program{}
	}
	r.other[code] = p
	return p, nil
}

// CallFunc runs a callback to its end in a new frame. Helpers reach it by
// [vm.Machine.Call]; the error is a *vm.Trap.
func (r *run) CallFunc(m *vm.Machine, fn *vm.Func, args [5]uint64) (uint64, error) {
	l, _ := r.left()
	p := l.prog
	if fn.Target != nil && fn.Target.Code() != p.Code() {
		var err error
		if p, err = r.program(fn.Target, p.opt); err != nil {
			return 0, &vm.Trap{Kind: vm.TrapCall, Msg: "callback: " + err.Error(), Cause: err}
		}
	}
	if t := p.src.CheckCallback(m, fn); t != nil {
		return 0, t
	}
	if m.Stopped() {
		return 0, vm.StopTrap()
	}
	if p.src.Subprogs[p.src.SubprogAt(isa.PC(fn.PC))].Start != isa.PC(fn.PC) {
		var err error
		if p, err = p.plainly(); err != nil {
			return 0, &vm.Trap{Kind: vm.TrapCall, Msg: "callback: " + err.Error(), Cause: err}
		}
	}
	c := r.ctx
	saved, bias, depth := *c, r.bias, m.Depth
	m.Depth++
	c.regs[isa.R10] = m.FrameTop(depth)
	sp := c.sp - 8
	*r.word(sp) = leaveAt
	r.startFrame(p, isa.PC(fn.PC), sp)
	copy(c.regs[isa.R1:], args[:])
	t := r.goOn(p, isa.PC(fn.PC))
	if t == nil {
		resume(c)
		t = r.serve()
	}
	r0 := c.regs[isa.R0]
	*c, r.bias, m.Depth = saved, bias, depth
	if t != nil {
		return 0, t
	}
	return r0, nil
}

// loadPacket is LD_ABS and LD_IND. Outside of the packet the function returns.
func (r *run) loadPacket(l *loaded, slot isa.PC, ins isa.Instruction) *vm.Trap {
	regs, off := &r.ctx.regs, ins.Imm
	if ins.Op.Mode() == isa.ModeIND {
		off += int32(uint32(regs[ins.Src()]))
	}
	v, ok, t := r.m.LoadPacket(off, ins.Op.Size().Bytes())
	switch {
	case t != nil:
		return r.trap(t, l, slot)
	case !ok:
		// Between functions the budget register holds what is left by itself.
		r.ctx.sp, *(*[4]uint64)(regs[isa.R6:isa.R10]) = r.returnSlot(l, slot)
		r.ctx.budget = r.m.Budget - 1 - r.bias
	default:
		r.poison()
	}
	regs[isa.R0] = v
	return nil
}

// atomic does an atomic operation on an address that is not aligned.
func (r *run) atomic(l *loaded, slot isa.PC, ins isa.Instruction) *vm.Trap {
	regs, op, size := &r.ctx.regs, isa.AtomicOp(ins.Imm), ins.Op.Size().Bytes()
	old, err := r.m.Mem.Atomic(op, regs[ins.Dst()]+uint64(int64(ins.Off)), size, regs[ins.Src()], regs[0])
	if f, ok := errors.AsType[*vm.Fault](err); ok {
		return r.trap(vm.MemoryTrap(f), l, slot)
	}
	switch {
	case op == isa.AtomicCmpXchg:
		regs[0] = old
	case op&isa.AtomicFetch != 0:
		regs[ins.Src()] = old
	}
	return nil
}
