package amd64

import "bpfvm/isa"

// pair is an operation on 64 and on 32 bits. The 32-bit forms of x86 clear the
// upper half, as eBPF's do.
type pair [2]op

func (p pair) of(wide bool) op {
	if wide {
		return p[0]
	}
	return p[1]
}

var aluOps = map[isa.Code]pair{
	isa.CodeAdd: {opAddQ, opAddL},
	isa.CodeSub: {opSubQ, opSubL},
	isa.CodeOr:  {opOrQ, opOrL},
	isa.CodeAnd: {opAndQ, opAndL},
	isa.CodeXor: {opXorQ, opXorL},
	isa.CodeMul: {opImulQ, opImulL},
}

var shiftOps = map[isa.Code]struct{ byCL, byReg pair }{
	isa.CodeLsh:  {pair{opShlQ, opShlL}, pair{opShlxQ, opShlxL}},
	isa.CodeRsh:  {pair{opShrQ, opShrL}, pair{opShrxQ, opShrxL}},
	isa.CodeArsh: {pair{opSarQ, opSarL}, pair{opSarxQ, opSarxL}},
}

// alu translates the classes ALU and ALU64.
func (c *compiler) alu(ins isa.Instruction) {
	wide, dst, src := ins.Op.Class() == isa.ClassALU64, regMap[ins.Dst()], regMap[ins.Src()]
	byReg := ins.Op.Source() == isa.SrcX
	switch code := ins.Op.Code(); code {
	case isa.CodeMov:
		c.mov(ins, wide)
	case isa.CodeNeg:
		c.r(pair{opNegQ, opNegL}.of(wide), dst)
	case isa.CodeEnd:
		c.end(ins, wide)
	case isa.CodeLsh, isa.CodeRsh, isa.CodeArsh:
		c.shift(ins, wide)
	case isa.CodeDiv, isa.CodeMod:
		c.divide(ins, wide)
	case isa.CodeMul:
		if byReg {
			c.rr(aluOps[code].of(wide), dst, src)
			return
		}
		c.rri(pair{opImul3Q, opImul3L}.of(wide), dst, dst, int64(ins.Imm))
	default:
		if byReg {
			c.rr(aluOps[code].of(wide), dst, src)
			return
		}
		c.ri(aluOps[code].of(wide), dst, int64(ins.Imm))
	}
}

// mov translates moves, with sign extension or without.
func (c *compiler) mov(ins isa.Instruction, wide bool) {
	dst, src := regMap[ins.Dst()], regMap[ins.Src()]
	switch {
	case ins.Op.Source() == isa.SrcK && wide:
		c.constant(dst, uint64(int64(ins.Imm)))
	case ins.Op.Source() == isa.SrcK:
		c.constant(dst, uint64(uint32(ins.Imm)))
	case ins.Off == 8:
		c.rr(pair{opMovSxB, opMovSxBL}.of(wide), dst, src)
	case ins.Off == 16:
		c.rr(pair{opMovSxW, opMovSxWL}.of(wide), dst, src)
	case ins.Off == 32:
		c.rr(opMovSxL, dst, src)
	case wide && dst == src:
	default:
		c.rr(pair{opMovQ, opMovL}.of(wide), dst, src)
	}
}

// end translates byte swaps: unconditional ones in class ALU64, else to big endian
// (a swap) or to little endian (a truncation).
func (c *compiler) end(ins isa.Instruction, wide bool) {
	dst := regMap[ins.Dst()]
	swap := wide || ins.Op.Source() == isa.SrcX
	switch {
	case ins.Imm == 16:
		if swap {
			c.ri(opRolW, dst, 8)
		}
		c.rr(opMovZxW, dst, dst)
	case ins.Imm == 32 && swap:
		c.r(opBswapL, dst)
	case ins.Imm == 32:
		c.rr(opMovL, dst, dst)
	case swap:
		c.r(opBswapQ, dst)
	}
}

// shift translates shifts. The processor masks the distance as eBPF does.
func (c *compiler) shift(ins isa.Instruction, wide bool) {
	ops, dst, src := shiftOps[ins.Op.Code()], regMap[ins.Dst()], regMap[ins.Src()]
	switch {
	case ins.Op.Source() == isa.SrcK:
		n := int64(ins.Imm) & 31
		if wide {
			n = int64(ins.Imm) & 63
		}
		switch {
		case n != 0:
			c.ri(ops.byCL.of(wide), dst, n)
		case !wide: // still clears the upper half
			c.rr(opMovL, dst, dst)
		}
	case !c.opt.NoBMI2:
		c.rrr(ops.byReg.of(wide), dst, dst, src)
	case dst == rcx:
		c.rr(opMovQ, regAddr, dst)
		c.rr(opMovQ, rcx, src)
		c.shiftCL(ops.byCL.of(wide), regAddr)
		c.rr(opMovQ, rcx, regAddr)
	case src == rcx:
		c.shiftCL(ops.byCL.of(wide), dst)
	default:
		c.rr(opMovQ, regAddr, rcx)
		c.rr(opMovQ, rcx, src)
		c.shiftCL(ops.byCL.of(wide), dst)
		c.rr(opMovQ, rcx, regAddr)
	}
}

func (c *compiler) shiftCL(o op, dst reg) { c.add(instr{op: o, form: fRCL, dst: dst}) }

// divide translates division and remainder. x86 wants the dividend in rdx:rax and
// faults on a divisor of zero and on the most negative number by -1, eBPF defines
// both (RFC 9669, section 4.1; verifier.c: do_misc_fixups).
func (c *compiler) divide(ins isa.Instruction, wide bool) {
	mod, signed := ins.Op.Code() == isa.CodeMod, ins.Off == 1
	dst, src := regMap[ins.Dst()], regMap[ins.Src()]
	if ins.Op.Source() == isa.SrcK {
		switch {
		case ins.Imm == 0:
			c.byZero(dst, mod, wide)
			return
		case ins.Imm == -1 && signed:
			c.byMinusOne(dst, mod, wide)
			return
		case wide:
			c.constant(regAddr, uint64(int64(ins.Imm)))
		default:
			c.constant(regAddr, uint64(uint32(ins.Imm)))
		}
		c.quotient(dst, mod, signed, wide)
		return
	}
	done := c.newLabel()
	c.rr(pair{opMovQ, opMovL}.of(wide), regAddr, src)
	c.rr(pair{opTestQ, opTestL}.of(wide), regAddr, regAddr)
	c.jump(condE, c.cold(func() {
		c.byZero(dst, mod, wide)
		c.jump(always, done)
	}))
	if signed {
		c.ri(pair{opCmpQ, opCmpL}.of(wide), regAddr, -1)
		c.jump(condE, c.cold(func() {
			c.byMinusOne(dst, mod, wide)
			c.jump(always, done)
		}))
	}
	c.quotient(dst, mod, signed, wide)
	c.bind(done)
}

func (c *compiler) byZero(dst reg, mod, wide bool) {
	switch {
	case !mod:
		c.rr(opXorL, dst, dst)
	case !wide:
		c.rr(opMovL, dst, dst)
	}
}

func (c *compiler) byMinusOne(dst reg, mod, wide bool) {
	if mod {
		c.rr(opXorL, dst, dst)
		return
	}
	c.r(pair{opNegQ, opNegL}.of(wide), dst)
}

// quotient divides dst by regAddr.
func (c *compiler) quotient(dst reg, mod, signed, wide bool) {
	if dst != rax {
		c.rr(opMovQ, regTmp, rax)
		c.rr(opMovQ, rax, dst)
	}
	if dst != rdx {
		c.r(opPush, rdx)
	}
	if signed {
		c.none(pair{opCqo, opCdq}.of(wide))
		c.r(pair{opIdivQ, opIdivL}.of(wide), regAddr)
	} else {
		c.rr(opXorL, rdx, rdx)
		c.r(pair{opDivQ, opDivL}.of(wide), regAddr)
	}
	result := rax
	if mod {
		result = rdx
	}
	switch dst {
	case rax:
		if mod {
			c.rr(opMovQ, rax, rdx)
		}
		c.r(opPop, rdx)
	case rdx:
		if !mod {
			c.rr(opMovQ, rdx, rax)
		}
		c.rr(opMovQ, rax, regTmp)
	default:
		c.rr(opMovQ, regAddr, result)
		c.r(opPop, rdx)
		c.rr(opMovQ, rax, regTmp)
		c.rr(opMovQ, dst, regAddr)
	}
}
