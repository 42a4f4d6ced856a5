package interp

import (
	"bytes"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"bpfvm/isa"
	"bpfvm/vm"
)

// pattern is what the map region holds before each case.
func pattern() []byte {
	b := make([]byte, 64)
	for i := range b {
		b[i] = byte(i*37 + 0x81)
	}
	return b
}

// little reads size bytes of b as a number, by another way than encoding/binary.
func little(b []byte, size int) uint64 {
	n := new(big.Int)
	for i := size - 1; i >= 0; i-- {
		n.Mul(n, big.NewInt(256)).Add(n, big.NewInt(int64(b[i])))
	}
	return n.Uint64()
}

func patch(b []byte, at, size int, v uint64) []byte {
	b = bytes.Clone(b)
	for i := range size {
		b[at+i] = byte(v % 256)
		v /= 256
	}
	return b
}

// offsets are displacements from the middle of an element of 16 bytes.
var offsets = []int{-8, -5, 0}

func loadCases(t *testing.T, form *isa.Op) (cases []isaCase) {
	base := valueAddr(t) + 8
	size := form.Opcode.Size().Bytes()
	for _, off := range offsets {
		want := little(pattern()[8+off:], size)
		if form.Opcode.Mode() == isa.ModeMEMSX {
			want = wrap(signed(want, uint(size*8)), 64)
		}
		cases = append(cases, isaCase{
			name: fmt.Sprint(off), r0: want,
			insns: prog(constant(isa.R3, base), raw(form, isa.R0, isa.R3, int16(off), 0), exit),
		}, isaCase{
			name: fmt.Sprint(off, " into the base"), r0: want,
			insns: prog(constant(isa.R3, base), raw(form, isa.R3, isa.R3, int16(off), 0), move(0, 3), exit),
		})
	}
	// through the frame pointer
	store := isa.Instruction{Op: isa.MemOp(isa.ClassSTX, isa.ModeMEM, isa.SizeDW), Regs: isa.MakeRegs(isa.FP, isa.R3), Off: -16}
	for _, v := range edges {
		want := little(patch(make([]byte, 8), 0, 8, v), size)
		if form.Opcode.Mode() == isa.ModeMEMSX {
			want = wrap(signed(v, uint(size*8)), 64)
		}
		cases = append(cases, isaCase{
			name: fmt.Sprintf("stack %#x", v), r0: want,
			insns: prog(constant(isa.R3, v), store, raw(form, isa.R0, isa.FP, -16, 0), exit),
		})
	}
	return cases
}

func storeCases(t *testing.T, form *isa.Op) (cases []isaCase) {
	base := valueAddr(t) + 8
	size := form.Opcode.Size().Bytes()
	fill := isa.Instruction{Op: isa.MemOp(isa.ClassST, isa.ModeMEM, isa.SizeDW), Regs: isa.MakeRegs(isa.FP, 0), Off: -8, Imm: -1}
	read := isa.Instruction{Op: isa.MemOp(isa.ClassLDX, isa.ModeMEM, isa.SizeDW), Regs: isa.MakeRegs(isa.R0, isa.FP), Off: -8}
	add := func(v uint64, setup isa.Program, imm int32) {
		for _, off := range offsets {
			cases = append(cases, isaCase{
				name: fmt.Sprintf("%#x at %d", v, off), memory: patch(pattern(), 8+off, size, v),
				insns: prog(constant(isa.R3, base), setup, raw(form, isa.R3, isa.R4, int16(off), imm), small(0, 0), exit),
			})
		}
		cases = append(cases, isaCase{
			name: fmt.Sprintf("%#x in the frame", v), r0: little(patch(bytes.Repeat([]byte{255}, 8), 0, size, v), 8),
			insns: prog(fill, setup, raw(form, isa.FP, isa.R4, -8, imm), read, exit),
		})
	}
	if form.Imm.Rule == isa.RuleAny {
		for _, imm := range edgeImmediates {
			add(uint64(int64(imm)), nil, imm)
		}
		return cases
	}
	for _, v := range edges {
		add(v, constant(isa.R4, v), 0)
	}
	return cases
}

func atomicCases(t *testing.T, form *isa.Op) (cases []isaCase) {
	base := valueAddr(t)
	size := form.Opcode.Size().Bytes()
	bits := uint(size * 8)
	const off = 8
	for _, seed := range edges {
		for _, src := range []uint64{0, 1, 0xffffffff, 0x8000000080000000, 0xfedcba9876543210} {
			setup := prog(constant(isa.R3, base), constant(isa.R5, seed),
				isa.Instruction{Op: isa.MemOp(isa.ClassSTX, isa.ModeMEM, isa.SizeDW), Regs: isa.MakeRegs(isa.R3, isa.R5), Off: off})
			start := patch(pattern(), off, 8, seed)
			old := little(start[off:], size)
			r0 := uint64(0xffffffff00000000) + seed&0xffffffff // cmp of cmpxchg
			if src&1 == 1 {
				r0 = seed
			}
			next, result, ok := atomicWant(form, bits, old, src, r0)
			if !ok {
				return nil
			}
			p := prog(setup, constant(isa.R4, src), constant(isa.R0, r0))
			switch isa.AtomicOp(form.Imm.Value) {
			case isa.AtomicLoadAcq:
				p = append(p, raw(form, isa.R0, isa.R3, off, 0))
			case isa.AtomicCmpXchg:
				p = append(p, raw(form, isa.R3, isa.R4, off, 0))
			default:
				p = append(p, raw(form, isa.R3, isa.R4, off, 0), move(isa.R0, isa.R4))
			}
			cases = append(cases, isaCase{
				name: fmt.Sprintf("%#x, %#x", seed, src), r0: result,
				insns: append(p, exit), memory: patch(start, off, size, next),
			})
		}
	}
	return cases
}

// atomicWant returns the new memory and what the case reads back: R0 of cmpxchg and
// load-acquire, src of the others.
func atomicWant(form *isa.Op, bits uint, old, src, r0 uint64) (next, result uint64, ok bool) {
	x, y := unsigned(old, bits), unsigned(src, bits)
	name := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(form.Name, "64"), "32"), "16")
	name = strings.TrimSuffix(name, "8")
	switch name {
	case "load_acq":
		return old, old, true
	case "store_rel":
		return wrap(y, bits), src, true
	case "xchg":
		return wrap(y, bits), old, true
	case "cmpxchg":
		if unsigned(r0, bits).Cmp(x) == 0 {
			return wrap(y, bits), old, true
		}
		return old, old, true
	}
	n, result := new(big.Int), src
	if rest, fetch := strings.CutPrefix(name, "atomic_fetch_"); fetch {
		name, result = "atomic_"+rest, old
	}
	switch name {
	case "atomic_add":
		n.Add(x, y)
	case "atomic_or":
		n.Or(x, y)
	case "atomic_and":
		n.And(x, y)
	case "atomic_xor":
		n.Xor(x, y)
	default:
		return 0, 0, false
	}
	return wrap(n, bits), result, true
}

func packetCases(t *testing.T, form *isa.Op) (cases []isaCase) {
	b := newBench(t)
	pkt := b.mem.Raw(b.pkt.Start, 60)
	size := form.Opcode.Size().Bytes()
	for _, off := range []int{0, 1, 13, 60 - size, 61 - size, 1000, -5, -0x300000} {
		want := uint64(0)
		if off >= 0 && off+size <= len(pkt) {
			for _, c := range pkt[off : off+size] { // network order
				want = want*256 + uint64(c)
			}
			want++
		}
		after := isa.Instruction{Op: isa.ALUOp(isa.ClassALU64, isa.CodeAdd, isa.SrcK), Imm: 1}
		p := prog(move(isa.R6, isa.R1))
		switch {
		case form.Opcode.Mode() == isa.ModeIND:
			p = prog(p, small(isa.R7, int32(off)+100), raw(form, 0, isa.R7, 0, -100))
		default:
			p = prog(p, raw(form, 0, 0, 0, int32(off)))
		}
		cases = append(cases, isaCase{name: fmt.Sprint(off), insns: prog(p, after, exit), r0: want})
	}
	return cases
}

// sumHelper weighs its arguments, so that a mix-up shows.
var sumHelper = &vm.Helper{Fn: func(_ *vm.Machine, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	return r1 + 10*r2 + 100*r3 + 1000*r4 + 10000*r5, nil
}}
