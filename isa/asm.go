package isa

import (
	"errors"
	"fmt"
	"iter"
)

// Options are what the assembler cannot know by itself. The zero value will do
// for text without names of helpers and kernel functions.
type Options struct {
	// HelperID returns the number of a helper, for "call bpf_map_lookup_elem".
	HelperID func(name string) (int32, bool)
	// HelperNames yields all helper names, for "did you mean".
	HelperNames iter.Seq[string]
	// AllowUndefined leaves names of maps and functions that the source does
	// not define as Refs, for a linker to resolve, instead of reporting them.
	AllowUndefined bool
}

// Unit is an assembled source: what an object file would hold.
type Unit struct {
	Sections []AsmSection // in order of first appearance
	Maps     []AsmMap     // in order of definition
	Data     []AsmData    // .rodata, .data and .bss, as far as used
	License  string
	Version  uint32
}

// AsmSection is one section of code.
type AsmSection struct {
	Name  string    // "xdp"; "" if the source names none
	Funcs []AsmFunc // by PC; the first begins at slot 0 if there is any code
	Insns Program
	Refs  []Ref // by PC
	Lines []int // source line of each slot
}

// AsmFunc is a program or subprogram within a section. It ends where the next
// one begins. Code before the first .func is a function named after the
// section, or "main".
type AsmFunc struct {
	Name   string
	PC     PC
	Static bool // local to the unit, as a static C function
	Line   int
}

// RefKind says what a Ref stands for.
type RefKind uint8

// Kinds of references.
const (
	RefMap      RefKind = iota + 1 // LDDW: address of the map Symbol
	RefMapValue                    // LDDW: byte Addend of the value of map or data section Symbol
	RefFunc                        // LDDW: address of the function Symbol
	RefCall                        // call of the function Symbol
	RefKfunc                       // call of the kernel function Symbol
)

// String returns the kind's name.
func (k RefKind) String() string {
	switch k {
	case RefMap:
		return "map"
	case RefMapValue:
		return "map value"
	case RefFunc:
		return "function address"
	case RefCall:
		return "call"
	case RefKfunc:
		return "kfunc call"
	}
	return fmt.Sprintf("RefKind(%d)", k)
}

// Ref is a place where an instruction names a symbol: a relocation. The pseudo
// kind is in the instruction already; a loader fills in the immediate. For a
// function of the same section Local is set and the distance filled in.
type Ref struct {
	PC     PC
	Kind   RefKind
	Symbol string
	Addend uint32
	Local  bool
}

// AsmMap is a map definition, unjudged: whether the type exists and the sizes
// suit it is for others to say.
type AsmMap struct {
	Name       string
	Type       string // "hash", as written
	KeySize    uint32 // bytes
	ValueSize  uint32 // bytes
	MaxEntries uint32
	Flags      uint32
	Extra      uint64 // map_extra
	Inner      string // name of the inner map's template
	Line       int
}

// AsmData is a data section.
type AsmData struct {
	Name    string // ".rodata", ".data" or ".bss", or such a name with a suffix: ".data.percpu"
	Bytes   []byte
	Symbols []AsmSymbol // by offset
}

// AsmSymbol is a named piece of a data section.
type AsmSymbol struct {
	Name         string
	Offset, Size int
	Line         int
}

// ErrNotPlain is wrapped by the error of AssembleProgram for a source that
// needs a loader.
var ErrNotPlain = errors.New("not a plain program")

// Assemble turns text into slots. See the package comment for the language. The
// name file is for error messages only. The error is an AsmErrorList: what was
// wrong, by place, at most twenty entries.
func Assemble(file string, src []byte, opts Options) (*Unit, error) {
	a := &assembler{
		opts:   opts,
		byName: map[string]*asmSection{},
		funcs:  map[string]*asmSection{},
		maps:   map[string]bool{},
		data:   map[string]dataPlace{},
	}
	lines, open := splitLines(string(src))
	for _, l := range lines {
		a.line(l)
		if len(a.errs) > maxAsmErrors {
			break
		}
	}
	if open != nil {
		a.errs = append(a.errs, open)
	}
	if len(a.errs) <= maxAsmErrors {
		a.link()
	}
	for _, e := range a.errs {
		e.File = file
	}
	if err := a.errs.finish(); err != nil {
		return nil, err
	}
	return &a.unit, nil
}

// AssembleProgram assembles the instructions of a single section that refer to
// nothing outside it: no maps, no data, no names of helpers.
func AssembleProgram(src string) (Program, error) {
	u, err := Assemble("", []byte(src), Options{})
	if err != nil {
		return nil, err
	}
	if len(u.Sections) > 1 {
		return nil, fmt.Errorf("assemble: %w: it has %d sections", ErrNotPlain, len(u.Sections))
	}
	if len(u.Sections) == 0 {
		return nil, nil
	}
	for _, r := range u.Sections[0].Refs {
		if !r.Local {
			return nil, fmt.Errorf("assemble: %w: insn %d refers to %s %q", ErrNotPlain, r.PC, r.Kind, r.Symbol)
		}
	}
	return u.Sections[0].Insns, nil
}

// assembler is the state between lines.
type assembler struct {
	opts   Options
	unit   Unit
	errs   AsmErrorList
	secs   []*asmSection
	byName map[string]*asmSection
	cur    *asmSection            // nil before the first instruction or section
	funcs  map[string]*asmSection // section of each function
	maps   map[string]bool        // names of maps and data sections
	data   map[string]dataPlace   // section and offset of each data symbol
	last   int                    // index in unit.Data, plus one, that .byte and its like append to

	haveLicense, haveVersion bool
	dataSize                 int // bytes over all data sections
}

// dataPlace is where a data symbol lies.
type dataPlace struct {
	section string
	offset  int
}

func (a *assembler) errorf(line, col int, format string, args ...any) {
	a.errs = append(a.errs, &AsmError{Line: line, Col: col, Msg: fmt.Sprintf(format, args...)})
}

// line assembles one source line: a directive, or labels and an instruction.
func (a *assembler) line(l sourceLine) {
	if a.directive(l) {
		return
	}
	text := blankDump(l.text)
	if text == "" {
		return
	}
	toks, err := lexLine(text)
	if err != nil {
		err.Line = l.num
		a.errs = append(a.errs, err)
		return
	}
	for len(toks) > 2 && toks[0].kind == tokWord && toks[1].is(":") {
		a.section().label(a, toks[0], l.num)
		toks = toks[2:]
	}
	if toks[0].kind == tokEnd {
		return
	}
	p := &parser{toks: toks}
	p.dumpPrefix()
	p.statement()
	if p.err == nil {
		p.checkPrefix()
	}
	if p.err != nil {
		p.err.Line = l.num
		a.errs = append(a.errs, p.err)
		// Keep the slot count right for the lines that follow.
		p.st = statement{slots: Program{{}}, number: p.st.number}
	}
	a.section().place(a, p.st, l.num)
}

// section returns the current section and begins the nameless one if need be.
func (a *assembler) section() *asmSection {
	if a.cur == nil {
		a.enter("")
	}
	return a.cur
}

// enter makes the named section the current one.
func (a *assembler) enter(name string) {
	if a.byName[name] == nil {
		a.byName[name] = &asmSection{name: name, labels: map[scopedName]labelPlace{}, at: map[PC]int{}}
		a.secs = append(a.secs, a.byName[name])
	}
	a.cur = a.byName[name]
}

// link resolves what could not be resolved line by line and fills the unit.
func (a *assembler) link() {
	for _, s := range a.secs {
		s.finish(a)
	}
	for _, s := range a.secs {
		if len(a.errs) > maxAsmErrors {
			return
		}
		if s.name == "" && len(s.stmts) == 0 { // a stray label began it
			continue
		}
		a.unit.Sections = append(a.unit.Sections, s.link(a))
	}
	for _, m := range a.unit.Maps {
		if m.Inner != "" && !a.maps[m.Inner] && !a.opts.AllowUndefined {
			a.errorf(m.Line, 1, "map %q: inner map %q is not defined", m.Name, m.Inner)
		}
	}
}
