package elf_test

import (
	"fmt"
	"strings"
	"testing"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/google/go-cmp/cmp"
)

// TestGCC reads an object of bpf-gcc 12 (testdata/gcc.c).
func TestGCC(t *testing.T) {
	c, err := elf.Load("testdata/gcc.o", elf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	type program struct {
		Funcs []string
		Calls map[isa.PC]string // slot -> function
		Refs  []string
	}
	got := make(map[string]program)
	for _, p := range c.Programs {
		out := program{Calls: make(map[isa.PC]string)}
		for _, fn := range p.Funcs {
			out.Funcs = append(out.Funcs, fn.Name)
		}
		for pc, in := range p.Insns.All() {
			if in.IsPseudoCall() || in.IsWide() && isa.Pseudo(in.Src()) == isa.PseudoFunc {
				to := pc + 1 + isa.PC(in.Imm)
				if fn := p.FuncAt(to); fn.PC == to {
					out.Calls[pc] = fn.Name
				}
			}
		}
		for _, r := range p.Refs {
			out.Refs = append(out.Refs, r.Name)
		}
		got[p.Name] = out
	}
	want := map[string]program{
		"count": {
			Funcs: []string{"count", "half", "third.constprop.0", "global"},
			Calls: map[isa.PC]string{8: "half", 10: "third.constprop.0", 15: "global", 31: "half"},
			Refs:  []string{"counts", ".data", ".bss", ".bss"},
		},
		"loop": {
			Funcs: []string{"loop", "callback", "global"},
			Calls: map[isa.PC]string{2: "callback", 8: "global"},
			Refs:  []string{".bss", ".rodata", ".bss"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("programs (-want +got):\n%s", diff)
	}
	if m := c.Map("counts"); m == nil || m.Type != spec.MapArray || m.MaxEntries != 4 {
		t.Errorf("map counts: %+v", m)
	}
}

// TestGCCAddends: GNU as leaves the sum of a global symbol and its addend in place.
// A reference to a variable must come out at the variable, not behind it.
func TestGCCAddends(t *testing.T) {
	f, err := elf.OpenFile("testdata/matrix/gcc-plain.o")
	if err != nil {
		t.Fatal(err)
	}
	info := f.Inspect(elf.Options{})
	vars := make(map[string]elf.VariableInfo)
	for _, v := range info.Variables {
		vars[v.Name] = v
	}
	checked := 0
	for _, r := range info.Relocs {
		v, ok := vars[r.Symbol]
		if !ok || r.After.Text == "" {
			continue
		}
		if want := fmt.Sprintf("map[%s][0]+%d", v.Map, v.Off); !strings.HasSuffix(r.After.Text, want) {
			t.Errorf("%s: %s, want %s", r.Symbol, r.After.Text, want)
		}
		if v.Off > 0 {
			checked++
		}
	}
	if checked == 0 {
		t.Error("no reference to a variable that is not the first of its section")
	}
}
