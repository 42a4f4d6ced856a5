package elf

import (
	"cmp"
	delf "debug/elf"
	"encoding/binary"
	"slices"
	"strings"

	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// The classic map definition, samples/bpf/bpf_load.h of Linux 4.x:
//
//	struct bpf_map_def {
//		unsigned int type;           //  0
//		unsigned int key_size;       //  4
//		unsigned int value_size;     //  8
//		unsigned int max_entries;    // 12
//		unsigned int map_flags;      // 16
//		unsigned int inner_map_idx;  // 20, since 4.12
//		unsigned int numa_node;      // 24, since 4.14
//	};
//
// Each loader of the time had its own idea of what follows the first five
// fields, so the size of a definition is taken from the object. iproute2's struct
// bpf_elf_map, known by its size, has an id and a pinning there.
const (
	iproute2Size  = 36
	legacyMinSize = 20
	legacyMaxSize = 28 // bytes whose meaning is known
)

// readMaps reads all maps of the object, in the order of their sections.
func (l *loader) readMaps() {
	for i := range l.f.Sections {
		s := &l.f.Sections[i]
		switch l.secs[i] {
		case secLegacyMaps:
			l.readLegacyMaps(s)
		case secBTFMaps:
			l.readBTFMaps(s)
		case secData:
			l.readDataMap(s)
		case secStructOps:
			l.readStructOps(s)
		}
	}
	for i := range l.f.Sections {
		if l.secs[i] == secArena {
			l.readArenaData(&l.f.Sections[i]) // the arena itself is in .maps
		}
	}
}

// mapCost is what one MapSpec takes in memory.
const mapCost = 256

func (l *loader) addMap(k mapKey, m *spec.MapSpec) {
	if l.mapNamed[m.Name] != nil {
		l.refuseMap(k, m.Name, l.f.section(k.sec), formatErr("two maps of this name"))
		return
	}
	if err := l.b.take("maps", 1, mapCost); err != nil {
		l.refuseMap(k, m.Name, l.f.section(k.sec), err)
		return
	}
	l.maps[k], l.mapNamed[m.Name] = m, m
	l.out.Maps = append(l.out.Maps, m)
}

func (l *loader) refuseMap(k mapKey, name string, s *Section, err error) {
	me := &MapError{Map: name, Section: s.Name, Off: int64(k.off), Err: err}
	l.badMaps[k] = me
	l.errs.add(me)
}

// symbolsOf returns the symbols that name places in a section, by offset; of
// several at one place the global one.
func (l *loader) symbolsOf(sec int) []*Symbol {
	var syms []*Symbol
	for i := range l.f.Symbols {
		s := &l.f.Symbols[i]
		if s.Section == sec && s.Name != "" &&
			(s.Type == uint8(delf.STT_OBJECT) || s.Type == uint8(delf.STT_NOTYPE)) {
			syms = append(syms, s)
		}
	}
	slices.SortStableFunc(syms, func(a, b *Symbol) int {
		return cmp.Or(cmp.Compare(a.Value, b.Value), -boolCompare(a.Global(), b.Global()))
	})
	return slices.CompactFunc(syms, func(a, b *Symbol) bool { return a.Value == b.Value })
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// readLegacyMaps reads a section "maps" of struct bpf_map_def, one at each
// symbol, or a section "maps/NAME" with one definition.
func (l *loader) readLegacyMaps(s *Section) {
	if s.Type != shtProgbits {
		l.errs.add(&SectionError{Section: s.Name, Off: -1, Err: formatErr("map definitions in a section of type %s", s.TypeName())})
		return
	}
	syms := l.symbolsOf(s.Index)
	if name, ok := strings.CutPrefix(s.Name, "maps/"); ok && len(syms) == 0 && name != "" {
		syms = []*Symbol{{Name: name, Section: s.Index}}
	}
	if len(syms) == 0 {
		l.errs.add(&SectionError{Section: s.Name, Off: -1, Err: formatErr("no symbol names a map in it")})
		return
	}
	defs := make([]*spec.MapSpec, len(syms)) // by place, as inner_map_idx counts
	for i, sym := range syms {
		end := s.Size
		if i+1 < len(syms) {
			end = syms[i+1].Value
		}
		if sym.Size != 0 {
			if sym.Size > end-sym.Value {
				l.refuseMap(mapKey{s.Index, sym.Value}, sym.Name, s,
					formatErr("its %d bytes overlap the next definition", sym.Size))
				continue
			}
			end = sym.Value + sym.Size
		}
		m, err := parseLegacyMap(s.data[sym.Value:end])
		if err != nil {
			l.refuseMap(mapKey{s.Index, sym.Value}, sym.Name, s, err)
			continue
		}
		m.Name, m.Section = sym.Name, s.Name
		l.annotateLegacyMap(m)
		defs[i] = m
	}
	for i, m := range defs {
		if m == nil {
			continue
		}
		key := mapKey{s.Index, syms[i].Value}
		if isMapInMap(m.Type) {
			inner, err := legacyInner(defs, m)
			if err != nil {
				l.refuseMap(key, m.Name, s, err)
				continue
			}
			m.Inner = inner
		}
		l.addMap(key, m)
	}
}

// parseLegacyMap decodes one struct bpf_map_def of any length.
func parseLegacyMap(def []byte) (*spec.MapSpec, error) {
	if len(def) < legacyMinSize {
		return nil, formatErr("definition of %d bytes, the shortest has %d", len(def), legacyMinSize)
	}
	if len(def) > legacyMaxSize {
		if i := slices.IndexFunc(def[legacyMaxSize:], func(b byte) bool { return b != 0 }); i >= 0 {
			return nil, unsupported("byte %d of the %d-byte definition is %#x: fields after the first %d bytes",
				legacyMaxSize+i, len(def), def[legacyMaxSize+i], legacyMaxSize)
		}
	}
	field := func(off int) uint32 {
		if off+4 > len(def) {
			return 0
		}
		return binary.LittleEndian.Uint32(def[off:])
	}
	m := &spec.MapSpec{
		Type:       spec.MapType(field(0)),
		KeySize:    field(4),
		ValueSize:  field(8),
		MaxEntries: field(12),
		Flags:      spec.MapFlags(field(16)),
	}
	switch {
	case len(def) == iproute2Size:
		m.Pinning = field(24)
	default:
		if isMapInMap(m.Type) {
			m.InnerIndex = field(20)
		}
		if m.Flags&spec.MapNUMANode != 0 {
			m.NumaNode = field(24)
		}
	}
	if m.Type == spec.MapUnspec {
		return nil, formatErr("map type is 0 (unspecified)")
	}
	settle(m)
	return m, nil
}

// legacyInner finds the template of a map-in-map: a copy of the definition whose
// place in the section inner_map_idx gives.
func legacyInner(defs []*spec.MapSpec, m *spec.MapSpec) (*spec.MapSpec, error) {
	i := m.InnerIndex
	if uint64(i) >= uint64(len(defs)) || defs[i] == nil {
		return nil, formatErr("inner_map_idx %d names no usable map of the section's %d", i, len(defs))
	}
	if isMapInMap(defs[i].Type) {
		return nil, unsupported("inner map %q is itself a map of maps", defs[i].Name)
	}
	inner := *defs[i]
	inner.InnerIndex = 0
	return &inner, nil
}

// annotateLegacyMap takes the types of key and value from the structure that the
// macro BPF_ANNOTATE_KV_PAIR of those days leaves in BTF:
// struct ____btf_map_NAME { KEY key; VALUE value; }.
func (l *loader) annotateLegacyMap(m *spec.MapSpec) {
	if l.bt == nil {
		return
	}
	var st *btf.Struct
	if l.bt.spec.TypeByName("____btf_map_"+m.Name, &st) != nil || len(st.Members) != 2 {
		return
	}
	key, value := st.Members[0], st.Members[1]
	if key.Name != "key" || value.Name != "value" || l.sizeof(key.Type) != m.KeySize || l.sizeof(value.Type) != m.ValueSize {
		return
	}
	m.KeyTypeID, m.ValueTypeID = l.typeID(key.Type), l.typeID(value.Type)
}

// sizeof returns the size of a local type, or 0 where it has none.
func (l *loader) sizeof(t btf.Type) uint32 {
	n, err := btf.Sizeof(t)
	if err != nil || n < 0 || int64(n) > 1<<32-1 {
		return 0
	}
	return uint32(n)
}

// typeID returns the id of a type of the object.
func (l *loader) typeID(t btf.Type) uint32 {
	id, err := l.bt.spec.TypeID(t)
	if err != nil {
		return 0
	}
	return uint32(id)
}

func isMapInMap(t spec.MapType) bool {
	return t == spec.MapArrayOfMaps || t == spec.MapHashOfMaps
}

// settle gives a map the sizes that the kernel asks for where its definition says
// something else. Definitions of ring buffers and of perf event arrays often name
// the type of the events, so that tools know it; the kernel wants no sizes for
// the former and file descriptors as values of the latter.
func settle(m *spec.MapSpec) {
	switch m.Type {
	case spec.MapRingBuf, spec.MapUserRingBuf:
		m.KeySize, m.ValueSize = 0, 0
		m.MaxEntries = ringSize(m.MaxEntries)
	case spec.MapPerfEventArray:
		m.KeySize, m.ValueSize = 4, 4
	}
}

// pageSize is the page of the machine that we show; ring buffers come in pages.
const pageSize = 4096

// ringSize rounds the size of a ring buffer up to a power of two of whole pages,
// which is what the kernel asks for (libbpf.c, adjust_ringbuf_sz).
func ringSize(size uint32) uint32 {
	if size == 0 {
		return 0 // stays an error that the kernel reports
	}
	for n := uint64(pageSize); n <= 1<<31; n <<= 1 {
		if n >= uint64(size) {
			return uint32(n)
		}
	}
	return size
}
