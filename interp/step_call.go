package interp

import (
	"errors"

	"bpfvm/isa"
	"bpfvm/vm"
)

// clobber destroys R1 to R5, as every call does.
func (s *Stepper) clobber(by *origin) {
	for r := isa.R1; r <= isa.R5; r++ {
		s.set(r, vm.Poison+uint64(r), shadow{kind: valueLost, by: by})
	}
}

// call is opcode CALL in all its forms, and callx.
func (s *Stepper) call(ins isa.Instruction) *vm.Trap {
	switch {
	case ins.IsPseudoCall():
		return s.callLocal()
	case ins.Op == isa.OpCallX:
		v := s.reg[ins.Dst()]
		h, t := s.prog.CallX(ins.Dst(), v)
		if t != nil {
			return t
		}
		return s.callHelper(int32(v), h)
	}
	return s.callHelper(ins.Imm, s.Code().Callee(ins))
}

// callLocal calls a function of the program: a new frame, arguments in R1 to R5.
func (s *Stepper) callLocal() *vm.Trap {
	if s.m.Depth >= vm.MaxFrames {
		return vm.DepthTrap()
	}
	target, _ := s.Code().Insns.CallTarget(s.pc)
	saved := s.activation
	saved.pc++
	s.callers = append(s.callers, saved)
	s.m.Depth++
	s.enter(target)
	for _, r := range []isa.Register{isa.R0, isa.R6, isa.R7, isa.R8, isa.R9} {
		s.shadow[r] = shadow{}
	}
	return nil
}

// leave is EXIT: back to the caller, or the end of the run or of the callback.
func (s *Stepper) leave() *vm.Trap {
	if len(s.callers) == s.floor {
		if t := s.checkKnown(isa.R0); t != nil {
			return t
		}
		s.done = true
		s.exit = vm.Exit{R0: s.reg[isa.R0], Insns: s.Insns()}
		s.m.Depth--
		return nil
	}
	callee, r0, r0Shadow := s.pc, s.reg[isa.R0], s.shadow[isa.R0]
	name := s.functionName(callee)
	s.activation = s.callers[len(s.callers)-1]
	s.callers = s.callers[:len(s.callers)-1]
	s.m.Depth--
	s.set(isa.R0, r0, r0Shadow)
	s.clobber(&origin{s.pc - 1, name})
	return nil
}

// functionName names the function that a slot belongs to.
func (s *Stepper) functionName(pc isa.PC) string {
	if f := s.Code().FuncAt(pc); f != nil {
		return f.Name
	}
	return "a function"
}

// callHelper calls a helper and follows a tail call.
func (s *Stepper) callHelper(id int32, h *vm.Helper) *vm.Trap {
	if t := s.checkArgs(id, h); t != nil {
		return t
	}
	args := [5]uint64(s.reg[isa.R1:isa.R6])
	r0, err := h.Fn(s.m, args[0], args[1], args[2], args[3], args[4])
	s.m.Caller = s
	switch {
	case errors.Is(err, vm.ErrTailCall):
		return s.tailCall()
	case err != nil:
		return vm.HelperTrap(h.Name(id), err)
	}
	by := &origin{s.pc, h.Name(id)}
	s.afterHelper(h, args, by)
	s.set(isa.R0, r0, s.returned(h, r0, args, by))
	s.clobber(by)
	s.pc++
	return nil
}

// asStepping returns the step loop's form of any engine's program.
func (s *Stepper) asStepping(r vm.Runner) (*Stepping, error) {
	if p, ok := r.(*Stepping); ok {
		return p, nil
	}
	return s.opt.Prepare(r.Code())
}

// tailCall continues with another program in the same frame.
func (s *Stepper) tailCall() *vm.Trap {
	if s.m.Tail == nil {
		return &vm.Trap{Kind: vm.TrapCall, Msg: "tail call without a program"}
	}
	target, err := s.asStepping(s.m.Tail)
	if err != nil {
		return &vm.Trap{Kind: vm.TrapCall, Msg: "tail call: " + err.Error(), Cause: err}
	}
	s.prog = target.prog
	s.enter(0)
	s.startWith(s.m.Ctx)
	return nil
}

// CallFunc runs a callback to its end in a new frame. Helpers reach it by
// [vm.Machine.Call]; the error is a *vm.Trap.
func (s *Stepper) CallFunc(m *vm.Machine, fn *vm.Func, args [5]uint64) (uint64, error) {
	prog, t := s.callback(fn)
	if t != nil {
		return 0, t
	}
	saved, callers, floor := s.activation, s.callers, s.floor
	depth := m.Depth
	defer func() {
		s.activation, s.callers, s.floor = saved, callers, floor
		m.Depth = depth
	}()
	s.floor = len(callers)
	s.prog = prog
	m.Depth++
	s.enter(isa.PC(fn.PC))
	s.startWith(0)
	for i, v := range args {
		s.set(isa.R1+isa.Register(i), v, pointerTo(m.Mem, v))
	}
	for {
		if t := s.step(); t != nil {
			return 0, t
		}
		if s.done {
			s.done = false
			return s.exit.R0, nil
		}
	}
}

// callback finds the code of a callback that can begin.
func (s *Stepper) callback(fn *vm.Func) (*vm.Prepared, *vm.Trap) {
	prog := s.prog
	if fn.Target != nil && fn.Target.Code() != s.Code() {
		target, err := s.asStepping(fn.Target)
		if err != nil {
			return nil, &vm.Trap{Kind: vm.TrapCall, Msg: "callback: " + err.Error(), Cause: err}
		}
		prog = target.prog
	}
	return prog, prog.CheckCallback(s.m, fn)
}
