package vm

import (
	"errors"
	"fmt"

	"bpfvm/isa"
)

// MaxSlots is the longest program that the kernel takes, before and after its own
// rewriting (include/linux/bpf.h, BPF_COMPLEXITY_LIMIT_INSNS).
const MaxSlots = 1_000_000

// CompileError is the reason why code cannot run, with its slot.
type CompileError struct {
	Prog string
	PC   isa.PC
	Op   isa.Opcode
	Err  error
}

// Error says where and what: "prog insn 3 (0x85): ...".
func (e *CompileError) Error() string {
	return fmt.Sprintf("%s insn %d (%#02x): %v", e.Prog, e.PC, uint8(e.Op), e.Err)
}

// Unwrap returns the reason.
func (e *CompileError) Unwrap() error { return e.Err }

// Prepared is code that has been found runnable: every encoding is legal, every
// jump and call leads to an instruction, every helper exists. Engines start from
// it, so that all of them take and refuse the same code.
type Prepared struct {
	*Code
	// Forms has the opcode table's row of each slot; nil for the second slot of a
	// wide instruction.
	Forms []*isa.Op
	// Pos numbers the instructions: a wide one counts once. It has one entry more
	// than there are slots, for the end.
	Pos []int32
	// Subprogs are the functions, in the order of slots.
	Subprogs []Subprog
	// Crossing says that control passes from one function's slots into another's by
	// a jump or by running on, so that they cannot be told apart.
	Crossing bool

	subprogOf []int32 // slot -> index in Subprogs
}

// Prepare checks code. The error joins one *CompileError for each slot that cannot
// run, in the order of slots; missing features wrap errors.ErrUnsupported.
func Prepare(code *Code) (*Prepared, error) {
	insns := code.Insns
	switch {
	case len(insns) == 0:
		return nil, fmt.Errorf("%s: no instructions", code.Name)
	case len(insns) > MaxSlots:
		return nil, fmt.Errorf("%s: %d slots, at most %d can be run", code.Name, len(insns), MaxSlots)
	}
	if err := checkEncoding(code); err != nil {
		return nil, err
	}
	p := &Prepared{Code: code}
	p.number()
	if err := p.check(); err != nil {
		return nil, err
	}
	p.findSubprogs()
	return p, nil
}

// Count is the number of instructions.
func (p *Prepared) Count() int { return int(p.Pos[len(p.Pos)-1]) }

// IsInsn reports whether an instruction begins at a slot.
func (p *Prepared) IsInsn(pc isa.PC) bool {
	return pc >= 0 && int(pc) < len(p.Forms) && p.Forms[pc] != nil
}

// CheckCallback looks whether a callback of this program can begin: its handle
// leads to an instruction and a frame is left.
func (p *Prepared) CheckCallback(m *Machine, fn *Func) *Trap {
	switch {
	case !p.IsInsn(isa.PC(fn.PC)):
		return &Trap{Kind: TrapCall, Msg: fmt.Sprintf("callback %s: slot %d is not an instruction of its program", fn.Name, fn.PC)}
	case m.Depth >= MaxFrames:
		return DepthTrap()
	}
	return nil
}

// checkEncoding puts the program's name before what isa has to say.
func checkEncoding(code *Code) error {
	err := code.Insns.Check()
	list, ok := errors.AsType[isa.ErrorList](err)
	if !ok {
		return err
	}
	errs := make([]error, len(list))
	for i, e := range list {
		errs[i] = &CompileError{code.Name, e.PC, e.Op, fmt.Errorf("%s: %s", e.Field, e.Msg)}
	}
	return errors.Join(errs...)
}

// number fills Forms and Pos.
func (p *Prepared) number() {
	p.Forms = make([]*isa.Op, len(p.Insns))
	p.Pos = make([]int32, len(p.Insns)+1)
	n := int32(0)
	for pc, ins := range p.Insns.All() {
		p.Forms[pc], _ = isa.Lookup(ins)
		p.Pos[pc] = n
		if ins.IsWide() {
			p.Pos[pc+1] = n
		}
		n++
	}
	p.Pos[len(p.Insns)] = n
}

// check judges what goes beyond the encoding of single instructions.
func (p *Prepared) check() error {
	var errs []error
	last := isa.PC(0)
	for pc, ins := range p.Insns.All() {
		if err := p.checkInsn(pc, ins); err != nil {
			errs = append(errs, &CompileError{p.Name, pc, ins.Op, err})
		}
		last = pc
	}
	if op := p.Insns[last].Op; !endsLine(op) { // verifier.c: check_subprogs
		errs = append(errs, &CompileError{p.Name, last, op, errors.New("the last instruction is not an exit or a jump")})
	}
	return errors.Join(errs...)
}

// endsLine reports whether control never goes on to the next slot.
func endsLine(op isa.Opcode) bool {
	return op == isa.OpExit || op == isa.OpJa || op == isa.OpJa32
}

func (p *Prepared) checkInsn(pc isa.PC, ins isa.Instruction) error {
	if target, ok := p.Insns.JumpTarget(pc); ok {
		return p.checkTarget("jump", target)
	}
	switch form := p.Forms[pc]; {
	case ins.IsPseudoCall():
		target, _ := p.Insns.CallTarget(pc)
		return p.checkTarget("call", target)
	case ins.IsKfuncCall():
		if p.Kfuncs[ins.Imm] == nil {
			return fmt.Errorf("call of kernel function (BTF id %d): %w", ins.Imm, errors.ErrUnsupported)
		}
	case ins.IsHelperCall():
		if p.Helpers[ins.Imm] == nil {
			return fmt.Errorf("call of helper #%d: %w", ins.Imm, errors.ErrUnsupported)
		}
	case form.Name == "cast_kern" || form.Name == "cast_user":
		return fmt.Errorf("cast between address spaces (BPF arena): %w", errors.ErrUnsupported)
	case form.Dst.Rule != isa.RuleRead && form.Dst.Rule.IsReg() && ins.Dst() == isa.FP,
		form.Src.Rule == isa.RuleReadWrite && ins.Src() == isa.FP:
		return errors.New("frame pointer is read only")
	}
	return nil
}

// checkTarget reports a target that is no instruction.
func (p *Prepared) checkTarget(what string, target isa.PC) error {
	switch {
	case target < 0 || int(target) >= len(p.Forms):
		return fmt.Errorf("%s to slot %d, outside of the program's %d", what, target, len(p.Forms))
	case p.Forms[target] == nil:
		return fmt.Errorf("%s into the middle of the wide instruction at slot %d", what, target-1)
	}
	return nil
}
