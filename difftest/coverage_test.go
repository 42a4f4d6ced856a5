package difftest

import (
	"slices"
	"testing"

	"bpfvm/isa"
)

// notGenerated are forms that generated programs do not hold, by group or name: the
// kernel accepts most of them in other program types or with other privileges only.
func notGenerated(op *isa.Op) bool {
	switch op.Opcode {
	case isa.OpCallX, isa.OpMayGoto, isa.OpLdImm64:
		return true
	case isa.OpCall:
		return op.Src.Value == int32(isa.PseudoKfuncCall)
	}
	switch op.Name {
	case "cast_kern", "cast_user": // between the address spaces of arenas
		return true
	}
	return op.Opcode.Class() == isa.ClassLD || slices.Contains([]isa.Group{isa.GroupPacket, isa.GroupCallX}, op.Group)
}

// Generated programs hold every form of instruction that the kernel lets any program
// have, but for those of notGenerated.
func TestGeneratesEveryForm(t *testing.T) {
	seen := map[string]int{}
	for n := range 1500 {
		for _, ins := range Generate(5, n, GenOptions{}).Spec.Programs[0].Insns.All() {
			if op, ok := isa.Lookup(ins); ok {
				seen[op.Name]++
			}
		}
	}
	missing := 0
	for i := range isa.Ops() {
		op := &isa.Ops()[i]
		if seen[op.Name] == 0 && !notGenerated(op) {
			missing++
			t.Errorf("no program holds %s", op.Name)
		}
		if seen[op.Name] > 0 && notGenerated(op) && op.Opcode != isa.OpLdImm64 {
			t.Errorf("%s is generated: take it off the list", op.Name)
		}
	}
	t.Logf("%d forms generated, %d missing", len(seen), missing)
}
