package difftest

import (
	"bpfvm/isa"
	"bpfvm/spec"
)

// callback calls a function of the program through a helper: for each index up to a
// few, or for each element of the array. It gets a pointer to the slots of the stack.
// It is called at least once: a callback that the verifier never enters is removed as
// dead code, and then Linux 6.18 cannot give its address any more (EFAULT, "verifier
// bug: No program to jit", fixup_call_args).
func (g *generator) callback() {
	slots := -8 * stackSlots
	which := loopSub + g.IntN(2)
	if which == loopSub {
		if g.IntN(2) == 0 {
			g.emit(movK(isa.R1, int32(1+g.IntN(8))))
		} else {
			g.emit(movX(isa.R1, g.reg()), opK(isa.ClassALU64, isa.CodeAnd, isa.R1, 7), opK(isa.ClassALU64, isa.CodeOr, isa.R1, 1))
		}
	} else {
		g.mapRef(isa.R1, mapArray)
	}
	g.calls = append(g.calls, call{g.here(), which})
	g.emit(isa.Instruction{Op: isa.OpLdImm64, Regs: isa.MakeRegs(isa.R2, isa.Register(isa.PseudoFunc))}, isa.Instruction{})
	g.emit(movX(isa.R3, isa.FP), opK(isa.ClassALU64, isa.CodeAdd, isa.R3, int32(slots)), movK(isa.R4, 0))
	g.emit(helper(map[int]spec.HelperID{loopSub: helperLoop, eachSub: helperEach}[which]))
	g.refill(isa.R1)
}

// callbackEntry takes the arguments of a callback: a pointer to the slots goes to R6,
// and the registers that held pointers get numbers.
func (g *generator) callbackEntry(which int) {
	if which == loopSub { // index, context
		g.emit(movX(isa.R6, isa.R2), movK(isa.R2, g.imm()), movK(isa.R3, g.imm()))
	} else { // map, key, value, context
		g.emit(movX(isa.R6, isa.R4), movX(isa.R5, isa.R3),
			load(isa.SizeW, isa.R1, isa.R2, 0), load(isa.SizeDW, isa.R2, isa.R3, 0))
		if g.IntN(2) == 0 {
			g.emit(storeK(isa.SizeW, isa.R5, 4*g.IntN(2), g.imm()))
		} else {
			g.emit(atomic(isa.SizeDW, isa.AtomicAdd, isa.R5, 0, isa.R2))
		}
		g.emit(movX(isa.R3, isa.R2), movK(isa.R5, g.imm()))
	}
	g.emit(movK(isa.R4, g.imm()))
	if which == loopSub {
		g.emit(movK(isa.R5, g.imm()))
	}
}

// slotPointer makes a register a pointer to a slot of the stack.
func (g *generator) slotPointer(r isa.Register, off int) {
	g.emit(movX(r, isa.FP), opK(isa.ClassALU64, isa.CodeAdd, r, int32(off)))
}

// helperCall calls a helper that works on the stack, and gives the same on every
// machine.
func (g *generator) helperCall(t spec.ProgType) {
	if g.inSub {
		g.alu()
		return
	}
	switch g.IntN(4) {
	case 3: // a push with BPF_EXIST makes room
		id := pick(g, helperPush, helperPush, helperPop, helperPeek)
		g.slotPointer(isa.R2, -8*(1+g.IntN(stackSlots)))
		g.mapRef(isa.R1, pick(g, mapQueue, mapStack))
		if id == helperPush {
			g.emit(movK(isa.R3, pick[int32](g, 0, 2)))
		}
		g.emit(helper(id))
	case 0:
		size := 8 * (1 + g.IntN(3))
		g.slotPointer(isa.R2, -8*(3+g.IntN(stackSlots-2)))
		g.mapRef(isa.R1, mapRingBuf)
		g.emit(movK(isa.R3, int32(size)), movK(isa.R4, int32(g.IntN(3))), helper(helperOutput))
	case 1:
		if t != spec.ProgSchedCls {
			g.alu()
			return
		}
		g.slotPointer(isa.R1, -8*(2+g.IntN(stackSlots-1)))
		g.slotPointer(isa.R3, -8*(2+g.IntN(stackSlots-1)))
		g.emit(movK(isa.R2, int32(4*g.IntN(5))), movK(isa.R4, int32(4*g.IntN(5))), movK(isa.R5, int32(g.Uint32()>>1)), helper(helperCsum))
	default:
		id := helperSKBGet
		if t == spec.ProgXDP {
			id = helperXDPGet
		}
		g.emit(load(isa.SizeDW, isa.R1, isa.FP, ctxSlot), movK(isa.R2, int32(g.IntN(packetBytes+60))))
		g.slotPointer(isa.R3, -8*(2+g.IntN(stackSlots-1)))
		g.emit(movK(isa.R4, int32(1+g.IntN(16))), helper(id))
	}
	g.refill(isa.R1)
}
