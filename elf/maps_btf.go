package elf

import (
	"fmt"
	"math"

	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// A map of section ".maps" is a variable whose type is its definition. The macros
// of bpf_helpers.h write numbers as array lengths and types as pointees:
//
//	struct {
//		int (*type)[1];         // __uint(type, BPF_MAP_TYPE_HASH)
//		int (*max_entries)[64]; // __uint(max_entries, 64)
//		u32 *key;               // __type(key, u32)
//		u64 *value;             // __type(value, u64)
//	} counts SEC(".maps");
//
// so the definition is in BTF alone and the section's bytes are zero, except for
// the initial values of prog arrays and maps of maps, which are relocations
// (libbpf.c, parse_btf_map_def).

// readBTFMaps reads the maps of section ".maps".
func (l *loader) readBTFMaps(s *Section) {
	syms := l.symbolsOf(s.Index)
	refuseAll := func(err error) {
		for _, sym := range syms {
			l.refuseMap(mapKey{s.Index, sym.Value}, sym.Name, s, err)
		}
		if len(syms) == 0 {
			l.errs.add(&SectionError{Section: s.Name, Off: -1, Err: err})
		}
	}
	if l.bt == nil {
		refuseAll(fmt.Errorf("its definition is in BTF: %w", l.btErr))
		return
	}
	ds := l.datasec(s.Name)
	if ds == nil {
		refuseAll(formatErr("BTF does not describe section %s", s.Name))
		return
	}
	byName := make(map[string]*Symbol, len(syms))
	for _, sym := range syms {
		byName[sym.Name] = sym
	}
	for _, vsi := range ds.Vars {
		v, ok := vsi.Type.(*btf.Var)
		if !ok {
			l.errs.add(&SectionError{Section: s.Name, Off: -1, Err: formatErr("BTF describes a %T, not a variable", vsi.Type)})
			continue
		}
		sym := byName[v.Name]
		if v.Linkage == btf.ExternVar {
			l.errs.add(&SectionError{Section: s.Name, Off: -1, Symbol: v.Name,
				Err: fmt.Errorf("map declared extern, so it must come from another object: %w", ErrUndefined)})
			continue
		}
		if sym == nil {
			l.errs.add(&SectionError{Section: s.Name, Off: -1, Symbol: v.Name, Err: formatErr("BTF describes a map that has no symbol")})
			continue
		}
		delete(byName, v.Name)
		key := mapKey{s.Index, sym.Value}
		if v.Linkage != btf.GlobalVar {
			l.refuseMap(key, v.Name, s, unsupported("map declared static"))
			continue
		}
		m, err := l.parseMapDef(v.Type, nil)
		if err != nil {
			l.refuseMap(key, v.Name, s, err)
			continue
		}
		m.Name, m.Section = v.Name, s.Name
		if m.Inner != nil {
			m.Inner.Name, m.Inner.Section = v.Name+".inner", s.Name
		}
		if err := l.initialValues(s, sym, v.Type, m); err != nil {
			l.refuseMap(key, v.Name, s, err)
			continue
		}
		l.addMap(key, m)
	}
	for _, sym := range syms {
		if byName[sym.Name] != nil {
			l.refuseMap(mapKey{s.Index, sym.Value}, sym.Name, s, formatErr("BTF does not describe it"))
		}
	}
}

// parseMapDef reads the structure that defines a map. outer is the map that this
// one is the template of, or nil.
func (l *loader) parseMapDef(t btf.Type, outer *spec.MapSpec) (*spec.MapSpec, error) {
	st, ok := btf.UnderlyingType(t).(*btf.Struct)
	if !ok {
		return nil, formatErr("its type is no structure but %s", typeText(t))
	}
	m := new(spec.MapSpec)
	sized := func(size *uint32, n uint32, what string) error {
		if *size != 0 && *size != n {
			return formatErr("%s of %d and of %d bytes", what, *size, n)
		}
		*size = n
		return nil
	}
	for i, mem := range st.Members {
		var err error
		var n uint64
		switch mem.Name {
		case "type", "max_entries", "map_flags", "numa_node", "key_size", "value_size", "pinning", "map_extra":
			if n, err = numberOf(mem.Type); err == nil && n > math.MaxUint32 && mem.Name != "map_extra" {
				err = formatErr("%d does not fit in 32 bits", n)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", mem.Name, err)
		}
		switch mem.Name {
		case "type":
			m.Type = spec.MapType(n)
		case "max_entries":
			m.MaxEntries = uint32(n)
		case "map_flags":
			m.Flags = spec.MapFlags(n)
		case "numa_node":
			m.NumaNode = uint32(n)
		case "map_extra":
			m.Extra = n
		case "key_size":
			err = sized(&m.KeySize, uint32(n), "keys")
		case "value_size":
			err = sized(&m.ValueSize, uint32(n), "values")
		case "key":
			if m.KeyTypeID, n, err = l.pointee(mem.Type); err == nil {
				err = sized(&m.KeySize, uint32(n), "keys")
			}
		case "value":
			if m.ValueTypeID, n, err = l.pointee(mem.Type); err == nil {
				err = sized(&m.ValueSize, uint32(n), "values")
			}
		case "pinning":
			// Loaders other than libbpf have values of their own; the pin is shown
			// and never acted on, so any will do.
			if outer != nil {
				err = formatErr("an inner map cannot be pinned")
			}
			m.Pinning = uint32(n)
		case "values":
			switch {
			case outer != nil:
				err = unsupported("maps of maps of maps")
			case i != len(st.Members)-1:
				err = formatErr("it is not the last member")
			default:
				if err = sized(&m.ValueSize, 4, "values"); err == nil {
					err = l.parseValues(mem.Type, m)
				}
			}
		default:
			return nil, unsupported("member %q of a map definition", mem.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", mem.Name, err)
		}
	}
	if m.Type == spec.MapUnspec {
		return nil, formatErr("no type")
	}
	settle(m)
	return m, nil
}

// parseValues reads __array(values, T): the template of the inner maps, or the
// prototype of the programs.
func (l *loader) parseValues(t btf.Type, m *spec.MapSpec) error {
	if !isMapInMap(m.Type) && m.Type != spec.MapProgArray {
		return unsupported("initial values of a map of type %v", m.Type)
	}
	arr, ok := btf.UnderlyingType(t).(*btf.Array)
	if !ok || arr.Nelems != 0 {
		return formatErr("no array of unknown length but %s", typeText(t))
	}
	ptr, ok := btf.UnderlyingType(arr.Type).(*btf.Pointer)
	if !ok {
		return formatErr("no array of pointers but of %s", typeText(arr.Type))
	}
	if m.Type == spec.MapProgArray {
		if _, ok := btf.UnderlyingType(ptr.Target).(*btf.FuncProto); !ok {
			return formatErr("no array of functions but of %s", typeText(ptr.Target))
		}
		return nil
	}
	inner, err := l.parseMapDef(ptr.Target, m)
	if err != nil {
		return fmt.Errorf("inner map: %w", err)
	}
	m.Inner = inner
	return nil
}

// numberOf reads a number written as int (*name)[N], or as an enumerator for
// numbers of 64 bits (__ulong).
func numberOf(t btf.Type) (uint64, error) {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Pointer:
		if arr, ok := btf.UnderlyingType(t.Target).(*btf.Array); ok {
			return uint64(arr.Nelems), nil
		}
	case *btf.Enum:
		if len(t.Values) == 1 {
			return t.Values[0].Value, nil
		}
	}
	return 0, formatErr("no number but %s", typeText(t))
}

// pointee returns the id and the size of the type behind a pointer.
func (l *loader) pointee(t btf.Type) (id uint32, size uint64, err error) {
	ptr, ok := t.(*btf.Pointer)
	if !ok {
		return 0, 0, formatErr("no pointer but %s", typeText(t))
	}
	n, err := btf.Sizeof(ptr.Target)
	if err != nil || n < 0 || int64(n) > math.MaxUint32 {
		return 0, 0, formatErr("size of %s is unknown", typeText(ptr.Target))
	}
	return l.typeID(ptr.Target), uint64(n), nil
}

// initialValues reads the relocations that fill a map: each is 8 bytes of the
// array "values" and names a program or a map (libbpf.c,
// bpf_object__collect_map_relos).
func (l *loader) initialValues(s *Section, sym *Symbol, t btf.Type, m *spec.MapSpec) error {
	st, _ := btf.UnderlyingType(t).(*btf.Struct)
	size := sym.Size
	if size == 0 {
		size = uint64(st.Size)
	}
	if size > s.Size-sym.Value {
		return formatErr("its %d bytes reach past the section's end", size)
	}
	rels := within(l.f.Relocs(s.Index), sym.Value, sym.Value+size, func(r Reloc) uint64 { return r.Off })
	if err := onlyZeroes(s, sym.Value, size, rels); err != nil {
		return err
	}
	if len(rels) == 0 {
		return nil
	}
	if len(st.Members) == 0 || st.Members[len(st.Members)-1].Name != "values" {
		return formatErr("relocation at %#x, but no member \"values\"", rels[0].Off)
	}
	first := sym.Value + uint64(st.Members[len(st.Members)-1].Offset.Bytes())
	for _, r := range rels {
		if r.Off < first || (r.Off-first)%8 != 0 {
			return formatErr("relocation at %#x is no element of \"values\" at %#x", r.Off, first)
		}
		target := &l.f.Symbols[r.Sym]
		if target.isSection() || target.Name == "" {
			return unsupported("initial value at %#x refers to a static symbol", r.Off)
		}
		kv := spec.MapKV{Key: arrayKey(uint32((r.Off - first) / 8))}
		kind := l.kindOf(target.Section)
		switch {
		case m.Type == spec.MapProgArray && kind == secCode:
			kv.Program = target.Name
		case isMapInMap(m.Type) && (kind == secBTFMaps || kind == secLegacyMaps):
			kv.Map = target.Name
		default:
			return formatErr("initial value at %#x: symbol %s is neither program nor map", r.Off, quoteName(target.Name))
		}
		if err := l.b.take("initial values", 1, 96); err != nil {
			return err
		}
		m.Contents = append(m.Contents, kv)
	}
	return nil
}

// onlyZeroes checks that a definition has no bytes but those that relocations
// fill: a member that was given a value in C, ".key = 1", defines nothing.
func onlyZeroes(s *Section, from, size uint64, rels []Reloc) error {
	if len(s.data) == 0 {
		return nil
	}
	for i, b := range s.data[from : from+size] {
		at := from + uint64(i)
		for len(rels) > 0 && rels[0].Off+8 <= at {
			rels = rels[1:]
		}
		if b != 0 && (len(rels) == 0 || at < rels[0].Off) {
			return unsupported("byte %#x of the section is %#x: values given to members of a definition", at, b)
		}
	}
	return nil
}

// kindOf returns what is done with the section of that number.
func (l *loader) kindOf(sec int) sectionKind {
	if sec <= 0 || sec >= len(l.secs) {
		return secOther
	}
	return l.secs[sec]
}

// checkContents drops initial values that name a program or map which is not in
// the collection, since no slot can hold it.
func (l *loader) checkContents() {
	progs := make(map[string]bool, len(l.out.Programs))
	for _, p := range l.out.Programs {
		progs[p.Name] = true
	}
	for _, m := range l.out.Maps {
		kept := m.Contents[:0]
		for _, kv := range m.Contents {
			missing := ""
			switch {
			case kv.Program != "" && !progs[kv.Program]:
				missing = "program " + quoteName(kv.Program)
			case kv.Map != "" && l.mapNamed[kv.Map] == nil:
				missing = "map " + quoteName(kv.Map)
			}
			if missing == "" {
				kept = append(kept, kv)
				continue
			}
			l.errs.add(&MapError{Map: m.Name, Section: m.Section, Off: -1,
				Err: formatErr("initial value names %s, which is not usable", missing)})
		}
		m.Contents = kept
	}
}

// typeText describes a type in a message. The library's own text of a type may
// be as long as the type, so only kind and name are shown.
func typeText(t btf.Type) string {
	if t == nil {
		return "void"
	}
	kind := ""
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Void:
		return "void"
	case *btf.Int:
		return t.Name
	case *btf.Pointer:
		return "a pointer"
	case *btf.Array:
		return "an array"
	case *btf.FuncProto, *btf.Func:
		return "a function"
	case *btf.Struct:
		kind = "struct "
	case *btf.Union:
		kind = "union "
	case *btf.Enum:
		kind = "enum "
	case *btf.Fwd:
		kind = "forward-declared "
	}
	if name := btf.UnderlyingType(t).TypeName(); name != "" {
		return kind + shortName(name)
	}
	return kind + "(unnamed)"
}
