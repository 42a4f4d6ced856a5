package isa

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with testdata/name, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", name, diff)
	}
}

// TestAllOps prints one instruction of every form beside its bytes.
func TestAllOps(t *testing.T) {
	var b strings.Builder
	for _, op := range Ops() {
		p := Program{{Op: op.Opcode, Off: -3, Imm: -2, Regs: MakeRegs(1, 2)}, {Imm: 5}}
		for i, f := range op.fields(p[0]) {
			if f.rule.Rule != RuleZero && f.rule.Rule != RuleFixed {
				continue
			}
			switch i {
			case 0:
				p[0] = p[0].WithDst(0)
			case 1:
				p[0] = p[0].WithSrc(Register(f.rule.Value))
			case 2:
				p[0].Off = int16(f.rule.Value)
			case 3:
				p[0].Imm = f.rule.Value
			}
		}
		if op.Next.Rule == RuleZero {
			p[1].Imm = 0
		}
		if !op.IsWide() {
			p = p[:1]
		}
		usage := op.Usage()
		if strings.ContainsAny(usage, "{}") {
			t.Errorf("%s: placeholder left in %q", op.Name, usage)
		}
		fmt.Fprintf(&b, "%-18s %-33x %-55s %s", op.Name, Encode(p), usage, text(t, p))
	}
	golden(t, "all_ops.golden", b.String())
}

func TestPrinterHooks(t *testing.T) {
	p := mustAssemble(t, `
		r1 = map[fd:0]
		r2 = map[fd:0][0]+8
		r3 = subprog[+8]
		call helper#1
		call helper#9
		call kfunc#77
		call kfunc#78 off=2
		if r0 == 0x0 goto pc+1
		call pc+1
		exit
		exit`)
	pr := Printer{
		HelperName: func(id int32) string {
			if id == 1 {
				return "bpf_map_lookup_elem"
			}
			return ""
		},
		KfuncName: func(id int32, off int16) string {
			if off == 2 {
				return "bpf_testmod_fn"
			}
			return ""
		},
		Label: func(pc PC) string {
			if pc == 12 {
				return "out"
			}
			return ""
		},
		CallTarget: func(pc PC) string {
			if pc == 13 {
				return "sub"
			}
			return ""
		},
		Imm64: func(pc PC, kind Pseudo, v uint64) string {
			switch kind {
			case PseudoMapFD:
				return "map[counts]"
			case PseudoMapValue:
				return fmt.Sprintf("map[.data][0]+%d", v>>32)
			}
			return ""
		},
		Slots:   true,
		Opcodes: true,
	}
	var b strings.Builder
	if err := Disassemble(&b, p, pr); err != nil {
		t.Fatal(err)
	}
	golden(t, "hooks.golden", b.String())
}

// TestRaw prints what is no legal instruction, as .insn; the text assembles back
// to the same slots.
func TestRaw(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    Program
		want string
	}{
		{"unknown opcode", Program{{Op: 0x8f, Regs: 0xba, Off: -1, Imm: -1}}, ".insn 0x8f, 10, 11, -1, -1\n"},
		{"second slot missing", Program{{Op: 0x18, Regs: 1, Imm: 5}}, ".insn 0x18, 1, 0, 0, 5\n"},
		{"second slot in use", Program{{Op: 0x18, Regs: 1, Imm: 5}, {Op: 0xb7}}, ".insn 0x18, 1, 0, 0, 5\nr0 = 0\n"},
		{"second slot alone", Program{{Imm: 5}}, ".insn 0x00, 0, 0, 0, 5\n"},
		{"exit with imm", Program{{Op: 0x95, Imm: 1}}, ".insn 0x95, 0, 0, 0, 1\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := text(t, tt.p)
			if got != tt.want {
				t.Errorf("printed %q, want %q", got, tt.want)
			}
			if diff := cmp.Diff(tt.p, mustAssemble(t, got)); diff != "" {
				t.Errorf("assembled back (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInsnOutside(t *testing.T) {
	for _, pc := range []PC{-1, 1} {
		if s := (&Printer{Slots: true}).Insn(Program{{Op: OpExit}}, pc); s != "" {
			t.Errorf("slot %d printed as %q", pc, s)
		}
	}
}
