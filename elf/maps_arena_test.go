package elf_test

import (
	"encoding/binary"
	"testing"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/spec"
)

// TestArenaVariables: variables in an arena are its first bytes, and code refers to
// them as to variables of the arena's map.
func TestArenaVariables(t *testing.T) {
	c, err := elf.Load("testdata/matrix/arena.o", elf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := c.Map("memory")
	if m == nil || m.Type != spec.MapArena || len(m.Contents) != 1 {
		t.Fatalf("map memory: %+v", m)
	}
	if v := m.Contents[0].Value; len(v) != 40 || binary.LittleEndian.Uint64(v) != 5 {
		t.Errorf("%d bytes % x, want 40 that begin with counter = 5", len(v), v)
	}
	p := c.Program("count")
	offs := map[uint32]bool{}
	for _, r := range p.Refs {
		if r.Name != "memory" {
			continue
		}
		in := p.Insns[r.PC]
		if r.Kind != spec.RefMapValue || isa.Pseudo(in.Src()) != isa.PseudoMapValue || p.Insns[r.PC+1].Imm != int32(r.Off) {
			t.Errorf("slot %d: %+v, %v", r.PC, r, in)
		}
		offs[r.Off] = true
	}
	if !offs[0] || !offs[8] || len(offs) != 2 {
		t.Errorf("references to offsets %v, want counter at 0 and table at 8", offs)
	}
}
