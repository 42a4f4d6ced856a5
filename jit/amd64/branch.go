package amd64

import "bpfvm/isa"

// conditions by the code of the jump (RFC 9669, table 8). jset tests.
var conditions = [...]cond{
	isa.CodeJeq >> 4:  condE,
	isa.CodeJgt >> 4:  condA,
	isa.CodeJge >> 4:  condAE,
	isa.CodeJset >> 4: condNE,
	isa.CodeJne >> 4:  condNE,
	isa.CodeJsgt >> 4: condG,
	isa.CodeJsge >> 4: condGE,
	isa.CodeJlt >> 4:  condB,
	isa.CodeJle >> 4:  condBE,
	isa.CodeJslt >> 4: condL,
	isa.CodeJsle >> 4: condLE,
}

// branch translates jumps that stay in the function.
func (c *compiler) branch(pc isa.PC, ins isa.Instruction) {
	target, _ := c.Insns.JumpTarget(pc)
	if ins.Op == isa.OpJa || ins.Op == isa.OpJa32 {
		c.goTo(pc, target)
		return
	}
	cc := condE // may_goto: the counter is zero
	if ins.Op != isa.OpMayGoto {
		cc = conditions[ins.Op.Code()>>4]
	}
	d := c.taken(pc, target)
	c.compare(ins)
	switch {
	case target <= pc:
		over := c.newLabel()
		c.jump(cc^1, over)
		c.goTo(pc, target)
		c.bind(over)
	case d == 0:
		c.jump(cc, c.slots[target])
	default:
		c.jump(cc, c.cold(func() {
			c.adjust(-d)
			c.jump(always, c.slots[target])
		}))
	}
	if ins.Op == isa.OpMayGoto {
		c.mi(opSubQ, mem{rsp, noReg, 0}, 1)
	}
}

// adjust adds to the budget without changing flags.
func (c *compiler) adjust(d int64) {
	if d != 0 {
		c.rm(opLea, regBudget, mem{regBudget, noReg, int32(d)})
	}
}

// runOn goes on from the instruction before a slot to the block that begins there.
func (c *compiler) runOn(pc isa.PC) {
	last := pc - 1
	if c.Forms[last] == nil { // the second slot of a wide one
		last--
	}
	if c.flow.leader[pc] >= 0 && !endsBlock(c.Insns[last]) {
		c.adjust(-c.taken(last, pc))
	}
}

// goTo jumps; back only while the slice lasts.
func (c *compiler) goTo(pc, target isa.PC) {
	d := c.taken(pc, target)
	switch {
	case target > pc || c.exact:
		c.adjust(-d)
		c.jump(always, c.slots[target])
	default:
		c.ri(opSubQ, regBudget, d)
		c.jump(condGE, c.slots[target])
		c.jump(always, c.nearEnd(target))
	}
}

// compare sets the flags for a conditional jump.
func (c *compiler) compare(ins isa.Instruction) {
	if ins.Op == isa.OpMayGoto {
		c.mi(opCmpQ, mem{rsp, noReg, 0}, 0)
		return
	}
	cmp, test := opCmpQ, opTestQ
	if ins.Op.Class() == isa.ClassJMP32 {
		cmp, test = opCmpL, opTestL
	}
	dst, jset := regMap[ins.Dst()], ins.Op.Code() == isa.CodeJset
	switch {
	case ins.Op.Source() == isa.SrcX && jset:
		c.rr(test, dst, regMap[ins.Src()])
	case ins.Op.Source() == isa.SrcX:
		c.rr(cmp, dst, regMap[ins.Src()])
	case jset:
		c.ri(test, dst, int64(ins.Imm))
	case ins.Imm == 0: // the same flags
		c.rr(test, dst, dst)
	default:
		c.ri(cmp, dst, int64(ins.Imm))
	}
}
