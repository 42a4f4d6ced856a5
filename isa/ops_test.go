package isa

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTable checks what the generator cannot see in single rows.
func TestTable(t *testing.T) {
	for i, a := range Ops() {
		if got, ok := OpByName(a.Name); !ok || got != &ops[i] {
			t.Errorf("OpByName(%q) = %v, %v", a.Name, got, ok)
		}
		if a.IsWide() != (a.Opcode == OpLdImm64) {
			t.Errorf("%s: wide = %v for opcode %#02x", a.Name, a.IsWide(), uint8(a.Opcode))
		}
		if strings.HasPrefix(a.Name, "j") && a.Off.Rule != RuleJump && a.Imm.Rule != RuleJump {
			t.Errorf("%s: a jump without distance", a.Name)
		}
		if (a.Group == GroupLinux || a.Since == "linux") && !a.Linux {
			t.Errorf("%s: of Linux, but not accepted by it", a.Name)
		}
		for p := range a.Forms() {
			for _, b := range OpsByOpcode(a.Opcode) {
				if b.Name != a.Name && b.matches(p[0]) {
					t.Fatalf("%v is both %s and %s", p[0], a.Name, b.Name)
				}
			}
		}
	}
	if _, ok := OpByName("nop"); ok {
		t.Error("OpByName found an instruction that does not exist")
	}
}

// TestOpcodeMath compares the table with the bits that RFC 9669 gives to classes,
// codes, widths and modes.
func TestOpcodeMath(t *testing.T) {
	for _, tt := range []struct {
		name string
		want Opcode
	}{
		{"add64_imm", ALUOp(ClassALU64, CodeAdd, SrcK)},
		{"sdiv32_reg", ALUOp(ClassALU, CodeDiv, SrcX)},
		{"movsx64_32_reg", ALUOp(ClassALU64, CodeMov, SrcX)},
		{"be32", ALUOp(ClassALU, CodeEnd, SrcX)},
		{"bswap64", ALUOp(ClassALU64, CodeEnd, SrcK)},
		{"neg32", ALUOp(ClassALU, CodeNeg, SrcK)},
		{"jsle32_reg", JumpOp(ClassJMP32, CodeJsle, SrcX)},
		{"jset_imm", JumpOp(ClassJMP, CodeJset, SrcK)},
		{"ja", OpJa},
		{"ja32", OpJa32},
		{"may_goto", OpMayGoto},
		{"call_kfunc", OpCall},
		{"callx", OpCallX},
		{"exit", OpExit},
		{"lddw_func", OpLdImm64},
		{"ldxhsx", MemOp(ClassLDX, ModeMEMSX, SizeH)},
		{"stb", MemOp(ClassST, ModeMEM, SizeB)},
		{"stxdw", MemOp(ClassSTX, ModeMEM, SizeDW)},
		{"ldindw", MemOp(ClassLD, ModeIND, SizeW)},
		{"xchg32", MemOp(ClassSTX, ModeATOMIC, SizeW)},
		{"load_acq8", MemOp(ClassSTX, ModeATOMIC, SizeB)},
	} {
		op, ok := OpByName(tt.name)
		if !ok || op.Opcode != tt.want {
			t.Errorf("%s: %v, want opcode %#02x", tt.name, op, uint8(tt.want))
		}
	}
}

// TestGroups counts the forms of each group. The sums for the groups of RFC 9669
// follow from its tables: 11 binary operations and 11 comparisons, each with
// register and immediate, and so on.
func TestGroups(t *testing.T) {
	got := map[Group]int{}
	for _, op := range Ops() {
		got[op.Group]++
	}
	want := map[Group]int{
		// 8 ALU codes and MOV twice, 2 movsx, neg; 6 swaps; 22 jumps; ja ja32
		// exit 3 calls; 3 widths of ldx st stx ldxsx.
		GroupBase32: 9*2 + 2 + 1 + 6 + 22 + 6 + 12,
		// The same without calls, 3 movsx, 3 swaps, 1 width, 7 kinds of LDDW.
		GroupBase64:   9*2 + 3 + 1 + 3 + 22 + 3 + 7,
		GroupDivMul32: 2 + 4 + 4, // mul, div and sdiv, mod and smod
		GroupDivMul64: 2 + 4 + 4,
		GroupAtomic32: 4*2 + 2, // with and without fetch, xchg, cmpxchg
		GroupAtomic64: 4*2 + 2,
		GroupPacket:   6,
		GroupCallX:    1,
		GroupLinux:    2 + 1 + 8, // casts, may_goto, acquire and release
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("forms per group (-want +got):\n%s", diff)
	}
}
