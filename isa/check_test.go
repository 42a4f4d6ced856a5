package isa

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name string
		src  string // .insn opcode, dst, src, off, imm
		want []string
	}{
		{"fine", "r1 = 5\nr2 = 1 ll\nexit", nil},
		{"unknown opcode", ".insn 0x87, 0, 0, 0, 0\n.insn 0x8f, 1, 0, 0, 0", []string{
			"insn 1 (0x8f): opcode: unknown opcode"}},
		{"slot of zeros", ".insn 0, 0, 0, 0, 0", []string{
			"insn 0 (0x00): opcode: unknown opcode; zero is legal only as the second slot of a wide instruction"}},
		{"jmp32 exit", ".insn 0x96, 0, 0, 0, 0", []string{
			"insn 0 (0x96): opcode: unknown opcode; calls and exit belong to class JMP"}},
		{"store of atomic class ST", ".insn 0xda, 0, 0, 0, 0", []string{
			"insn 0 (0xda): opcode: unknown opcode; atomics are of class STX"}},
		{"8-bit load by class LD", ".insn 0x71, 0, 0, 0, 0\n.insn 0x70, 0, 0, 0, 0", []string{
			"insn 1 (0x70): opcode: unknown opcode; ordinary loads are of class LDX"}},
		{"every reserved field", ".insn 0x95, 1, 2, 3, 4", []string{
			"insn 0 (0x95): dst: reserved field is 1, must be 0",
			"insn 0 (0x95): src: reserved field is 2, must be 0",
			"insn 0 (0x95): off: reserved field is 3, must be 0",
			"insn 0 (0x95): imm: reserved field is 4, must be 0"}},
		{"registers above r10", ".insn 0x0f, 11, 15, 0, 0", []string{
			"insn 0 (0x0f): dst: register r11 does not exist",
			"insn 0 (0x0f): src: register r15 does not exist"}},
		{"off of a move", ".insn 0xbf, 1, 2, 7, 0\n.insn 0xbc, 1, 2, 32, 0", []string{
			"insn 0 (0xbf): off: is 7, must be one of 0, 8, 16, 32",
			"insn 1 (0xbc): off: is 32, must be one of 0, 8, 16"}},
		{"imm of a cast", ".insn 0xbf, 1, 2, 1, 2", []string{
			"insn 0 (0xbf): imm: is 2, must be one of 1, 65536"}},
		{"off of a division", ".insn 0x37, 1, 0, 2, 3", []string{
			"insn 0 (0x37): off: is 2, must be one of 0, 1"}},
		{"atomic of unknown operation", ".insn 0xdb, 1, 2, 0, 0x20", []string{
			"insn 0 (0xdb): imm: is 32, must be one of 0, 1, 64, 65, 80, 81, 160, 161, 225, 241, 256, 272"}},
		{"8-bit atomic add", ".insn 0xd3, 1, 2, 0, 0", []string{
			"insn 0 (0xd3): imm: is 0, must be one of 256, 272"}},
		{"byte swap of 8 bits", ".insn 0xd7, 1, 0, 0, 8", []string{
			"insn 0 (0xd7): imm: is 8, must be one of 16, 32, 64"}},
		{"call of unknown kind", ".insn 0x85, 0, 3, 0, 1", []string{
			"insn 0 (0x85): src: is 3, must be one of 0, 1, 2"}},
		{"helper call with off", ".insn 0x85, 0, 0, 1, 1", []string{
			"insn 0 (0x85): off: reserved field is 1, must be 0"}},
		{"lddw of unknown kind", ".insn 0x18, 1, 7, 0, 1\n.insn 0, 0, 0, 0, 0", []string{
			"insn 0 (0x18): src: is 7, must be one of 0, 1, 2, 3, 4, 5, 6"}},
		{"lddw alone", ".insn 0x18, 1, 0, 0, 1", []string{
			"insn 0 (0x18): opcode: the second slot of this wide instruction is missing"}},
		{"second slot in use", ".insn 0x18, 1, 1, 0, 1\n.insn 0xb7, 1, 2, 3, 4", []string{
			"insn 1 (0xb7): opcode: reserved field of a second slot is 0xb7, must be 0",
			"insn 1 (0xb7): dst: reserved field of a second slot is 0x1, must be 0",
			"insn 1 (0xb7): src: reserved field of a second slot is 0x2, must be 0",
			"insn 1 (0xb7): off: reserved field of a second slot is 0x3, must be 0",
			"insn 1 (0xb7): imm: reserved field of a second slot is 0x4, must be 0"}},
		{"both slots", ".insn 0x18, 12, 0, 9, 1\n.insn 0, 0, 0, 1, 5", []string{
			"insn 0 (0x18): dst: register r12 does not exist",
			"insn 0 (0x18): off: reserved field is 9, must be 0",
			"insn 1 (0x00): off: reserved field of a second slot is 0x1, must be 0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			if err := mustAssemble(t, tt.src).Check(); err != nil {
				l, ok := errors.AsType[ErrorList](err)
				if !ok {
					t.Fatalf("%T, want an ErrorList", err)
				}
				for _, e := range l {
					got = append(got, e.Error())
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCheckAgreesWithLookup tries all opcodes with many field values: Check names
// a fault of the slot exactly where Lookup finds no form.
func TestCheckAgreesWithLookup(t *testing.T) {
	for o := range 256 {
		for _, regs := range []uint8{0x00, 0x01, 0x10, 0x21, 0x0b, 0xb0, 0xff, 0x60, 0x70} {
			for _, off := range []int16{0, 1, 2, 8, 32, -1} {
				for _, imm := range []int32{0, 1, 16, 0x41, 0x100, 0x10000, -1} {
					p := Program{{Op: Opcode(o), Regs: regs, Off: off, Imm: imm}, {}}[:1]
					if p[0].IsWide() {
						p = p[:2]
					}
					_, ok := Lookup(p[0])
					if err := p.Check(); (err == nil) != ok {
						t.Fatalf("%v: Lookup says %v, Check says %v", p[0], ok, err)
					}
				}
			}
		}
	}
}

func TestErrorListIsCut(t *testing.T) {
	err := make(Program, 12).Check()
	if s := err.Error(); strings.Count(s, "\n") != maxListed || !strings.HasSuffix(s, "\nand 2 more") {
		t.Errorf("message:\n%s", s)
	}
	if e, ok := errors.AsType[*InsnError](err); !ok || e.PC != 0 || e.Field != FieldOpcode {
		t.Errorf("first fault: %v", e)
	}
}
