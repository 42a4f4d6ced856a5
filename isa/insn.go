package isa

import (
	"iter"
)

// SlotSize is the size of one instruction slot in bytes (RFC 9669, section 3:
// the basic encoding is 64 bits wide).
const SlotSize = 8

// PC is the index of a slot in a program. A wide instruction (LDDW) takes two
// slots, so PCs of consecutive instructions may differ by two. Jump offsets
// count slots too, from the slot after the jump.
type PC int

// Instruction is one 8-byte slot, one to one with the wire:
//
//	 0        1        2                4                                8
//	+--------+----+----+----------------+--------------------------------+
//	| opcode |src |dst | offset (s16)   | immediate (s32)                |
//	+--------+----+----+----------------+--------------------------------+
//
// (RFC 9669, section 3.1.) The second slot of a wide instruction is an
// Instruction as well; its opcode is zero and its Imm holds the upper half.
type Instruction struct {
	Op   Opcode
	Regs uint8 // low nibble dst, high nibble src (little-endian objects)
	Off  int16
	Imm  int32
}

// MakeRegs packs a destination and a source register into Instruction.Regs.
func MakeRegs(dst, src Register) uint8 { return uint8(dst)&0xf | uint8(src)<<4 }

// Dst returns the destination register field.
func (i Instruction) Dst() Register { return Register(i.Regs & 0xf) }

// Src returns the source register field. For LDDW and calls it is not a
// register but a Pseudo kind.
func (i Instruction) Src() Register { return Register(i.Regs >> 4) }

// WithDst returns the instruction with another destination register.
func (i Instruction) WithDst(r Register) Instruction {
	i.Regs = MakeRegs(r, i.Src())
	return i
}

// WithSrc returns the instruction with another source register or pseudo kind.
func (i Instruction) WithSrc(r Register) Instruction {
	i.Regs = MakeRegs(i.Dst(), r)
	return i
}

// IsWide reports whether this slot is the first of a two-slot instruction.
func (i Instruction) IsWide() bool { return i.Op == OpLdImm64 }

// IsPseudoCall reports whether this is a call to a subprogram of the same
// program (BPF_PSEUDO_CALL); the target is PC+1+Imm.
func (i Instruction) IsPseudoCall() bool {
	return i.Op == OpCall && Pseudo(i.Src()) == PseudoCall
}

// IsHelperCall reports whether this is a call to a helper by its number in Imm.
func (i Instruction) IsHelperCall() bool { return i.Op == OpCall && i.Src() == 0 }

// IsKfuncCall reports whether this is a call to a kernel function by BTF id.
func (i Instruction) IsKfuncCall() bool {
	return i.Op == OpCall && Pseudo(i.Src()) == PseudoKfuncCall
}

// Program is a sequence of slots.
type Program []Instruction

// Imm64 returns the 64-bit immediate of the wide instruction at pc. It returns
// false where pc does not hold a complete wide instruction.
func (p Program) Imm64(pc PC) (uint64, bool) {
	if pc < 0 || int(pc)+1 >= len(p) || !p[pc].IsWide() {
		return 0, false
	}
	return uint64(uint32(p[pc].Imm)) | uint64(uint32(p[pc+1].Imm))<<32, true
}

// SetImm64 writes the 64-bit immediate of the wide instruction at pc. The
// caller has made sure that pc holds one.
func (p Program) SetImm64(pc PC, v uint64) {
	p[pc].Imm = int32(uint32(v))
	p[pc+1].Imm = int32(uint32(v >> 32))
}

// All yields each instruction with its PC and skips the second slots of wide
// instructions.
func (p Program) All() iter.Seq2[PC, Instruction] {
	return func(yield func(PC, Instruction) bool) {
		for i := 0; i < len(p); i++ {
			if !yield(PC(i), p[i]) {
				return
			}
			if p[i].IsWide() {
				i++
			}
		}
	}
}
