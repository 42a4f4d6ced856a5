// Package isa knows the eBPF instruction set: how instructions lie in memory,
// which of them are legal, how they are written as text, and how text becomes
// instructions again.
//
// # Slots
//
// A program is a sequence of slots of 8 bytes each (RFC 9669, section 3). One
// Instruction is one slot, field by field:
//
//	byte  0         1            2   3         4   5   6   7
//	     +---------+------+------+------------+--------------------+
//	     | opcode  | src  | dst  | off        | imm                |
//	     +---------+------+------+------------+--------------------+
//	bits  8         4      4      16, signed   32, signed
//
// In a little-endian object dst is the low nibble of byte 1 and off and imm are
// little-endian; in a big-endian object the nibbles change places and off and
// imm are big-endian (DecodeOrder). For example
//
//	b7 01 00 00 05 00 00 00      opcode b7, dst 1, imm 5: r1 = 5
//	63 1a fc ff 00 00 00 00      opcode 63, dst 10, src 1, off -4: *(u32 *)(r10 -4) = r1
//
// One instruction is longer than a slot: LDDW, opcode 18, which loads 64 bits.
// The imm of its own slot is the lower half and the imm of the next slot the
// upper half; nothing else of the second slot is used:
//
//	18 01 00 00 88 77 66 55      r1 = 0x1122334455667788 ll
//	00 00 00 00 44 33 22 11
//
// A PC is the index of a slot. Jumps count slots, not bytes and not
// instructions, and they count from the slot after the jump: "goto pc+0" does
// nothing. Nothing in this package renumbers slots.
//
// # Opcodes
//
// The low three bits of an opcode are its Class. Arithmetic and jumps add four
// bits of operation and one bit that says whether the second operand is the imm
// or the src register; loads and stores add a width and a mode (see Opcode).
// The eight bits do not say everything: "s/=" is "/=" with off 1, atomic
// operations are told apart by imm, the kinds of LDDW and call by src. So the
// unit of the table (Ops) is the form: an opcode together with the rules for
// each of its fields. Lookup finds the form of an instruction; Program.Check
// says what is wrong where there is none.
//
// # Text
//
// A Printer writes instructions as the kernel's verifier does and Assemble reads
// the same language:
//
//	r1 = r2            r1 += 5            w1 s>>= w2         r1 = (s8)r2
//	r1 = -r1           r1 = be16 r1       r1 = bswap32 r1    r1 s/= r2
//	r1 = 0x12 ll       r1 = map[counts]   r1 = map[.rodata][0]+4
//	r1 = *(u32 *)(r2 +4)                  r1 = *(s16 *)(r2 +0)
//	*(u64 *)(r10 -8) = r1                 *(u8 *)(r10 -1) = 7
//	lock *(u64 *)(r1 +0) += r2            r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)
//	r2 = load_acquire((u64 *)(r1 +0))     r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)
//	if r1 > 0x5 goto pc+3                 if w1 s< w2 goto done
//	goto done          gotol done         may_goto done
//	call bpf_map_lookup_elem#1            call sub           exit
//
// A w register is the lower half of its r register: an instruction on w
// registers computes 32 bits and clears the upper half. Immediates are 32 bits
// wide and sign-extended where 64 are computed; comparisons print theirs as hex
// without sign, so "if r1 == 0xffffffff" compares with -1. LLVM's spellings of
// the same instructions are understood too. Besides instructions a source has
//
//	name:                                 a jump target, local to its function
//	; text   // text   /* text */         comments, and # at the start of a line
//	.section "xdp"                        where the code that follows goes
//	.func NAME [static]                   a program or subprogram begins here
//	.program NAME SECTION                 both of these in one
//	.map NAME type=hash key=4 value=8 max_entries=16 [flags=0] [inner=NAME] [map_extra=0]
//	.rodata NAME "text"                   data; a string ends with a NUL, numbers are bytes;
//	.data NAME 1, 0x2a                    also .bss; lines with .byte .half .word .quad
//	.zero 16                              .string .ascii .zero .align add to it
//	.license "GPL"
//	.version N
//	.insn 0x8d, 1, 0, 0, 0                any slot: opcode, dst, src, off, imm
//
// r1 = data[NAME]+4 is the address of a data symbol and r1 = func[NAME] that of
// a subprogram. Slot numbers and opcodes before an instruction, as in
// "12: (b7) r1 = 5", are checked, so that the verifier's logs and what bpftool
// and llvm-objdump print can be pasted.
package isa
