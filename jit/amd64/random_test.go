package amd64

import (
	"math/rand/v2"
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// generator makes random programs that mostly run to their end: straight lines of
// arithmetic, jumps forward and short loops, memory through good and bad pointers,
// functions and helpers.
type generator struct {
	*rand.Rand
	regs   uint64 // address of the initial registers
	memory uint64 // address of something writable
	p      isa.Program
}

func newGenerator(seed uint64, b *bench) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 1)), regs: b.regs.Base, memory: b.value.Base}
}

func (g *generator) reg() isa.Register { return isa.Register(g.IntN(10)) }

func (g *generator) imm() int32 {
	switch g.IntN(4) {
	case 0:
		return int32(g.IntN(70) - 3)
	case 1:
		return int32(g.Uint32())
	}
	return edgeImmediates[g.IntN(len(edgeImmediates))]
}

// forms by what can be put anywhere in a program.
var plainForms, jumpForms, memForms = func() (plain, jumps, mems []*isa.Op) {
	for i := range isa.Ops() {
		f := &isa.Ops()[i]
		switch class := f.Opcode.Class(); {
		case f.IsWide() || class == isa.ClassLD || f.Opcode.Class().IsALU() && f.Off.Rule == isa.RuleAny:
		case f.Name == "cast_kern" || f.Name == "cast_user":
		case class.IsALU():
			plain = append(plain, f)
		case class.IsJump():
			if f.Opcode.Code() != isa.CodeCall && f.Opcode != isa.OpExit && f.Opcode != isa.OpMayGoto && f.Opcode != isa.OpJa && f.Opcode != isa.OpJa32 {
				jumps = append(jumps, f)
			}
		default:
			mems = append(mems, f)
		}
	}
	return
}()

func (g *generator) add(ins ...isa.Instruction) { g.p = append(g.p, ins...) }

// memInsn is an access through the frame pointer, a good pointer or whatever is in
// a register.
func (g *generator) memInsn() {
	f := memForms[g.IntN(len(memForms))]
	base, off := isa.FP, int16(-8*(1+g.IntN(20))+g.IntN(3)*g.IntN(4))
	switch g.IntN(8) {
	case 0: // a wild one, rarely
		if g.IntN(6) == 0 {
			base, off = g.reg(), int16(g.IntN(40)-20)
		}
	case 1, 2, 3:
		base, off = g.reg(), int16(g.IntN(9))
		g.add(wide(base, g.memory+8*uint64(g.IntN(2)))...)
	}
	ins := fill(f, base, base, off, g.imm())
	if ins.Op.Class() == isa.ClassLDX || f.Dst.Rule == isa.RuleWrite {
		ins = ins.WithDst(g.reg())
	} else if f.Src.Rule.IsReg() {
		ins = ins.WithSrc(g.reg())
	}
	g.add(ins)
}

// rotation makes a rotation, or something that looks like one.
func (g *generator) rotation() {
	class, n := isa.ClassALU, int32(1+g.IntN(31))
	m := 32 - n
	if g.IntN(2) == 0 {
		class, n = isa.ClassALU64, int32(1+g.IntN(63))
		m = 64 - n
	}
	if g.IntN(6) == 0 {
		m = int32(g.IntN(32))
	}
	x, a, b := g.reg(), g.reg(), g.reg()
	left, right := isa.CodeLsh, isa.CodeRsh
	if g.IntN(2) == 0 {
		left, right, n, m = right, left, m, n
	}
	alu := func(class isa.Class, code isa.Code, dst, src isa.Register) isa.Instruction {
		return isa.Instruction{Op: isa.ALUOp(class, code, isa.SrcX), Regs: isa.MakeRegs(dst, src)}
	}
	shift := func(code isa.Code, r isa.Register, n int32) isa.Instruction {
		return isa.Instruction{Op: isa.ALUOp(class, code, isa.SrcK), Regs: isa.MakeRegs(r, 0), Imm: n}
	}
	other := func() {
		if g.IntN(3) == 0 {
			g.add(fill(plainForms[g.IntN(len(plainForms))], g.reg(), g.reg(), 0, g.imm()))
		}
	}
	copyClass := [...]isa.Class{class, isa.ClassALU64, isa.ClassALU}[g.IntN(3)]
	if g.IntN(2) == 0 {
		a = x
	} else {
		g.add(alu(copyClass, isa.CodeMov, a, x))
		other()
	}
	g.add(alu(copyClass, isa.CodeMov, b, x))
	other()
	first, second := shift(left, a, n), shift(right, b, m)
	if g.IntN(2) == 0 {
		first, second = second, first
	}
	g.add(first)
	other()
	g.add(second)
	other()
	g.add(alu(class, [...]isa.Code{isa.CodeOr, isa.CodeXor, isa.CodeAdd, isa.CodeAnd}[g.IntN(4)], a, b))
}

// block makes about n instructions; jumps stay inside.
func (g *generator) block(n, depth int) {
	for range n {
		switch k := g.IntN(20); {
		case k < 9:
			g.add(fill(plainForms[g.IntN(len(plainForms))], g.reg(), g.reg(), 0, g.imm()))
		case k < 13:
			g.memInsn()
		case k < 14:
			g.add(wide(g.reg(), edges[g.IntN(len(edges))])...)
		case k < 15 && g.IntN(2) == 0:
			g.add(isa.Instruction{Op: isa.OpCall, Imm: 9001})
		case k < 15:
			g.rotation()
		case k < 18 && depth > 0: // jump over a block
			at := len(g.p)
			g.add(isa.Instruction{})
			g.block(g.IntN(6), depth-1)
			f := jumpForms[g.IntN(len(jumpForms))]
			g.p[at] = fill(f, g.reg(), g.reg(), int16(len(g.p)-at-1), g.imm())
		case k < 19 && depth > 0: // a loop with its counter in the frame
			slot := int16(-200 - 8*depth)
			st := isa.MemOp(isa.ClassST, isa.ModeMEM, isa.SizeDW)
			g.add(isa.Instruction{Op: st, Regs: isa.MakeRegs(isa.FP, 0), Off: slot, Imm: int32(1 + g.IntN(5))})
			at := len(g.p)
			if g.IntN(4) == 0 {
				g.add(isa.Instruction{Op: isa.OpMayGoto, Off: 0})
			}
			g.block(g.IntN(5), depth-1)
			r := g.reg()
			g.add(isa.Instruction{Op: isa.MemOp(isa.ClassLDX, isa.ModeMEM, isa.SizeDW), Regs: isa.MakeRegs(r, isa.FP), Off: slot},
				isa.Instruction{Op: isa.ALUOp(isa.ClassALU64, isa.CodeAdd, isa.SrcK), Regs: isa.MakeRegs(r, 0), Imm: -1},
				isa.Instruction{Op: isa.MemOp(isa.ClassSTX, isa.ModeMEM, isa.SizeDW), Regs: isa.MakeRegs(isa.FP, r), Off: slot},
				isa.Instruction{Op: isa.JumpOp(isa.ClassJMP, isa.CodeJsgt, isa.SrcK), Regs: isa.MakeRegs(r, 0), Off: int16(at - len(g.p) - 4)})
		default:
			g.add(fill(plainForms[g.IntN(len(plainForms))], g.reg(), g.reg(), 0, g.imm()))
		}
	}
}

// program makes a program with up to three functions.
func (g *generator) program() isa.Program {
	g.add(wide(isa.R9, g.regs)...)
	for r := range isa.R10 {
		g.add(isa.Instruction{Op: isa.MemOp(isa.ClassLDX, isa.ModeMEM, isa.SizeDW), Regs: isa.MakeRegs(r, isa.R9), Off: int16(8 * r)})
	}
	var calls []int
	call := func(n int) {
		for range n {
			calls = append(calls, len(g.p))
			g.add(isa.Instruction{Op: isa.OpCall, Regs: isa.MakeRegs(0, isa.Register(isa.PseudoCall))})
			g.block(g.IntN(6), 1)
		}
	}
	g.block(5+g.IntN(20), 3)
	call(g.IntN(3))
	g.block(g.IntN(10), 2)
	g.add(dump()...)
	starts := []int{len(g.p)}
	g.block(1+g.IntN(8), 2)
	if g.IntN(3) == 0 {
		call(1)
	}
	g.add(exitInsn)
	starts = append(starts, len(g.p))
	g.block(1+g.IntN(8), 2)
	g.add(exitInsn)
	for _, at := range calls {
		to := starts[g.IntN(2)]
		if g.IntN(20) == 0 {
			to = 0 // recursion
		}
		g.p[at].Imm = int32(to - at - 1)
	}
	return g.p
}

// Random programs give the same on both engines, also when the budget ends
// anywhere.
func TestRandom(t *testing.T) {
	programs := 3000
	if testing.Short() {
		programs = 300
	}
	d := newDuel(t)
	trapped := 0
	for seed := range uint64(programs) {
		g := newGenerator(seed, d.jit)
		for r := range isa.R10 {
			v := edges[g.IntN(len(edges))]
			d.interp.setReg(r, v)
			d.jit.setReg(r, v)
		}
		code := &vm.Code{Name: "random", Insns: g.program(), Helpers: map[int32]*vm.Helper{9001: sumHelper}}
		d.opt.NoBMI2 = seed%4 == 1
		o := d.run(t, code, 3000)
		if o.trap != nil {
			trapped++
		}
		// What has not trapped was allowed, which is all that a fact says.
		code.Facts = lies(code.Insns)
		if o.trap != nil && o.trap.Kind == vm.TrapMemory {
			code.Facts.Access[o.trap.PC] = spec.AccessFact{}
		}
		for _, off := range []Pass{0, PassKnown, AllPasses} {
			d.opt.Off = off
			d.run(t, code, 3000)
		}
		d.opt.Off = 0
		if n := o.exit.Insns; n > 1 && seed%8 == 0 {
			d.run(t, code, n, n-1, n/2, n/3, 1)
		}
	}
	t.Logf("%d of %d programs trapped", trapped, programs)
	if trapped > programs/2 {
		t.Errorf("%d of %d programs trapped", trapped, programs)
	}
}

// FuzzJITvsInterp runs arbitrary slots on both engines.
func FuzzJITvsInterp(f *testing.F) {
	d := newDuel(f)
	for seed := range uint64(20) {
		f.Add(isa.Encode(newGenerator(seed, d.jit).program()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		insns, err := isa.Decode(data[:len(data)&^7])
		if err != nil {
			t.Fatal(err)
		}
		code := &vm.Code{Name: "fuzz", Insns: insns, Helpers: map[int32]*vm.Helper{9001: sumHelper}}
		if !sameRefusal(t, code) {
			return
		}
		d.run(t, code, 3000, 100, 17)
	})
}
