package elf

import (
	"cmp"
	delf "debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
)

// RelocType is the kind of a relocation (llvm/docs, "BPF relocations";
// llvm/include/llvm/BinaryFormat/ELFRelocs/BPF.def).
type RelocType uint32

// Kinds of relocations. The object stores no addresses, so a loader needs only
// to know which instruction refers to which symbol; the addend is in the
// instruction or the data itself, except in SHT_RELA sections.
const (
	RelocNone     RelocType = 0
	Reloc64_64    RelocType = 1  // the 64-bit immediate of LDDW
	RelocAbs64    RelocType = 2  // 8 bytes of data: a map's initial values
	RelocAbs32    RelocType = 3  // 4 bytes of data: debug sections
	RelocNoDyld32 RelocType = 4  // 4 bytes of .BTF and .BTF.ext, known without it
	Reloc64_32    RelocType = 10 // the 32-bit immediate of a call
)

// String returns the name that llvm-readelf prints.
func (t RelocType) String() string {
	switch t {
	case RelocNone:
		return "R_BPF_NONE"
	case Reloc64_64:
		return "R_BPF_64_64"
	case RelocAbs64:
		return "R_BPF_64_ABS64"
	case RelocAbs32:
		return "R_BPF_64_ABS32"
	case RelocNoDyld32:
		return "R_BPF_64_NODYLD32"
	case Reloc64_32:
		return "R_BPF_64_32"
	}
	return fmt.Sprintf("relocation type %d", uint32(t))
}

// Reloc is one relocation: the bytes at Off of its section refer to a symbol.
type Reloc struct {
	Off       uint64
	Type      RelocType
	Sym       int   // symbol number
	Addend    int64 // from SHT_RELA
	HasAddend bool  // else the addend is in place
}

// relocCost is what one Reloc takes in memory.
const relocCost = 40

// readRelocs reads the relocations of the sections that a loader looks at, in
// order of their offset. Those of debug sections and of .BTF are left alone:
// every value that they could change is known without them.
func (f *File) readRelocs() error {
	var errs ErrorList
	for i := range f.Sections {
		s := &f.Sections[i]
		entry := 0
		switch delf.SectionType(s.Type) {
		case delf.SHT_REL:
			entry = relSize
		case delf.SHT_RELA:
			entry = relaSize
		default:
			continue
		}
		target := f.section(int(s.Info))
		fault := func(off int, format string, args ...any) {
			errs.add(&SectionError{Section: s.Name, Off: int64(off), Err: formatErr(format, args...)})
		}
		if target == nil {
			fault(-1, "changes section %d, which does not exist", s.Info)
			continue
		}
		if !wantsRelocs(target) {
			continue
		}
		if s.EntSize != uint64(entry) || len(s.data)%entry != 0 {
			fault(-1, "%d bytes of relocations with %d bytes each, want %d each", len(s.data), s.EntSize, entry)
			continue
		}
		if int(s.Link) != f.symtab || f.symtab == 0 {
			fault(-1, "its symbols are in section %d, which is not the symbol table", s.Link)
			continue
		}
		if err := f.budget.take("relocations", int64(len(s.data)/entry), relocCost); err != nil {
			return err
		}
		le := binary.LittleEndian
		list := slices.Grow(f.relocs[target.Index], len(s.data)/entry)
		for off := 0; off < len(s.data); off += entry {
			b := s.data[off:]
			info := le.Uint64(b[8:])
			r := Reloc{Off: le.Uint64(b), Type: RelocType(uint32(info)), Sym: int(info >> 32)}
			if entry == relaSize {
				r.Addend, r.HasAddend = int64(le.Uint64(b[16:])), true
			}
			switch {
			case r.Type == RelocNone:
				continue
			case r.Sym >= len(f.Symbols):
				fault(off, "symbol %d, the object has %d", r.Sym, len(f.Symbols))
			case target.Size < 8 || r.Off > target.Size-8:
				fault(off, "changes offset %#x of section %s, which has %#x bytes", r.Off, quoteName(target.Name), target.Size)
			default:
				list = append(list, r)
			}
		}
		f.relocs[target.Index] = list
	}
	for sec, list := range f.relocs {
		slices.SortStableFunc(list, func(a, b Reloc) int { return cmp.Compare(a.Off, b.Off) })
		if !f.Sections[sec].Exec() {
			continue
		}
		for i := 1; i < len(list); i++ {
			if list[i].Off == list[i-1].Off {
				errs.add(&SectionError{Section: f.Sections[sec].Name, Off: int64(list[i].Off),
					Err: formatErr("two relocations of one instruction")})
			}
		}
	}
	slices.SortStableFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return errs.err()
}

// wantsRelocs reports whether a loader needs to know the section's relocations.
func wantsRelocs(s *Section) bool {
	return s.Exec() || s.Name == btfMapsSection || isDataSection(s.Name) || isStructOpsSection(s.Name)
}

// Relocs returns the relocations of a section by offset. Sections that hold
// debug information have none here.
func (f *File) Relocs(section int) []Reloc { return f.relocs[section] }
