package difftest

import (
	"math/rand/v2"

	"bpfvm/isa"
	"bpfvm/spec"
)

// generator writes one random program.
type generator struct {
	*rand.Rand
	insns isa.Program
	refs  []spec.Ref

	calls    []call // to be pointed at subprograms
	scalars  []isa.Register
	depth    int // of nested blocks
	inSub    bool
	shared   bool // in a callback: R6 points at the slots of the program's own frame
	loops    int  // that are open; their counter is R8
	branches int  // left: each may double the paths of a verifier
}

// call is a slot that calls a subprogram by its number.
type call struct{ pc, sub int }

func (g *generator) here() int { return len(g.insns) }

func (g *generator) emit(ins ...isa.Instruction) { g.insns = append(g.insns, ins...) }

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

// reg is a register that holds a number.
func (g *generator) reg() isa.Register { return g.scalars[g.IntN(len(g.scalars))] }

// dst is a register that may be written: not the counter of an open loop.
func (g *generator) dst() isa.Register {
	for {
		if r := g.reg(); r != isa.R8 || g.loops == 0 {
			return r
		}
	}
}

// near is a register written a moment ago, most of the time: compilers join
// neighbours that depend on each other.
func (g *generator) near() isa.Register {
	if n := len(g.insns); n > 0 && g.IntN(3) > 0 {
		if r := g.insns[n-1].Dst(); r < isa.R6 {
			return r
		}
	}
	return g.reg()
}

// pointer is a register that can hold a pointer for a few instructions.
func (g *generator) pointer() isa.Register { return isa.Register(1 + g.IntN(5)) }

func opK(class isa.Class, code isa.Code, dst isa.Register, imm int32) isa.Instruction {
	return isa.Instruction{Op: isa.ALUOp(class, code, isa.SrcK), Regs: isa.MakeRegs(dst, 0), Imm: imm}
}

func opX(class isa.Class, code isa.Code, dst, src isa.Register) isa.Instruction {
	return isa.Instruction{Op: isa.ALUOp(class, code, isa.SrcX), Regs: isa.MakeRegs(dst, src)}
}

func movK(dst isa.Register, imm int32) isa.Instruction {
	return opK(isa.ClassALU64, isa.CodeMov, dst, imm)
}

func movX(dst, src isa.Register) isa.Instruction {
	return opX(isa.ClassALU64, isa.CodeMov, dst, src)
}

func load(size isa.Size, dst, base isa.Register, off int) isa.Instruction {
	return isa.Instruction{Op: isa.MemOp(isa.ClassLDX, isa.ModeMEM, size), Regs: isa.MakeRegs(dst, base), Off: int16(off)}
}

func loadSX(size isa.Size, dst, base isa.Register, off int) isa.Instruction {
	return isa.Instruction{Op: isa.MemOp(isa.ClassLDX, isa.ModeMEMSX, size), Regs: isa.MakeRegs(dst, base), Off: int16(off)}
}

func store(size isa.Size, base isa.Register, off int, src isa.Register) isa.Instruction {
	return isa.Instruction{Op: isa.MemOp(isa.ClassSTX, isa.ModeMEM, size), Regs: isa.MakeRegs(base, src), Off: int16(off)}
}

func storeK(size isa.Size, base isa.Register, off int, imm int32) isa.Instruction {
	return isa.Instruction{Op: isa.MemOp(isa.ClassST, isa.ModeMEM, size), Regs: isa.MakeRegs(base, 0), Off: int16(off), Imm: imm}
}

func atomic(size isa.Size, op isa.AtomicOp, base isa.Register, off int, src isa.Register) isa.Instruction {
	regs := isa.MakeRegs(base, src)
	if op == isa.AtomicLoadAcq {
		regs = isa.MakeRegs(src, base)
	}
	return isa.Instruction{Op: isa.MemOp(isa.ClassSTX, isa.ModeATOMIC, size), Regs: regs, Off: int16(off), Imm: int32(op)}
}

func helper(id spec.HelperID) isa.Instruction { return isa.Instruction{Op: isa.OpCall, Imm: int32(id)} }

var exit = isa.Instruction{Op: isa.OpExit}

// wide loads 64 bits.
func (g *generator) wide(dst isa.Register, v uint64) {
	g.emit(isa.Instruction{Op: isa.OpLdImm64, Regs: isa.MakeRegs(dst, 0), Imm: int32(v)}, isa.Instruction{Imm: int32(v >> 32)})
}

// mapRef loads a map.
func (g *generator) mapRef(dst isa.Register, name string) {
	g.refs = append(g.refs, spec.Ref{PC: isa.PC(g.here()), Kind: spec.RefMap, Name: name})
	g.emit(isa.Instruction{Op: isa.OpLdImm64, Regs: isa.MakeRegs(dst, isa.Register(isa.PseudoMapFD))}, isa.Instruction{})
}

// jump emits a conditional jump whose target land sets.
func (g *generator) jump(class isa.Class, code isa.Code, dst isa.Register, imm int32) (at int) {
	g.emit(isa.Instruction{Op: isa.JumpOp(class, code, isa.SrcK), Regs: isa.MakeRegs(dst, 0), Imm: imm})
	return g.here() - 1
}

// skip emits an unconditional jump whose target land sets.
func (g *generator) skip() (at int) {
	g.emit(isa.Instruction{Op: pick(g, isa.OpJa, isa.OpJa, isa.OpJa32)})
	return g.here() - 1
}

// land lets the jump at a slot lead to the next instruction.
func (g *generator) land(at int) { setDistance(&g.insns[at], g.here()-at-1) }

// setDistance writes a jump's distance where its opcode has it.
func setDistance(ins *isa.Instruction, n int) {
	if ins.Op == isa.OpJa32 {
		ins.Imm = int32(n)
		return
	}
	ins.Off = int16(n)
}

// Interesting operands: where arithmetic changes its behaviour.
var (
	edges = []uint64{
		0, 1, 2, 7, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
		0x123456789abcdef0, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffff80000000, 0xffffffff7fffffff,
		0xffffffffffffffff, 0xfffffffffffffffe, 31, 32, 33, 63, 64, 65,
	}
	edgeImms = []int32{0, 1, 2, 7, -1, -2, 31, 32, 33, 63, 64, 127, 128, 255, 256, 0x7fff, 0x8000, 0x7fffffff, -0x80000000}
)

func (g *generator) imm() int32 {
	switch g.IntN(4) {
	case 0:
		return pick(g, edgeImms...)
	case 1:
		return int32(g.Uint32())
	}
	return int32(g.IntN(70))
}

func (g *generator) value() uint64 {
	if g.IntN(3) == 0 {
		return g.Uint64()
	}
	return pick(g, edges...)
}

// Helpers that generated programs call.
var (
	helperLookup = spec.HelperByName("bpf_map_lookup_elem").ID
	helperUpdate = spec.HelperByName("bpf_map_update_elem").ID
	helperDelete = spec.HelperByName("bpf_map_delete_elem").ID
	helperPush   = spec.HelperByName("bpf_map_push_elem").ID
	helperPop    = spec.HelperByName("bpf_map_pop_elem").ID
	helperPeek   = spec.HelperByName("bpf_map_peek_elem").ID
	helperLoop   = spec.HelperByName("bpf_loop").ID
	helperEach   = spec.HelperByName("bpf_for_each_map_elem").ID
	helperOutput = spec.HelperByName("bpf_ringbuf_output").ID
	helperCsum   = spec.HelperByName("bpf_csum_diff").ID
	helperXDPGet = spec.HelperByName("bpf_xdp_load_bytes").ID
	helperSKBGet = spec.HelperByName("bpf_skb_load_bytes").ID
)
