package elf

import (
	"encoding/binary"
	"fmt"
	"strings"

	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

const (
	shtProgbits = 1 // SHT_PROGBITS
	shtNobits   = 8 // SHT_NOBITS
)

// readDataMap makes the map that holds the variables of .data, .rodata, .bss or
// a section named after one of them: an array of one element, which is the
// section (libbpf.c, bpf_object__init_internal_map). The compiler's own constant
// sections, .rodata.str1.1 and .rodata.cst16, are of this kind too.
//
// libbpf puts the object's name before ".data"; here the map keeps the name of
// its section.
//
// A section that no symbol and no instruction names is left out: compilers leave
// such remains of constants that they have put into instructions.
func (l *loader) readDataMap(s *Section) {
	if !l.named[s.Index] {
		return
	}
	name := s.Name
	if l.mapNamed[name] != nil {
		name = fmt.Sprintf("%s#%d", name, s.Index) // two sections of one name
	}
	key := mapKey{s.Index, 0}
	if s.Flags&shfCompressed != 0 {
		l.refuseMap(key, name, s, unsupported("compressed section"))
		return
	}
	if err := l.chargeData(s); err != nil {
		l.refuseMap(key, name, s, err)
		return
	}
	contents := make([]byte, s.Size)
	copy(contents, s.data)
	m := &spec.MapSpec{
		Name:       name,
		Type:       spec.MapArray,
		KeySize:    4,
		ValueSize:  uint32(s.Size),
		MaxEntries: 1,
		Section:    s.Name,
		Contents:   []spec.MapKV{{Key: arrayKey(0), Value: contents}},
	}
	if s.Name == ".rodata" || strings.HasPrefix(s.Name, ".rodata.") {
		m.Flags |= spec.MapRdOnlyProg
		m.Frozen = true
	}
	if ds := l.datasec(s.Name); ds != nil {
		m.ValueTypeID = l.typeID(ds)
		if l.exposesVariable(s, ds) {
			m.Flags |= spec.MapMmapable
		}
	}
	l.mapName[s.Index] = name
	l.addMap(key, m)
}

// namedSections tells which sections hold something that a symbol names or an
// instruction refers to.
func (f *File) namedSections() map[int]bool {
	named := make(map[int]bool)
	for i := range f.Symbols {
		if s := &f.Symbols[i]; !s.isSection() && s.Name != "" {
			named[s.Section] = true
		}
	}
	for i := range f.Sections {
		if !f.Sections[i].Exec() {
			continue
		}
		for _, r := range f.Relocs(i) {
			named[f.Symbols[r.Sym].Section] = true
		}
	}
	return named
}

// chargeData accounts for a section's variables. Those of .bss are not in the
// file, whose size therefore says nothing about them.
func (l *loader) chargeData(s *Section) error {
	if s.Type != shtNobits {
		return l.b.take("section "+s.Name, int64(s.Size), 1)
	}
	if s.Size > uint64(l.bss) {
		return fmt.Errorf("%d bytes of variables; all .bss together may have %d: %w", s.Size, maxDataSize, ErrTooLarge)
	}
	l.bss -= int64(s.Size)
	return nil
}

const shfCompressed = 1 << 11 // SHF_COMPRESSED

// datasec returns the BTF description of a section's variables, or nil.
func (l *loader) datasec(name string) *btf.Datasec {
	if l.bt == nil {
		return nil
	}
	var ds *btf.Datasec
	if l.bt.spec.TypeByName(name, &ds) != nil {
		return nil
	}
	return ds
}

// exposesVariable reports whether user space may want to map the section: one of
// its variables is neither static nor hidden (libbpf.c, map_is_mmapable and
// btf_fixup_datasec).
func (l *loader) exposesVariable(s *Section, ds *btf.Datasec) bool {
	hidden := make(map[string]bool)
	for i := range l.f.Symbols {
		if sym := &l.f.Symbols[i]; sym.Section == s.Index && sym.hidden() {
			hidden[sym.Name] = true
		}
	}
	for _, vsi := range ds.Vars {
		if v, ok := vsi.Type.(*btf.Var); ok && v.Linkage != btf.StaticVar && !hidden[v.Name] {
			return true
		}
	}
	return false
}

// arrayKey returns an array index as the kernel's key bytes.
func arrayKey(i uint32) []byte { return binary.LittleEndian.AppendUint32(nil, i) }
