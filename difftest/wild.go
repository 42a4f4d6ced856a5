package difftest

import (
	"bpfvm/isa"
	"bpfvm/spec"
)

// Wild spoils the program of a generated case in a few places, so that no verifier
// takes it any more: other registers, other offsets, other operations. It stays a
// legal encoding whose jumps lead to instructions. Such programs mostly end in a
// trap, and engines of ours must agree on which.
func Wild(c *Case, seed uint64) *Case {
	p := c.Spec.Programs[0]
	g := newGenerator(seed, len(p.Insns))
	q := *p
	q.Insns = append(isa.Program(nil), p.Insns...)
	for range 1 + g.IntN(4) {
		g.spoil(&q)
	}
	w := c.with(&q)
	w.Name += "-wild"
	w.Runtime.Budget = 20_000 // loops may not end
	return w
}

// spoil changes one slot; a change that makes no legal program is taken back.
func (g *generator) spoil(p *spec.ProgramSpec) {
	for range 20 {
		pc := isa.PC(g.IntN(len(p.Insns)))
		old := p.Insns[pc]
		if old.IsWide() || old.Op == 0 || old.Op == isa.OpCall {
			continue
		}
		ins := old
		switch g.IntN(6) {
		case 0:
			ins.Regs = isa.MakeRegs(isa.Register(g.IntN(11)), ins.Src())
		case 1:
			ins.Regs = isa.MakeRegs(ins.Dst(), isa.Register(g.IntN(11)))
		case 2:
			ins.Off += int16(pick(g, -1, 1, 8, -8, 64, -64, 4096, -32768))
		case 3:
			ins.Imm = g.imm()
		case 4:
			ins.Op ^= isa.Opcode(8 << g.IntN(5)) // source, size, mode or code
		case 5:
			ins.Off = int16(g.Uint32())
		}
		p.Insns[pc] = ins
		if ins != old && p.Insns.Check() == nil && accepted(p.Insns, pc) {
			return
		}
		p.Insns[pc] = old
	}
}

// accepted reports whether loaders take the instruction: a jump leads to the
// beginning of another, R10 is not written, and nothing outside is called.
func accepted(p isa.Program, pc isa.PC) bool {
	ins := p[pc]
	if t, ok := p.JumpTarget(pc); ok {
		return t >= 0 && int(t) < len(p) && (t == 0 || !p[t-1].IsWide())
	}
	writes := ins.Op.Class().IsALU() || ins.Op.Class() == isa.ClassLDX
	if ins.Op.Class() == isa.ClassSTX && ins.Op.Mode() == isa.ModeATOMIC && (ins.Src() == isa.FP || ins.Imm == int32(isa.AtomicLoadAcq)) {
		return ins.Src() == isa.FP && ins.Imm == int32(isa.AtomicLoadAcq) && ins.Dst() != isa.FP
	}
	return ins.Op != isa.OpCall && ins.Op != isa.OpCallX && !(writes && ins.Dst() == isa.FP)
}
