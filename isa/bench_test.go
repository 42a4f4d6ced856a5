package isa

import (
	"io"
	"strings"
	"testing"
)

// benchProgram is every form once with its first edge values, some thirty times.
func benchProgram() Program {
	var p Program
	for range 30 {
		for _, op := range Ops() {
			for form := range op.Forms() {
				p = append(p, form...)
				break
			}
		}
	}
	return p
}

func BenchmarkCheck(b *testing.B) {
	p := benchProgram()
	b.SetBytes(int64(len(p) * SlotSize))
	for b.Loop() {
		if err := p.Check(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDisassemble(b *testing.B) {
	p := benchProgram()
	b.SetBytes(int64(len(p) * SlotSize))
	for b.Loop() {
		if err := Disassemble(io.Discard, p, Printer{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAssemble(b *testing.B) {
	var text strings.Builder
	if err := Disassemble(&text, benchProgram(), Printer{}); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		if _, err := AssembleProgram(text.String()); err != nil {
			b.Fatal(err)
		}
	}
}
