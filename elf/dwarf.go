package elf

import (
	"debug/dwarf"
	delf "debug/elf"
	"encoding/binary"
	"fmt"
	"strings"

	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// Debugging information is in sections of its own, which a relocatable object
// stores unrelocated: where a string or another unit is, only a relocation says
// (llvm/docs, "BPF relocations"; DWARF 5, section 7.3).

// debugSections are the sections that types are read from, as debug/dwarf knows
// them.
var debugSections = []string{"abbrev", "info", "str", "line", "ranges", "addr", "line_str", "rnglists", "str_offsets", "types"}

// HasDWARF reports whether the object has debugging information.
func (f *File) HasDWARF() bool {
	s := f.Section(".debug_info")
	return s != nil && len(s.data) > 0
}

// DWARFTypes returns the types of the object's debugging information, for objects
// without BTF. The error wraps types.ErrNoDWARF where there is none.
func (f *File) DWARFTypes() ([]btf.Type, error) {
	if !f.HasDWARF() {
		return nil, fmt.Errorf("section .debug_info: %w", types.ErrNoDWARF)
	}
	b := newBudget(int64(len(f.data)))
	data := make(map[string][]byte)
	for _, name := range debugSections {
		s := f.Section(".debug_" + name)
		if s == nil || len(s.data) == 0 {
			continue
		}
		raw, err := f.relocated(s, b)
		if err != nil {
			return nil, err
		}
		if name == "str" || name == "line_str" {
			if err := shortStrings(s, raw); err != nil {
				return nil, err
			}
		}
		data[name] = raw
	}
	d, err := dwarf.New(data["abbrev"], nil, nil, data["info"], data["line"], nil, data["ranges"], data["str"])
	if err != nil {
		return nil, formatErr("section .debug_info: %v", err)
	}
	for _, name := range []string{"addr", "line_str", "rnglists", "str_offsets"} {
		if err := d.AddSection(".debug_"+name, data[name]); err != nil {
			return nil, formatErr("section .debug_%s: %v", name, err)
		}
	}
	return types.FromDWARF(d)
}

// shortStrings refuses names that a few bytes of debugging information could
// repeat until memory is full.
func shortStrings(s *Section, raw []byte) error {
	for text := range strings.SplitSeq(string(raw), "\x00") {
		if len(text) > maxNameLen {
			return &SectionError{Section: s.Name, Off: -1, Err: formatErr("text of %d bytes", len(text))}
		}
	}
	return nil
}

// relocated returns a section's bytes with its relocations applied. Values that a
// compiler has put in already, as clang does, come out the same.
func (f *File) relocated(s *Section, b *budget) ([]byte, error) {
	fault := func(off int64, err error) error { return &SectionError{Section: s.Name, Off: off, Err: err} }
	if s.Flags&shfCompressed != 0 {
		return nil, fault(-1, unsupported("compressed section"))
	}
	if err := b.take("debugging information", int64(len(s.data)), 2); err != nil {
		return nil, fault(-1, err)
	}
	out := append([]byte(nil), s.data...)
	le := binary.LittleEndian
	for i := range f.Sections {
		r := &f.Sections[i]
		if r.Type != uint32(delf.SHT_REL) || int(r.Info) != s.Index || r.EntSize != relSize {
			continue
		}
		if err := b.take("relocations", int64(len(r.data)/relSize), relSize); err != nil {
			return nil, fault(-1, err)
		}
		for e := r.data; len(e) >= relSize; e = e[relSize:] {
			off, info := le.Uint64(e), le.Uint64(e[8:])
			size := uint64(4)
			switch RelocType(uint32(info)) {
			case RelocNone:
				continue
			case RelocAbs64, Reloc64_64: // the latter from clang before 13
				size = 8
			case RelocAbs32, RelocNoDyld32, Reloc64_32:
			default:
				return nil, fault(int64(off), unsupported("%v", RelocType(uint32(info))))
			}
			if off > uint64(len(out)) || size > uint64(len(out))-off || info>>32 >= uint64(len(f.Symbols)) {
				return nil, fault(int64(off), formatErr("relocation outside the section or the symbols"))
			}
			sym := &f.Symbols[info>>32]
			if f.binutils && !sym.isSection() {
				continue // the sum is in place, see addend
			}
			if size == 8 {
				le.PutUint64(out[off:], le.Uint64(out[off:])+sym.Value)
			} else {
				le.PutUint32(out[off:], le.Uint32(out[off:])+uint32(sym.Value))
			}
		}
	}
	return out, nil
}
