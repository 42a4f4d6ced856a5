package amd64

import (
	"errors"
	"fmt"

	"bpfvm/isa"
	"bpfvm/vm"
)

// CompileError is the reason why code cannot be compiled, with its slot.
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

// maxSlots is the longest program that the kernel takes, before and after its own
// rewriting (include/linux/bpf.h, BPF_COMPLEXITY_LIMIT_INSNS). It fits the 24 bits
// that an exit code has for the slot.
const maxSlots = 1_000_000

// source is code that has been found compilable, with what both images need.
type source struct {
	code *vm.Code
	// form is the table row of each slot; nil for the second slot of a wide
	// instruction.
	form []*isa.Op
	// pos numbers the instructions: a wide one counts once. It has an entry for
	// the end.
	pos []int32

	funcs    []function
	funcOf   []int32 // slot -> index in funcs
	isTarget []bool  // slots that are called by the program
}

// prepare checks the code. The error joins all findings in the order of slots.
func prepare(code *vm.Code) (*source, error) {
	insns := code.Insns
	switch {
	case len(insns) == 0:
		return nil, fmt.Errorf("%s: no instructions", code.Name)
	case len(insns) > maxSlots:
		return nil, fmt.Errorf("%s: %d slots, at most %d can be run", code.Name, len(insns), maxSlots)
	}
	if err := checkEncoding(code); err != nil {
		return nil, err
	}
	s := &source{code: code, form: make([]*isa.Op, len(insns)), pos: make([]int32, len(insns)+1)}
	n := int32(0)
	for pc, ins := range insns.All() {
		s.form[pc], _ = isa.Lookup(ins)
		s.pos[pc] = n
		if ins.IsWide() {
			s.pos[pc+1] = n
		}
		n++
	}
	s.pos[len(insns)] = n
	var errs []error
	last := isa.PC(0)
	for pc, ins := range insns.All() {
		if err := s.check(pc, ins); err != nil {
			errs = append(errs, &CompileError{code.Name, pc, ins.Op, err})
		}
		last = pc
	}
	switch op := insns[last].Op; op {
	case isa.OpExit, isa.OpJa, isa.OpJa32:
	default: // verifier.c: check_subprogs
		errs = append(errs, &CompileError{code.Name, last, op, errors.New("the last instruction is not an exit or a jump")})
	}
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	s.findTargets()
	s.findFunctions()
	return s, nil
}

// count is the number of instructions.
func (s *source) count() int { return int(s.pos[len(s.pos)-1]) }

// checkEncoding puts the program's name before what isa has to say.
func checkEncoding(code *vm.Code) error {
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

// check judges what goes beyond the encoding of one instruction.
func (s *source) check(pc isa.PC, ins isa.Instruction) error {
	insns := s.code.Insns
	if target, ok := insns.JumpTarget(pc); ok {
		return s.checkTarget("jump", target)
	}
	switch form := s.form[pc]; {
	case ins.IsPseudoCall():
		target, _ := insns.CallTarget(pc)
		return s.checkTarget("call", target)
	case ins.IsKfuncCall():
		return fmt.Errorf("call of kernel function (BTF id %d): %w", ins.Imm, errors.ErrUnsupported)
	case ins.IsHelperCall():
		if s.code.Helpers[ins.Imm] == nil {
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
func (s *source) checkTarget(what string, target isa.PC) error {
	switch {
	case target < 0 || int(target) >= len(s.form):
		return fmt.Errorf("%s to slot %d, outside of the program's %d", what, target, len(s.form))
	case s.form[target] == nil:
		return fmt.Errorf("%s into the middle of the wide instruction at slot %d", what, target-1)
	}
	return nil
}

// findTargets marks the slots that the program calls.
func (s *source) findTargets() {
	s.isTarget = make([]bool, len(s.form))
	for pc, ins := range s.code.Insns.All() {
		if ins.IsPseudoCall() {
			t, _ := s.code.Insns.CallTarget(pc)
			s.isTarget[t] = true
		}
	}
}
