package interp

import (
	"math/rand/v2"

	"bpfvm/isa"
)

// generator writes random programs that mostly run: registers have values before
// they are read, R8 points into a map value, R9 to the packet, loops end by budget.
type generator struct {
	*rand.Rand
	base  uint64 // of the map value
	pkt   uint64
	insns isa.Program
	calls []int // slots of calls to the function at the end
	deep  bool  // inside that function: R6-R9 are not its own

	noLoops bool // for verifiers: no jumps back, no packet, no foreign helper
}

func newGenerator(seed uint64, base, pkt uint64) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 1)), base: base, pkt: pkt}
}

func (g *generator) emit(ins ...isa.Instruction) { g.insns = append(g.insns, ins...) }

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

// scratch is a register that holds a number.
func (g *generator) scratch() isa.Register {
	if g.deep {
		return isa.Register(g.IntN(6))
	}
	return isa.Register(g.IntN(8))
}

// near is a register that was written a moment ago, most of the time: neighbours that
// depend on each other are what records are joined for.
func (g *generator) near() isa.Register {
	if n := len(g.insns); n > 0 && g.IntN(3) > 0 {
		if r := g.insns[n-1].Dst(); r < 6 {
			return r
		}
	}
	return g.scratch()
}

func (g *generator) imm() int32 {
	switch g.IntN(4) {
	case 0:
		return pick(g, edgeImmediates...)
	case 1:
		return int32(g.Uint32())
	}
	return int32(g.IntN(70))
}

var aluCodes = []isa.Code{
	isa.CodeAdd, isa.CodeSub, isa.CodeMul, isa.CodeOr, isa.CodeAnd, isa.CodeXor, isa.CodeLsh, isa.CodeRsh, isa.CodeMov,
	isa.CodeAdd, isa.CodeMov, isa.CodeLsh, isa.CodeRsh, isa.CodeOr, isa.CodeXor, isa.CodeAnd,
	isa.CodeArsh, isa.CodeDiv, isa.CodeMod, isa.CodeNeg, isa.CodeEnd,
}

func (g *generator) alu(class isa.Class) {
	code, dst, src := pick(g, aluCodes...), g.near(), g.near()
	ins := isa.Instruction{Regs: isa.MakeRegs(dst, src)}
	source := pick(g, isa.SrcK, isa.SrcX)
	switch code {
	case isa.CodeNeg:
		source, ins.Regs = isa.SrcK, isa.MakeRegs(dst, 0)
	case isa.CodeEnd:
		ins.Imm, ins.Regs = pick[int32](g, 16, 32, 64), isa.MakeRegs(dst, 0)
		if class == isa.ClassALU64 {
			source = isa.SrcK
		}
	case isa.CodeDiv, isa.CodeMod:
		ins.Off = int16(g.IntN(2))
	case isa.CodeMov:
		if source == isa.SrcX && g.IntN(4) == 0 {
			ins.Off = pick[int16](g, 8, 16, 32)
			if class == isa.ClassALU {
				ins.Off = pick[int16](g, 8, 16)
			}
		}
	}
	if source == isa.SrcK && code != isa.CodeNeg && code != isa.CodeEnd {
		ins.Regs, ins.Imm = isa.MakeRegs(dst, 0), g.imm()
		switch code {
		case isa.CodeLsh, isa.CodeRsh, isa.CodeArsh:
			if g.noLoops { // verifiers refuse distances beyond the width
				ins.Imm &= 31
			}
		case isa.CodeDiv, isa.CodeMod:
			if g.noLoops { // and division by a constant zero
				ins.Imm |= 1
			}
		}
	}
	ins.Op = isa.ALUOp(class, code, source)
	g.emit(ins)
}

// rotate writes the three or four instructions that compilers make of a rotation.
func (g *generator) rotate(class isa.Class) {
	a, b, t := g.scratch(), g.scratch(), g.scratch()
	k := int32(g.IntN(31) + 1)
	op := func(code isa.Code, dst isa.Register, src isa.Register, imm int32) isa.Instruction {
		if imm >= 0 {
			return isa.Instruction{Op: isa.ALUOp(class, code, isa.SrcK), Regs: isa.MakeRegs(dst, 0), Imm: imm}
		}
		return isa.Instruction{Op: isa.ALUOp(class, code, isa.SrcX), Regs: isa.MakeRegs(dst, src)}
	}
	left, right := isa.CodeLsh, isa.CodeRsh
	if g.IntN(2) == 0 {
		left, right = right, left
	}
	g.emit(op(isa.CodeMov, t, b, -1), op(left, t, 0, k))
	if g.IntN(2) == 0 {
		g.emit(op(isa.CodeMov, a, b, -1))
	}
	g.emit(op(right, a, 0, 32-k))
	if g.IntN(2) == 0 {
		a, t = t, a
	}
	g.emit(op(isa.CodeOr, a, t, -1))
}

var condCodes = []isa.Code{
	isa.CodeJeq, isa.CodeJgt, isa.CodeJge, isa.CodeJset, isa.CodeJne, isa.CodeJsgt, isa.CodeJsge,
	isa.CodeJlt, isa.CodeJle, isa.CodeJslt, isa.CodeJsle,
}

// jump writes a conditional jump over what follows, or back; resolve bounds it.
func (g *generator) jump() {
	class := pick(g, isa.ClassJMP, isa.ClassJMP32)
	ins := isa.Instruction{Op: isa.JumpOp(class, pick(g, condCodes...), isa.SrcX), Regs: isa.MakeRegs(g.near(), g.near()), Off: g.distance()}
	if g.IntN(2) == 0 {
		ins.Op &^= isa.Opcode(isa.SrcX)
		ins.Regs, ins.Imm = isa.MakeRegs(ins.Dst(), 0), g.imm()
	}
	if g.IntN(3) == 0 { // the form "if x goto +1; goto L"
		ins.Off = 1
		g.emit(ins, isa.Instruction{Op: isa.OpJa, Off: g.distance()})
		return
	}
	g.emit(ins)
}

func (g *generator) distance() int16 {
	if !g.noLoops && g.IntN(8) == 0 {
		return int16(-g.IntN(12))
	}
	return int16(g.IntN(6))
}

var sizes = []isa.Size{isa.SizeB, isa.SizeH, isa.SizeW, isa.SizeDW}

// memory writes a load, a store or an atomic.
func (g *generator) memory() {
	size := pick(g, sizes...)
	base, off := isa.R8, int16(g.IntN(9))
	switch n := g.IntN(8); {
	case n < 3 || g.deep:
		base, off = isa.FP, int16(-8*(g.IntN(8)+1))
	case g.noLoops:
	case n == 3:
		base, off = isa.R9, int16(g.IntN(40))
	case n == 4 && g.IntN(4) == 0:
		off = int16(g.IntN(1<<16) - 1<<15) // somewhere: a trap, most likely
	}
	switch g.IntN(7) {
	case 0, 1:
		g.emit(isa.Instruction{Op: isa.MemOp(isa.ClassLDX, isa.ModeMEM, size), Regs: isa.MakeRegs(g.scratch(), base), Off: off})
	case 2:
		g.emit(isa.Instruction{Op: isa.MemOp(isa.ClassLDX, isa.ModeMEM, size), Regs: isa.MakeRegs(g.scratch(), base), Off: off})
		g.emit(isa.Instruction{Op: isa.MemOp(isa.ClassLDX, isa.ModeMEM, size), Regs: isa.MakeRegs(g.scratch(), base), Off: off &^ 1})
	case 3:
		if size == isa.SizeDW {
			size = isa.SizeW
		}
		g.emit(isa.Instruction{Op: isa.MemOp(isa.ClassLDX, isa.ModeMEMSX, size), Regs: isa.MakeRegs(g.scratch(), base), Off: off})
	case 4:
		g.emit(isa.Instruction{Op: isa.MemOp(isa.ClassST, isa.ModeMEM, size), Regs: isa.MakeRegs(base, 0), Off: off, Imm: g.imm()})
	case 5:
		g.emit(isa.Instruction{Op: isa.MemOp(isa.ClassSTX, isa.ModeMEM, size), Regs: isa.MakeRegs(base, g.scratch()), Off: off})
	default:
		g.atomic(size, base, off)
	}
}

func (g *generator) atomic(size isa.Size, base isa.Register, off int16) {
	op := pick(g, isa.AtomicAdd, isa.AtomicOr, isa.AtomicAnd, isa.AtomicXor, isa.AtomicXchg, isa.AtomicCmpXchg,
		isa.AtomicAdd|isa.AtomicFetch, isa.AtomicOr|isa.AtomicFetch, isa.AtomicAnd|isa.AtomicFetch, isa.AtomicXor|isa.AtomicFetch,
		isa.AtomicLoadAcq, isa.AtomicStoreRel)
	regs := isa.MakeRegs(base, g.scratch())
	switch {
	case op == isa.AtomicLoadAcq:
		regs = isa.MakeRegs(g.scratch(), base)
	case op != isa.AtomicStoreRel && (size == isa.SizeB || size == isa.SizeH):
		size = isa.SizeW
	}
	g.emit(isa.Instruction{Op: isa.MemOp(isa.ClassSTX, isa.ModeATOMIC, size), Regs: regs, Off: off, Imm: int32(op)})
}

// address computes R9 anew and loads through it, as compilers index arrays.
func (g *generator) address() {
	size := pick(g, sizes...)
	g.emit(constant(isa.R9, g.pkt)...)
	r := g.scratch()
	g.emit(small(r, int32(g.IntN(20))),
		isa.Instruction{Op: isa.ALUOp(isa.ClassALU64, isa.CodeAdd, isa.SrcX), Regs: isa.MakeRegs(isa.R9, r)},
		isa.Instruction{Op: isa.MemOp(isa.ClassLDX, isa.ModeMEM, size), Regs: isa.MakeRegs(g.scratch(), isa.R9), Off: int16(g.IntN(10))})
}

// call writes a call of a helper or of the function at the end.
func (g *generator) call() {
	if g.noLoops || g.IntN(2) == 0 {
		g.calls = append(g.calls, len(g.insns))
		g.emit(isa.Instruction{Op: isa.OpCall, Regs: isa.MakeRegs(0, isa.Register(isa.PseudoCall))})
	} else {
		g.emit(isa.Instruction{Op: isa.OpCall, Imm: 9001})
	}
	g.refill()
}

// refill gives the registers that a call destroys new values.
func (g *generator) refill() {
	for r := isa.R1; r <= isa.R5; r++ {
		g.emit(small(r, g.imm()))
	}
}

// body writes n things.
func (g *generator) body(n int) {
	class := pick(g, isa.ClassALU, isa.ClassALU64)
	for range n {
		if g.IntN(12) == 0 {
			class ^= isa.ClassALU ^ isa.ClassALU64
		}
		switch n := g.IntN(30); {
		case n < 15:
			g.alu(class)
		case n < 17:
			g.rotate(class)
		case n < 21:
			g.alu(class)
			g.jump()
		case n < 22 && g.IntN(2) == 0:
			// copies in a row
			r := g.near()
			g.emit(move(g.near(), g.scratch()), move(r, g.near()))
			g.alu(class)
		case n < 22:
			g.jump()
		case n < 27:
			g.memory()
			if g.IntN(3) == 0 {
				g.jump()
			}
		case n < 28 && !g.deep && !g.noLoops:
			g.address()
		case n < 29 && !g.deep && g.IntN(3) == 0:
			g.call()
		default:
			g.emit(constant(g.scratch(), pick(g, edges...))...)
		}
	}
}

// program writes a whole program.
func (g *generator) program() isa.Program {
	for r := isa.R0; r <= isa.R7; r++ {
		g.emit(constant(r, pick(g, edges...))...)
	}
	g.emit(constant(isa.R8, g.base)...)
	g.emit(constant(isa.R9, g.pkt)...)
	start := len(g.insns)
	g.body(g.IntN(40) + 1)
	g.emit(exit)
	g.bound(start, len(g.insns))
	if len(g.calls) > 0 {
		f := len(g.insns)
		g.deep = true
		g.emit(small(isa.R0, 1))
		g.refill()
		g.body(g.IntN(10))
		g.emit(exit)
		g.bound(f, len(g.insns))
		for _, c := range g.calls {
			g.insns[c].Imm = int32(f - c - 1)
		}
	}
	return g.insns
}

// bound pulls the jumps between two slots back into them, and off the second halves
// of wide instructions.
func (g *generator) bound(low, end int) {
	for pc := low; pc < end; pc++ {
		target, ok := g.insns.JumpTarget(isa.PC(pc))
		if !ok {
			continue
		}
		t := min(max(int(target), low), end-1)
		if g.insns[t].Op == 0 {
			t++
		}
		g.insns[pc].Off = int16(t - pc - 1)
	}
}
