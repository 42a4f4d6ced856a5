package isa

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Format writes a unit as assembly source. Assembling it gives the same unit
// again, but for line numbers. Names of helpers and kernel functions are not
// part of a unit: pr supplies them, as it does for Disassemble; its hooks for
// labels, calls and 64-bit immediates are not used.
func Format(w io.Writer, u *Unit, pr Printer) error {
	f := &formatter{w: bufio.NewWriter(w), pr: pr}
	f.header(u)
	for i := range u.Sections {
		f.section(&u.Sections[i])
	}
	return f.w.Flush()
}

type formatter struct {
	w  *bufio.Writer
	pr Printer
}

// header writes what belongs to no section of code.
func (f *formatter) header(u *Unit) {
	if u.License != "" {
		fmt.Fprintf(f.w, ".license %q\n", u.License)
	}
	if u.Version != 0 {
		fmt.Fprintf(f.w, ".version %d\n", u.Version)
	}
	for _, m := range u.Maps {
		fmt.Fprintf(f.w, ".map %s type=%s key=%d value=%d max_entries=%d", argument(m.Name), argument(m.Type), m.KeySize, m.ValueSize, m.MaxEntries)
		if m.Flags != 0 {
			fmt.Fprintf(f.w, " flags=%#x", m.Flags)
		}
		if m.Extra != 0 {
			fmt.Fprintf(f.w, " map_extra=%#x", m.Extra)
		}
		if m.Inner != "" {
			fmt.Fprintf(f.w, " inner=%s", argument(m.Inner))
		}
		fmt.Fprintln(f.w)
	}
	for _, d := range u.Data {
		for _, s := range d.Symbols {
			fmt.Fprintf(f.w, "%s %s", d.Name, argument(s.Name))
			f.bytes(d.Bytes[s.Offset : s.Offset+s.Size])
		}
	}
}

// bytes writes a symbol's bytes: text as a string, zeros as their number, and
// all else as bytes, sixteen a line.
func (f *formatter) bytes(b []byte) {
	if n := len(b) - 1; n > 0 && b[n] == 0 && !slices.ContainsFunc(b[:n], func(c byte) bool { return c < ' ' && c != '\n' && c != '\t' || c >= 0x7f }) {
		fmt.Fprintf(f.w, " %q\n", b[:n])
		return
	}
	fmt.Fprintln(f.w)
	for len(b) > 0 {
		zeros := len(b) - len(strings.TrimLeft(string(b), "\x00"))
		if zeros > 4 {
			fmt.Fprintf(f.w, "\t.zero %d\n", zeros)
			b = b[zeros:]
			continue
		}
		line := b[:min(16, len(b))]
		b = b[len(line):]
		f.w.WriteString("\t.byte")
		for _, c := range line {
			fmt.Fprintf(f.w, " %#02x", c)
		}
		fmt.Fprintln(f.w)
	}
}

// argument writes a word of a directive, in quotes where it needs them.
func argument(s string) string {
	if isPlainName(s) {
		return s
	}
	return strconv.Quote(s)
}

// isPlainName reports whether s can stand without quotes wherever a name can.
func isPlainName(s string) bool {
	if s == "" || !isWordStart(s[0]) {
		return false
	}
	for i := range len(s) {
		if !isWordStart(s[i]) && !isDigit(s[i]) {
			return false
		}
	}
	t := token{kind: tokWord, text: s}
	return !isRegister(t) && !slices.Contains([]string{"pc", "fp", "kfunc", "fd", "id", "idx"}, s)
}

// section writes the code of one section.
func (f *formatter) section(s *AsmSection) {
	if s.Name != "" {
		fmt.Fprintf(f.w, "\n.section %q\n", s.Name)
	}
	refs := map[PC]Ref{}
	for _, r := range s.Refs {
		refs[r.PC] = r
	}
	labels := jumpLabels(s)
	pr := f.pr
	pr.Slots, pr.Opcodes = false, false
	pr.CallTarget = nil
	funcs := s.Funcs
	pc := PC(0)
	pr.Label = func(to PC) string {
		if functionOf(s.Funcs, to) == functionOf(s.Funcs, pc) {
			return labels[to]
		}
		return ""
	}
	pr.Imm64 = func(pc PC, _ Pseudo, _ uint64) string { return refs[pc].operand() }
	for ; int(pc) < len(s.Insns); pc++ {
		if len(funcs) > 0 && funcs[0].PC == pc {
			f.function(funcs[0])
			funcs = funcs[1:]
		}
		if l := labels[pc]; l != "" {
			fmt.Fprintf(f.w, "%s:\n", l)
		}
		line := pr.Insn(s.Insns, pc)
		if r := refs[pc]; r.Kind == RefCall {
			line = "call " + argument(r.Symbol)
		} else if r.Kind == RefKfunc {
			line = "call kfunc " + argument(r.Symbol)
			if off := s.Insns[pc].Off; off != 0 {
				line += fmt.Sprintf(" off=%d", off)
			}
		}
		op, ok := s.Insns.form(pc)
		wide := ok && op.IsWide()
		if wide && len(funcs) > 0 && funcs[0].PC == pc+1 { // possible with .insn
			var b strings.Builder
			raw(&b, s.Insns[pc])
			line, wide = b.String(), false
		}
		fmt.Fprintf(f.w, "\t%s\n", line)
		if wide {
			pc++
		}
	}
	if l := labels[PC(len(s.Insns))]; l != "" {
		fmt.Fprintf(f.w, "%s:\n", l)
	}
}

func (f *formatter) function(fn AsmFunc) {
	fmt.Fprintf(f.w, ".func %s", argument(fn.Name))
	if fn.Static {
		f.w.WriteString(" static")
	}
	fmt.Fprintln(f.w)
}

// operand is the right side of the LDDW that has the reference.
func (r Ref) operand() string {
	switch r.Kind {
	case RefMap:
		return fmt.Sprintf("map[%s]", argument(r.Symbol))
	case RefMapValue:
		return fmt.Sprintf("map[%s][0]+%d", argument(r.Symbol), r.Addend)
	case RefFunc:
		return fmt.Sprintf("func[%s]", argument(r.Symbol))
	}
	return ""
}

// functionOf returns the index of the function that slot pc belongs to.
func functionOf(funcs []AsmFunc, pc PC) int {
	i, found := slices.BinarySearchFunc(funcs, pc, func(f AsmFunc, pc PC) int { return cmp.Compare(f.PC, pc) })
	if found {
		return i
	}
	return i - 1
}

// jumpLabels names the targets of jumps that stay within their function and lead
// to the beginning of an instruction.
func jumpLabels(s *AsmSection) map[PC]string {
	starts := map[PC]bool{PC(len(s.Insns)): true}
	for pc := PC(0); int(pc) < len(s.Insns); pc++ {
		starts[pc] = true
		if op, ok := s.Insns.form(pc); ok && op.IsWide() {
			pc++
		}
	}
	labels := map[PC]string{}
	for pc := range s.Insns {
		to, ok := s.Insns.JumpTarget(PC(pc))
		if ok && starts[PC(pc)] && starts[to] && functionOf(s.Funcs, to) == functionOf(s.Funcs, PC(pc)) {
			labels[to] = fmt.Sprintf("L%d", to)
		}
	}
	return labels
}
