package scenario

import (
	"testing"

	"github.com/cilium/ebpf/btf"
)

// A section of variables is written as a structure of them.
func TestSection(t *testing.T) {
	u32 := &btf.Int{Name: "u32", Size: 4}
	v := valueType{size: 8, typ: section(&btf.Datasec{Name: ".bss", Size: 8, Vars: []btf.VarSecinfo{
		{Type: &btf.Var{Name: "seen", Type: u32}, Offset: 0, Size: 4},
		{Type: &btf.Var{Name: "limit", Type: u32}, Offset: 4, Size: 4},
	}})}
	b := []byte{1, 0, 0, 0, 2, 0, 0, 0}
	j, err := v.encode(b)
	if err != nil || string(j) != `{"seen":1,"limit":2}` {
		t.Errorf("%s %v", j, err)
	}
	if got := v.text(b); got != "{seen=1, limit=2}" {
		t.Error(got)
	}
	if back, err := v.decode([]byte(`{"limit": 2, "seen": 1}`)); err != nil || string(back) != string(b) {
		t.Errorf("%x %v", back, err)
	}
}

// Without types, sizes decide.
func TestUntyped(t *testing.T) {
	for _, c := range []struct {
		size uint32
		in   string
		want string
	}{
		{4, "42", "42"}, {4, `"0x2a"`, "42"}, {8, "18446744073709551615", "18446744073709551615"}, {3, `"010203"`, `"010203"`},
	} {
		v := valueType{size: c.size}
		b, err := v.decode([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if j, err := v.encode(b); err != nil || string(j) != c.want {
			t.Errorf("%s: %s %v", c.in, j, err)
		}
	}
	for _, in := range []string{"", "{}", `"x"`, "4294967296"} {
		if b, err := (valueType{size: 4}).decode([]byte(in)); err == nil {
			t.Errorf("%q gives %x", in, b)
		}
	}
}
