package elf

import (
	delf "debug/elf"
	"encoding/binary"
	"strings"
)

// Symbol is one entry of the symbol table.
type Symbol struct {
	Index   int
	Name    string // of a section symbol: the section's name
	Type    uint8  // STT_*
	Bind    uint8  // STB_*
	Vis     uint8  // STV_*
	Section int    // section number; 0 undefined, from 0xff00 special (SHN_*)
	Value   uint64 // offset in its section
	Size    uint64 // bytes; 0 from assemblers and old compilers
}

// TypeName returns the symbol type as readelf prints it: "FUNC".
func (s *Symbol) TypeName() string { return strings.TrimPrefix(delf.SymType(s.Type).String(), "STT_") }

// BindName returns the binding as readelf prints it: "GLOBAL".
func (s *Symbol) BindName() string { return strings.TrimPrefix(delf.SymBind(s.Bind).String(), "STB_") }

// Extern reports whether the symbol is defined elsewhere: kfuncs, kernel
// variables and Kconfig values (libbpf.c, sym_is_extern).
func (s *Symbol) Extern() bool {
	return s.Index != 0 && s.Section == int(delf.SHN_UNDEF) && s.Global()
}

// Global reports whether the symbol is visible to other objects.
func (s *Symbol) Global() bool {
	return s.Bind == uint8(delf.STB_GLOBAL) || s.Bind == uint8(delf.STB_WEAK)
}

// Weak reports whether the symbol may stay unresolved.
func (s *Symbol) Weak() bool { return s.Bind == uint8(delf.STB_WEAK) }

// hidden reports whether the symbol, though global, must not be seen outside of
// the object; such functions are verified as static ones.
func (s *Symbol) hidden() bool {
	return s.Vis == uint8(delf.STV_HIDDEN) || s.Vis == uint8(delf.STV_INTERNAL)
}

func (s *Symbol) isSection() bool { return s.Type == uint8(delf.STT_SECTION) }

// symbolCost is what one Symbol takes in memory.
const symbolCost = 64

// readSymbols reads the symbol table (gABI, chapter 4, "Symbol Table"). An
// object without one is stripped; it can be listed but not linked.
func (f *File) readSymbols() error {
	for i := range f.Sections {
		if f.Sections[i].Type != uint32(delf.SHT_SYMTAB) {
			continue
		}
		if f.symtab != 0 {
			return formatErr("sections %d and %d are both symbol tables", f.symtab, i)
		}
		f.symtab = i
	}
	if f.symtab == 0 {
		return nil
	}
	tab := &f.Sections[f.symtab]
	fault := func(format string, args ...any) error {
		return &SectionError{Section: tab.Name, Off: -1, Err: formatErr(format, args...)}
	}
	if tab.EntSize != symSize || len(tab.data)%symSize != 0 {
		return fault("%d bytes of symbols with %d bytes each, want %d each", len(tab.data), tab.EntSize, symSize)
	}
	strtab := f.section(int(tab.Link))
	if strtab == nil || strtab.Type != uint32(delf.SHT_STRTAB) {
		return fault("its names are in section %d, which is no string table", tab.Link)
	}
	n := len(tab.data) / symSize
	if err := f.budget.take("symbols", int64(n), symbolCost); err != nil {
		return err
	}

	le := binary.LittleEndian
	names := string(strtab.data)
	var errs ErrorList
	f.Symbols = make([]Symbol, n)
	for i := range f.Symbols {
		b := tab.data[i*symSize:]
		name := le.Uint32(b)
		s := &f.Symbols[i]
		*s = Symbol{
			Index:   i,
			Type:    b[4] & 0xf,
			Bind:    b[4] >> 4,
			Vis:     b[5] & 3,
			Section: int(le.Uint16(b[6:])),
			Value:   le.Uint64(b[8:]),
			Size:    le.Uint64(b[16:]),
		}
		bad := func(format string, args ...any) {
			errs.add(&SectionError{Section: tab.Name, Off: int64(i * symSize), Symbol: s.Name,
				Err: formatErr("symbol %d: "+format, append([]any{i}, args...)...)})
		}
		var ok bool
		if s.Name, ok = stringAt(names, name); !ok {
			bad("name at %#x, outside the %#x bytes of names", name, len(names))
			continue
		}
		if s.Section == int(delf.SHN_XINDEX) {
			return &SectionError{Section: tab.Name, Off: int64(i * symSize), Symbol: s.Name,
				Err: unsupported("extended section numbers (SHN_XINDEX)")}
		}
		if s.Section == 0 || s.Section >= int(delf.SHN_LORESERVE) {
			continue
		}
		sec := f.section(s.Section)
		if sec == nil {
			bad("in section %d, the object has %d", s.Section, len(f.Sections))
			continue
		}
		if s.isSection() && s.Name == "" {
			s.Name = sec.Name // shared with the section, costs nothing
		}
		if s.Value > sec.Size || s.Size > sec.Size-s.Value {
			bad("bytes %#x to %#x of section %s, which has %#x", s.Value, s.Value+s.Size, quoteName(sec.Name), sec.Size)
		}
	}
	return errs.err()
}
