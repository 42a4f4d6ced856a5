package isa

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Printer turns instructions into the text that the kernel's verifier and
// bpftool print (kernel/bpf/disasm.c). The zero Printer knows no names; what it
// prints, Assemble reads back into the same slots. Each hook may be nil, and may
// return "" where it has no name to offer.
//
// Where the kernel's text does not say all there is, ours says more: a 64-bit
// constant carries the "ll" of LLVM's assembler, a call to a kernel function the
// word kfunc, and a slot that is no legal instruction is printed as .insn with
// its five fields, so that every program has a text.
type Printer struct {
	HelperName func(id int32) string                         // "bpf_map_lookup_elem" for 1
	KfuncName  func(id int32, off int16) string              // by BTF id and fd_array index
	Label      func(target PC) string                        // name of a jump's target
	CallTarget func(target PC) string                        // name of a subprogram
	Imm64      func(pc PC, kind Pseudo, value uint64) string // right side of an LDDW: "map[counts]"

	Slots   bool // prefix each instruction with its slot number: "12: "
	Opcodes bool // prefix each instruction with its opcode: "(b7) "
}

// Insn returns the text of the instruction at pc, without a newline. The two
// slots of a wide instruction are one text, which belongs to the first. A pc
// outside the program gives "".
func (pr *Printer) Insn(p Program, pc PC) string {
	if pc < 0 || int(pc) >= len(p) {
		return ""
	}
	var b strings.Builder
	if pr.Slots {
		fmt.Fprintf(&b, "%d: ", pc)
	}
	if pr.Opcodes {
		fmt.Fprintf(&b, "(%02x) ", uint8(p[pc].Op))
	}
	if op, ok := p.form(pc); ok {
		pr.expand(&b, op, p, pc)
	} else {
		raw(&b, p[pc])
	}
	return b.String()
}

// form returns the row of the instruction at pc if all of its slots are legal.
func (p Program) form(pc PC) (*Op, bool) {
	op, ok := Lookup(p[pc])
	if !ok {
		return nil, false
	}
	if op.IsWide() && (int(pc)+1 >= len(p) || len(checkSecond(pc+1, p[pc+1], op)) > 0) {
		return nil, false
	}
	return op, true
}

// raw prints a slot field by field: opcode, dst, src, off, imm.
func raw(b *strings.Builder, ins Instruction) {
	fmt.Fprintf(b, ".insn %#02x, %d, %d, %d, %d", uint8(ins.Op), ins.Dst(), ins.Src(), ins.Off, ins.Imm)
}

// expand writes the form's syntax with its placeholders filled in.
func (pr *Printer) expand(b *strings.Builder, op *Op, p Program, pc PC) {
	syntax := op.Syntax
	if op.IsWide() && pr.Imm64 != nil {
		v, _ := p.Imm64(pc)
		if s := pr.Imm64(pc, Pseudo(p[pc].Src()), v); s != "" {
			left, _, _ := strings.Cut(syntax, "=")
			syntax = left + "= " + s
		}
	}
	for {
		before, rest, found := strings.Cut(syntax, "{")
		b.WriteString(before)
		if !found {
			return
		}
		var name string
		name, syntax, _ = strings.Cut(rest, "}")
		pr.field(b, name, p, pc)
	}
}

// field writes the value of one placeholder of ops.txt.
func (pr *Printer) field(b *strings.Builder, name string, p Program, pc PC) {
	ins := p[pc]
	switch name {
	case "dst":
		b.WriteString(strconv.Itoa(int(ins.Dst())))
	case "src":
		b.WriteString(strconv.Itoa(int(ins.Src())))
	case "off":
		fmt.Fprintf(b, "%+d", ins.Off)
	case "imm":
		b.WriteString(strconv.Itoa(int(ins.Imm)))
	case "imm:x":
		fmt.Fprintf(b, "%#x", uint32(ins.Imm))
	case "imm64":
		v, _ := p.Imm64(pc)
		fmt.Fprintf(b, "%#x", v)
	case "next":
		b.WriteString(strconv.FormatUint(uint64(uint32(p[pc+1].Imm)), 10))
	case "jump":
		t, _ := p.JumpTarget(pc)
		b.WriteString(nameOr(pr.Label, t, fmt.Sprintf("pc%+d", t-pc-1)))
	case "func":
		t, _ := p.CallTarget(pc)
		b.WriteString(nameOr(pr.CallTarget, t, fmt.Sprintf("pc%+d", ins.Imm)))
	case "subprog": // bpftool's word for a distance, ours for a name
		t, _ := p.CallTarget(pc)
		if name := nameOr(pr.CallTarget, t, ""); name != "" {
			fmt.Fprintf(b, "func[%s]", name)
		} else {
			fmt.Fprintf(b, "subprog[%+d]", ins.Imm)
		}
	case "helper":
		name := nameOr(pr.HelperName, ins.Imm, "helper")
		fmt.Fprintf(b, "%s#%d", name, ins.Imm)
	case "kfunc":
		if pr.KfuncName != nil {
			if name := pr.KfuncName(ins.Imm, ins.Off); name != "" {
				b.WriteString(" " + name)
			}
		}
		fmt.Fprintf(b, "#%d", ins.Imm)
		if ins.Off != 0 {
			fmt.Fprintf(b, " off=%d", ins.Off)
		}
	}
}

// nameOr asks a hook for a name and falls back to the plain form.
func nameOr[T any](hook func(T) string, arg T, plain string) string {
	if hook != nil {
		if s := hook(arg); s != "" {
			return s
		}
	}
	return plain
}

// Disassemble writes the program to w, one instruction a line. Where pr names a
// slot as a jump target or subprogram, a line with that label precedes it; a
// target just behind the last slot has its label there.
func Disassemble(w io.Writer, p Program, pr Printer) error {
	bw := bufio.NewWriter(w)
	for pc := PC(0); int(pc) <= len(p); pc++ {
		for _, name := range []func(PC) string{pr.CallTarget, pr.Label} {
			if s := nameOr(name, pc, ""); s != "" {
				fmt.Fprintf(bw, "%s:\n", s)
			}
		}
		if int(pc) == len(p) {
			break
		}
		fmt.Fprintln(bw, pr.Insn(p, pc))
		if op, ok := p.form(pc); ok && op.IsWide() {
			pc++
		}
	}
	return bw.Flush()
}
