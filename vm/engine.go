package vm

import (
	"errors"
	"fmt"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm/layout"
)

// Engine turns code into something that runs.
type Engine interface {
	// Name is the word for it on the command line: "interp", "jit".
	Name() string
	// Compile makes the code runnable, after [Prepare]. Its error names the slots
	// that the engine cannot serve.
	Compile(*Code) (Runner, error)
}

// FactsUser is an engine that asks for [Code.Facts]: to find them takes a
// verification, which others can do without.
type FactsUser interface {
	Engine
	UsesFacts() bool
}

// Runner is a compiled program, the kernel's bpf_func with its insnsi.
type Runner interface {
	// Code returns what was compiled.
	Code() *Code
	// Run executes the program with ctx in R1 until it exits or traps; the error
	// is a *Trap. The caller has reset the machine.
	Run(m *Machine, ctx uint64) (Exit, error)
}

// Code is one program, ready for an engine. Nothing in it changes after Compile.
type Code struct {
	Name string
	// Insns are linked: a wide instruction that refers to a map, a map value or a
	// function keeps its pseudo source register, for display, and carries the
	// final arena address as its 64-bit immediate.
	Insns isa.Program
	// Funcs are the program and its subprograms, sorted by PC.
	Funcs []spec.Func
	// Helpers serve the helper calls, by the number in imm.
	Helpers map[int32]*Helper
	// Kfuncs serve the calls of kernel functions, by the BTF id in imm: they leave
	// the program as helpers do.
	Kfuncs map[int32]*Helper

	// ProbeMem marks the loads, by slot, whose base is a typed kernel pointer: they
	// never trap, see [Machine.ProbeLoad]. Nil: there are none.
	ProbeMem []bool
	// Ctx describes what R1 points to at entry; nil when it is unknown, and then
	// the checking engines allow the whole region.
	Ctx *spec.CtxLayout
	// Facts are what is proven of the code; nil when nothing is. Wrong ones may make
	// the program compute nonsense, but do no harm outside of the arena.
	Facts *spec.Facts
	// Arrays are the arrays that the code refers to, by the address of the handle.
	Arrays map[uint64]layout.Array
	// Spec is where the code came from; nil for code made by hand.
	Spec *spec.ProgramSpec
}

// FuncAt returns the function that contains the slot, or nil.
func (c *Code) FuncAt(pc isa.PC) *spec.Func {
	for i := len(c.Funcs) - 1; i >= 0; i-- {
		if c.Funcs[i].PC <= pc {
			return &c.Funcs[i]
		}
	}
	return nil
}

// Callee returns what a call of a helper or of a kernel function calls, or nil.
func (c *Code) Callee(ins isa.Instruction) *Helper {
	if ins.IsKfuncCall() {
		return c.Kfuncs[ins.Imm]
	}
	return c.Helpers[ins.Imm]
}

// Probes reports whether the slot is a load through a typed kernel pointer.
func (c *Code) Probes(pc isa.PC) bool { return int(pc) < len(c.ProbeMem) && c.ProbeMem[pc] }

// CallX finds the helper that callx calls: v, the value of reg, is its number.
func (c *Code) CallX(reg isa.Register, v uint64) (*Helper, *Trap) {
	h := c.Helpers[int32(v)]
	if h == nil || v != uint64(uint32(v)) {
		return nil, &Trap{Kind: TrapCall, Msg: fmt.Sprintf("%s holds %#x, which is not the number of a helper", reg, v)}
	}
	return h, nil
}

// Helper is a helper or a kernel function that can be called.
type Helper struct {
	Proto *spec.HelperProto
	// Op says that the helper does what is well known, so that a compiler may do it
	// without calling Fn.
	Op HelperOp
	// Fn does the work. It may allocate in the arena and move the packet. Its
	// error ends the run with a trap at the calling instruction, except for
	// [ErrTailCall]; errors that the kernel reports in R0 are not errors here.
	Fn func(m *Machine, r1, r2, r3, r4, r5 uint64) (uint64, error)
}

// HelperOp is the work of a helper that compilers know.
type HelperOp uint8

// Known helpers.
const (
	OpNone        HelperOp = iota // only Fn knows
	OpMapLookup                   // bpf_map_lookup_elem: R1 a map's handle, R2 the key's address
	OpProcessorID                 // bpf_get_smp_processor_id: Machine.CPU
)

// Name is the helper's name, or its number when it has none.
func (h *Helper) Name(id int32) string {
	if h.Proto != nil && h.Proto.Name != "" {
		return h.Proto.Name
	}
	return fmt.Sprintf("helper#%d", id)
}

// ErrTailCall tells the engine to continue with the program in Machine.Tail: its
// first instruction runs in the caller's frame with R1 the context, and the
// present program never continues (kernel/bpf/core.c, JMP_TAIL_CALL).
var ErrTailCall = errors.New("tail call")

// Exit is how a run ended well.
type Exit struct {
	R0    uint64
	Insns uint64 // instructions executed; a wide one counts once
}

// Stepper runs a program one instruction at a time. Debuggers drive it.
type Stepper interface {
	// Step executes the instruction at PC. done is true when the program has
	// exited; the error is a *Trap, after which the stepper stays where it is.
	Step() (done bool, err error)
	// Exit returns the result once Step has said done.
	Exit() Exit
	// PC is the slot that runs next, of the code that Code returns: tail calls
	// change both.
	PC() isa.PC
	Code() *Code
	// Frame is the index of the current frame, 0 for the program itself.
	Frame() int
	// Insns is the number of instructions executed so far.
	Insns() uint64
	// Reg returns a register and whether it holds a defined value.
	Reg(isa.Register) (v uint64, init bool)
	// SetReg changes a register; it counts as initialised with a number.
	SetReg(isa.Register, uint64)
	// Machine is what the program runs on.
	Machine() *Machine
}
