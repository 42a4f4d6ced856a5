package elf_test

import (
	"testing"

	"bpfvm/elf"
	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

// TestVariablePlaces wants variables where the symbol table has them: the
// compiler's BTF says 0 for all.
func TestVariablePlaces(t *testing.T) {
	target, err := types.Target()
	if err != nil {
		t.Fatal(err)
	}
	c, err := elf.Load("../testdata/trace/globals.bpf.o", elf.Options{Target: target})
	if err != nil {
		t.Fatal(err)
	}
	s, err := types.Load(c.BTF)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint32{}
	for _, name := range []string{".bss", ".data"} {
		var ds *btf.Datasec
		if err := s.TypeByName(name, &ds); err != nil {
			t.Fatal(err)
		}
		got[name] = ds.Size
		for _, v := range ds.Vars {
			got[v.Type.TypeName()] = v.Offset
		}
	}
	want := map[string]uint32{".bss": 24, "last": 0, "seen": 16, ".data": 32, "limit": 0, "state": 8}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("places (-want +got)\n%s", d)
	}
}
