package cli

import (
	"cmp"
	delf "debug/elf"
	"fmt"
	"slices"
	"strings"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/spec"
)

// objectDirectives writes what the listings refer to as directives of the
// assembler: license, version, maps and data. all asks for every map, not only
// for those that the listings use.
func objectDirectives(o *object, ls []listing, all bool) []string {
	var out []string
	if o.coll.License != "" {
		out = append(out, fmt.Sprintf(".license %q", o.coll.License))
	}
	if o.coll.Version != 0 {
		out = append(out, fmt.Sprintf(".version %d", o.coll.Version))
	}
	used := map[string]bool{}
	for _, l := range ls {
		for _, m := range l.maps {
			used[m] = true
		}
	}
	for _, m := range o.coll.Maps {
		if !all && !used[m.Name] {
			continue
		}
		if lines, ok := dataDirectives(o.file, m); ok {
			out = append(out, lines...)
			continue
		}
		if m.Inner != nil && o.coll.Map(m.Inner.Name) == nil {
			out = append(out, mapDirective(m.Inner))
		}
		out = append(out, mapDirective(m))
	}
	return out
}

func mapDirective(m *spec.MapSpec) string {
	d := fmt.Sprintf(".map %s type=%s", spec.Word(m.Name), m.Type)
	d += fmt.Sprintf(" key=%d value=%d max_entries=%d", m.KeySize, m.ValueSize, m.MaxEntries)
	if m.Flags != 0 {
		d += fmt.Sprintf(" flags=%#x", uint32(m.Flags))
	}
	if m.Extra != 0 {
		d += fmt.Sprintf(" map_extra=%#x", m.Extra)
	}
	if m.Inner != nil && m.Inner.Name != "" {
		d += " inner=" + spec.Word(m.Inner.Name)
	}
	return d
}

// dataDirectives writes a data section symbol by symbol. It returns false for
// maps that are none, and for sections that the assembler has no word for.
func dataDirectives(f *elf.File, m *spec.MapSpec) ([]string, bool) {
	sec := f.Section(m.Section)
	if sec == nil || !isDataSection(m.Section) {
		return nil, false
	}
	bytes := make([]byte, m.ValueSize)
	if len(m.Contents) > 0 {
		copy(bytes, m.Contents[0].Value)
	}
	var syms []elf.Symbol
	for _, s := range f.Symbols {
		if s.Section == sec.Index && s.Name != "" && s.Type != uint8(delf.STT_SECTION) && s.Value < uint64(len(bytes)) {
			syms = append(syms, s)
		}
	}
	slices.SortStableFunc(syms, func(x, y elf.Symbol) int { return cmp.Compare(x.Value, y.Value) })
	syms = slices.CompactFunc(syms, func(x, y elf.Symbol) bool { return x.Value == y.Value })
	if len(syms) == 0 || syms[0].Value > 0 {
		syms = slices.Insert(syms, 0, elf.Symbol{Name: strings.TrimPrefix(m.Section, ".") + "_0"})
	}
	var out []string
	for i, s := range syms {
		end := uint64(len(bytes))
		if i+1 < len(syms) {
			end = syms[i+1].Value
		}
		out = append(out, dataSymbol(m.Section, s, bytes[s.Value:end])...)
	}
	return out, true
}

// isDataSection reports whether the assembler has a directive of that name.
func isDataSection(name string) bool {
	for _, base := range []string{".rodata", ".data", ".bss"} {
		if rest, ok := strings.CutPrefix(name, base); ok && (rest == "" || rest[0] == '.') {
			return true
		}
	}
	return false
}

// dataSymbol writes one symbol and the padding behind it.
func dataSymbol(section string, s elf.Symbol, b []byte) []string {
	own := b
	if s.Size > 0 && s.Size < uint64(len(b)) {
		own = b[:s.Size]
	}
	out := []string{fmt.Sprintf("%s %s", section, spec.Word(s.Name))}
	pad := len(b) - len(own)
	switch {
	case isZero(own):
		pad += len(own)
	case isText(own):
		out[0] += fmt.Sprintf(" %q", own[:len(own)-1])
	default:
		for part := range slices.Chunk(own, 12) {
			words := make([]string, len(part))
			for i, c := range part {
				words[i] = fmt.Sprintf("%#02x", c)
			}
			out = append(out, "  .byte "+strings.Join(words, ", "))
		}
	}
	if pad > 0 {
		out = append(out, fmt.Sprintf("  .zero %d", pad))
	}
	return out
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// isText reports whether b is a string with its NUL.
func isText(b []byte) bool {
	for i, c := range b {
		switch {
		case i == len(b)-1:
			return c == 0
		case c >= 0x80, c < 0x20 && c != '\n' && c != '\t':
			return false
		}
	}
	return false
}

// elfListings lists the code sections of the object as they stand there.
func elfListings(o *object) []listing {
	var out []listing
	for i := range o.file.Sections {
		sec := &o.file.Sections[i]
		if !sec.Exec() || sec.Size == 0 {
			continue
		}
		if l, ok := elfListing(o, sec); ok {
			out = append(out, l)
		}
	}
	return out
}

func elfListing(o *object, sec *elf.Section) (listing, bool) {
	code, err := isa.Decode(sec.Data())
	if err != nil {
		return listing{}, false
	}
	l := listing{disasmProg: disasmProg{Object: display(o.path), Name: sec.Name, Section: sec.Name}}
	l.head = []string{".section " + spec.Word(sec.Name)}
	relocs := map[isa.PC]elf.Reloc{}
	for _, r := range o.file.Relocs(sec.Index) {
		relocs[isa.PC(r.Off/isa.SlotSize)] = r
	}
	funcs := functionsIn(o.file, sec.Index)
	pr := &isa.Printer{
		HelperName: spec.HelperName,
		CallTarget: func(pc isa.PC) string { return strings.TrimSuffix(funcs[pc], " static") },
		Imm64: func(pc isa.PC, _ isa.Pseudo, v uint64) string {
			if r, ok := relocs[pc]; ok {
				return relocText(o.file, r, v)
			}
			return ""
		},
	}
	for pc := range code.All() {
		in := disasmInsn{Slot: int(pc), pc: pc, Bytes: slotBytes(code, pc), Text: pr.Insn(code, pc), Func: funcs[pc]}
		if r, ok := relocs[pc]; ok {
			sym := &o.file.Symbols[r.Sym]
			in.Reloc = r.Type.String() + " " + printable(sym.Name)
			if code[pc].Op == isa.OpCall {
				in.Text = callText(o.file, code[pc], sym)
			}
		}
		l.Insns = append(l.Insns, in)
	}
	return l, true
}

// functionsIn names the functions of a section by their first slot; local ones
// carry the word static.
func functionsIn(f *elf.File, section int) map[isa.PC]string {
	names := map[isa.PC]string{}
	for i := range f.Symbols {
		s := &f.Symbols[i]
		if s.Section != section || s.Name == "" || s.Type != uint8(delf.STT_FUNC) {
			continue
		}
		name := s.Name
		if !s.Global() {
			name += " static"
		}
		names[isa.PC(s.Value/isa.SlotSize)] = name
	}
	return names
}

// relocText is what a wide instruction will load once relocated.
func relocText(f *elf.File, r elf.Reloc, value uint64) string {
	sym := &f.Symbols[r.Sym]
	sec := sectionOf(f, sym)
	switch {
	case sec == nil:
		return "" // an extern: the comment names it
	case sec.Exec():
		off := value
		if sym.Type == uint8(delf.STT_SECTION) {
			if name := functionsIn(f, sec.Index)[isa.PC(off/isa.SlotSize)]; name != "" {
				return "func[" + spec.Word(strings.TrimSuffix(name, " static")) + "]"
			}
			return ""
		}
		return "func[" + spec.Word(sym.Name) + "]"
	case sec.Name == "maps" || strings.HasPrefix(sec.Name, "maps/") || sec.Name == ".maps":
		return "map[" + spec.Word(sym.Name) + "]"
	}
	return fmt.Sprintf("map[%s][0]+%d", spec.Word(sec.Name), sym.Value+value&0xffffffff)
}

// callText names the target of a call into another section: the symbol, or the
// function at the distance that the immediate adds to a section symbol.
func callText(f *elf.File, ins isa.Instruction, sym *elf.Symbol) string {
	sec := sectionOf(f, sym)
	switch {
	case sec == nil:
		return "call kfunc " + spec.Word(sym.Name)
	case sym.Type == uint8(delf.STT_SECTION):
		if name := functionsIn(f, sec.Index)[isa.PC(ins.Imm+1)]; name != "" {
			return "call " + spec.Word(strings.TrimSuffix(name, " static"))
		}
	}
	return "call " + spec.Word(sym.Name)
}

func sectionOf(f *elf.File, s *elf.Symbol) *elf.Section {
	if s.Section <= 0 || s.Section >= len(f.Sections) {
		return nil
	}
	return &f.Sections[s.Section]
}
