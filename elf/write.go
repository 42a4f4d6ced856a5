package elf

import (
	"bytes"
	delf "debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
)

// Write makes an object of an assembled source, as clang -target bpf would:
// sections of code with their relocations, symbols, data, license and version.
// Maps go into section ".maps" with BTF, so that libbpf and bpftool read the
// object too; WriteClassic writes them as loaders of Linux 4.x knew them.
func Write(u *isa.Unit) ([]byte, error) { return writeUnit(u, false) }

// WriteClassic is Write with maps in section "maps", 28 bytes each (struct
// bpf_map_def, see maps_legacy.go) and without BTF. What that form cannot hold,
// map_extra and kernel functions, is an error.
func WriteClassic(u *isa.Unit) ([]byte, error) { return writeUnit(u, true) }

// writer collects sections and symbols. Relocations name symbols, whose numbers
// are known only when all are there, since local symbols come first.
type writer struct {
	unit    *isa.Unit
	classic bool
	secs    []outSection
	locals  []outSymbol
	globals []outSymbol
	byName  map[string]symRef
	funcs   map[string]funcPlace
}

type outSection struct {
	name    string
	typ     delf.SectionType
	flags   delf.SectionFlag
	data    []byte
	size    uint64 // of SHT_NOBITS
	align   uint64
	entsize uint64
	link    int
	info    int
	relocs  []outReloc
}

type outSymbol struct {
	name  string
	typ   delf.SymType
	bind  delf.SymBind
	sec   int
	value uint64
	size  uint64
}

// symRef names a symbol by its place in one of the two lists.
type symRef struct {
	local bool
	idx   int
}

type outReloc struct {
	off uint64
	typ RelocType
	sym symRef
}

// funcPlace is where a function lies.
type funcPlace struct {
	sec    int
	pc     isa.PC
	static bool
}

func writeUnit(u *isa.Unit, classic bool) ([]byte, error) {
	w := &writer{unit: u, classic: classic, byName: make(map[string]symRef), funcs: make(map[string]funcPlace)}
	w.secs = []outSection{{}}
	w.locals = []outSymbol{{}}
	w.addCode()
	w.addData()
	if err := w.addMaps(); err != nil {
		return nil, err
	}
	w.addPlain("license", []byte(u.License+"\x00"), u.License != "")
	w.addPlain("version", binary.LittleEndian.AppendUint32(nil, u.Version), u.Version != 0)
	var errs ErrorList
	for i := range u.Sections {
		for _, r := range u.Sections[i].Refs {
			if err := w.addRef(i+1, &u.Sections[i], r); err != nil {
				errs.add(&SectionError{Section: w.secs[i+1].name, Off: int64(r.PC) * isa.SlotSize, Symbol: r.Symbol, Err: err})
			}
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	if err := w.addBTF(); err != nil {
		return nil, err
	}
	return w.layOut(), nil
}

func (w *writer) add(s outSection) int {
	w.secs = append(w.secs, s)
	return len(w.secs) - 1
}

func (w *writer) addPlain(name string, data []byte, present bool) {
	if present {
		w.add(outSection{name: name, typ: delf.SHT_PROGBITS, flags: delf.SHF_ALLOC | delf.SHF_WRITE, data: data, align: 1})
	}
}

func (w *writer) addSymbol(s outSymbol) symRef {
	if s.bind == delf.STB_LOCAL {
		w.locals = append(w.locals, s)
		return symRef{true, len(w.locals) - 1}
	}
	w.globals = append(w.globals, s)
	ref := symRef{false, len(w.globals) - 1}
	w.byName[s.name] = ref
	return ref
}

// sectionSymbol returns the local symbol that stands for a section.
func (w *writer) sectionSymbol(sec int) symRef {
	i := slices.IndexFunc(w.locals, func(s outSymbol) bool { return s.typ == delf.STT_SECTION && s.sec == sec })
	if i >= 0 {
		return symRef{true, i}
	}
	return w.addSymbol(outSymbol{typ: delf.STT_SECTION, bind: delf.STB_LOCAL, sec: sec})
}

// addCode writes the sections of code, numbers 1 to n, and a symbol for each
// function.
func (w *writer) addCode() {
	for i := range w.unit.Sections {
		s := &w.unit.Sections[i]
		name := s.Name
		if name == "" {
			name = textSection
		}
		sec := w.add(outSection{name: name, typ: delf.SHT_PROGBITS, flags: delf.SHF_ALLOC | delf.SHF_EXECINSTR,
			data: isa.Encode(s.Insns), align: isa.SlotSize})
		for j, fn := range s.Funcs {
			end := isa.PC(len(s.Insns))
			if j+1 < len(s.Funcs) {
				end = s.Funcs[j+1].PC
			}
			bind := delf.STB_GLOBAL
			if fn.Static {
				bind = delf.STB_LOCAL
			}
			w.addSymbol(outSymbol{fn.Name, delf.STT_FUNC, bind, sec, uint64(fn.PC) * isa.SlotSize, uint64(end-fn.PC) * isa.SlotSize})
			w.funcs[fn.Name] = funcPlace{sec, fn.PC, fn.Static}
		}
	}
}

// addData writes .rodata, .data and .bss with a symbol for each variable.
func (w *writer) addData() {
	for _, d := range w.unit.Data {
		s := outSection{name: d.Name, typ: delf.SHT_PROGBITS, flags: delf.SHF_ALLOC | delf.SHF_WRITE, data: d.Bytes, align: 8}
		switch {
		case strings.HasPrefix(d.Name, ".rodata"):
			s.flags = delf.SHF_ALLOC
		case strings.HasPrefix(d.Name, ".bss"):
			s.typ, s.data, s.size = delf.SHT_NOBITS, nil, uint64(len(d.Bytes))
		}
		sec := w.add(s)
		for _, v := range d.Symbols {
			w.addSymbol(outSymbol{v.Name, delf.STT_OBJECT, delf.STB_GLOBAL, sec, uint64(v.Offset), uint64(v.Size)})
		}
	}
}

// addMaps writes map definitions.
func (w *writer) addMaps() error {
	if len(w.unit.Maps) == 0 {
		return nil
	}
	index := make(map[string]int, len(w.unit.Maps))
	for i, m := range w.unit.Maps {
		index[m.Name] = i
	}
	var data []byte
	type span struct{ off, size int }
	spans := make([]span, len(w.unit.Maps))
	for i := range w.unit.Maps {
		m := &w.unit.Maps[i]
		fault := func(err error) error { return &MapError{Map: m.Name, Section: "maps", Off: -1, Err: err} }
		typ, ok := spec.MapTypeByName(m.Type)
		if !ok {
			return fault(unsupported("map type %s", quoteName(m.Type)))
		}
		inner, ok := index[m.Inner]
		if m.Inner != "" && (!ok || inner == i) {
			return fault(formatErr("inner map %s is not defined", quoteName(m.Inner)))
		}
		if !w.classic {
			spans[i] = span{len(data), 8 * len(mapMembers(m))}
			data = append(data, make([]byte, spans[i].size)...)
			continue
		}
		if m.Extra != 0 {
			return fault(unsupported("map_extra in the classic form"))
		}
		spans[i] = span{len(data), legacyMaxSize}
		for _, v := range []uint32{uint32(typ), m.KeySize, m.ValueSize, m.MaxEntries, m.Flags, uint32(inner), 0} {
			data = binary.LittleEndian.AppendUint32(data, v)
		}
	}
	s := outSection{name: btfMapsSection, typ: delf.SHT_PROGBITS, flags: delf.SHF_ALLOC | delf.SHF_WRITE, data: data, align: 8}
	if w.classic {
		s.name, s.align = "maps", 4
	}
	sec := w.add(s)
	for i, m := range w.unit.Maps {
		w.addSymbol(outSymbol{m.Name, delf.STT_OBJECT, delf.STB_GLOBAL, sec, uint64(spans[i].off), uint64(spans[i].size)})
	}
	return nil
}

// addRef writes the relocation of one instruction. As in clang's output, global
// symbols are referred to by name, and what is static or has no symbol by its
// section and an addend in the instruction.
func (w *writer) addRef(sec int, s *isa.AsmSection, r isa.Ref) error {
	at := w.secs[sec].data[int(r.PC)*isa.SlotSize:]
	setImm := func(v int32) { binary.LittleEndian.PutUint32(at[4:], uint32(v)) }
	setSrc := func(p isa.Pseudo) { at[1] = at[1]&0x0f | byte(p)<<4 }
	reloc := func(typ RelocType, sym symRef) error {
		w.secs[sec].relocs = append(w.secs[sec].relocs, outReloc{uint64(r.PC) * isa.SlotSize, typ, sym})
		return nil
	}
	clearWide := func(imm int32) {
		setSrc(isa.PseudoImm64)
		setImm(imm)
		clear(at[isa.SlotSize+4 : 2*isa.SlotSize])
	}
	switch r.Kind {
	case isa.RefMap:
		clearWide(0)
		sym, ok := w.byName[r.Symbol]
		if !ok {
			sym = w.undefined(r.Symbol)
		}
		return reloc(Reloc64_64, sym)
	case isa.RefMapValue:
		i := slices.IndexFunc(w.secs, func(s outSection) bool { return s.name == r.Symbol })
		if i < 0 || !isDataSection(r.Symbol) {
			return unsupported("address inside the value of map %s: an object can refer to whole maps only", quoteName(r.Symbol))
		}
		clearWide(int32(r.Addend))
		return reloc(Reloc64_64, w.sectionSymbol(i))
	case isa.RefCall:
		if r.Local {
			return nil // the distance is in the instruction
		}
		fn, ok := w.funcs[r.Symbol]
		switch {
		case !ok:
			setImm(-1)
			return reloc(Reloc64_32, w.undefined(r.Symbol))
		case fn.static:
			setImm(int32(fn.pc) - 1)
			return reloc(Reloc64_32, w.sectionSymbol(fn.sec))
		}
		setImm(-1)
		return reloc(Reloc64_32, w.byName[r.Symbol])
	case isa.RefFunc:
		fn, ok := w.funcs[r.Symbol]
		switch {
		case !ok:
			return fmt.Errorf("address of a function that is not here: %w", ErrUndefined)
		case fn.static:
			clearWide(int32(fn.pc) * isa.SlotSize)
			return reloc(Reloc64_64, w.sectionSymbol(fn.sec))
		}
		clearWide(0)
		return reloc(Reloc64_64, w.byName[r.Symbol])
	case isa.RefKfunc:
		if w.classic {
			return unsupported("kernel functions in the classic form, which has no BTF")
		}
		setSrc(isa.PseudoCall)
		setImm(-1)
		return reloc(Reloc64_32, w.undefined(r.Symbol))
	}
	return unsupported("%v", r.Kind)
}

// undefined returns the symbol of something that is defined elsewhere.
func (w *writer) undefined(name string) symRef {
	if ref, ok := w.byName[name]; ok {
		return ref
	}
	return w.addSymbol(outSymbol{name: name, typ: delf.STT_NOTYPE, bind: delf.STB_GLOBAL})
}

// layOut numbers sections and symbols and writes the file: header, sections,
// section header table.
func (w *writer) layOut() []byte {
	le := binary.LittleEndian
	strs := stringTable{buf: []byte{0}, at: map[string]uint32{"": 0}}
	symtab := 0
	for _, s := range w.secs {
		if len(s.relocs) > 0 {
			symtab++
		}
	}
	symtab += len(w.secs)

	for i := range len(w.secs) {
		if len(w.secs[i].relocs) == 0 {
			continue
		}
		relocs := w.secs[i].relocs
		slices.SortStableFunc(relocs, func(a, b outReloc) int { return int(int64(a.off) - int64(b.off)) })
		var data []byte
		for _, r := range relocs {
			n := r.sym.idx
			if !r.sym.local {
				n += len(w.locals)
			}
			data = le.AppendUint64(data, r.off)
			data = le.AppendUint64(data, uint64(n)<<32|uint64(r.typ))
		}
		w.add(outSection{name: ".rel" + w.secs[i].name, typ: delf.SHT_REL, flags: delf.SHF_INFO_LINK, data: data,
			align: 8, entsize: relSize, link: symtab, info: i})
	}
	var syms []byte
	for _, s := range slices.Concat(w.locals, w.globals) {
		syms = le.AppendUint32(syms, strs.add(s.name))
		syms = append(syms, byte(s.bind)<<4|byte(s.typ), 0)
		syms = le.AppendUint16(syms, uint16(s.sec))
		syms = le.AppendUint64(syms, s.value)
		syms = le.AppendUint64(syms, s.size)
	}
	w.add(outSection{name: ".symtab", typ: delf.SHT_SYMTAB, data: syms, align: 8, entsize: symSize,
		link: symtab + 1, info: len(w.locals)})
	strtab := w.add(outSection{name: ".strtab", typ: delf.SHT_STRTAB, align: 1})
	for _, s := range w.secs {
		strs.add(s.name)
	}
	w.secs[strtab].data = strs.buf

	var out bytes.Buffer
	out.Write(make([]byte, ehdrSize))
	pad := func(align uint64) {
		for align > 1 && uint64(out.Len())%align != 0 {
			out.WriteByte(0)
		}
	}
	offs := make([]uint64, len(w.secs))
	for i, s := range w.secs[1:] {
		pad(s.align)
		offs[i+1] = uint64(out.Len())
		out.Write(s.data)
	}
	pad(8)
	shoff := uint64(out.Len())
	for i, s := range w.secs {
		size := uint64(len(s.data)) + s.size
		hdr := le.AppendUint32(nil, strs.add(s.name))
		hdr = le.AppendUint32(hdr, uint32(s.typ))
		for _, v := range []uint64{uint64(s.flags), 0, offs[i], size} {
			hdr = le.AppendUint64(hdr, v)
		}
		hdr = le.AppendUint32(hdr, uint32(s.link))
		hdr = le.AppendUint32(hdr, uint32(s.info))
		hdr = le.AppendUint64(hdr, s.align)
		hdr = le.AppendUint64(hdr, s.entsize)
		out.Write(hdr)
	}
	file := out.Bytes()
	copy(file, delf.ELFMAG)
	file[delf.EI_CLASS], file[delf.EI_DATA], file[delf.EI_VERSION] = byte(delf.ELFCLASS64), byte(delf.ELFDATA2LSB), byte(delf.EV_CURRENT)
	le.PutUint16(file[16:], uint16(delf.ET_REL))
	le.PutUint16(file[18:], uint16(delf.EM_BPF))
	le.PutUint32(file[20:], uint32(delf.EV_CURRENT))
	le.PutUint64(file[40:], shoff)
	le.PutUint16(file[52:], ehdrSize)
	le.PutUint16(file[58:], shdrSize)
	le.PutUint16(file[60:], uint16(len(w.secs)))
	le.PutUint16(file[62:], uint16(strtab))
	return file
}

// stringTable collects NUL-terminated strings.
type stringTable struct {
	buf []byte
	at  map[string]uint32
}

func (t *stringTable) add(s string) uint32 {
	if off, ok := t.at[s]; ok {
		return off
	}
	off := uint32(len(t.buf))
	t.buf = append(append(t.buf, s...), 0)
	t.at[s] = off
	return off
}
