package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func cmdInspect() *command {
	return &command{
		name: "inspect", args: "FILE[:PROG]", short: "show what is in an object: programs, maps, sections, types",
		long: "Without flags it shows what a loader makes of the object: programs with their type and " +
			"attach point, and maps with the types of their keys and values. Each flag shows one part " +
			"in full. --sections is the table of the classic loader (samples/bpf/bpf_load.c). " +
			"FILE may be a directory: what cannot be read is named and counted. It may also be " +
			"BTF without an object, as the kernel publishes it. " +
			"The value of --btf is a type, \"task_struct\" or \"struct sock\", or else what kernel types " +
			"are for the other verbs: host, or a file, which has a slash or a dot in its name.",
		examples: []example{
			{"bpfvm inspect testdata/kmem/kmem_classic.bpf.o", "programs and maps"},
			{"bpfvm inspect prog.o --sections --relocs --btf=task_struct", "how the file is laid out, and one type as C"},
			{"bpfvm inspect /sys/kernel/btf/vmlinux --btf > vmlinux.h", "all types of the running kernel, as a header"},
		},
		exits: []int{exitInput, exitUnsupported}, seeAlso: []string{"disasm", "run", "explain"},
		wants: argCount{1, 2}, json: true, pager: true,
		setup: setupInspect,
	}
}

// inspectFlags choose parts.
type inspectFlags struct {
	sections, symbols, relocs, maps, programs, core, lines, vars, externs bool
	hexdump                                                               string

	btf   []string // as given
	types []string // those that name types
}

func (f inspectFlags) any() bool {
	return f.sections || f.symbols || f.relocs || f.maps || f.programs || f.core || f.lines || f.vars || f.externs ||
		len(f.types) > 0 || f.hexdump != ""
}

func (f inspectFlags) onlyTypes() bool {
	types := f.types
	f.types = nil
	return len(types) > 0 && !f.any()
}

func setupInspect(a *app, c *cobra.Command) func([]string) error {
	var f inspectFlags
	fs := c.Flags()
	fs.BoolVar(&f.sections, "sections", false, "sections: index, name, size, link, flags")
	fs.BoolVar(&f.symbols, "symbols", false, "the symbol table")
	fs.BoolVar(&f.relocs, "relocs", false, "relocations with their instructions")
	fs.BoolVar(&f.maps, "maps", false, "maps with the C types of key and value")
	fs.BoolVar(&f.programs, "programs", false, "programs with their subprograms")
	fs.BoolVar(&f.vars, "vars", false, "global variables: where they lie, and their C types")
	fs.BoolVar(&f.externs, "externs", false, "what the kernel is to provide: configuration, functions, variables")
	fs.StringArrayVar(&f.btf, "btf", nil, "the object's types as C, or the one `TYPE`; with =host or =./FILE, the kernel types for CO-RE")
	fs.Lookup("btf").NoOptDefVal = allTypes
	fs.BoolVar(&f.core, "core", false, "CO-RE relocations, before and after")
	fs.BoolVar(&f.lines, "lines", false, "the source lines of each program")
	fs.StringVar(&f.hexdump, "hexdump", "", "the bytes of the section `SEC`")
	a.completeProgram(c)
	a.completeFromObject(c, "btf", "", (*object).typeNames)
	a.completeFromObject(c, "hexdump", "", (*object).sectionNames)
	return func(args []string) error {
		if err := a.splitBTF(&f, args); err != nil {
			return err
		}
		return a.inspect(args[0], f)
	}
}

func (a *app) inspect(arg string, f inspectFlags) error {
	t := splitTarget(arg)
	if raw, ok, err := a.readBTF(t.path); err != nil || ok {
		if err != nil {
			return err
		}
		return a.inspectBTF(t.path, raw, f)
	}
	doc := newInspectDoc()
	dir := isDir(t.path)
	first := true
	err := a.eachObject(t.path, &doc.Refused, func(o *object) (err error) {
		if t.prog != "" {
			if _, err := o.program(t.prog); err != nil {
				return err
			}
		}
		part := describe(o, t.prog)
		if a.jsonWanted() && len(f.types) > 0 {
			if part.Types, err = a.typeEntries(o, f.types); err != nil {
				return err
			}
		}
		doc.append(part)
		if a.jsonWanted() {
			return nil
		}
		if !first {
			fmt.Fprintln(a.out)
		}
		first = false
		return a.writeInspect(o, part, f)
	})
	if err != nil {
		return err
	}
	doc.Summary = summary{Objects: len(doc.Objects), Programs: len(doc.Programs), Maps: len(doc.Maps), Refused: len(doc.Refused)}
	if a.jsonWanted() {
		a.writeJSON(doc)
	}
	if dir {
		return nil
	}
	if len(doc.Programs) > 0 {
		a.suggest(t.path, "bpfvm disasm "+display(t.path)+":"+doc.Programs[0].Name+" -S")
	}
	return refusedErr(doc.Refused)
}

// writeInspect prints the parts asked for, or the overview.
func (a *app) writeInspect(o *object, d inspectDoc, f inspectFlags) error {
	w := a.out
	if f.onlyTypes() { // what comes out is C and nothing else
		return a.writeTypes(o, f.types)
	}
	a.writeObjectLine(w, d.Objects[0])
	type part struct {
		on    bool
		print func() error
	}
	plain := func(print func(io.Writer, inspectDoc)) func() error {
		return func() error { print(w, d); return nil }
	}
	over := !f.any()
	for _, p := range []part{
		{f.sections, plain(a.writeSections)},
		{f.symbols, plain(a.writeSymbols)},
		{f.programs || over, plain(func(w io.Writer, d inspectDoc) { a.writePrograms(w, d, f.programs) })},
		{f.maps || over, plain(a.writeMaps)},
		{(f.maps || over) && hasMembers(d), plain(a.writeMembers)},
		{f.vars, plain(a.writeVariables)},
		{f.externs, plain(a.writeExterns)},
		{f.relocs, plain(a.writeRelocs)},
		{f.core, plain(a.writeCore)},
		{f.lines, plain(a.writeLines)},
		{len(f.types) > 0, func() error { return a.writeTypes(o, f.types) }},
		{f.hexdump != "", func() error { return a.writeHexdump(o, f.hexdump) }},
	} {
		if !p.on {
			continue
		}
		fmt.Fprintln(w)
		if err := p.print(); err != nil {
			return err
		}
	}
	return nil
}

// writeObjectLine prints the facts about the whole object.
func (a *app) writeObjectLine(w io.Writer, o objectEntry) {
	s := a.style
	license := o.License
	if license == "" {
		license = "none"
	}
	facts := []string{fmt.Sprintf("%d bytes", o.Size), "license " + printable(license)}
	if o.VersionCode != 0 {
		facts = append(facts, "version "+o.Kernel)
	}
	facts = append(facts, "BTF "+yesNo(o.BTF), "line info "+yesNo(o.LineInfo))
	if a.flags.plain {
		fmt.Fprintf(w, "object %s\n  %s\n", o.Object, strings.Join(facts, "\n  "))
		return
	}
	fmt.Fprintf(w, "%s\n%s\n", s.head(o.Object), strings.Join(facts, "  "))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// writeSections prints the classic loader's table.
func (a *app) writeSections(w io.Writer, d inspectDoc) {
	t := newTable(">SECTION", "NAME", "TYPE", ">SIZE", ">LINK", ">INFO", "FLAGS")
	t.paint(1, a.style.name)
	for _, s := range d.Sections {
		flags := fmt.Sprintf("%#x", s.Flags)
		if s.FlagNames != "" {
			flags += " " + s.FlagNames
		}
		t.add(s.Index, printable(s.Name), s.Type, s.Size, s.Link, s.Info, flags)
	}
	t.write(w, a, "")
}

func (a *app) writeSymbols(w io.Writer, d inspectDoc) {
	t := newTable(">SYMBOL", "NAME", "TYPE", "BIND", "SECTION", ">VALUE", ">SIZE")
	t.paint(1, a.style.name)
	for _, s := range d.Symbols {
		t.add(s.Index, printable(s.Name), s.Type, s.Bind, printable(s.Section), fmt.Sprintf("%#x", s.Value), s.Size)
	}
	t.write(w, a, "")
}

func (a *app) writePrograms(w io.Writer, d inspectDoc, full bool) {
	if len(d.Programs) == 0 {
		fmt.Fprintln(w, "PROGRAMS none")
		return
	}
	t := newTable("PROG", "SECTION", "TYPE", ">INSNS", ">FUNCS", ">RELOCS", ">CO-RE")
	t.paint(0, a.style.name)
	for _, p := range d.Programs {
		t.add(p.Name, printable(p.Section), p.Type, p.Insns, len(p.Functions), len(p.Relocs), len(p.Core))
	}
	t.write(w, a, "")
	if !full {
		return
	}
	fmt.Fprintln(w)
	t = newTable("PROG", "ATTACH", "TO", "BY NAME", ">SLOTS", "FUNCTION", ">AT")
	t.paint(0, a.style.name)
	for _, p := range d.Programs {
		by := yesNo(p.Auto)
		if p.NoLoad {
			by = "no load" // "?" before its section's name
		}
		for i, fn := range p.Functions {
			if i == 0 {
				t.add(p.Name, p.Attach, printable(p.AttachTo), by, p.Slots, fn.Name, fn.Slot)
			} else {
				t.add("", "", "", "", "", fn.Name, fn.Slot)
			}
		}
	}
	t.write(w, a, "")
}

func (a *app) writeMaps(w io.Writer, d inspectDoc) {
	if len(d.Maps) == 0 {
		fmt.Fprintln(w, "MAPS none")
		return
	}
	t := newTable("MAP", "TYPE", "KEY", "VALUE", ">MAX", "FLAGS")
	t.paint(0, a.style.name)
	for _, m := range d.Maps {
		t.add(m.Name, m.Type, sized(m.KeyType, m.KeySize), sized(m.ValueType, m.ValueSize), m.MaxEntries, strings.Replace(strings.Join(m.FlagNames, " "), "rdonly_prog frozen", "read-only", 1))
	}
	t.write(w, a, "")
}

// sized is a C type with its size, or the size alone.
func sized(ctype string, size uint32) string {
	switch {
	case ctype != "":
		return fmt.Sprintf("%s (%d)", printable(ctype), size)
	case size == 0:
		return "-"
	}
	return plural(int(size), "byte")
}

func (a *app) writeRelocs(w io.Writer, d inspectDoc) {
	if len(d.Relocs) == 0 {
		fmt.Fprintln(w, "RELOCATIONS none")
		return
	}
	section := ""
	for _, r := range d.Relocs {
		if r.Section != section {
			section = r.Section
			fmt.Fprintf(w, "%s\n", a.style.head(printable(section)))
		}
		at := fmt.Sprintf("%#6x", r.Offset)
		if r.Slot >= 0 {
			at = fmt.Sprintf("slot %4d", r.Slot)
		}
		fmt.Fprintf(w, "  %s  %s  %s\n", at, r.Type, a.style.name(printable(r.Symbol)))
		if r.After != "" {
			fmt.Fprintf(w, "             %s  %s  %s\n", r.Before, a.style.arrow(), r.After)
		}
	}
}

func (a *app) writeCore(w io.Writer, d inspectDoc) {
	t := newTable("PROG", ">SLOT", "KIND", "FIELD", ">BEFORE", ">AFTER", "NOTE")
	t.paint(0, a.style.name)
	n := 0
	for _, p := range d.Programs {
		for _, c := range p.Core {
			after := fmt.Sprint(c.After)
			if c.Poison {
				after = "poison"
			}
			t.add(p.Name, c.Slot, c.Kind, c.Path, c.Before, after, c.Note)
			n++
		}
	}
	if n == 0 {
		fmt.Fprintln(w, "CO-RE none")
		return
	}
	t.write(w, a, "")
}

func (a *app) writeLines(w io.Writer, d inspectDoc) {
	t := newTable("PROG", ">SLOT", ">LINE", "SOURCE")
	t.paint(0, a.style.name)
	n := 0
	for _, p := range d.Programs {
		for _, l := range p.Lines {
			t.add(p.Name, l.Slot, l.Line, strings.ReplaceAll(printable(l.Text), "\t", "    "))
			n++
		}
	}
	if n == 0 {
		fmt.Fprintln(w, "LINE INFO none")
		return
	}
	t.write(w, a, "")
}

// writeHexdump prints the bytes of a section as hexdump -C does.
func (a *app) writeHexdump(o *object, name string) error {
	sec := o.file.Section(name)
	if sec == nil {
		return inputErr("%s: no section %q%s", display(o.path), name, didYouMean(name, o.sectionNames()))
	}
	hexdump(a.out, sec.Data(), 0)
	return nil
}

// hexdump prints bytes sixteen a line, with their offsets and as text.
func hexdump(w io.Writer, b []byte, base uint64) {
	for off := 0; off < len(b); off += 16 {
		row := b[off:min(off+16, len(b))]
		var hex, text strings.Builder
		for i, c := range row {
			if i == 8 {
				hex.WriteByte(' ')
			}
			fmt.Fprintf(&hex, " %02x", c)
			if c < 0x20 || c > 0x7e {
				c = '.'
			}
			text.WriteByte(c)
		}
		fmt.Fprintf(w, "%08x %-49s  |%s|\n", base+uint64(off), hex.String(), text.String())
	}
}
