package difftest

import (
	"bpfvm/isa"
	"bpfvm/spec"
)

var aluCodes = []isa.Code{
	isa.CodeAdd, isa.CodeSub, isa.CodeMul, isa.CodeOr, isa.CodeAnd, isa.CodeXor, isa.CodeLsh, isa.CodeRsh, isa.CodeMov,
	isa.CodeArsh, isa.CodeDiv, isa.CodeMod, isa.CodeNeg, isa.CodeEnd, isa.CodeAdd, isa.CodeMov, isa.CodeXor,
}

// alu writes one arithmetic instruction.
func (g *generator) alu() {
	class, code, dst, src := pick(g, isa.ClassALU, isa.ClassALU64), pick(g, aluCodes...), g.near(), g.near()
	if dst == isa.R8 && g.loops > 0 {
		dst = isa.R0
	}
	source := pick(g, isa.SrcK, isa.SrcX)
	ins := isa.Instruction{Regs: isa.MakeRegs(dst, src)}
	switch code {
	case isa.CodeNeg:
		source, ins.Regs = isa.SrcK, isa.MakeRegs(dst, 0)
	case isa.CodeEnd:
		ins.Imm, ins.Regs = pick[int32](g, 16, 32, 64), isa.MakeRegs(dst, 0)
		if class == isa.ClassALU64 {
			source = isa.SrcK // bswap
		}
	case isa.CodeDiv, isa.CodeMod:
		ins.Off = int16(g.IntN(2)) // 1: signed
	case isa.CodeMov:
		if source == isa.SrcX && g.IntN(3) == 0 {
			ins.Off = pick[int16](g, 8, 16, 32)
			if class == isa.ClassALU {
				ins.Off = pick[int16](g, 8, 16)
			}
		}
	}
	if source == isa.SrcK && code != isa.CodeNeg && code != isa.CodeEnd {
		ins.Regs, ins.Imm = isa.MakeRegs(dst, 0), g.imm()
		switch code {
		case isa.CodeLsh, isa.CodeRsh, isa.CodeArsh: // verifier.c: check_alu_op, "invalid shift"
			ins.Imm &= 63
			if class == isa.ClassALU {
				ins.Imm &= 31
			}
		case isa.CodeDiv, isa.CodeMod: // "div by zero"
			if ins.Imm == 0 {
				ins.Imm = 3
			}
		}
	}
	ins.Op = isa.ALUOp(class, code, source)
	g.emit(ins)
}

// rotate writes what compilers make of a rotation.
func (g *generator) rotate() {
	class, a, b, t := pick(g, isa.ClassALU, isa.ClassALU64), g.dst(), g.reg(), g.dst()
	k := int32(g.IntN(31) + 1)
	left, right := isa.CodeLsh, isa.CodeRsh
	if g.IntN(2) == 0 {
		left, right = right, left
	}
	g.emit(opX(class, isa.CodeMov, t, b), opK(class, left, t, k))
	if g.IntN(2) == 0 {
		g.emit(opX(class, isa.CodeMov, a, b))
	}
	g.emit(opK(class, right, a, 32-k), opX(class, isa.CodeOr, a, t))
}

var sizes = []isa.Size{isa.SizeB, isa.SizeH, isa.SizeW, isa.SizeDW}

// place picks memory for an access: a base register and an offset at which size
// bytes lie inside. Stack accesses are aligned, as the kernel demands
// (verifier.c: check_ptr_alignment), others need not be.
func (g *generator) place(size int, aligned bool) (base isa.Register, off int) {
	where := g.IntN(10)
	switch {
	case g.shared && where < 4:
		return isa.R6, size * g.IntN(8*stackSlots/size)
	case g.inSub || where < 4:
		return isa.FP, -size * (1 + g.IntN(8*stackSlots/size))
	case where < 8 || aligned:
		off = g.IntN(scratchBytes - size + 1)
		if aligned {
			off &^= size - 1
		}
		return isa.R9, off
	}
	return isa.R6, ethBytes + g.IntN(packetBytes-ethBytes-size+1)
}

// memory writes a load, a store or an atomic.
func (g *generator) memory() {
	size := pick(g, sizes...)
	base, off := g.place(size.Bytes(), false)
	switch g.IntN(8) {
	case 0, 1, 2:
		g.emit(load(size, g.dst(), base, off))
	case 3:
		if size == isa.SizeDW {
			size = isa.SizeW
		}
		g.emit(loadSX(size, g.dst(), base, off))
	case 4:
		g.emit(storeK(size, base, off, g.imm()))
	case 5, 6:
		g.emit(store(size, base, off, g.reg()))
	default:
		g.atomic(size)
	}
}

// atomic writes an atomic instruction. Packets and contexts do not take them.
func (g *generator) atomic(size isa.Size) {
	op := pick(g, isa.AtomicAdd, isa.AtomicOr, isa.AtomicAnd, isa.AtomicXor, isa.AtomicXchg, isa.AtomicCmpXchg,
		isa.AtomicAdd|isa.AtomicFetch, isa.AtomicOr|isa.AtomicFetch, isa.AtomicAnd|isa.AtomicFetch,
		isa.AtomicXor|isa.AtomicFetch, isa.AtomicLoadAcq, isa.AtomicStoreRel)
	if op != isa.AtomicLoadAcq && op != isa.AtomicStoreRel && size.Bytes() < 4 {
		size = pick(g, isa.SizeW, isa.SizeDW)
	}
	base, off := g.place(size.Bytes(), true)
	g.emit(atomic(size, op, base, off, g.dst()))
}

// indexed accesses the map value at an index that is known as a range only.
func (g *generator) indexed() {
	if g.inSub {
		g.memory()
		return
	}
	p, size := g.pointer(), pick(g, sizes...)
	mask := int32(scratchBytes/2 - 1)
	if g.IntN(2) == 0 {
		mask &^= int32(size.Bytes() - 1)
	}
	if g.IntN(2) == 0 {
		g.emit(movX(p, g.reg()))
	}
	g.emit(opK(pick(g, isa.ClassALU, isa.ClassALU64), isa.CodeAnd, p, mask), opX(isa.ClassALU64, isa.CodeAdd, p, isa.R9))
	off := g.IntN(scratchBytes/2 - 7)
	if g.IntN(3) == 0 {
		v := g.reg()
		for v == p {
			v = g.reg()
		}
		g.emit(store(size, p, off, v), movK(p, g.imm()))
		return
	}
	g.emit(load(size, p, p, off))
}

// context reads or writes a field of the context.
func (g *generator) context(t spec.ProgType) {
	if g.inSub {
		g.alu()
		return
	}
	p := g.pointer()
	g.emit(load(isa.SizeDW, p, isa.FP, ctxSlot))
	if t == spec.ProgXDP {
		g.emit(load(isa.SizeW, p, p, pick(g, 12, 16))) // ingress_ifindex, rx_queue_index
		return
	}
	const cb = 48 // __sk_buff.cb, five words that a program may use as it likes
	off := cb + 4*g.IntN(5)
	if g.IntN(2) == 0 {
		v := g.reg()
		for v == p {
			v = g.reg()
		}
		g.emit(store(isa.SizeW, p, off, v), movK(p, g.imm()))
		return
	}
	g.emit(load(isa.SizeW, p, p, off))
}

// refill gives the registers that a call destroys new values, some of them unknown
// to a verifier.
func (g *generator) refill(from isa.Register) {
	for r := from; r <= isa.R5; r++ {
		if g.IntN(2) == 0 {
			g.emit(load(isa.SizeDW, r, isa.FP, -8*(1+g.IntN(stackSlots))))
		} else {
			g.emit(movK(r, g.imm()))
		}
	}
}

// mapCall looks up, updates or deletes an element.
func (g *generator) mapCall() {
	if g.inSub {
		g.alu()
		return
	}
	p := g.pointer()
	g.emit(movX(p, g.reg()), opK(isa.ClassALU64, isa.CodeAnd, p, 7), store(isa.SizeW, isa.FP, keySlot, p))
	name := pick(g, mapArray, mapHash, mapArray, mapHash, mapPerCPU)
	op := g.IntN(4)
	if op == 1 {
		g.emit(store(isa.SizeDW, isa.FP, valueSlot, g.reg()))
		if p := g.pointer(); g.IntN(2) == 0 {
			g.emit(movK(p, g.imm()), store(isa.SizeDW, isa.FP, valueSlot, p))
		}
	}
	g.emit(movX(isa.R2, isa.FP), opK(isa.ClassALU64, isa.CodeAdd, isa.R2, keySlot))
	g.mapRef(isa.R1, name)
	switch op {
	case 1:
		g.emit(movX(isa.R3, isa.FP), opK(isa.ClassALU64, isa.CodeAdd, isa.R3, valueSlot), movK(isa.R4, int32(g.IntN(3))))
		g.emit(helper(helperUpdate))
		g.refill(isa.R1)
	case 2:
		g.emit(helper(helperDelete))
		g.refill(isa.R1)
	default:
		g.emit(helper(helperLookup))
		null := g.jump(isa.ClassJMP, isa.CodeJeq, isa.R0, 0)
		switch v := isa.Register(1); g.IntN(3) {
		case 0:
			g.emit(movK(v, g.imm()), atomic(isa.SizeDW, isa.AtomicAdd, isa.R0, 0, v))
		case 1:
			g.emit(load(isa.SizeDW, v, isa.R0, 0), opK(isa.ClassALU64, isa.CodeAdd, v, 1), store(isa.SizeDW, isa.R0, 0, v))
		default:
			g.emit(load(pick(g, sizes...), v, isa.R0, 0), store(isa.SizeDW, isa.FP, -8, v))
		}
		g.land(null)
		g.refill(isa.R0)
	}
}

// subCall calls one of the subprograms at the end with what is in R1 to R5.
func (g *generator) subCall() {
	if g.inSub {
		g.alu()
		return
	}
	g.calls = append(g.calls, call{g.here(), g.IntN(maxSubs)})
	g.emit(isa.Instruction{Op: isa.OpCall, Regs: isa.MakeRegs(0, isa.Register(isa.PseudoCall))})
	g.refill(isa.R1)
}
