package elf

import (
	delf "debug/elf"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

func TestLegacyMaps(t *testing.T) {
	def := func(n int, v ...uint32) []byte { return append(words(v...), make([]byte, n-4*len(v))...) }
	tests := []struct {
		name string
		data []byte
		syms []outSymbol // name, value, size
		want []spec.MapSpec
		err  string
	}{
		{name: "20 bytes", data: def(20, 1, 4, 8, 16, 1),
			syms: []outSymbol{{name: "m", size: 20}},
			want: []spec.MapSpec{{Name: "m", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 16, Flags: 1}}},
		{name: "28 bytes with a node", data: def(28, 2, 4, 8, 16, 4, 0, 1),
			syms: []outSymbol{{name: "m", size: 28}},
			want: []spec.MapSpec{{Name: "m", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 16, Flags: spec.MapNUMANode, NumaNode: 1}}},
		{name: "36 bytes of iproute2", data: def(36, 2, 4, 8, 16, 0, 7, 2),
			syms: []outSymbol{{name: "m", size: 36}},
			want: []spec.MapSpec{{Name: "m", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 16, Pinning: 2}}},
		{name: "280 bytes, all zero after the fields", data: def(280, 2, 4, 8, 16),
			syms: []outSymbol{{name: "m", size: 280}},
			want: []spec.MapSpec{{Name: "m", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 16}}},
		{name: "unknown field", data: def(40, 2, 4, 8, 16, 0, 0, 0, 0, 9),
			syms: []outSymbol{{name: "m", size: 40}},
			err:  `maps+0x0: map "m": byte 32 of the 40-byte definition is 0x9: fields after the first 28 bytes: unsupported`},
		{name: "symbols without size", data: append(def(28, 1, 4, 8, 1), def(28, 2, 4, 4, 2)...),
			syms: []outSymbol{{name: "b", value: 28}, {name: "a"}},
			want: []spec.MapSpec{
				{Name: "a", Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 1},
				{Name: "b", Type: spec.MapArray, KeySize: 4, ValueSize: 4, MaxEntries: 2}}},
		{name: "too short", data: def(16, 1, 4, 8, 1), syms: []outSymbol{{name: "m", size: 16}},
			err: `map "m": definition of 16 bytes, the shortest has 20`},
		{name: "overlap", data: def(40, 1, 4, 8, 1), syms: []outSymbol{{name: "a", size: 28}, {name: "b", value: 20, size: 20}},
			want: nil, err: `maps+0x0: map "a": its 28 bytes overlap the next definition`},
		{name: "no type", data: def(20, 0, 4), syms: []outSymbol{{name: "m", size: 20}}, err: "map type is 0"},
		{name: "no symbol", data: def(20, 1, 4, 8, 1), err: `section "maps": no symbol names a map in it`},
		{name: "inner map", data: append(def(28, 2, 4, 4, 2), def(28, 12, 4, 4, 8, 0, 0)...),
			syms: []outSymbol{{name: "in", size: 28}, {name: "outer", value: 28, size: 28}},
			want: []spec.MapSpec{
				{Name: "in", Type: spec.MapArray, KeySize: 4, ValueSize: 4, MaxEntries: 2},
				{Name: "outer", Type: spec.MapArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 8,
					Inner: &spec.MapSpec{Name: "in", Type: spec.MapArray, KeySize: 4, ValueSize: 4, MaxEntries: 2, Section: "maps"}}}},
		{name: "inner map is itself", data: def(28, 12, 4, 4, 8, 0, 0), syms: []outSymbol{{name: "m", size: 28}},
			err: `inner map "m" is itself a map of maps`},
		{name: "inner map does not exist", data: def(28, 12, 4, 4, 8, 0, 9), syms: []outSymbol{{name: "m", size: 28}},
			err: `inner_map_idx 9 names no usable map of the section's 1`},
		{name: "ring buffer", data: def(20, 27, 0, 0, 5000), syms: []outSymbol{{name: "m", size: 20}},
			want: []spec.MapSpec{{Name: "m", Type: spec.MapRingBuf, MaxEntries: 8192}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := newObject()
			sec := o.section("maps", delf.SHT_PROGBITS, delf.SHF_ALLOC|delf.SHF_WRITE, tt.data)
			for _, s := range tt.syms {
				s.sec, s.typ, s.bind = sec, delf.STT_OBJECT, delf.STB_GLOBAL
				o.addSymbol(s)
			}
			f, err := open(o.layOut())
			if err != nil {
				t.Fatal(err)
			}
			c, err := f.Collection(Options{})
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v\nwant %s", err, tt.err)
			}
			if tt.err != "" {
				return
			}
			var got []spec.MapSpec
			for _, m := range c.Maps {
				if m.Section != "maps" {
					t.Errorf("map %s: section %q", m.Name, m.Section)
				}
				m := *m
				m.Section = ""
				got = append(got, m)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("maps (-want +got):\n%s", diff)
			}
		})
	}
}

// btfSection marshals types as a compiler would.
func btfSection(t testing.TB, types ...btf.Type) []byte {
	t.Helper()
	b, err := btf.NewBuilder(types, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, &btf.MarshalOptions{Order: binary.LittleEndian})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

var (
	u32Type = &btf.Int{Name: "u32", Size: 4}
	u64Type = &btf.Int{Name: "u64", Size: 8}
	intType = &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
)

func numberType(n uint32) btf.Type {
	return &btf.Pointer{Target: &btf.Array{Index: intType, Type: intType, Nelems: n}}
}

// mapDefinition makes the structure of a .maps definition.
func mapDefinition(members ...btf.Member) *btf.Struct {
	st := new(btf.Struct)
	for _, m := range members {
		m.Offset = btf.Bits(st.Size * 8)
		st.Members = append(st.Members, m)
		if _, ok := m.Type.(*btf.Array); !ok {
			st.Size += 8
		}
	}
	return st
}

func TestBTFMaps(t *testing.T) {
	num := func(name string, n uint32) btf.Member { return btf.Member{Name: name, Type: numberType(n)} }
	ptr := func(name string, to btf.Type) btf.Member {
		return btf.Member{Name: name, Type: &btf.Pointer{Target: to}}
	}
	values := func(of btf.Type) btf.Member {
		return btf.Member{Name: "values", Type: &btf.Array{Index: intType, Type: &btf.Pointer{Target: of}}}
	}
	array := mapDefinition(num("type", 2), num("max_entries", 1), ptr("key", u32Type), ptr("value", u64Type))
	tests := []struct {
		name    string
		def     btf.Type
		linkage btf.VarLinkage
		want    spec.MapSpec
		err     string
	}{
		{name: "types", def: mapDefinition(num("type", 1), num("max_entries", 64), ptr("key", u32Type), ptr("value", u64Type), num("map_flags", 1), num("pinning", 1)),
			want: spec.MapSpec{Type: spec.MapHash, KeySize: 4, ValueSize: 8, MaxEntries: 64, Flags: 1, Pinning: 1}},
		{name: "sizes", def: mapDefinition(num("type", 2), num("key_size", 4), num("value_size", 100), num("max_entries", 3), num("numa_node", 2)),
			want: spec.MapSpec{Type: spec.MapArray, KeySize: 4, ValueSize: 100, MaxEntries: 3, NumaNode: 2}},
		{name: "64-bit map_extra", def: mapDefinition(num("type", 33), num("max_entries", 1),
			btf.Member{Name: "map_extra", Type: &btf.Enum{Size: 8, Values: []btf.EnumValue{{Name: "__unique_value1", Value: 1 << 44}}}}),
			want: spec.MapSpec{Type: spec.MapArena, MaxEntries: 1, Extra: 1 << 44}},
		{name: "map of maps", def: mapDefinition(num("type", 12), num("max_entries", 2), num("key_size", 4), values(array)),
			want: spec.MapSpec{Type: spec.MapArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 2,
				Inner: &spec.MapSpec{Name: "m.inner", Type: spec.MapArray, KeySize: 4, ValueSize: 8, MaxEntries: 1}}},
		{name: "static", def: array, linkage: btf.StaticVar, err: `.maps+0x0: map "m": map declared static: unsupported`},
		{name: "unknown member", def: mapDefinition(num("type", 1), num("colour", 3)), err: `map "m": member "colour" of a map definition: unsupported`},
		{name: "sizes differ", def: mapDefinition(num("type", 1), num("key_size", 8), ptr("key", u32Type)), err: "key: keys of 8 and of 4 bytes"},
		{name: "no type", def: mapDefinition(num("max_entries", 1)), err: `map "m": no type`},
		{name: "no structure", def: u32Type, err: "its type is no structure but u32"},
		{name: "number is none", def: mapDefinition(ptr("type", u32Type)), err: "type: no number but a pointer"},
		{name: "key without size", def: mapDefinition(num("type", 1), ptr("key", &btf.Fwd{Name: "secret"})), err: `key: size of forward-declared secret is unknown`},
		{name: "values of a hash", def: mapDefinition(num("type", 1), values(array)), err: "values: initial values of a map of type hash: unsupported"},
		{name: "values first", def: mapDefinition(num("type", 12), values(array), num("max_entries", 1)), err: "values: it is not the last member"},
		{name: "maps of maps of maps", def: mapDefinition(num("type", 12), values(mapDefinition(num("type", 12), values(array)))), err: "values: maps of maps of maps: unsupported"},
		{name: "pinned inner map", def: mapDefinition(num("type", 12), values(mapDefinition(num("type", 1), num("pinning", 1)))), err: "inner map: pinning: an inner map cannot be pinned"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.linkage == 0 && tt.name != "static" {
				tt.linkage = btf.GlobalVar
			}
			size, err := btf.Sizeof(tt.def)
			if err != nil {
				t.Fatal(err)
			}
			o := newObject()
			sec := o.section(".maps", delf.SHT_PROGBITS, delf.SHF_ALLOC|delf.SHF_WRITE, make([]byte, size))
			o.addSymbol(outSymbol{"m", delf.STT_OBJECT, delf.STB_GLOBAL, sec, 0, uint64(size)})
			o.section(".BTF", delf.SHT_PROGBITS, 0, btfSection(t, &btf.Datasec{Name: ".maps", Size: uint32(size),
				Vars: []btf.VarSecinfo{{Type: &btf.Var{Name: "m", Type: tt.def, Linkage: tt.linkage}, Size: uint32(size)}}}))
			f, err := open(o.layOut())
			if err != nil {
				t.Fatal(err)
			}
			c, err := f.Collection(Options{})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v\nwant %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := *c.Map("m")
			for _, m := range []*spec.MapSpec{&got, got.Inner} {
				if m != nil {
					m.KeyTypeID, m.ValueTypeID, m.Section = 0, 0, ""
				}
			}
			tt.want.Name = "m"
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("map (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMapsWithoutBTF: a program that needs a refused map is refused with the
// map's reason.
func TestMapsWithoutBTF(t *testing.T) {
	o := newObject()
	maps := o.section(".maps", delf.SHT_PROGBITS, delf.SHF_ALLOC|delf.SHF_WRITE, make([]byte, 32))
	m := o.addSymbol(outSymbol{"m", delf.STT_OBJECT, delf.STB_GLOBAL, maps, 0, 32})
	sec := o.code("xdp", isa.Program{{Op: 0x18, Regs: 1}, {}, exit})
	o.fn("p", sec, 0, 3)
	o.secs[sec].relocs = []outReloc{{0, Reloc64_64, m}}
	f, err := open(o.layOut())
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Collection(Options{})
	list, _ := errors.AsType[ErrorList](err)
	if len(list) != 2 || !errors.Is(err, ErrNoBTF) || len(c.Maps)+len(c.Programs) != 0 {
		t.Fatalf("%d maps, %d programs, error %v", len(c.Maps), len(c.Programs), err)
	}
	if pe := list.Programs(); len(pe) != 1 || !errors.Is(pe[0], ErrNoBTF) {
		t.Errorf("program refused for %v", pe)
	}
}
