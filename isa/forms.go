package isa

import (
	"iter"
	"math"
)

// Values that LegalForms tries in free fields: the ends of the range, the
// values beside zero, and for immediates those around a change of width.
var (
	edgeRegs = []int32{0, 1, 5, 6, 9, 10}
	edgeOffs = []int32{0, 1, -1, 8, -512, math.MaxInt16, math.MinInt16}
	edgeImms = []int32{0, 1, -1, 63, 0x7f, 0x80, 0xffff, math.MaxInt32, math.MinInt32}
)

// edges returns the values to try in a field.
func (f Field) edges(free []int32) []int32 {
	switch f.Rule {
	case RuleRead, RuleWrite, RuleReadWrite:
		return edgeRegs
	case RuleAny, RuleJump:
		return free
	}
	return []int32{f.Value}
}

// LegalForms yields every legal form with the edge values of its fields, in
// all combinations: some ten thousand instructions of one or two slots. They
// are legal encodings, not programs that run: jumps lead anywhere. Assemblers,
// engines and compilers are tested against this list. Each Program is fresh.
func LegalForms() iter.Seq2[*Op, Program] {
	return func(yield func(*Op, Program) bool) {
		for i := range ops {
			for p := range ops[i].Forms() {
				if !yield(&ops[i], p) {
					return
				}
			}
		}
	}
}

// Forms yields the part of LegalForms that belongs to one row of the table.
func (o *Op) Forms() iter.Seq[Program] {
	return func(yield func(Program) bool) {
		for _, dst := range o.Dst.edges(nil) {
			for _, src := range o.Src.edges(nil) {
				for _, off := range o.Off.edges(edgeOffs) {
					for _, imm := range o.Imm.edges(edgeImms) {
						for _, next := range o.Next.edges(edgeImms) {
							p := Program{{
								Op:   o.Opcode,
								Regs: MakeRegs(Register(dst), Register(src)),
								Off:  int16(off),
								Imm:  imm,
							}}
							if o.IsWide() {
								p = append(p, Instruction{Imm: next})
							}
							if !yield(p) {
								return
							}
						}
					}
				}
			}
		}
	}
}
