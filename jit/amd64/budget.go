package amd64

import "bpfvm/isa"

// Instructions are not counted one by one. A potential phi is given to each slot;
// it rises by one with each instruction along a straight line. regBudget holds
//
//	n + phi[slot]
//
// before the instruction at slot, where n is what is left of the slice, so
// straight lines leave it alone. A way from pc to another block has used one
// instruction, and takes phi[pc] + 1 - phi[target] off; phi is chosen so that most
// ways have nothing to take off (phi.go).
//
// Between functions it holds n itself: EXIT takes phi[pc] + 1 off, and the
// instruction after the call adds its own phi.
//
// Jumps back, calls and returns look whether the register has become negative (by
// "less", which the processor fuses with the subtraction) and leave for Go then, which gives a new slice. Until the next such look no more
// than the whole program can run; so much (slack) of the run's budget is kept
// back. When less than that is left, the exact image takes over, which counts each
// instruction: there phi is 0 everywhere, and Go moves the register so far down
// that code of other images leaves at its next look.

// mayGotoLimit is how often may_goto falls through in one activation of a function
// (include/linux/bpf.h, BPF_MAX_LOOPS).
const mayGotoLimit = 8 << 20

// yieldEvery is the number of instructions after which a straight line leaves, slice
// or not: a program may have a million of them.
const yieldEvery = 1 << 14

func (c *compiler) setPhi() {
	if c.exact {
		return
	}
	copy(c.phi, c.potentials())
}

// slackOf is the budget below which the image must not run.
func (c *compiler) slackOf() uint64 {
	top := int32(0)
	for _, v := range c.phi {
		top = max(top, v)
	}
	return uint64(c.Count()) + uint64(top) + 1
}

// taken is what a taken jump takes off.
func (c *compiler) taken(pc, target isa.PC) int64 {
	if c.exact {
		return 0
	}
	return int64(c.phi[pc] + 1 - c.phi[target])
}

// settle brings the register to n after the EXIT at pc.
func (c *compiler) settle(pc isa.PC) {
	if !c.exact {
		c.ri(opSubQ, regBudget, int64(c.phi[pc]+1))
	}
}

// nearEnd is where a look has found the slice used up; the instruction at target
// is the next.
func (c *compiler) nearEnd(target isa.PC) label {
	return c.cold(func() {
		c.leaveFor(exitSlice, target)
		c.jump(always, c.slots[target])
	})
}

// countOne is the exact image's look before each instruction.
func (c *compiler) countOne(pc isa.PC) {
	c.ri(opSubQ, regBudget, 1)
	c.context(regTmp)
	c.rm(opCmpQ, regBudget, inContext(regTmp, ctxFloor))
	c.jump(condL, c.cold(func() {
		c.leaveFor(exitSlice, pc)
		c.jump(always, c.slots[pc])
	}))
}
