package amd64

import (
	"fmt"
	"io"

	"golang.org/x/arch/x86/x86asm"

	"bpfvm/isa"
)

// Line is the machine code of one eBPF instruction that lies in one piece. An
// instruction whose rare cases were put out of the way has a second Line, at the
// end.
type Line struct {
	// PC is the slot, -1 for code that belongs to no instruction: the entry and the
	// ways out.
	PC   isa.PC
	Text string // eBPF, as the printer writes it
	X86  []X86
}

// X86 is one x86 instruction.
type X86 struct {
	Addr  int // offset from the start of the image
	Bytes []byte
	Text  string // Intel syntax; branch targets as offsets in the image
}

// Listing decodes the program's machine code, in the order of addresses. Every
// byte of the image is in it.
func (p *Program) Listing(pr isa.Printer) ([]Line, error) {
	img := p.fast.image
	var lines []Line
	for i := range img.items {
		pc := isa.PC(img.items[i].slot)
		start, end := int(img.at[i]), int(img.at[i+1])
		if len(lines) == 0 || lines[len(lines)-1].PC != pc {
			l := Line{PC: pc}
			if pc >= 0 {
				l.Text = pr.Insn(p.src.Insns, pc)
			}
			lines = append(lines, l)
		}
		x, err := decode(img.text, start, end)
		if err != nil {
			return nil, err
		}
		l := &lines[len(lines)-1]
		if n := len(l.X86); n > 0 && l.X86[n-1].Text == "lock" {
			x.Addr, x.Bytes, x.Text = l.X86[n-1].Addr, img.text[l.X86[n-1].Addr:end], "lock "+x.Text
			l.X86[n-1] = x
			continue
		}
		l.X86 = append(l.X86, x)
	}
	return lines, nil
}

// decode reads back what lies from start to end. A lock prefix is an instruction
// of its own to the assembler.
func decode(text []byte, start, end int) (X86, error) {
	x := X86{Addr: start, Bytes: text[start:end:end]}
	if end == start+1 && text[start] == 0xf0 {
		x.Text = "lock"
		return x, nil
	}
	ins, err := x86asm.Decode(x.Bytes, 64)
	if err != nil || ins.Len != end-start {
		return x, fmt.Errorf("machine code at %#x: % x is not one instruction (%v)", start, x.Bytes, err)
	}
	x.Text = x86asm.IntelSyntax(ins, uint64(start), nil)
	return x, nil
}

// WriteListing writes the listing as text: each eBPF instruction, below it its
// x86 instructions with address and bytes.
func (p *Program) WriteListing(w io.Writer, pr isa.Printer) error {
	lines, err := p.Listing(pr)
	if err != nil {
		return err
	}
	for _, l := range lines {
		if l.PC >= 0 {
			_, err = fmt.Fprintf(w, "%4d: %s\n", l.PC, l.Text)
		} else {
			_, err = fmt.Fprintf(w, "      ; entry and exit\n")
		}
		if err != nil {
			return err
		}
		for _, x := range l.X86 {
			if _, err := fmt.Fprintf(w, "      %5x  %-22x %s\n", x.Addr, x.Bytes, x.Text); err != nil {
				return err
			}
		}
	}
	return nil
}
