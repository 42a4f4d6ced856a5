package elf

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// placeVariables returns the object's BTF with the place of each variable in its
// section filled in. A compiler leaves offsets and section sizes zero, because
// they are known to the symbol table only; libbpf fills them in before the kernel
// sees the types, and sorts the variables by place (libbpf.c, btf_fixup_datasec).
func (l *loader) placeVariables(raw []byte) []byte {
	out := bytes.Clone(raw)
	le := binary.LittleEndian
	hdr := le.Uint32(raw[4:])
	types := out[hdr+le.Uint32(raw[8:]):][:le.Uint32(raw[12:])]
	vars := map[uint32]string{} // names of variables by type id
	type record struct {
		name    string
		at      int // of its size field
		members []byte
	}
	var secs []record
	for at, id := 0, uint32(1); at < len(types); id++ {
		name, _ := l.bt.name(le.Uint32(types[at:]))
		info := le.Uint32(types[at+4:])
		kind, n := info>>24&0x1f, int(info&0xffff)
		body := at + 12
		each, count := recordShape(int(kind), n)
		at = body + each*count
		switch kind {
		case kindVar:
			vars[id] = name
		case kindDatasec:
			secs = append(secs, record{name, body - 4, types[body:at]})
		}
	}
	done := map[string]bool{} // a section has one description; more are made to take time
	for _, s := range secs {
		if done[s.name] {
			continue
		}
		done[s.name] = true
		sec := l.f.Section(s.name)
		if sec == nil || !isDataSection(s.name) || sec.Size >= 1<<32 {
			continue
		}
		le.PutUint32(types[s.at:], uint32(sec.Size))
		places := l.symbolPlaces(sec.Index)
		var sorted [][]byte
		for v := range slices.Chunk(s.members, 12) { // struct btf_var_secinfo: type, offset, size
			if off, ok := places[vars[le.Uint32(v)]]; ok {
				le.PutUint32(v[4:], off)
			}
			sorted = append(sorted, bytes.Clone(v))
		}
		slices.SortStableFunc(sorted, func(x, y []byte) int { return cmp.Compare(le.Uint32(x[4:]), le.Uint32(y[4:])) })
		copy(s.members, slices.Concat(sorted...))
	}
	return out
}

// symbolPlaces maps the names of a section's symbols to their offsets.
func (l *loader) symbolPlaces(section int) map[string]uint32 {
	places := map[string]uint32{}
	for i := range l.f.Symbols {
		if s := &l.f.Symbols[i]; s.Section == section && !s.isSection() && s.Name != "" {
			places[s.Name] = uint32(s.Value)
		}
	}
	return places
}
