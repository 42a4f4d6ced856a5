package amd64

import (
	"bpfvm/isa"
)

// call translates calls of functions; helpers and calls through a register are for
// Go to serve.
func (c *compiler) call(pc isa.PC, ins isa.Instruction) {
	if !ins.IsPseudoCall() {
		if in, ok := c.inlines[pc]; ok {
			c.inlineCall(pc, &in)
			return
		}
		c.leaveFor(exitServe, pc)
		return
	}
	target, _ := c.Insns.CallTarget(pc)
	if c.depth {
		c.context(regTmp)
		c.rm(opCmpQ, rbp, inContext(regTmp, ctxMaxTop))
		c.jump(condAE, c.cold(func() {
			c.ri(opMovL, regTmp, exitCode(exitDepth, int(pc)))
			c.jump(always, c.trap)
		}))
	}
	c.rm(opLea, rbp, mem{rbp, noReg, frameStride})
	if !c.exact {
		c.ri(opSubQ, regBudget, c.taken(pc, target))
	}
	c.jump(called, c.funcs[target])
	c.rm(opLea, rbp, mem{rbp, noReg, -frameStride})
	c.destroy(pc)
	if !c.exact {
		next := pc + 1
		c.ri(opAddQ, regBudget, int64(c.phi[next]))
		c.jump(condL, c.nearEnd(next))
	}
}
