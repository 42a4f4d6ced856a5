package amd64

import "bpfvm/isa"

// join makes one x86 instruction of the instruction at pc and the one behind it, and
// reports whether it has done so. Nothing may begin at the second one: no block, and
// no return from Go.
//
//	r3 = r1          lea  rdx, [rdi+14]
//	r3 += 14
//
//	w6 = w5          movzx  ebx, r8w
//	w6 &= 0xffff
func (c *compiler) join(pc isa.PC) bool {
	first := c.Insns[pc]
	if !c.opt.on(PassJoin) || c.exact || !isCopy(first) {
		return false
	}
	next := pc + 1
	if int(next) >= len(c.Insns) || c.flow.leader[next] >= 0 || c.Pos[next]%yieldEvery == 0 || c.dead(next) {
		return false
	}
	then := c.Insns[next]
	class := then.Op.Class()
	if !class.IsALU() || then.Dst() != first.Dst() {
		return false
	}
	wide := first.Op.Class() == isa.ClassALU64
	dst, src := regMap[first.Dst()], regMap[first.Src()]
	byReg := then.Op.Source() == isa.SrcX
	switch then.Op.Code() {
	case isa.CodeAdd:
		switch {
		case !wide || class != isa.ClassALU64:
			return false
		case !byReg:
			c.rm(opLea, dst, mem{src, noReg, then.Imm})
		case then.Src() == first.Dst(): // twice the copy
			c.rm(opLea, dst, mem{src, src, 0})
		default:
			c.rm(opLea, dst, mem{src, regMap[then.Src()], 0})
		}
		return true
	case isa.CodeAnd:
		switch {
		case byReg:
			return false
		case then.Imm == 0xffff:
			c.rr(opMovZxW, dst, src)
		case then.Imm == 0xff:
			c.rr(opMovZxB, dst, src)
		default:
			return false
		}
		return true
	}
	return false
}

// isCopy reports whether an instruction copies a register, as it is or its lower half.
func isCopy(ins isa.Instruction) bool {
	class := ins.Op.Class()
	return class.IsALU() && ins.Op.Code() == isa.CodeMov && ins.Op.Source() == isa.SrcX && ins.Off == 0 && ins.Dst() != ins.Src()
}
