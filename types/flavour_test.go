package types_test

import (
	"testing"

	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

func TestEssentialName(t *testing.T) {
	for name, want := range map[string]string{
		"task_struct": "task_struct", "task_struct___old": "task_struct", "a___b___c": "a___b", "x___": "x___",
		"___x": "___x", "a____b": "a____b", "": "",
	} {
		if got := types.EssentialName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// TestFlavours looks for all flavours of a name, whichever of them is given.
func TestFlavours(t *testing.T) {
	target, err := types.Target()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nf_conn", "nf_conn___init", "nf_conn___none"} {
		list, err := types.Flavours(target, name)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, typ := range list {
			if _, ok := typ.(*btf.Struct); ok {
				got = append(got, typ.TypeName())
			}
		}
		if len(got) != 2 || got[0] != "nf_conn" || got[1] != "nf_conn___init" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestFlavoursOfABlob builds a BTF with four flavours of one name: each is found by
// its own name and by none of the others'.
func TestFlavoursOfABlob(t *testing.T) {
	var b btf.Builder
	names := []string{"s___a", "s", "s___b", "s___c", "other"}
	for i, n := range names {
		if _, err := b.Add(&btf.Struct{Name: n, Size: uint32(i)}); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := b.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := types.Load(raw)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range names {
		typ, err := types.TypeByName(spec, "struct "+n)
		if err != nil || typ.TypeName() != n || typ.(*btf.Struct).Size != uint32(i) {
			t.Errorf("%s: %v %v", n, typ, err)
		}
	}
	if list, err := types.Flavours(spec, "s___d"); len(list) != 4 || err != nil {
		t.Errorf("flavours: %v %v", list, err)
	}
}
