package difftest

import (
	"fmt"

	"bpfvm/isa"
	"bpfvm/spec"
)

// mutantBudget bounds the runs of mutants in instructions: what was a bounded loop
// need not be one any more.
const mutantBudget = 50_000

// Mutate changes the program of a case in one to three places as people get them
// wrong: a constant or an offset by a little, a comparison, a size, a register, one
// instruction left out. Unlike Wild, it aims at programs that are nearly right: a
// verifier takes many of them, and the others it refuses for a reason. The program
// stays a legal encoding. The case must run a single program.
func Mutate(c *Case, seed uint64) (*Case, error) {
	p, err := c.program()
	if err != nil {
		return nil, err
	}
	g := newGenerator(seed, len(p.Insns))
	q := *p
	q.Insns = append(isa.Program(nil), p.Insns...)
	q.Core = nil // applied already
	changed := false
	for range 1 + g.IntN(3) {
		changed = g.slip(&q) || changed
	}
	if !changed {
		return nil, fmt.Errorf("%s: no instruction can be changed", c.Name)
	}
	m := c.with(&q)
	m.Name = fmt.Sprintf("%s-%d", c.Name, seed)
	if m.Runtime.Budget == 0 || m.Runtime.Budget > mutantBudget {
		m.Runtime.Budget = mutantBudget
	}
	return m, nil
}

// slip changes one slot and reports whether it could.
func (g *generator) slip(p *spec.ProgramSpec) bool {
	for range 50 {
		pc := isa.PC(g.IntN(len(p.Insns)))
		old := p.Insns[pc]
		if old.Op == 0 || old.Op == isa.OpCall || old.IsWide() || p.RefAt(pc) != nil || old.Op == isa.OpExit {
			continue
		}
		ins, ok := g.slipOne(old)
		if !ok || ins == old {
			continue
		}
		p.Insns[pc] = ins
		if p.Insns.Check() == nil && accepted(p.Insns, pc) {
			return true
		}
		p.Insns[pc] = old
	}
	return false
}

// slipOne changes one instruction in a way that suits its class.
func (g *generator) slipOne(ins isa.Instruction) (isa.Instruction, bool) {
	class := ins.Op.Class()
	near := func(v int) int { return v + pick(g, -8, -4, -2, -1, 1, 2, 4, 8) }
	switch g.IntN(8) {
	case 0: // nothing at all
		return isa.Instruction{Op: isa.OpJa}, true
	case 1:
		return isa.Instruction{Op: ins.Op, Regs: isa.MakeRegs(isa.Register(g.IntN(10)), ins.Src()), Off: ins.Off, Imm: ins.Imm}, true
	case 2:
		ins.Regs = isa.MakeRegs(ins.Dst(), isa.Register(g.IntN(11)))
		return ins, ins.Op.Source() == isa.SrcX || class == isa.ClassLDX || class == isa.ClassSTX
	}
	switch {
	case class.IsJump() && ins.Op.Code() != isa.CodeJa:
		switch g.IntN(3) {
		case 0:
			ins.Op = isa.JumpOp(class, pick(g, condCodes...), ins.Op.Source())
		case 1:
			ins.Imm = int32(near(int(ins.Imm)))
			return ins, ins.Op.Source() == isa.SrcK
		default:
			ins.Off = int16(near(int(ins.Off)))
		}
	case class.IsJump():
		ins.Off = int16(near(int(ins.Off)))
		return ins, ins.Op == isa.OpJa
	case class.IsALU():
		switch g.IntN(4) {
		case 0:
			ins.Op ^= 3 // 32 bits instead of 64, and back: ClassALU is 4, ClassALU64 is 7
		case 1:
			ins.Op = isa.ALUOp(class, pick(g, isa.CodeAdd, isa.CodeSub, isa.CodeAnd, isa.CodeOr, isa.CodeXor, isa.CodeMov, isa.CodeMul), ins.Op.Source())
		case 2:
			ins.Imm = g.imm()
			return ins, ins.Op.Source() == isa.SrcK
		default:
			ins.Imm = int32(near(int(ins.Imm)))
			return ins, ins.Op.Source() == isa.SrcK
		}
	case class.IsMem() && ins.Op.Mode() == isa.ModeMEM:
		switch g.IntN(3) {
		case 0:
			ins.Op = isa.MemOp(class, ins.Op.Mode(), pick(g, sizes...))
		case 1:
			ins.Off = int16(near(int(ins.Off)))
		default:
			ins.Imm = g.imm()
			return ins, class == isa.ClassST
		}
	default:
		return ins, false
	}
	return ins, true
}
