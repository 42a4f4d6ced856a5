package cli

import (
	"fmt"
	"slices"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/spf13/cobra"
)

func cmdDisasm() *command {
	return &command{
		name: "disasm", args: "FILE[:PROG]", short: "list instructions in the verifier's C-like syntax",
		long: "Prints each program as the loader hands it to the kernel: subprograms appended, maps and " +
			"helpers by name, CO-RE applied, slots numbered as in the verifier's log. What is printed " +
			"for one program is a source for \"bpfvm asm\".\n\n" +
			"--elf prints what stands in the object instead, section by section and before " +
			"relocation; that text, too, can be assembled, the whole object at once. FILE may be a " +
			"directory.\n\n" +
			"--stage=jit prints the machine code that bpfvm's compiler makes, below the instruction that " +
			"it came from, on every host. --jit-passes leaves parts of the compiler out, to see what they do: " +
			"\"none\" translates each instruction by itself and checks every access, \"all,-known\" does all but one. " +
			"The passes are " + passList() + ".\n\n" +
			"--stage=all shows the whole way: C line, what the object held where the loader changed it, the " +
			"linked instruction, its machine code.",
		examples: []example{
			{"bpfvm disasm testdata/kmem/kmem_modern.bpf.o:on_free -S", "one program with its C lines"},
			{"bpfvm disasm testdata/xdp/firewall.bpf.o --cfg=svg >flow.svg", "basic blocks and how control flows between them"},
			{"bpfvm disasm --elf prog.o | bpfvm asm - -o again.o", "there and back"},
		},
		exits: []int{exitInput, exitUnsupported}, seeAlso: []string{"asm", "inspect", "explain"},
		wants: argCount{1, 1}, json: true, pager: true,
		setup: setupDisasm,
	}
}

// disasmFlags are the flags of disasm.
type disasmFlags struct {
	source, opcodes, linum, elf, labels bool
	stage, cfg, passes                  string
}

func setupDisasm(a *app, c *cobra.Command) func([]string) error {
	var f disasmFlags
	fs := c.Flags()
	fs.BoolVarP(&f.source, "source", "S", false, "interleave the C source")
	fs.BoolVar(&f.opcodes, "opcodes", false, "show the raw bytes of each slot")
	fs.BoolVar(&f.linum, "linum", false, "show file, line and column")
	fs.BoolVar(&f.labels, "labels", false, "name jump targets instead of counting slots")
	fs.BoolVar(&f.elf, "elf", false, "show the object's own sections, before relocation")
	fs.StringVar(&f.stage, "stage", "xlated", "which form: elf (as --elf), xlated (linked), jit (x86-64) or all of them side by side")
	fs.StringVar(&f.cfg, "cfg", "", "draw the control flow of each function: as text, dot or svg `FORM`")
	fs.Lookup("cfg").NoOptDefVal = "text"
	a.jitPassesFlag(c, &f.passes)
	a.btfFlag(c)
	a.completeProgram(c)
	return func(args []string) error {
		if f.cfg != "" {
			return a.disasmCFG(args[0], f.cfg, f.source)
		}
		switch f.stage {
		case "xlated":
		case "elf":
			f.elf = true
		case "jit", "all":
			return a.disasmJIT(args[0], f)
		default:
			return usageErr("--stage=%s: want elf, xlated, jit or all%s", f.stage, didYouMean(f.stage, []string{"elf", "xlated", "jit", "all"}))
		}
		return a.disasm(args[0], f)
	}
}

// disasmDoc is the document of "disasm".
type disasmDoc struct {
	docHead
	Stage    string       `json:"stage"`
	Programs []disasmProg `json:"programs"`
	Refused  []refusal    `json:"refused"`
}

type disasmProg struct {
	Object  string       `json:"object"`
	Name    string       `json:"name"` // of the section with --elf
	Section string       `json:"section"`
	Insns   []disasmInsn `json:"insns"`
	// X86Bytes is the size of the machine code, with --stage=jit.
	X86Bytes int `json:"x86_bytes,omitempty"`
}

type disasmInsn struct {
	Slot   int         `json:"slot"`
	Bytes  string      `json:"bytes"`
	Text   string      `json:"text"`
	Func   string      `json:"func,omitempty"` // set on the first slot of a function
	Reloc  string      `json:"reloc,omitempty"`
	Source *sourceLine `json:"source,omitempty"` // set where the line changes
	X86    []x86Row    `json:"x86,omitempty"`    // with --stage=jit and all
	Before string      `json:"before,omitempty"` // with --stage=all: what the object held

	pc isa.PC
}

type sourceLine struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Col  int    `json:"col,omitempty"`
	Text string `json:"text,omitempty"`
}

func (a *app) disasm(arg string, f disasmFlags) error {
	t := splitTarget(arg)
	doc := disasmDoc{docHead: head("disasm"), Stage: "xlated", Programs: []disasmProg{}, Refused: []refusal{}}
	if f.elf {
		doc.Stage = "elf"
	}
	first := true
	err := a.eachObject(t.path, &doc.Refused, func(o *object) error {
		var listings []listing
		switch {
		case f.elf:
			if t.prog != "" {
				return usageErr("--elf shows whole sections; leave out %q", ":"+t.prog)
			}
			listings = elfListings(o)
		default:
			if l, ok := functionListing(o, t.prog, f.labels); ok {
				listings = []listing{l}
				break
			}
			progs, err := o.programs(t.prog)
			if err != nil {
				return err
			}
			for _, p := range progs {
				listings = append(listings, linkedListing(o, p, f.labels))
			}
		}
		if a.jsonWanted() {
			for _, l := range listings {
				doc.Programs = append(doc.Programs, l.disasmProg)
			}
			return nil
		}
		if !first {
			fmt.Fprintln(a.out)
		}
		first = false
		a.writeListings(o, listings, f, t.prog)
		return nil
	})
	if err != nil {
		return err
	}
	if a.jsonWanted() {
		a.writeJSON(doc)
	}
	switch {
	case isDir(t.path):
	case f.source || f.elf:
		a.suggest(t.path, "bpfvm run "+display(t.path)+" --help")
	default:
		a.suggest(t.path, "bpfvm disasm "+display(arg)+" -S")
	}
	return nil
}

// listing is a program or a section ready to be printed.
type listing struct {
	disasmProg
	// head are the directives that come before the first instruction.
	head []string
	maps []string
}

// linkedListing lists a program as the loader made it.
func linkedListing(o *object, p *spec.ProgramSpec, labels bool) listing {
	l := listing{disasmProg: disasmProg{Object: display(o.path), Name: p.Name, Section: p.Section}}
	l.head = []string{fmt.Sprintf(".program %s %s", spec.Word(p.Name), spec.Word(p.Section))}
	pr := linkedPrinter(p, labels)
	var shown *spec.Line
	for pc := range p.Insns.All() {
		in := disasmInsn{Slot: int(pc), pc: pc, Bytes: slotBytes(p.Insns, pc), Text: pr.Insn(p.Insns, pc)}
		if fn := p.FuncAt(pc); fn != nil && fn.PC == pc {
			in.Func = fn.Name
			shown = nil
		}
		if ref := p.RefAt(pc); ref != nil {
			switch ref.Kind {
			case spec.RefKfunc:
				if p.Insns[pc].Op == isa.OpCall { // else the address of one that may be missing
					in.Text = "call kfunc " + spec.Word(ref.Name)
				}
			case spec.RefMap, spec.RefMapValue:
				l.maps = append(l.maps, ref.Name)
			}
		}
		if line := p.LineAt(pc); line != nil && (shown == nil || line.File != shown.File || line.Line != shown.Line) {
			shown = line
			in.Source = &sourceLine{File: line.File, Line: line.Line, Col: line.Col, Text: line.Text}
		}
		l.Insns = append(l.Insns, in)
	}
	return l
}

// functionListing lists a subprogram, as it stands in the first program that has
// it. It returns false for names of programs.
func functionListing(o *object, name string, labels bool) (listing, bool) {
	if name == "" || o.coll.Program(name) != nil {
		return listing{}, false
	}
	for _, p := range o.coll.Programs {
		for i, fn := range p.Funcs {
			if fn.Name != name {
				continue
			}
			end := isa.PC(len(p.Insns))
			if i+1 < len(p.Funcs) {
				end = p.Funcs[i+1].PC
			}
			l := linkedListing(o, p, labels)
			l.maps = nil
			l.Insns = slices.DeleteFunc(l.Insns, func(in disasmInsn) bool { return in.pc < fn.PC || in.pc >= end })
			l.head = []string{fmt.Sprintf("; in program %s, section %s", p.Name, p.Section), ".func " + spec.Word(name) + " static"}
			return l, true
		}
	}
	return listing{}, false
}

// functionNames lists the subprograms of all programs.
func (o *object) functionNames() []string {
	var names []string
	for _, p := range o.coll.Programs {
		for _, fn := range p.Funcs[min(1, len(p.Funcs)):] {
			if !slices.Contains(names, fn.Name) {
				names = append(names, fn.Name)
			}
		}
	}
	return names
}

// linkedPrinter knows the names in a linked program.
func linkedPrinter(p *spec.ProgramSpec, labels bool) *isa.Printer {
	pr := p.Printer()
	if labels {
		names := labelNames(p.Insns)
		pr.Label = func(pc isa.PC) string { return names[pc] }
	}
	return &pr
}

// labelNames names the targets of jumps "L12" after their slots.
func labelNames(p isa.Program) map[isa.PC]string {
	names := map[isa.PC]string{}
	for pc := range p.All() {
		if to, ok := p.JumpTarget(pc); ok && to >= 0 && int(to) < len(p) {
			names[to] = fmt.Sprintf("L%d", to)
		}
	}
	return names
}

// slotBytes is the instruction as objdump prints it: one or two slots.
func slotBytes(p isa.Program, pc isa.PC) string {
	n := isa.PC(1)
	if p[pc].IsWide() && int(pc)+1 < len(p) {
		n = 2
	}
	return fmt.Sprintf("% x", isa.Encode(p[pc:pc+n]))
}

// writeListings prints the directives that the listings need, then the listings.
func (a *app) writeListings(o *object, ls []listing, f disasmFlags, prog string) {
	w, s := a.out, a.style
	fmt.Fprintf(w, "%s\n", s.dim(fmt.Sprintf("; %s, %s", display(o.path), plural(len(ls), map[bool]string{true: "section", false: "program"}[f.elf]))))
	for _, d := range objectDirectives(o, ls, prog == "") {
		fmt.Fprintln(w, s.dim(d))
	}
	for _, l := range ls {
		fmt.Fprintln(w)
		for _, h := range l.head {
			fmt.Fprintln(w, s.head(h))
		}
		a.writeInsns(l, f)
	}
}

// writeInsns prints the instructions of one listing.
func (a *app) writeInsns(l listing, f disasmFlags) {
	w, s := a.out, a.style
	digits := 1
	if n := len(l.Insns); n > 0 {
		digits = len(fmt.Sprint(l.Insns[n-1].Slot))
	}
	targets := map[string]bool{}
	if f.labels {
		for _, in := range l.Insns {
			if i := strings.LastIndex(in.Text, "goto L"); i >= 0 {
				targets[in.Text[i+len("goto "):]] = true
			}
			if i := strings.LastIndex(in.Text, "gotol L"); i >= 0 {
				targets[in.Text[i+len("gotol "):]] = true
			}
		}
	}
	bytesWidth := 0
	for _, in := range l.Insns {
		bytesWidth = max(bytesWidth, len(in.Bytes))
	}
	for i, in := range l.Insns {
		if in.Func != "" && (i > 0 || l.head == nil || f.elf) {
			if i > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintln(w, s.head(funcDirective(in.Func, f.elf)))
		}
		if in.Source != nil && (f.source || f.linum) {
			fmt.Fprintln(w, s.src(sourceComment(in.Source, f)))
		}
		if name := fmt.Sprintf("L%d", in.Slot); targets[name] {
			fmt.Fprintf(w, "%s:\n", s.name(name))
		}
		line := fmt.Sprintf("%*d: ", digits+1, in.Slot)
		if f.opcodes {
			line += s.dim(in.Bytes) + strings.Repeat(" ", bytesWidth-len(in.Bytes)+2)
		}
		line += in.Text
		if in.Reloc != "" {
			line += s.dim("  ; " + in.Reloc)
		}
		fmt.Fprintln(w, line)
	}
}

func funcDirective(name string, elf bool) string {
	if name, static := strings.CutSuffix(name, " static"); static {
		return ".func " + spec.Word(name) + " static"
	}
	if elf {
		return ".func " + spec.Word(name)
	}
	return ".func " + spec.Word(name) + " static"
}

func sourceComment(l *sourceLine, f disasmFlags) string {
	text := "; "
	if f.linum {
		text += fmt.Sprintf("%s:%d:%d  ", printable(l.File), l.Line, l.Col)
	} else {
		text += fmt.Sprintf("%d  ", l.Line)
	}
	if f.source {
		text += strings.TrimSpace(printable(strings.ReplaceAll(l.Text, "\t", "    ")))
	}
	return strings.TrimRight(text, " ")
}

// plural counts things.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
