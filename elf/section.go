package elf

import (
	"bytes"
	delf "debug/elf"
	"encoding/binary"
	"strings"
)

// Section is one entry of the section header table.
type Section struct {
	Index   int
	Name    string
	Type    uint32 // SHT_*
	Flags   uint64 // SHF_*
	Offset  uint64 // in the file
	Size    uint64 // bytes; a SHT_NOBITS section has none in the file
	Link    uint32 // symbol table -> string table, relocations -> symbol table
	Info    uint32 // relocations -> the section they change
	Align   uint64
	EntSize uint64

	data []byte
}

// Data returns the section's bytes in the file, which the caller must not
// change. A SHT_NOBITS section has none.
func (s *Section) Data() []byte { return s.data }

// Exec reports whether the section holds instructions.
func (s *Section) Exec() bool {
	return s.Type == uint32(delf.SHT_PROGBITS) && s.Flags&uint64(delf.SHF_EXECINSTR) != 0
}

// TypeName returns the section type as readelf prints it: "PROGBITS".
func (s *Section) TypeName() string {
	if s.Type == shtAddrsig {
		return "LLVM_ADDRSIG"
	}
	return strings.TrimPrefix(delf.SectionType(s.Type).String(), "SHT_")
}

// FlagNames returns the section flags as readelf's letters: "WAX".
func (s *Section) FlagNames() string {
	var b strings.Builder
	for _, f := range []struct {
		bit    delf.SectionFlag
		letter byte
	}{
		{delf.SHF_WRITE, 'W'}, {delf.SHF_ALLOC, 'A'}, {delf.SHF_EXECINSTR, 'X'},
		{delf.SHF_MERGE, 'M'}, {delf.SHF_STRINGS, 'S'}, {delf.SHF_INFO_LINK, 'I'},
		{delf.SHF_LINK_ORDER, 'L'}, {delf.SHF_GROUP, 'G'}, {delf.SHF_TLS, 'T'},
		{delf.SHF_COMPRESSED, 'C'},
	} {
		if s.Flags&uint64(f.bit) != 0 {
			b.WriteByte(f.letter)
		}
	}
	if s.Flags&shfExclude != 0 {
		b.WriteByte('E')
	}
	return b.String()
}

const shtAddrsig = 0x6fff4c03 // SHT_LLVM_ADDRSIG: symbols whose address matters

const shfExclude = 0x80000000 // SHF_EXCLUDE: .llvm_addrsig

// sectionCost is what one Section takes in memory, with its slot in a table.
const sectionCost = 128

// readSections reads the section header table and the names (gABI, chapter 4,
// "Sections").
func (f *File) readSections() error {
	h := &f.Header
	le := binary.LittleEndian
	first, ok := f.bytes(h.ShOff, shdrSize)
	if !ok {
		return formatErr("section header table at %#x, the file ends at %#x", h.ShOff, len(f.data))
	}
	// Objects with 65280 sections and more keep the number in entry 0's size, the
	// string section's number in its link.
	num := uint64(h.ShNum)
	if num == 0 {
		num = le.Uint64(first[32:])
	}
	if h.ShStrNdx == int(delf.SHN_XINDEX) {
		h.ShStrNdx = int(le.Uint32(first[40:]))
	}
	if num == 0 || num > uint64(len(f.data))/shdrSize {
		return formatErr("%d section headers in a file of %d bytes", num, len(f.data))
	}
	table, ok := f.bytes(h.ShOff, num*shdrSize)
	if !ok {
		return formatErr("%d section headers at %#x reach past the file's end at %#x", num, h.ShOff, len(f.data))
	}
	h.ShNum = int(num)
	if err := f.budget.take("section headers", int64(num), sectionCost); err != nil {
		return err
	}

	var errs ErrorList
	f.Sections = make([]Section, num)
	nameOffs := make([]uint32, num)
	for i := range f.Sections {
		b := table[i*shdrSize:]
		s := &f.Sections[i]
		nameOffs[i] = le.Uint32(b)
		*s = Section{
			Index:   i,
			Type:    le.Uint32(b[4:]),
			Flags:   le.Uint64(b[8:]),
			Offset:  le.Uint64(b[24:]),
			Size:    le.Uint64(b[32:]),
			Link:    le.Uint32(b[40:]),
			Info:    le.Uint32(b[44:]),
			Align:   le.Uint64(b[48:]),
			EntSize: le.Uint64(b[56:]),
		}
		if i == 0 || s.Type == uint32(delf.SHT_NOBITS) || s.Type == uint32(delf.SHT_NULL) {
			continue
		}
		if s.data, ok = f.bytes(s.Offset, s.Size); !ok {
			errs.add(formatErr("section %d: %#x bytes at %#x reach past the file's end at %#x",
				i, s.Size, s.Offset, len(f.data)))
		}
	}
	if len(errs) > 0 {
		return errs
	}
	if h.ShStrNdx <= 0 || h.ShStrNdx >= len(f.Sections) {
		return formatErr("section names in section %d, which does not exist", h.ShStrNdx)
	}
	names := string(f.Sections[h.ShStrNdx].data)
	for i := 1; i < len(f.Sections); i++ {
		if f.Sections[i].Name, ok = stringAt(names, nameOffs[i]); !ok {
			errs.add(formatErr("section %d: name at %#x, outside the %#x bytes of names", i, nameOffs[i], len(names)))
		}
	}
	return errs.err()
}

// Section returns the first section of that name, or nil.
func (f *File) Section(name string) *Section {
	for i := range f.Sections {
		if i > 0 && f.Sections[i].Name == name {
			return &f.Sections[i]
		}
	}
	return nil
}

// section returns the section of that number, or nil for the reserved numbers
// and those outside the table.
func (f *File) section(n int) *Section {
	if n <= 0 || n >= len(f.Sections) {
		return nil
	}
	return &f.Sections[n]
}

// License returns the text of section "license" without its NUL. The kernel
// compares it with the licenses that may call GPL-only helpers
// (include/linux/license.h, license_is_gpl_compatible).
func (f *File) License() string {
	s := f.Section("license")
	if s == nil {
		return ""
	}
	text, _, _ := bytes.Cut(s.data, []byte{0})
	return string(text)
}

// Version returns the kernel version of section "version": LINUX_VERSION_CODE,
// major<<16 | minor<<8 | patch. Kernels before 5.0 compared it for kprobes.
func (f *File) Version() (uint32, error) {
	s := f.Section("version")
	if s == nil {
		return 0, nil
	}
	if len(s.data) != 4 {
		return 0, &SectionError{Section: "version", Off: -1, Err: formatErr("%d bytes instead of 4", len(s.data))}
	}
	return binary.LittleEndian.Uint32(s.data), nil
}

// stringAt returns the NUL-terminated string at off of a string table. It shares
// the table's memory, so that many names of one long string cost nothing.
func stringAt(table string, off uint32) (string, bool) {
	if uint64(off) >= uint64(len(table)) {
		return "", off == 0
	}
	s, _, ok := strings.Cut(table[off:], "\x00")
	return s, ok
}
