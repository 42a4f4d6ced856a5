package difftest

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/tools/txtar"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/scenario"
	"bpfvm/spec"
)

// Files of a saved case.
const (
	fileProgram = "program.s"
	fileEvents  = "inputs.events"
)

// Repro is a case as it is saved, with what it showed.
type Repro struct {
	Case    *Case
	Engines []string // that differed, or are to be compared
	Note    []string // what the difference was, line by line
}

// Format writes a case as a txtar archive: the program in assembly, what happens to
// it as an event script, and above them, as comment, the engines and the
// difference. It is an error if the case runs several programs, or files are needed
// to repeat it.
func (r *Repro) Format() ([]byte, error) {
	p, err := r.Case.program()
	if err != nil {
		return nil, err
	}
	source, err := source(r.Case.Spec, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Case.Name, err)
	}
	var head strings.Builder
	fmt.Fprintf(&head, "case %s\nengines %s\n", r.Case.Name, strings.Join(r.Engines, ","))
	for _, n := range r.Note {
		for line := range strings.SplitSeq(n, "\n") {
			fmt.Fprintf(&head, "# %s\n", line)
		}
	}
	return txtar.Format(&txtar.Archive{Comment: []byte(head.String()), Files: []txtar.File{
		{Name: fileProgram, Data: source},
		{Name: fileEvents, Data: []byte(events(r.Case, p))},
	}}), nil
}

// hookOf is the word for packets that programs of a type get in scripts.
func hookOf(t spec.ProgType) string {
	switch t {
	case spec.ProgXDP:
		return "xdp"
	case spec.ProgSchedCls, spec.ProgSchedAct:
		return "tc"
	case spec.ProgSocketFilter:
		return "socket"
	}
	return ""
}

// events is the script of a case, with its frames as events.
func events(c *Case, p *spec.ProgramSpec) string {
	var b strings.Builder
	if c.Script != nil {
		b.WriteString(scenario.Format(c.Script))
	}
	for _, f := range c.Frames {
		fmt.Fprintf(&b, "%s hex=\"%x\"\n", hookOf(p.Type), f.Data)
	}
	return b.String()
}

// source writes one program of a collection as assembly.
func source(cs *spec.CollectionSpec, p *spec.ProgramSpec) ([]byte, error) {
	var b bytes.Buffer
	for _, m := range cs.Maps {
		if !refersTo(&spec.CollectionSpec{Programs: []*spec.ProgramSpec{p}}, m.Name) {
			continue
		}
		if m.Section != "" && m.Section != ".maps" && m.Section != "maps" || m.Inner != nil {
			return nil, fmt.Errorf("map %s: a %s of section %s cannot be written as assembly", m.Name, m.Type, m.Section)
		}
		fmt.Fprintf(&b, ".map %s type=%s key=%d value=%d max_entries=%d", m.Name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries)
		if m.Flags != 0 {
			fmt.Fprintf(&b, " flags=%d", uint32(m.Flags))
		}
		b.WriteByte('\n')
	}
	license := p.License
	if license == "" {
		license = cs.License
	}
	fmt.Fprintf(&b, ".license %q\n", license)
	labels := map[isa.PC]string{}
	for pc := range p.Insns.All() {
		if t, ok := p.Insns.JumpTarget(pc); ok {
			labels[t] = fmt.Sprintf("l%d", t)
		}
	}
	names := map[isa.PC]string{}
	for _, f := range p.Funcs {
		names[f.PC] = f.Name
	}
	pr := p.Printer()
	pr.Label = func(t isa.PC) string { return labels[t] }
	for pc := range p.Insns.All() {
		switch name := names[pc]; {
		case pc == 0:
			fmt.Fprintf(&b, ".program %s %s\n", p.Name, p.Section)
		case name != "":
			fmt.Fprintf(&b, ".func %s static\n", name)
		}
		if l := labels[pc]; l != "" {
			fmt.Fprintf(&b, "%s:\n", l)
		}
		fmt.Fprintf(&b, "\t%s\n", pr.Insn(p.Insns, pc))
	}
	return b.Bytes(), nil
}

// Open reads a saved case.
func Open(name string, data []byte) (*Repro, error) {
	a := txtar.Parse(data)
	r := &Repro{Case: &Case{Name: name}}
	for line := range strings.SplitSeq(string(a.Comment), "\n") {
		switch word, rest, _ := strings.Cut(line, " "); word {
		case "case":
			r.Case.Name = rest
		case "engines":
			r.Engines = strings.Split(rest, ",")
		case "#":
			r.Note = append(r.Note, rest)
		}
	}
	for _, f := range a.Files {
		var err error
		switch f.Name {
		case fileProgram:
			r.Case.Spec, err = assemble(f.Name, f.Data)
		case fileEvents:
			r.Case.Script, err = scenario.Parse(f.Name, f.Data)
		default:
			err = fmt.Errorf("%s: a saved case has %s and %s", f.Name, fileProgram, fileEvents)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if r.Case.Spec == nil {
		return nil, fmt.Errorf("%s: no %s", name, fileProgram)
	}
	return r, nil
}

// assemble makes a collection of assembly, as an object of it would be.
func assemble(name string, text []byte) (*spec.CollectionSpec, error) {
	u, err := isa.Assemble(name, text, isa.Options{HelperID: func(n string) (int32, bool) {
		h := spec.HelperByName(n)
		if h == nil {
			return 0, false
		}
		return int32(h.ID), true
	}})
	if err != nil {
		return nil, err
	}
	object, err := elf.Write(u)
	if err != nil {
		return nil, err
	}
	cs, err := elf.LoadReader(bytes.NewReader(object), int64(len(object)), elf.Options{Name: "case"})
	if err != nil {
		return nil, err
	}
	addTypes(cs)
	return cs, nil
}
