package spec

import (
	"testing"

	"bpfvm/isa"
)

func TestFactsAt(t *testing.T) {
	f := &Facts{Access: []AccessFact{{}, {Kind: MemPacket, Size: 2, Min: 12, Max: 12}}}
	for _, c := range []struct {
		facts *Facts
		pc    int
		size  int
		want  MemKind
	}{
		{f, 1, 2, MemPacket}, {f, 1, 4, MemUnproven}, {f, 0, 2, MemUnproven}, {f, 2, 2, MemUnproven},
		{f, -1, 2, MemUnproven}, {nil, 1, 2, MemUnproven},
	} {
		if got := c.facts.At(isa.PC(c.pc), c.size).Kind; got != c.want {
			t.Errorf("slot %d, %d bytes: %v, want %v", c.pc, c.size, got, c.want)
		}
	}
	if MemMapValue.String() != "map value" || MemKind(99).String() != "?" {
		t.Error("names of kinds")
	}
}
