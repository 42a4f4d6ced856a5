package elf

import (
	delf "debug/elf"
	"strings"
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

// opsObject makes an object with two struct_ops programs, an XDP program, and one
// section of structures { int (*run)(void); int (*stop)(void); long n; } with the
// given variables; relocs are by offset in that section.
func opsObject(t *testing.T, section string, size int, vars map[string]uint32, relocs map[uint64]string) []byte {
	t.Helper()
	var b btf.Builder
	long := &btf.Int{Name: "long", Size: 8, Encoding: btf.Signed}
	fn := &btf.Pointer{Target: &btf.FuncProto{Return: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}}}
	st := &btf.Struct{Name: "ops___mine", Size: 24, Members: []btf.Member{
		{Name: "run", Type: fn}, {Name: "stop", Type: fn, Offset: 64}, {Name: "n", Type: long, Offset: 128}}}
	ds := &btf.Datasec{Name: section, Size: uint32(size)}
	for _, name := range []string{"a", "b", "plain"} {
		off, ok := vars[name]
		if !ok {
			continue
		}
		var typ btf.Type = st
		if name == "plain" {
			typ = long
		}
		ds.Vars = append(ds.Vars, btf.VarSecinfo{Type: &btf.Var{Name: name, Type: typ, Linkage: btf.GlobalVar}, Offset: off, Size: 24})
	}
	if _, err := b.Add(ds); err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := newObject()
	sec := o.code("struct_ops", isa.Program{exit, exit})
	o.fn("one", sec, 0, 1)
	o.fn("two", sec, 1, 1)
	sec = o.code("xdp", isa.Program{exit})
	o.fn("drop", sec, 0, 1)
	data := make([]byte, size)
	data[16] = 7 // a.n
	sec = o.section(section, delf.SHT_PROGBITS, delf.SHF_ALLOC|delf.SHF_WRITE, data)
	for _, name := range []string{"a", "b"} {
		if off, ok := vars[name]; ok && int(off)+24 <= size {
			o.addSymbol(outSymbol{name: name, typ: delf.STT_OBJECT, bind: delf.STB_GLOBAL, sec: sec, value: uint64(off), size: 24})
		}
	}
	for off := range uint64(size) {
		if name, ok := relocs[off]; ok {
			o.secs[sec].relocs = append(o.secs[sec].relocs, outReloc{off, RelocAbs64, o.byName[name]})
		}
	}
	o.section(".BTF", delf.SHT_PROGBITS, 0, raw)
	return o.layOut()
}

func TestStructOps(t *testing.T) {
	tests := []struct {
		name, section string
		size          int
		vars          map[string]uint32
		relocs        map[uint64]string
		want          map[string][]spec.MapOp
		attach        map[string]string
		err           string
	}{
		{"two maps share a program", ".struct_ops.link", 48, map[string]uint32{"a": 0, "b": 24}, map[uint64]string{0: "one", 8: "two", 24: "one"},
			map[string][]spec.MapOp{"a": {{Member: "run", Program: "one"}, {Member: "stop", Off: 8, Program: "two"}}, "b": {{Member: "run", Program: "one"}}},
			map[string]string{"one": "ops:run", "two": "ops:stop"}, ""},
		{"on request", "?.struct_ops", 24, map[string]uint32{"a": 0}, map[uint64]string{8: "two"},
			map[string][]spec.MapOp{"a": {{Member: "stop", Off: 8, Program: "two"}}}, map[string]string{"two": "ops:stop"}, ""},
		{"one program, two members", ".struct_ops", 24, map[string]uint32{"a": 0}, map[uint64]string{0: "one", 8: "one"},
			nil, nil, `program "one" is for ops:run already, not for ops:stop`},
		{"no function", ".struct_ops", 24, map[string]uint32{"a": 0}, map[uint64]string{16: "one"}, nil, nil,
			`member "n" refers to a symbol, but is no pointer to a function`},
		{"between members", ".struct_ops", 24, map[string]uint32{"a": 0}, map[uint64]string{4: "one"}, nil, nil,
			"relocation at byte 4 of struct ops___mine, where no member begins"},
		{"program of another type", ".struct_ops", 24, map[string]uint32{"a": 0}, map[uint64]string{0: "drop"}, nil, nil,
			`"drop" is no usable struct_ops program`},
		{"past the end", ".struct_ops", 24, map[string]uint32{"b": 8}, nil, nil, nil, "its 24 bytes reach past the section's end"},
		{"no structure", ".struct_ops", 24, map[string]uint32{"plain": 0}, nil, nil, nil, "its type is no named structure"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := open(opsObject(t, tt.section, tt.size, tt.vars, tt.relocs))
			if err != nil {
				t.Fatal(err)
			}
			c, err := f.Collection(Options{})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[string][]spec.MapOp)
			for _, m := range c.Maps {
				got[m.Name] = m.Ops
				if m.Type != spec.MapStructOps || m.ValueSize != 24 || m.NoCreate != (tt.section[0] == '?') ||
					(m.Flags == spec.MapLink) != (tt.section == ".struct_ops.link") || len(m.Contents) != 1 {
					t.Errorf("map %+v", m)
				}
				if m.Name == "a" && m.Contents[0].Value[16] != 7 {
					t.Errorf("value % x", m.Contents[0].Value)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			for name, want := range tt.attach {
				if p := c.Program(name); p == nil || p.AttachTo != want {
					t.Errorf("program %s: %+v, want it for %s", name, p, want)
				}
			}
		})
	}
}
