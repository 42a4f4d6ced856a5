package elf

import (
	delf "debug/elf"
	"encoding/binary"
	"math"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// mapMember is one member of a map's definition in BTF, see maps_btf.go.
type mapMember struct {
	name  string
	value uint64
}

// mapMembers lists the members that a definition needs. "values", which holds the
// template of inner maps, is not among them: it has no size.
func mapMembers(m *isa.AsmMap) []mapMember {
	typ, _ := spec.MapTypeByName(m.Type)
	out := []mapMember{{"type", uint64(typ)}}
	add := func(name string, v uint64) {
		if v != 0 {
			out = append(out, mapMember{name, v})
		}
	}
	add("key_size", uint64(m.KeySize))
	if m.Inner == "" {
		add("value_size", uint64(m.ValueSize))
	}
	add("max_entries", uint64(m.MaxEntries))
	add("map_flags", uint64(m.Flags))
	add("map_extra", m.Extra)
	return out
}

// addBTF describes maps and kernel functions in BTF.
func (w *writer) addBTF() error {
	if w.classic {
		return nil
	}
	t := &typeWriter{
		w:       w,
		integer: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed},
	}
	b, err := btf.NewBuilder(nil, nil)
	if err != nil {
		return err
	}
	for _, ds := range []*btf.Datasec{t.mapSection(), t.kfuncSection()} {
		if len(ds.Vars) == 0 {
			continue
		}
		if _, err := b.Add(ds); err != nil {
			return err
		}
	}
	if b.Empty() {
		return nil
	}
	raw, err := b.Marshal(nil, &btf.MarshalOptions{Order: binary.LittleEndian})
	if err != nil {
		return err
	}
	w.add(outSection{name: ".BTF", typ: delf.SHT_PROGBITS, data: raw, align: 4})
	return nil
}

// typeWriter builds the types of an object.
type typeWriter struct {
	w       *writer
	integer *btf.Int
}

// mapSection describes section .maps: a variable for each map.
func (t *typeWriter) mapSection() *btf.Datasec {
	ds := &btf.Datasec{Name: btfMapsSection}
	for i := range t.w.unit.Maps {
		m := &t.w.unit.Maps[i]
		st := t.definition(m, true)
		ds.Vars = append(ds.Vars, btf.VarSecinfo{
			Type:   &btf.Var{Name: m.Name, Type: st, Linkage: btf.GlobalVar},
			Offset: ds.Size,
			Size:   st.Size,
		})
		ds.Size += st.Size
	}
	return ds
}

// definition builds the structure that defines a map. The template of inner maps
// is the definition of another map, without a template of its own.
func (t *typeWriter) definition(m *isa.AsmMap, outer bool) *btf.Struct {
	st := new(btf.Struct)
	for _, mem := range mapMembers(m) {
		st.Members = append(st.Members, btf.Member{Name: mem.name, Type: t.number(mem), Offset: btf.Bits(st.Size * 8)})
		st.Size += 8
	}
	if m.Inner == "" || !outer {
		return st
	}
	for i := range t.w.unit.Maps {
		if inner := &t.w.unit.Maps[i]; inner.Name == m.Inner {
			values := &btf.Array{Index: t.integer, Type: &btf.Pointer{Target: t.definition(inner, false)}}
			st.Members = append(st.Members, btf.Member{Name: "values", Type: values, Offset: btf.Bits(st.Size * 8)})
		}
	}
	return st
}

// number writes a number as a type: int (*)[N], or an enumerator where N has more
// than 32 bits (bpf_helpers.h, __uint and __ulong).
func (t *typeWriter) number(m mapMember) btf.Type {
	if m.value > math.MaxUint32 {
		return &btf.Enum{Size: 8, Values: []btf.EnumValue{{Name: "__unique_" + m.name, Value: m.value}}}
	}
	return &btf.Pointer{Target: &btf.Array{Index: t.integer, Type: t.integer, Nelems: uint32(m.value)}}
}

// kfuncSection describes section .ksyms: the kernel functions that are called.
// Their parameters are not known here, so the prototypes have none.
func (t *typeWriter) kfuncSection() *btf.Datasec {
	ds := &btf.Datasec{Name: ksymsSection}
	seen := make(map[string]bool)
	for i := range t.w.unit.Sections {
		for _, r := range t.w.unit.Sections[i].Refs {
			if r.Kind != isa.RefKfunc || seen[r.Symbol] {
				continue
			}
			seen[r.Symbol] = true
			fn := &btf.Func{Name: r.Symbol, Type: &btf.FuncProto{Return: &btf.Void{}}, Linkage: btf.ExternFunc}
			ds.Vars = append(ds.Vars, btf.VarSecinfo{Type: fn})
		}
	}
	return ds
}
