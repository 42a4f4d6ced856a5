package isa

// Opcode is the first byte of a slot. Its low three bits are the Class; the
// rest is split as the class demands:
//
//	ALU, ALU64, JMP, JMP32        LD, LDX, ST, STX
//	+----------+---+-----+        +------+----+-----+
//	| code (4) |s 1|cls 3|        |mode 3|sz 2|cls 3|
//	+----------+---+-----+        +------+----+-----+
//
// (RFC 9669, sections 3.1, 4.1 and 5.1.)
type Opcode uint8

// Class is the instruction class in the low three bits of an opcode.
type Class uint8

// Instruction classes (RFC 9669, table 3).
const (
	ClassLD    Class = 0x00 // non-standard loads: LDDW and packet access
	ClassLDX   Class = 0x01 // load into register
	ClassST    Class = 0x02 // store an immediate
	ClassSTX   Class = 0x03 // store a register, atomics
	ClassALU   Class = 0x04 // 32-bit arithmetic
	ClassJMP   Class = 0x05 // 64-bit compare and jump, call, exit
	ClassJMP32 Class = 0x06 // 32-bit compare and jump
	ClassALU64 Class = 0x07 // 64-bit arithmetic
)

// Code is the operation of an arithmetic or jump instruction, in place (upper
// four bits of the opcode).
type Code uint8

// Arithmetic codes (RFC 9669, table 5).
const (
	CodeAdd  Code = 0x00
	CodeSub  Code = 0x10
	CodeMul  Code = 0x20
	CodeDiv  Code = 0x30 // off 1: signed
	CodeOr   Code = 0x40
	CodeAnd  Code = 0x50
	CodeLsh  Code = 0x60
	CodeRsh  Code = 0x70
	CodeNeg  Code = 0x80
	CodeMod  Code = 0x90 // off 1: signed
	CodeXor  Code = 0xa0
	CodeMov  Code = 0xb0 // off 8, 16, 32: sign-extending
	CodeArsh Code = 0xc0
	CodeEnd  Code = 0xd0 // byte swap: imm 16, 32, 64
)

// Jump codes (RFC 9669, table 8; CodeJcond: Linux bpf.h BPF_JCOND).
const (
	CodeJa    Code = 0x00
	CodeJeq   Code = 0x10
	CodeJgt   Code = 0x20
	CodeJge   Code = 0x30
	CodeJset  Code = 0x40
	CodeJne   Code = 0x50
	CodeJsgt  Code = 0x60
	CodeJsge  Code = 0x70
	CodeCall  Code = 0x80
	CodeExit  Code = 0x90
	CodeJlt   Code = 0xa0
	CodeJle   Code = 0xb0
	CodeJslt  Code = 0xc0
	CodeJsle  Code = 0xd0
	CodeJcond Code = 0xe0 // may_goto
)

// Source says where the second operand of an ALU or jump comes from.
type Source uint8

// Operand sources (RFC 9669, table 4). For byte swaps SrcX means "to big
// endian" (class ALU).
const (
	SrcK Source = 0x00 // the 32-bit immediate
	SrcX Source = 0x08 // the source register
)

// Size is the width of a memory access, in place.
type Size uint8

// Access widths (RFC 9669, table 11).
const (
	SizeW  Size = 0x00 // 4 bytes
	SizeH  Size = 0x08 // 2 bytes
	SizeB  Size = 0x10 // 1 byte
	SizeDW Size = 0x18 // 8 bytes
)

// Bytes returns the width in bytes: 1, 2, 4 or 8.
func (s Size) Bytes() int {
	switch s {
	case SizeB:
		return 1
	case SizeH:
		return 2
	case SizeW:
		return 4
	}
	return 8
}

// Mode is the kind of a load or store, in place.
type Mode uint8

// Load and store modes (RFC 9669, table 10). The kernel-internal PROBE modes
// never occur in an object and have no name here.
const (
	ModeIMM    Mode = 0x00 // LDDW
	ModeABS    Mode = 0x20 // packet access, absolute
	ModeIND    Mode = 0x40 // packet access, indirect
	ModeMEM    Mode = 0x60
	ModeMEMSX  Mode = 0x80 // sign-extending load
	ModeATOMIC Mode = 0xc0
)

// Class returns the class bits.
func (o Opcode) Class() Class { return Class(o & 0x07) }

// Code returns the operation bits of an ALU or jump opcode.
func (o Opcode) Code() Code { return Code(o & 0xf0) }

// Source returns the operand-source bit of an ALU or jump opcode.
func (o Opcode) Source() Source { return Source(o & 0x08) }

// Size returns the width bits of a load or store opcode.
func (o Opcode) Size() Size { return Size(o & 0x18) }

// Mode returns the mode bits of a load or store opcode.
func (o Opcode) Mode() Mode { return Mode(o & 0xe0) }

// IsALU reports whether the class is ALU or ALU64.
func (c Class) IsALU() bool { return c == ClassALU || c == ClassALU64 }

// IsJump reports whether the class is JMP or JMP32.
func (c Class) IsJump() bool { return c == ClassJMP || c == ClassJMP32 }

// IsMem reports whether the class is one of the four load and store classes.
func (c Class) IsMem() bool { return c <= ClassSTX }

// ALUOp builds an arithmetic opcode.
func ALUOp(c Class, code Code, s Source) Opcode { return Opcode(uint8(c) | uint8(code) | uint8(s)) }

// JumpOp builds a jump opcode.
func JumpOp(c Class, code Code, s Source) Opcode { return Opcode(uint8(c) | uint8(code) | uint8(s)) }

// MemOp builds a load or store opcode.
func MemOp(c Class, m Mode, s Size) Opcode { return Opcode(uint8(c) | uint8(m) | uint8(s)) }

// Opcodes that other packages look for by name.
const (
	OpLdImm64 = Opcode(uint8(ClassLD) | uint8(ModeIMM) | uint8(SizeDW)) // 0x18 LDDW
	OpJa      = Opcode(uint8(ClassJMP) | uint8(CodeJa))                 // 0x05 goto, offset in Off
	OpJa32    = Opcode(uint8(ClassJMP32) | uint8(CodeJa))               // 0x06 gotol, offset in Imm
	OpCall    = Opcode(uint8(ClassJMP) | uint8(CodeCall))               // 0x85
	OpCallX   = Opcode(uint8(ClassJMP) | uint8(CodeCall) | uint8(SrcX)) // 0x8d call through a register
	OpExit    = Opcode(uint8(ClassJMP) | uint8(CodeExit))               // 0x95
	OpMayGoto = Opcode(uint8(ClassJMP) | uint8(CodeJcond))              // 0xe5
)

// Pseudo is the meaning of the src field of LDDW and call instructions
// (include/uapi/linux/bpf.h, BPF_PSEUDO_*). LDDW and calls number their kinds
// separately, so the same value occurs twice.
type Pseudo uint8

// Kinds for LDDW (RFC 9669, section 5.4, table 13).
const (
	PseudoImm64       Pseudo = 0 // a plain 64-bit constant
	PseudoMapFD       Pseudo = 1 // imm: map file descriptor
	PseudoMapValue    Pseudo = 2 // imm: map fd, next imm: offset into the value
	PseudoBTFID       Pseudo = 3 // imm: BTF id of a kernel variable
	PseudoFunc        Pseudo = 4 // imm: slot offset of a subprogram, for callbacks
	PseudoMapIdx      Pseudo = 5 // imm: index into fd_array
	PseudoMapIdxValue Pseudo = 6
)

// Kinds for calls (RFC 9669, section 4.3.1).
const (
	PseudoHelper    Pseudo = 0 // imm: helper number
	PseudoCall      Pseudo = 1 // imm: slot offset of the subprogram
	PseudoKfuncCall Pseudo = 2 // imm: BTF id of a kernel function
)

// AtomicOp is the operation of an atomic instruction, in Imm.
type AtomicOp int32

// Atomic operations (RFC 9669, tables 14 and 15; load-acquire and
// store-release: Linux bpf.h).
const (
	AtomicAdd      AtomicOp = 0x00
	AtomicOr       AtomicOp = 0x40
	AtomicAnd      AtomicOp = 0x50
	AtomicXor      AtomicOp = 0xa0
	AtomicFetch    AtomicOp = 0x01 // modifier: the old value goes into src
	AtomicXchg     AtomicOp = 0xe0 | AtomicFetch
	AtomicCmpXchg  AtomicOp = 0xf0 | AtomicFetch // compares with R0
	AtomicLoadAcq  AtomicOp = 0x100
	AtomicStoreRel AtomicOp = 0x110
)
