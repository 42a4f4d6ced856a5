package verifier

import (
	"math/rand/v2"

	"bpfvm/isa"
	"bpfvm/spec"
)

// gen makes small programs at random: most are nearly right, so that both
// verdicts occur and the last message matters. The same seed gives the same
// program.
type gen struct {
	*rand.Rand
	prog isa.Program
	n    int // instructions of the body
}

func alu(class isa.Class, code isa.Code, dst, src isa.Register) isa.Instruction {
	return isa.Instruction{Op: isa.ALUOp(class, code, isa.SrcX), Regs: isa.MakeRegs(dst, src)}
}

func aluImm(class isa.Class, code isa.Code, dst isa.Register, imm int32) isa.Instruction {
	return isa.Instruction{Op: isa.ALUOp(class, code, isa.SrcK), Regs: isa.MakeRegs(dst, 0), Imm: imm}
}

func (g *gen) emit(ins ...isa.Instruction) { g.prog = append(g.prog, ins...) }

// reg picks a register that is likely to hold something.
func (g *gen) reg() isa.Register {
	if g.IntN(40) == 0 {
		return isa.Register(g.IntN(11))
	}
	return []isa.Register{isa.R0, isa.R2, isa.R3, isa.R4, isa.R5, isa.R6, isa.R7, isa.R8}[g.IntN(8)]
}

func (g *gen) imm() int32 {
	switch g.IntN(6) {
	case 0:
		return int32(g.Uint32())
	case 1:
		return -int32(g.IntN(20))
	case 2:
		return 1 << g.IntN(31)
	}
	return int32(g.IntN(100))
}

func (g *gen) off(size int) int16 {
	o := -size * (1 + g.IntN(4))
	if g.IntN(12) == 0 {
		o = g.IntN(40) - 38
	}
	return int16(o)
}

// genProgram makes a program of the seed; packets lets it use the packet.
func genProgram(seed uint64, packets bool) isa.Program {
	g := &gen{Rand: rand.New(rand.NewPCG(seed, 17)), n: 4 + int(seed%28)}
	// R9 keeps the context; the other registers get values of which little,
	// something or all is known.
	g.emit(alu(isa.ClassALU64, isa.CodeMov, isa.R9, isa.R1))
	load := func(dst isa.Register, off int16) {
		g.emit(isa.Instruction{Op: isa.MemOp(isa.ClassLDX, isa.ModeMEM, isa.SizeW), Regs: isa.MakeRegs(dst, isa.R1), Off: off})
	}
	scalar := int16(12) // xdp_md.ingress_ifindex; __sk_buff.queue_mapping
	if packets {
		load(isa.R2, 0)
		load(isa.R3, 4)
	} else {
		load(isa.R2, scalar)
		load(isa.R3, scalar)
	}
	load(isa.R4, scalar)
	load(isa.R5, 16)
	g.emit(aluImm(isa.ClassALU64, isa.CodeMov, isa.R0, g.imm()))
	g.emit(alu(isa.ClassALU64, isa.CodeMov, isa.R6, isa.R4))
	g.emit(aluImm(isa.ClassALU, isa.CodeMov, isa.R7, g.imm()))
	g.emit(alu(isa.ClassALU64, isa.CodeMov, isa.R8, isa.R10))
	for len(g.prog) < 9+g.n {
		g.step()
	}
	g.emit(aluImm(isa.ClassALU64, isa.CodeMov, isa.R0, int32(g.IntN(3))))
	g.emit(isa.Instruction{Op: isa.OpExit})
	// Jumps were made with room behind; those that lead too far are cut.
	last := len(g.prog) - 1
	for pc := range g.prog {
		ins := &g.prog[pc]
		if ins.Op.Class().IsJump() && ins.Op != isa.OpExit && ins.Op != isa.OpCall && pc+1+int(ins.Off) > last {
			ins.Off = int16(last - pc - 1)
		}
	}
	return g.prog
}

func (g *gen) step() {
	class := isa.ClassALU64
	if g.IntN(3) == 0 {
		class = isa.ClassALU
	}
	codes := append(append([]isa.Code{}, aluCodes...), shifts...)
	codes = append(codes, isa.CodeMov, isa.CodeMov, isa.CodeMov, isa.CodeAdd, isa.CodeAnd, isa.CodeDiv, isa.CodeMod)
	switch g.IntN(12) {
	case 0, 1:
		g.emit(alu(class, codes[g.IntN(len(codes))], g.reg(), g.reg()))
	case 2, 3:
		code, imm := codes[g.IntN(len(codes))], g.imm()
		if code == isa.CodeLsh || code == isa.CodeRsh || code == isa.CodeArsh {
			imm = int32(g.IntN(33))
		}
		g.emit(aluImm(class, code, g.reg(), imm))
	case 4:
		mov := alu(class, isa.CodeMov, g.reg(), g.reg())
		mov.Off = []int16{8, 16, 32, 0}[g.IntN(4)]
		g.emit(mov)
	case 5:
		g.emit(aluImm(class, isa.CodeAnd, g.reg(), []int32{7, 63, 255, 0x38, 1}[g.IntN(5)]))
	case 6, 7, 8:
		c := jumpCodes[g.IntN(len(jumpCodes))]
		jc := isa.ClassJMP
		if g.IntN(3) == 0 {
			jc = isa.ClassJMP32
		}
		j := isa.Instruction{Op: isa.JumpOp(jc, c, isa.SrcK), Regs: isa.MakeRegs(g.reg(), 0), Off: int16(g.IntN(6)), Imm: g.imm()}
		if g.IntN(2) == 0 {
			j = isa.Instruction{Op: isa.JumpOp(jc, c, isa.SrcX), Regs: isa.MakeRegs(g.reg(), g.reg()), Off: int16(g.IntN(6))}
		}
		if g.IntN(8) == 0 {
			j.Off = -int16(1 + g.IntN(4))
		}
		g.emit(j)
	case 9:
		size := []isa.Size{isa.SizeB, isa.SizeH, isa.SizeW, isa.SizeDW, isa.SizeDW}[g.IntN(5)]
		base := []isa.Register{isa.R10, isa.R10, isa.R10, isa.R8, isa.R2}[g.IntN(5)]
		g.emit(isa.Instruction{Op: isa.MemOp(isa.ClassSTX, isa.ModeMEM, size), Regs: isa.MakeRegs(base, g.reg()), Off: g.off(size.Bytes())})
	case 10:
		size := []isa.Size{isa.SizeB, isa.SizeH, isa.SizeW, isa.SizeDW, isa.SizeDW}[g.IntN(5)]
		base := []isa.Register{isa.R10, isa.R10, isa.R8, isa.R2, isa.R3}[g.IntN(5)]
		mode := isa.ModeMEM
		if g.IntN(4) == 0 && size != isa.SizeDW {
			mode = isa.ModeMEMSX
		}
		off := g.off(size.Bytes())
		if base == isa.R2 || base == isa.R3 {
			off = int16(g.IntN(20))
		}
		g.emit(isa.Instruction{Op: isa.MemOp(isa.ClassLDX, mode, size), Regs: isa.MakeRegs(g.reg(), base), Off: off})
	case 11:
		switch g.IntN(5) {
		case 0:
			g.emit(isa.Instruction{Op: isa.ALUOp(class, isa.CodeNeg, isa.SrcK), Regs: isa.MakeRegs(g.reg(), 0)})
		case 1:
			g.emit(isa.Instruction{Op: isa.ALUOp(isa.ClassALU, isa.CodeEnd, isa.Source(8*g.IntN(2))), Regs: isa.MakeRegs(g.reg(), 0), Imm: []int32{16, 32, 64}[g.IntN(3)]})
		case 2:
			g.emit(isa.Instruction{Op: isa.MemOp(isa.ClassST, isa.ModeMEM, isa.SizeDW), Regs: isa.MakeRegs(isa.R10, 0), Off: g.off(8), Imm: g.imm()})
		case 3:
			g.emit(isa.Instruction{Op: isa.OpCall, Imm: 7}) // bpf_get_prandom_u32
			g.emit(alu(isa.ClassALU64, isa.CodeMov, isa.R2, isa.R0), alu(isa.ClassALU64, isa.CodeMov, isa.R3, isa.R6),
				alu(isa.ClassALU64, isa.CodeMov, isa.R4, isa.R7), alu(isa.ClassALU64, isa.CodeMov, isa.R5, isa.R0))
		case 4: // an index into the stack
			g.emit(alu(isa.ClassALU64, isa.CodeMov, isa.R8, isa.R10), aluImm(isa.ClassALU64, isa.CodeAdd, isa.R8, -32),
				aluImm(isa.ClassALU64, isa.CodeAnd, isa.R6, []int32{7, 15, 24}[g.IntN(3)]), alu(isa.ClassALU64, isa.CodeAdd, isa.R8, isa.R6))
		}
	}
}

// genSpec is the program of a seed as a program specification.
func genSpec(seed uint64) *spec.ProgramSpec {
	packets := seed%2 == 0
	p := &spec.ProgramSpec{Name: "gen", Type: spec.ProgSocketFilter, License: "GPL", Insns: genProgram(seed, packets)}
	if packets {
		p.Type = spec.ProgXDP
	}
	return p
}
