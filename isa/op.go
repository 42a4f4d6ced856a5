package isa

import (
	"fmt"
	"strconv"
	"strings"
)

//go:generate go run ./internal/genops -o zops.go ops.txt

// Rule says what a legal instruction may hold in one field.
type Rule uint8

// Field rules; the comment gives their spelling in ops.txt.
const (
	RuleNone      Rule = iota // -: the instruction has no such field
	RuleZero                  // 0: reserved, must be zero
	RuleFixed                 // =N: must be N, which is part of the opcode
	RuleRead                  // r: a register that is read
	RuleWrite                 // w: a register that is written
	RuleReadWrite             // rw: a register that is read, then written
	RuleAny                   // any: any value
	RuleJump                  // jump: a distance in slots, counted from the next slot
)

// IsReg reports whether the field names a register.
func (r Rule) IsReg() bool { return r == RuleRead || r == RuleWrite || r == RuleReadWrite }

// Field is the rule of one field of an Op. Value is its only legal value where
// Rule is RuleFixed and 0 otherwise.
type Field struct {
	Rule  Rule
	Value int32
}

// allows reports whether v is legal in the field.
func (f Field) allows(v int32) bool {
	switch f.Rule {
	case RuleZero, RuleNone:
		return v == 0
	case RuleFixed:
		return v == f.Value
	case RuleRead, RuleWrite, RuleReadWrite:
		return v >= 0 && v < NumRegisters
	}
	return true
}

// String returns the rule as ops.txt spells it.
func (f Field) String() string {
	switch f.Rule {
	case RuleNone:
		return "-"
	case RuleZero:
		return "0"
	case RuleFixed:
		return "=" + strconv.Itoa(int(f.Value))
	case RuleRead:
		return "r"
	case RuleWrite:
		return "w"
	case RuleReadWrite:
		return "rw"
	case RuleAny:
		return "any"
	case RuleJump:
		return "jump"
	}
	return fmt.Sprintf("Rule(%d)", f.Rule)
}

// Group is a conformance group of RFC 9669, section 2.4, or one of ours for
// what lies outside the RFC: "linux" and "callx".
type Group string

// Conformance groups. A runtime that has base64 has base32 as well, and so on
// for each pair of widths.
const (
	GroupBase32   Group = "base32"
	GroupBase64   Group = "base64"
	GroupDivMul32 Group = "divmul32"
	GroupDivMul64 Group = "divmul64"
	GroupAtomic32 Group = "atomic32"
	GroupAtomic64 Group = "atomic64"
	GroupPacket   Group = "packet" // deprecated access to packet bytes
	GroupCallX    Group = "callx"  // call through a register, not in the RFC
	GroupLinux    Group = "linux"  // what the Linux kernel added
)

// Op is one legal form of an instruction: a row of ops.txt. Several forms may
// share an opcode; a field with RuleFixed then tells them apart.
type Op struct {
	Opcode Opcode
	Name   string // unique, for example "add64_imm" or "lddw_map_fd"

	Dst, Src Field // the register nibbles; Src may be a Pseudo kind
	Off, Imm Field
	Next     Field // the Imm of the second slot, for wide instructions only

	Group Group
	Since string // oldest clang -mcpu that has it: "v1" to "v4", or "linux"
	Linux bool   // Linux 6.18 accepts it

	// Syntax is the printed form with placeholders, which a Printer fills in:
	// {dst} {src} {off} {imm} {next} in decimal, {imm:x} in hex, {imm64} both
	// halves, {jump} {func} {subprog} a target, {helper} {kfunc} what is called.
	Syntax string
	Doc    string // one sentence
}

// IsWide reports whether the form takes two slots.
func (o *Op) IsWide() bool { return o.Next.Rule != RuleNone }

// usage replaces the placeholders of Op.Syntax by the names of the fields.
var usage = strings.NewReplacer(
	"{dst}", "D", "{src}", "S", " {off}", " +off", "{imm}", "imm", "{imm:x}", "imm", "{imm64}", "imm64",
	"{next}", "next_imm", "gotol {jump}", "gotol pc+imm", "{jump}", "pc+off",
	"{func}", "pc+imm", "{subprog}", "subprog[+imm]", "{helper}", "helper#imm", "{kfunc}", "#imm")

// Usage returns the printed form with the names of the fields in their places,
// for documentation: "rD += imm", "if rD == rS goto pc+off".
func (o *Op) Usage() string { return usage.Replace(o.Syntax) }

// matches reports whether the first slot of ins has this form.
func (o *Op) matches(ins Instruction) bool {
	return o.Opcode == ins.Op &&
		o.Dst.allows(int32(ins.Dst())) && o.Src.allows(int32(ins.Src())) &&
		o.Off.allows(int32(ins.Off)) && o.Imm.allows(ins.Imm)
}

// Ops returns every legal form, ordered by opcode. The caller must not change
// the slice.
func Ops() []Op { return ops[:len(ops):len(ops)] }

// OpsByOpcode returns the legal forms of one opcode: none for an unknown one.
// The caller must not change the slice.
func OpsByOpcode(o Opcode) []Op {
	lo, hi := opStart[o], opStart[int(o)+1]
	return ops[lo:hi:hi]
}

// Lookup returns the form of an instruction. It returns false if no form fits:
// the opcode is unknown, a reserved field is set or a register does not exist;
// Program.Check says which. Of a wide instruction only the first slot is seen.
func Lookup(ins Instruction) (*Op, bool) {
	for i := opStart[ins.Op]; i < opStart[int(ins.Op)+1]; i++ {
		if ops[i].matches(ins) {
			return &ops[i], true
		}
	}
	return nil, false
}

// OpByName returns the form with the given name, as in ops.txt.
func OpByName(name string) (*Op, bool) {
	for i := range ops {
		if ops[i].Name == name {
			return &ops[i], true
		}
	}
	return nil, false
}
