package judge

import (
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"
)

// TestCompareSlots: one bit or one name apart is a difference, unless a reason is
// known for just that.
func TestCompareSlots(t *testing.T) {
	mov := isa.Instruction{Op: 0xb7, Regs: 1, Imm: 5}
	wide := isa.Instruction{Op: 0x18, Regs: 1}
	bad := isa.Instruction{Op: isa.OpCall, Imm: badCore}
	missing := &spec.CoreReloc{Kind: "type_size"}
	tests := []struct {
		name string
		a, b slot
		why  Explained
		same bool
	}{
		{"equal", slot{Instruction: mov}, slot{Instruction: mov}, "", true},
		{"immediate", slot{Instruction: mov}, slot{Instruction: isa.Instruction{Op: 0xb7, Regs: 1, Imm: 6}}, "", false},
		{"offset", slot{Instruction: mov}, slot{Instruction: isa.Instruction{Op: 0xb7, Regs: 1, Off: 1, Imm: 5}}, "", false},
		{"register", slot{Instruction: mov}, slot{Instruction: isa.Instruction{Op: 0xb7, Regs: 2, Imm: 5}}, "", false},
		{"map", slot{Instruction: wide, ref: "a"}, slot{Instruction: wide, ref: "b"}, "", false},
		{"poisoned here only", slot{Instruction: bad, poisoned: true}, slot{Instruction: mov}, "", false},
		{"poisoned there only", slot{Instruction: mov}, slot{Instruction: bad, poisoned: true}, "", false},
		{"poisoned lddw", slot{Instruction: bad, poisoned: true}, slot{Instruction: wide, poisoned: true}, PoisonShape, false},
		{"missing type", slot{Instruction: mov, core: missing}, slot{Instruction: bad, poisoned: true}, MissingType, false},
		{"matches behind a pointer", slot{Instruction: isa.Instruction{Op: 0xb7, Imm: 1}, core: &spec.CoreReloc{Kind: "type_matches"}}, slot{Instruction: isa.Instruction{Op: 0xb7}}, BehindPtr, false},
		{"matches there only", slot{Instruction: isa.Instruction{Op: 0xb7}, core: &spec.CoreReloc{Kind: "type_matches"}}, slot{Instruction: isa.Instruction{Op: 0xb7, Imm: 1}}, "", false},
		{"other value", slot{Instruction: mov, core: &spec.CoreReloc{Kind: "type_size", After: 1}}, slot{Instruction: bad, poisoned: true}, "", false},
		{"kernel symbol", slot{Instruction: wide.WithSrc(3), ref: "f", kernel: true}, slot{Instruction: wide, ref: "f"}, KernelLater, false},
		{"flavour", slot{Instruction: wide, ref: "f", kernel: true}, slot{Instruction: wide, ref: "f___v1"}, KfuncFlavour, false},
		{"kernel symbol of another name", slot{Instruction: wide, ref: "f", kernel: true}, slot{Instruction: wide, ref: "g"}, "", false},
		{"address space", slot{Instruction: isa.Instruction{Op: 0xbf, Off: 1, Imm: 1}}, slot{Instruction: isa.Instruction{Op: 0xbf, Imm: 1}}, AddrSpace, false},
	}
	for _, tt := range tests {
		if why, same := compareSlots(tt.a, tt.b); why != tt.why || same != tt.same {
			t.Errorf("%s: %q %t, want %q %t", tt.name, why, same, tt.why, tt.same)
		}
	}
}
