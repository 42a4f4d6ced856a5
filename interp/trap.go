package interp

import (
	"errors"
	"fmt"

	"bpfvm/isa"
	"bpfvm/vm"
)

// place fills in where a trap happened.
func place(t *vm.Trap, code *vm.Code, pc isa.PC, frame int, insns uint64) *vm.Trap {
	t.Prog, t.PC, t.Frame, t.Insns = code.Name, pc, frame, insns
	if int(pc) < len(code.Insns) {
		t.Insn = code.Insns[pc]
	}
	if f := code.FuncAt(pc); f != nil && f.Name != code.Name {
		t.Func = f.Name
	}
	return t
}

// budgetTrap says that nothing is left to spend.
func budgetTrap(m *vm.Machine) *vm.Trap {
	return &vm.Trap{Kind: vm.TrapBudget, Msg: fmt.Sprintf("the run's budget of %d instructions is used up", m.Limit)}
}

// depthTrap says that a call would need one frame too many (verifier.c:
// check_max_stack_depth_subprog).
func depthTrap() *vm.Trap {
	return &vm.Trap{Kind: vm.TrapCall, Msg: fmt.Sprintf("the call stack of %d frames is full", vm.MaxFrames)}
}

// callxTrap says that no helper has the number found in a register.
func callxTrap(reg isa.Register, v uint64) *vm.Trap {
	return &vm.Trap{Kind: vm.TrapCall, Msg: fmt.Sprintf("%s holds %#x, which is not the number of a helper", reg, v)}
}

// helperTrap turns a helper's error into a trap. The trap of a callback passes
// through: it knows its place already.
func helperTrap(h *vm.Helper, id int32, err error) *vm.Trap {
	if t, ok := errors.AsType[*vm.Trap](err); ok {
		return t
	}
	return vm.HelperTrap(helperName(h, id), err)
}

func helperName(h *vm.Helper, id int32) string {
	if h.Proto != nil && h.Proto.Name != "" {
		return h.Proto.Name
	}
	return fmt.Sprintf("helper#%d", id)
}

// memoryTrap describes a refused access to the arena.
func memoryTrap(m *vm.Machine, addr uint64, size int, need vm.Perm) *vm.Trap {
	return vm.MemoryTrap(m.Mem.Fault(addr, size, need))
}

// callbackTrap says that a callback's handle leads nowhere.
func callbackTrap(fn *vm.Func) *vm.Trap {
	return &vm.Trap{Kind: vm.TrapCall, Msg: fmt.Sprintf("callback %s: slot %d is not an instruction of its program", fn.Name, fn.PC)}
}
