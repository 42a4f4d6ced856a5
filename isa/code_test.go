package isa

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecodeOrder(t *testing.T) {
	want := Program{
		{Op: 0x63, Regs: MakeRegs(R10, R1), Off: -4},
		{Op: 0xb7, Regs: MakeRegs(R1, R0), Imm: 5},
		{Op: 0x18, Regs: MakeRegs(R2, 1), Imm: 0x11223344},
		{Imm: -2},
	}
	for _, tt := range []struct {
		order binary.ByteOrder
		hex   string
	}{
		{binary.LittleEndian, "631afcff00000000" + "b701000005000000" + "1812000044332211" + "00000000feffffff"},
		{binary.BigEndian, "63a1fffc00000000" + "b710000000000005" + "1821000011223344" + "00000000fffffffe"},
	} {
		b, err := hex.DecodeString(tt.hex)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeOrder(tt.order, b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.order, diff)
		}
		if diff := cmp.Diff(b, EncodeOrder(tt.order, got)); diff != "" {
			t.Errorf("%v: encoded (-want +got):\n%s", tt.order, diff)
		}
	}
}

func TestDecodePartialSlot(t *testing.T) {
	p, err := Decode(make([]byte, 12))
	de, ok := errors.AsType[*DecodeError](err)
	if !ok || de.Len != 12 || p != nil {
		t.Errorf("Decode of 12 bytes = %v, %v", p, err)
	}
}

func TestTargets(t *testing.T) {
	p := mustAssemble(t, `
		goto pc+1
		gotol pc-2
		if r1 == 0x0 goto pc-1
		may_goto pc+3
		call pc+2
		r1 = subprog[-3]
		call helper#1
		callx r1
		exit`)
	type target struct {
		PC PC
		OK bool
	}
	var jumps, calls []target
	for pc := PC(-1); int(pc) <= len(p); pc++ {
		to, ok := p.JumpTarget(pc)
		jumps = append(jumps, target{to, ok})
		to, ok = p.CallTarget(pc)
		calls = append(calls, target{to, ok})
	}
	no := target{}
	if diff := cmp.Diff([]target{no, {2, true}, {0, true}, {2, true}, {7, true}, no, no, no, no, no, no, no}, jumps); diff != "" {
		t.Errorf("jumps (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]target{no, no, no, no, no, {7, true}, {3, true}, no, no, no, no, no}, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// mustAssemble assembles a plain program.
func mustAssemble(t testing.TB, src string) Program {
	t.Helper()
	p, err := AssembleProgram(src)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
