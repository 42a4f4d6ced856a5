package isa

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Names of the fields of a slot, as InsnError reports them.
const (
	FieldOpcode = "opcode"
	FieldDst    = "dst"
	FieldSrc    = "src"
	FieldOff    = "off"
	FieldImm    = "imm"
)

// InsnError is a fault in the encoding of one slot.
type InsnError struct {
	PC    PC     // the slot; for the second half of a wide instruction PC+1 of it
	Op    Opcode // what the slot holds
	Field string // one of the Field constants
	Msg   string
}

func (e *InsnError) Error() string {
	return fmt.Sprintf("insn %d (%#02x): %s: %s", e.PC, uint8(e.Op), e.Field, e.Msg)
}

// ErrorList holds the faults of a program, ordered by slot and then by the
// place of the field in the slot.
type ErrorList []*InsnError

// maxListed bounds the faults that Error prints; the list itself has them all.
const maxListed = 10

func (l ErrorList) Error() string {
	var b strings.Builder
	for i, e := range l[:min(len(l), maxListed)] {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.Error())
	}
	if n := len(l) - maxListed; n > 0 {
		fmt.Fprintf(&b, "\nand %d more", n)
	}
	return b.String()
}

// Unwrap lets errors.Is and errors.As look at each fault.
func (l ErrorList) Unwrap() []error {
	errs := make([]error, len(l))
	for i, e := range l {
		errs[i] = e
	}
	return errs
}

// Check judges the encoding of every instruction by the table: the opcode is
// known, registers exist, reserved fields are zero and wide instructions are
// whole. It returns nil or an ErrorList. Where jumps lead and what values mean
// is for a verifier to say; so is whether a system accepts the form at all
// (Op.Linux).
func (p Program) Check() error {
	var l ErrorList
	for pc := 0; pc < len(p); pc++ {
		op, ok := Lookup(p[pc])
		if !ok {
			l = append(l, explain(PC(pc), p[pc])...)
		}
		if !p[pc].IsWide() {
			continue
		}
		if pc+1 == len(p) {
			l = append(l, &InsnError{PC(pc), p[pc].Op, FieldOpcode, "the second slot of this wide instruction is missing"})
			break
		}
		pc++
		l = append(l, checkSecond(PC(pc), p[pc], op)...)
	}
	if len(l) == 0 {
		return nil
	}
	return l
}

// checkSecond judges the second slot of a wide instruction. Nothing but its imm
// is in use (verifier.c: resolve_pseudo_ldimm64), and that by some kinds only.
// op is nil if the first slot is broken itself.
func checkSecond(pc PC, ins Instruction, op *Op) (l ErrorList) {
	reserved := func(field string, v int64) {
		if v != 0 {
			l = append(l, &InsnError{pc, ins.Op, field, fmt.Sprintf("reserved field of a second slot is %#x, must be 0", v)})
		}
	}
	reserved(FieldOpcode, int64(ins.Op))
	reserved(FieldDst, int64(ins.Dst()))
	reserved(FieldSrc, int64(ins.Src()))
	reserved(FieldOff, int64(ins.Off))
	if op != nil && !op.Next.allows(ins.Imm) {
		reserved(FieldImm, int64(ins.Imm))
	}
	return l
}

// fields lists the rules of a form beside the values of an instruction, in the
// order of the slot.
func (o *Op) fields(ins Instruction) [4]struct {
	name string
	rule Field
	val  int32
} {
	return [4]struct {
		name string
		rule Field
		val  int32
	}{
		{FieldDst, o.Dst, int32(ins.Dst())},
		{FieldSrc, o.Src, int32(ins.Src())},
		{FieldOff, o.Off, int32(ins.Off)},
		{FieldImm, o.Imm, ins.Imm},
	}
}

// explain says why no form fits: it compares with the forms that come closest
// and reports the fields in which they differ from the instruction.
func explain(pc PC, ins Instruction) ErrorList {
	forms := OpsByOpcode(ins.Op)
	if len(forms) == 0 {
		return ErrorList{{pc, ins.Op, FieldOpcode, "unknown opcode" + opcodeHint(ins.Op)}}
	}
	best := slices.MinFunc(forms, func(a, b Op) int { return a.distance(ins) - b.distance(ins) })
	var l ErrorList
	for i, f := range best.fields(ins) {
		if f.rule.allows(f.val) {
			continue
		}
		var msg string
		switch {
		case f.rule.Rule.IsReg():
			msg = fmt.Sprintf("register r%d does not exist", f.val)
		default:
			msg = wanted(forms, best.distance(ins), ins, i)
		}
		l = append(l, &InsnError{pc, ins.Op, f.name, msg})
	}
	return l
}

// distance counts the fields of ins that do not fit the form.
func (o *Op) distance(ins Instruction) (n int) {
	for _, f := range o.fields(ins) {
		if !f.rule.allows(f.val) {
			n++
		}
	}
	return n
}

// wanted lists what field number i may be, over the forms that differ from ins
// in as few fields as the closest one.
func wanted(forms []Op, dist int, ins Instruction, i int) string {
	var vals []int32
	for _, o := range forms {
		if f := o.fields(ins)[i]; o.distance(ins) == dist && !f.rule.allows(f.val) && !slices.Contains(vals, f.rule.Value) {
			vals = append(vals, f.rule.Value)
		}
	}
	slices.Sort(vals)
	got := forms[0].fields(ins)[i].val
	if len(vals) == 1 && vals[0] == 0 {
		return fmt.Sprintf("reserved field is %d, must be 0", got)
	}
	words := make([]string, len(vals))
	for i, v := range vals {
		words[i] = strconv.Itoa(int(v))
	}
	if len(words) == 1 {
		return fmt.Sprintf("is %d, must be %s", got, words[0])
	}
	return fmt.Sprintf("is %d, must be one of %s", got, strings.Join(words, ", "))
}

// opcodeHint explains the unknown opcodes that people meet.
func opcodeHint(o Opcode) string {
	switch {
	case o == 0:
		return "; zero is legal only as the second slot of a wide instruction"
	case o.Class() == ClassJMP32 && (o.Code() == CodeCall || o.Code() == CodeExit):
		return "; calls and exit belong to class JMP"
	case o.Class().IsMem() && o.Mode() == ModeATOMIC:
		return "; atomics are of class STX"
	case o.Class() == ClassLD && o.Mode() == ModeMEM:
		return "; ordinary loads are of class LDX"
	}
	return ""
}

// JumpTarget returns the slot that the jump at pc leads to when taken. It
// returns false where pc holds no jump. The target may lie outside the program.
// Calls are no jumps: see CallTarget.
func (p Program) JumpTarget(pc PC) (PC, bool) {
	if pc < 0 || int(pc) >= len(p) {
		return 0, false
	}
	ins := p[pc]
	if ins.Op == OpJa32 {
		return pc + 1 + PC(ins.Imm), true
	}
	op, ok := Lookup(ins)
	if !ok || op.Off.Rule != RuleJump {
		return 0, false
	}
	return pc + 1 + PC(ins.Off), true
}

// CallTarget returns the first slot of the subprogram that the instruction at
// pc names: a bpf-to-bpf call, or an LDDW of a function's address. It returns
// false for all others. The target may lie outside the program.
func (p Program) CallTarget(pc PC) (PC, bool) {
	if pc < 0 || int(pc) >= len(p) {
		return 0, false
	}
	ins := p[pc]
	if ins.IsPseudoCall() || ins.IsWide() && Pseudo(ins.Src()) == PseudoFunc {
		return pc + 1 + PC(ins.Imm), true
	}
	return 0, false
}
