package cli

import (
	"fmt"
	"strings"

	"bpfvm/isa"
	"bpfvm/jit/amd64"
	"bpfvm/spec"
)

// annotate adds to a listing of machine code where each instruction came from: the C
// line, and what the object held before the loader changed it.
func annotate(o *object, p *spec.ProgramSpec, out *disasmProg) {
	before := map[isa.PC]string{}
	for _, r := range o.info().Relocs {
		if r.Program == p.Name && r.PC >= 0 && r.Before.Hex != r.After.Hex {
			before[isa.PC(r.PC)] = fmt.Sprintf("%s   %s %s", r.Before.Text, r.Type, printable(r.Symbol))
		}
	}
	for _, c := range p.Core {
		if c.Before != c.After || c.Note != "" {
			before[c.PC] = fmt.Sprintf("%d   CO-RE %s %s", int64(c.Before), c.Kind, printable(c.Path))
		}
	}
	seen := map[isa.PC]bool{}
	var shown *spec.Line
	for i := range out.Insns {
		in := &out.Insns[i]
		if in.pc < 0 || seen[in.pc] { // rare cases come again at the end
			continue
		}
		seen[in.pc] = true
		in.Before = before[in.pc]
		if fn := p.FuncAt(in.pc); fn != nil && fn.PC == in.pc {
			in.Func = fn.Name
			shown = nil
		}
		if line := p.LineAt(in.pc); line != nil && (shown == nil || line.File != shown.File || line.Line != shown.Line) {
			shown = line
			in.Source = &sourceLine{File: line.File, Line: line.Line, Col: line.Col, Text: line.Text}
		}
	}
}

// Columns of the teaching view: where the machine code begins, and how wide the
// instructions before it may be.
const (
	allText = 44
	allX86  = 36
)

// writeAll prints one program from its source down to the machine code: C lines, the
// instruction in the object where the loader changed it, the linked instruction and,
// beside it, its x86-64.
func (a *app) writeAll(p disasmProg) {
	w, s := a.out, a.style
	fmt.Fprintln(w, s.head(fmt.Sprintf("%s  %s, %d bytes of x86-64", p.Name, p.Section, p.X86Bytes)))
	var regs []string
	for r := range isa.Register(isa.NumRegisters) {
		regs = append(regs, r.String()+" "+amd64.RegisterName(r))
	}
	fmt.Fprintf(w, "%s\n", s.dim("registers  "+strings.Join(regs, "  ")))
	for _, l := range p.Insns {
		if l.Func != "" && l.Slot > 0 {
			fmt.Fprintf(w, "\n%s:\n", s.name(printable(l.Func)))
		}
		if src := l.Source; src != nil {
			fmt.Fprintf(w, "%s\n", s.src(strings.TrimRight(fmt.Sprintf("%5d  %s", src.Line, strings.ReplaceAll(printable(src.Text), "\t", "    ")), " ")))
		}
		if l.Before != "" {
			fmt.Fprintf(w, "       %s\n", s.dim("object: "+l.Before))
		}
		text := fmt.Sprintf("%5d  %s", l.Slot, l.Text)
		if l.Slot < 0 {
			text = "       entry, exits, rare cases"
		}
		if len(l.X86) == 0 {
			fmt.Fprintln(w, text)
			continue
		}
		for i, x := range l.X86 {
			left := ""
			switch {
			case i == 0 && len(text) <= allText:
				left = text
			case i == 0:
				fmt.Fprintln(w, text)
			}
			fmt.Fprintf(w, "%-*s  %s %s\n", allText, left, s.dim(fmt.Sprintf("%4x", x.Addr)), s.name(x.Text))
		}
	}
}
