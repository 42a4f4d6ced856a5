package elf

import (
	"cmp"
	"encoding/binary"
	"slices"

	"bpfvm/isa"
	"bpfvm/spec"
)

// btfExt is the .BTF.ext section: what BTF says about instructions. Each of its
// three parts lists, by section of code, records that begin with the offset of
// an instruction (Documentation/bpf/btf.rst, ".BTF.ext section").
type btfExt struct {
	funcs map[int][]funcInfo // by section number, sorted by offset
	lines map[int][]lineInfo
	core  map[int][]*coreRelo
	// order holds all CO-RE relocations in the order of the file.
	order []*coreRelo
}

type funcInfo struct {
	off    uint64 // bytes from the start of the section
	typeID uint32
}

type lineInfo struct {
	off  uint64
	line spec.Line // with PC 0
}

const (
	btfExtHeaderSize = 24 // struct btf_ext_header up to line_info_len
	btfExtCoreHeader = 32 // with core_relo_off and core_relo_len

	funcInfoSize = 8  // sizeof(struct bpf_func_info)
	lineInfoSize = 16 // sizeof(struct bpf_line_info)
	coreReloSize = 16 // sizeof(struct bpf_core_relo)

	maxExtRecord = 1024 // newer compilers may append to records, but not this much

	lineCost = 80  // of a lineInfo
	coreCost = 512 // of a coreRelo with its note
)

// parseBTFExt reads the .BTF.ext section. Records of a section that the object
// does not have are an error, since their instructions would run unrelocated.
func (f *File) parseBTFExt(raw []byte, bt *objectBTF, b *budget) (*btfExt, error) {
	le := binary.LittleEndian
	if len(raw) < btfExtHeaderSize {
		return nil, formatErr("%d bytes are less than a .BTF.ext header", len(raw))
	}
	if magic := le.Uint16(raw); magic != btfMagic {
		return nil, formatErr(".BTF.ext magic is %#x", magic)
	}
	if raw[2] != 1 {
		return nil, unsupported(".BTF.ext version %d", raw[2])
	}
	hdr := uint64(le.Uint32(raw[4:]))
	if hdr < btfExtHeaderSize || hdr > uint64(len(raw)) {
		return nil, formatErr(".BTF.ext header of %d bytes", hdr)
	}
	ext := &btfExt{
		funcs: make(map[int][]funcInfo),
		lines: make(map[int][]lineInfo),
		core:  make(map[int][]*coreRelo),
	}
	p := extParser{bt: bt, b: b, body: raw[hdr:], sections: make(map[string]*Section)}
	for i := len(f.Sections) - 1; i > 0; i-- {
		p.sections[f.Sections[i].Name] = &f.Sections[i] // the first of a name wins, as in libbpf
	}
	err := p.part("func_info", le.Uint32(raw[8:]), le.Uint32(raw[12:]), funcInfoSize,
		func(sec *Section, off uint64, r []byte) error {
			id := le.Uint32(r[4:])
			if int64(id) >= int64(bt.types) {
				return formatErr("type %d, the last one is %d", id, bt.types-1)
			}
			ext.funcs[sec.Index] = append(ext.funcs[sec.Index], funcInfo{off, id})
			return b.take("func_info", 1, 16)
		})
	if err != nil {
		return nil, err
	}
	err = p.part("line_info", le.Uint32(raw[16:]), le.Uint32(raw[20:]), lineInfoSize,
		func(sec *Section, off uint64, r []byte) error {
			file, ok1 := bt.name(le.Uint32(r[4:]))
			text, ok2 := bt.name(le.Uint32(r[8:]))
			if !ok1 || !ok2 {
				return formatErr("name or text outside the BTF strings")
			}
			col := le.Uint32(r[12:])
			ext.lines[sec.Index] = append(ext.lines[sec.Index], lineInfo{off, spec.Line{
				File: file, Text: text, Line: int(col >> 10), Col: int(col & 0x3ff)}})
			return b.take("line_info", 1, lineCost)
		})
	if err != nil {
		return nil, err
	}
	if hdr >= btfExtCoreHeader {
		err = p.part("core_relo", le.Uint32(raw[24:]), le.Uint32(raw[28:]), coreReloSize,
			func(sec *Section, off uint64, r []byte) error {
				rel := &coreRelo{sec: sec.Index, off: off, typeID: le.Uint32(r[4:]), kind: coreKind(le.Uint32(r[12:]))}
				if int64(rel.typeID) >= int64(bt.types) {
					return formatErr("type %d, the last one is %d", rel.typeID, bt.types-1)
				}
				var ok bool
				if rel.access, ok = bt.name(le.Uint32(r[8:])); !ok {
					return formatErr("access string outside the BTF strings")
				}
				ext.core[sec.Index] = append(ext.core[sec.Index], rel)
				ext.order = append(ext.order, rel)
				return b.take("core_relo", 1, coreCost)
			})
		if err != nil {
			return nil, err
		}
	}
	for _, l := range ext.funcs {
		slices.SortStableFunc(l, func(a, b funcInfo) int { return cmp.Compare(a.off, b.off) })
	}
	for _, l := range ext.lines {
		slices.SortStableFunc(l, func(a, b lineInfo) int { return cmp.Compare(a.off, b.off) })
	}
	for _, l := range ext.core {
		slices.SortStableFunc(l, func(a, b *coreRelo) int { return cmp.Compare(a.off, b.off) })
	}
	return ext, nil
}

type extParser struct {
	bt       *objectBTF
	b        *budget
	body     []byte // what follows the header; offsets count from here
	sections map[string]*Section
}

// part reads one part: the size of its records, then for each section a
// struct btf_ext_info_sec (name, number of records) and the records.
func (p *extParser) part(what string, off, size uint32, want int, record func(*Section, uint64, []byte) error) error {
	if uint64(off)+uint64(size) > uint64(len(p.body)) {
		return formatErr("%s: %#x bytes at %#x reach past the section's end", what, size, off)
	}
	d, le := p.body[off:off+size], binary.LittleEndian
	if len(d) == 0 {
		return nil
	}
	if len(d) < 4 {
		return formatErr("%s: no record size", what)
	}
	each := int(le.Uint32(d))
	if each < want || each > maxExtRecord || each%4 != 0 {
		return formatErr("%s: records of %d bytes, want at least %d", what, each, want)
	}
	for d = d[4:]; len(d) > 0; {
		if len(d) < 8 {
			return formatErr("%s: section header is cut off", what)
		}
		name, ok := p.bt.name(le.Uint32(d))
		n := uint64(le.Uint32(d[4:]))
		d = d[8:]
		sec := p.sections[name]
		if !ok || sec == nil {
			return formatErr("%s: records for section %s, which the object does not have", what, quoteName(name))
		}
		if n > uint64(len(d)/each) {
			return formatErr("%s: %d records for section %s are cut off", what, n, quoteName(name))
		}
		for i := range int(n) {
			r := d[i*each : (i+1)*each]
			at := uint64(le.Uint32(r))
			if at%isa.SlotSize != 0 || at >= sec.Size {
				return formatErr("%s: offset %#x is no instruction of section %s", what, at, quoteName(name))
			}
			if err := record(sec, at, r); err != nil {
				return formatErr("%s: section %s offset %#x: %w", what, quoteName(name), at, err)
			}
		}
		d = d[int(n)*each:]
	}
	return nil
}

// within returns the records of a sorted list with from <= off < to.
func within[T any](list []T, from, to uint64, off func(T) uint64) []T {
	by := func(v T, at uint64) int { return cmp.Compare(off(v), at) }
	i, _ := slices.BinarySearchFunc(list, from, by)
	j, _ := slices.BinarySearchFunc(list, to, by)
	return list[i:max(i, j)]
}
