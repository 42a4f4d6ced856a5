package vm

import (
	"errors"
	"fmt"
	"strings"

	"bpfvm/isa"
)

// TrapKind classifies traps.
type TrapKind uint8

// Kinds of traps.
const (
	TrapMemory   TrapKind = iota // access refused by the arena
	TrapBounds                   // access leaves the object its pointer came from
	TrapUninit                   // read of a register or stack byte never written
	TrapCall                     // call depth, unknown helper, bad target
	TrapHelper                   // a helper refused its arguments
	TrapBudget                   // the run's instructions are used up
	TrapInsn                     // an instruction that does not exist
	TrapJump                     // control left the program
	TrapReadOnly                 // write to R10
	TrapStopped                  // stopped from outside
)

var trapNames = [...]string{"memory", "bounds", "uninitialised", "call", "helper", "budget", "instruction", "jump", "read-only", "stopped"}

// String returns one word for the kind, used in JSON.
func (k TrapKind) String() string {
	if int(k) < len(trapNames) {
		return trapNames[k]
	}
	return fmt.Sprintf("trap(%d)", uint8(k))
}

// Trap ends a run that cannot go on: the program did something that no verifier
// would let pass, or ran out of its budget.
type Trap struct {
	Kind  TrapKind
	Prog  string // the program
	Func  string // the function, when it is not the program's own
	PC    isa.PC
	Frame int
	Insn  isa.Instruction
	Insns uint64 // instructions executed before this one

	// Of memory accesses:
	Addr  uint64
	Size  int
	Write bool
	Where string // the address by its name, "fp-520"

	Msg   string // what is wrong
	Cause error  // may be nil

	// Regs are the registers as the instruction found them, R0 first; nil from
	// engines that do not keep them.
	Regs []TrapReg
}

// TrapReg is one register at a trap. Engines that do not follow where values come
// from fill it by [TrapRegs].
type TrapReg struct {
	Value uint64
	Init  bool   // it was ever written
	Where string // what it points to, "map_value(counts)+4"; empty for numbers
}

// TrapRegs describes registers by their values alone, all that machine code has:
// what is an address of the arena counts as a pointer to there, and every register
// as written but those that hold a call's [Poison].
func TrapRegs(mem *Memory, values [isa.NumRegisters]uint64) []TrapReg {
	regs := make([]TrapReg, len(values))
	for r, v := range values {
		regs[r] = TrapReg{Value: v, Init: v != Poison+uint64(r)}
		if mem.Find(v) != nil || r == int(isa.FP) {
			regs[r].Where = mem.Symbolize(v)
		}
	}
	return regs
}

// Error says where and what: "xdp_main insn 7 (0x61): read of 4 bytes at pkt+12:
// 2 bytes past data_end, the packet has 14 bytes".
func (t *Trap) Error() string {
	var b strings.Builder
	b.WriteString(t.Prog)
	if t.Func != "" && t.Func != t.Prog {
		b.WriteString("/" + t.Func)
	}
	fmt.Fprintf(&b, " insn %d (%#02x): ", t.PC, uint8(t.Insn.Op))
	if t.Where != "" {
		verb := "read"
		if t.Write {
			verb = "write"
		}
		fmt.Fprintf(&b, "%s of %d bytes at %s: ", verb, t.Size, t.Where)
	}
	b.WriteString(t.Msg)
	return b.String()
}

// Unwrap returns the cause.
func (t *Trap) Unwrap() error { return t.Cause }

// At fills in where the trap happened: the instruction, the index of the frame and
// the number of instructions executed before.
func (t *Trap) At(code *Code, pc isa.PC, frame int, insns uint64) *Trap {
	t.Prog, t.PC, t.Frame, t.Insns = code.Name, pc, frame, insns
	if int(pc) < len(code.Insns) {
		t.Insn = code.Insns[pc]
	}
	if f := code.FuncAt(pc); f != nil && f.Name != code.Name {
		t.Func = f.Name
	}
	return t
}

// BudgetTrap says that nothing is left to spend, or that the run was stopped: an
// engine that sees the flag takes the rest of the budget away.
func BudgetTrap(m *Machine) *Trap {
	if m.Stopped() {
		return StopTrap()
	}
	return &Trap{Kind: TrapBudget, Msg: fmt.Sprintf("the run's budget of %d instructions is used up", m.Limit)}
}

// StopTrap says that the run was stopped from outside.
func StopTrap() *Trap { return &Trap{Kind: TrapStopped, Msg: "stopped from outside"} }

// DepthTrap says that a call would need one frame too many (verifier.c:
// check_max_stack_depth_subprog).
func DepthTrap() *Trap {
	return &Trap{Kind: TrapCall, Msg: fmt.Sprintf("the call stack of %d frames is full", MaxFrames)}
}

// MemoryTrap fills a trap from a refused access; the caller adds the place.
func MemoryTrap(f *Fault) *Trap {
	return &Trap{
		Kind: TrapMemory, Addr: f.Addr, Size: f.Size, Write: f.Need&PermWrite != 0,
		Where: f.Where, Msg: f.Why, Cause: f,
	}
}

// HelperTrap turns a helper's error into a trap; the caller adds the place. A
// trap of a callback passes through unchanged.
func HelperTrap(name string, err error) *Trap {
	if t, ok := errors.AsType[*Trap](err); ok {
		return t
	}
	t := &Trap{Kind: TrapHelper, Msg: name + ": " + err.Error(), Cause: err}
	if f, ok := errors.AsType[*Fault](err); ok {
		t.Addr, t.Size, t.Write = f.Addr, f.Size, f.Need&PermWrite != 0
	}
	return t
}
