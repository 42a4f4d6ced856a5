package isa

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxData bounds the bytes that a source can define, since ".zero" makes much
// of little text.
const maxData = 16 << 20

// directives maps each name to its handler.
var directives map[string]func(*assembler, *directive)

func init() { // in init: the handlers refer to the table through didYouMean
	directives = map[string]func(*assembler, *directive){
		".section": (*assembler).dirSection,
		".func":    (*assembler).dirFunc,
		".program": (*assembler).dirProgram,
		".map":     (*assembler).dirMap,
		".license": (*assembler).dirLicense,
		".version": (*assembler).dirVersion,
		".rodata":  (*assembler).dirData,
		".data":    (*assembler).dirData,
		".bss":     (*assembler).dirData,
		".byte":    (*assembler).dirMore,
		".half":    (*assembler).dirMore,
		".word":    (*assembler).dirMore,
		".quad":    (*assembler).dirMore,
		".string":  (*assembler).dirMore,
		".ascii":   (*assembler).dirMore,
		".zero":    (*assembler).dirMore,
		".align":   (*assembler).dirMore,
	}
}

// directive is a line that begins with a dot, cut into words.
type directive struct {
	name string
	col  int
	line int
	args []word
	end  int // column after the last word
}

// word is one argument. Section and map names hold "/" and ":" and "-", so the
// words of directives are cut at blanks, commas and "=" only.
type word struct {
	text   string
	col    int
	quoted bool
}

// directive assembles a line that begins with a directive's name. It returns
// false for other lines, among them labels that begin with a dot.
func (a *assembler) directive(l sourceLine) bool {
	text := strings.TrimLeft(l.text, " \t")
	if text[0] != '.' {
		return false
	}
	start := len(l.text) - len(text)
	n := strings.IndexFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == '"' || r == ':' })
	if n < 0 {
		n = len(text)
	}
	d := &directive{name: text[:n], col: start + 1, line: l.num}
	if rest := strings.TrimLeft(text[n:], " \t"); rest != "" && rest[0] == ':' || d.name == ".insn" {
		return false
	}
	run, ok := directives[d.name]
	if base, name, sub := strings.Cut(d.name[1:], "."); sub && name != "" && (base == "rodata" || base == "data" || base == "bss") {
		run, ok = (*assembler).dirData, true // a section of its own: .data.percpu
	}
	if !ok {
		a.errorf(l.num, d.col, "unknown directive %q%s", d.name, didYouMean(d.name, maps.Keys(directives)))
		return true
	}
	if err := d.cut(l.text, start+n); err != nil {
		err.Line = l.num
		a.errs = append(a.errs, err)
		return true
	}
	run(a, d)
	return true
}

// cut splits line from byte i on into d.args.
func (d *directive) cut(line string, i int) *AsmError {
	for i < len(line) {
		switch c := line[i]; {
		case c == ' ' || c == '\t' || c == ',':
			i++
		case c == '=':
			d.args = append(d.args, word{text: "=", col: i + 1})
			i++
		case c == '"':
			t, n, err := lexToken(line[i:])
			if err != "" {
				return &AsmError{Col: i + 1, Msg: err}
			}
			d.args = append(d.args, word{t.text, i + 1, true})
			i += n
		default:
			n := strings.IndexAny(line[i:], " \t,=\"")
			if n < 0 {
				n = len(line) - i
			}
			d.args = append(d.args, word{text: line[i : i+n], col: i + 1})
			i += n
		}
	}
	d.end = len(line) + 1
	return nil
}

func (a *assembler) dirError(d *directive, w word, format string, args ...any) {
	a.errorf(d.line, w.col, "%s: %s", d.name, fmt.Sprintf(format, args...))
}

// take removes and returns the first argument. Where there is none it reports
// that what is missing.
func (a *assembler) take(d *directive, what string) (word, bool) {
	if len(d.args) == 0 {
		a.dirError(d, word{col: d.end}, "%s is missing", what)
		return word{}, false
	}
	w := d.args[0]
	d.args = d.args[1:]
	return w, true
}

// takeName takes an argument that must be a name and so not empty.
func (a *assembler) takeName(d *directive, what string) (word, bool) {
	w, ok := a.take(d, what)
	if ok && (w.text == "" || w.text == "=" && !w.quoted || strings.ContainsFunc(w.text, func(r rune) bool { return r < ' ' || r == 0x7f })) {
		a.dirError(d, w, "%q is no %s", w.text, what)
		return word{}, false
	}
	return w, ok
}

// done reports arguments that are too many.
func (a *assembler) done(d *directive) {
	if len(d.args) > 0 {
		a.dirError(d, d.args[0], "unexpected %q", d.args[0].text)
	}
}

// number reads an argument as an unsigned number of at most max.
func (a *assembler) number(d *directive, w word, max uint64) uint64 {
	v, err := parseNumber(w.text)
	if err != nil || w.quoted || v > max {
		a.dirError(d, w, "want a number from 0 to %d, found %q", max, w.text)
		return 0
	}
	return v
}

// dirSection: .section NAME
func (a *assembler) dirSection(d *directive) {
	if w, ok := a.takeName(d, "section name"); ok {
		a.enter(w.text)
		a.done(d)
	}
}

// dirFunc: .func NAME [static]
func (a *assembler) dirFunc(d *directive) {
	w, ok := a.takeName(d, "function name")
	if !ok {
		return
	}
	f := AsmFunc{Name: w.text, Line: d.line}
	if len(d.args) > 0 && d.args[0].text == "static" {
		f.Static = true
		d.args = d.args[1:]
	}
	a.done(d)
	a.section().function(a, f, w.col)
}

// dirProgram: .program NAME SECTION
func (a *assembler) dirProgram(d *directive) {
	name, ok := a.takeName(d, "program name")
	if !ok {
		return
	}
	sec, ok := a.takeName(d, "section name")
	if !ok {
		return
	}
	a.done(d)
	a.enter(sec.text)
	a.cur.function(a, AsmFunc{Name: name.text, Line: d.line}, name.col)
}

// mapKeys are the attributes of .map; the short names are ours, the long ones
// those of struct bpf_map_def.
var mapKeys = []string{"type", "key", "key_size", "value", "value_size", "max_entries", "flags", "map_flags", "map_extra", "inner"}

// dirMap: .map NAME type=hash key=4 value=8 max_entries=16 [flags=0] [inner=NAME] [map_extra=0]
func (a *assembler) dirMap(d *directive) {
	name, ok := a.takeName(d, "map name")
	if !ok {
		return
	}
	m := AsmMap{Name: name.text, Line: d.line}
	if a.maps[m.Name] {
		a.dirError(d, name, "%q is defined already", m.Name)
		return
	}
	for len(d.args) > 0 {
		key, _ := a.take(d, "attribute")
		eq, ok := a.take(d, "\"=\" after "+key.text)
		if !ok {
			return
		}
		if eq.text != "=" || eq.quoted {
			a.dirError(d, eq, "want \"=\" after %s, found %q", key.text, eq.text)
			return
		}
		val, ok := a.takeName(d, "value of "+key.text)
		if !ok {
			return
		}
		u32 := func() uint32 { return uint32(a.number(d, val, math.MaxUint32)) }
		switch key.text {
		case "type":
			m.Type = val.text
		case "key", "key_size":
			m.KeySize = u32()
		case "value", "value_size":
			m.ValueSize = u32()
		case "max_entries":
			m.MaxEntries = u32()
		case "flags", "map_flags":
			m.Flags = u32()
		case "map_extra":
			m.Extra = a.number(d, val, math.MaxUint64)
		case "inner":
			m.Inner = val.text
		default:
			a.dirError(d, key, "unknown attribute %q%s", key.text, didYouMean(key.text, slices.Values(mapKeys)))
		}
	}
	if m.Type == "" {
		a.dirError(d, name, "map %q needs a type, as in type=hash", m.Name)
		return
	}
	a.maps[m.Name] = true
	a.unit.Maps = append(a.unit.Maps, m)
}

// dirLicense: .license "GPL"
func (a *assembler) dirLicense(d *directive) {
	w, ok := a.take(d, "license")
	if !ok {
		return
	}
	a.done(d)
	if a.haveLicense {
		a.dirError(d, w, "the license is given already")
	}
	a.unit.License, a.haveLicense = w.text, true
}

// dirVersion: .version N, the kernel version that old kprobe programs carry.
func (a *assembler) dirVersion(d *directive) {
	w, ok := a.take(d, "version")
	if !ok {
		return
	}
	a.done(d)
	if a.haveVersion {
		a.dirError(d, w, "the version is given already")
	}
	a.unit.Version, a.haveVersion = uint32(a.number(d, w, math.MaxUint32)), true
}

// dirData: .rodata NAME [=] values; .data, .bss and .rodata.SUFFIX alike. Values are strings,
// which end with a NUL as in C, and bytes.
func (a *assembler) dirData(d *directive) {
	name, ok := a.takeName(d, "symbol name")
	if !ok {
		return
	}
	if old, ok := a.data[name.text]; ok {
		a.dirError(d, name, "%q is defined in %s already", name.text, old.section)
		return
	}
	if len(d.args) > 0 && d.args[0].text == "=" && !d.args[0].quoted {
		d.args = d.args[1:]
	}
	i := slices.IndexFunc(a.unit.Data, func(s AsmData) bool { return s.Name == d.name })
	if i < 0 {
		if a.maps[d.name] {
			a.dirError(d, name, "a map has the name %q already", d.name)
			return
		}
		a.maps[d.name] = true
		i = len(a.unit.Data)
		a.unit.Data = append(a.unit.Data, AsmData{Name: d.name})
	}
	a.last = i + 1
	s := &a.unit.Data[i]
	a.data[name.text] = dataPlace{d.name, len(s.Bytes)}
	s.Symbols = append(s.Symbols, AsmSymbol{Name: name.text, Offset: len(s.Bytes), Line: d.line})
	a.values(d, 1, true)
}

// dirMore: .byte .half .word .quad .string .ascii .zero .align, which extend the
// data symbol defined last.
func (a *assembler) dirMore(d *directive) {
	if a.last == 0 {
		a.dirError(d, word{col: d.col}, "no .rodata, .data or .bss symbol comes before this")
		return
	}
	switch d.name {
	case ".zero", ".align":
		w, ok := a.take(d, "number of bytes")
		if !ok {
			return
		}
		n := int(a.number(d, w, maxData))
		if d.name == ".align" {
			if n == 0 || n&(n-1) != 0 {
				a.dirError(d, w, "%q is no power of two", w.text)
				return
			}
			n = -len(a.unit.Data[a.last-1].Bytes) & (n - 1)
		}
		a.append(d, w, make([]byte, n))
		a.done(d)
	case ".string", ".ascii":
		a.values(d, 1, d.name == ".string")
	default:
		a.values(d, map[string]int{".byte": 1, ".half": 2, ".word": 4, ".quad": 8}[d.name], true)
	}
}

// values appends the remaining arguments as little-endian numbers of the given
// width in bytes, and strings as they are, with a NUL if terminated.
func (a *assembler) values(d *directive, width int, terminated bool) {
	for _, w := range d.args {
		if w.quoted {
			b := []byte(w.text)
			if terminated {
				b = append(b, 0)
			}
			a.append(d, w, b)
			continue
		}
		v, ok := dataNumber(w.text, width)
		if !ok {
			a.dirError(d, w, "want a string or a number of %d bits, found %q", width*8, w.text)
			return
		}
		b := make([]byte, width)
		for i := range b {
			b[i] = byte(v >> (8 * i))
		}
		a.append(d, w, b)
	}
}

// dataNumber reads a number that fits width bytes, signed or unsigned.
func dataNumber(text string, width int) (uint64, bool) {
	if strings.HasPrefix(text, "-") {
		n, err := strconv.ParseInt(text, 0, width*8)
		return uint64(n), err == nil
	}
	v, err := parseNumber(text)
	return v, err == nil && (width == 8 || v>>(8*width) == 0)
}

// append adds bytes to the current data symbol.
func (a *assembler) append(d *directive, w word, b []byte) {
	if a.dataSize+len(b) > maxData {
		a.dirError(d, w, "data of more than %d MiB", maxData>>20)
		return
	}
	a.dataSize += len(b)
	s := &a.unit.Data[a.last-1]
	s.Bytes = append(s.Bytes, b...)
	sym := &s.Symbols[len(s.Symbols)-1]
	sym.Size = len(s.Bytes) - sym.Offset
}
