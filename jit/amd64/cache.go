package amd64

import "bpfvm/isa"

// cache says of r10 and r11 which x86 register's lower half they hold: an address
// that is used again is truncated once. It is forgotten where blocks begin and
// wherever the two, or what they were made from, are written.
type cache struct {
	of   [2]cached // of r10 and of r11
	next uint8     // the one to take next
}

// live reports whether anything is held.
func (h *cache) live() bool { return h.of[0].valid || h.of[1].valid }

// cached is the x86 register that a temporary holds the lower half of.
type cached struct {
	valid bool
	of    reg
}

// contained reports whether an address and any displacement stay within the window.
func (k known) contained() bool {
	switch k.base {
	case number:
		return k.lo >= minIndex && k.hi <= maxIndex
	case frame: // which is in the lower half of the window, above its first 64 KiB
		return k.lo >= minIndex && k.hi <= 1<<30
	}
	return false
}

// known is what machine code guarantees of a register before the present
// instruction.
func (c *compiler) known(r isa.Register) known {
	if !c.opt.on(PassKnown) {
		return atEntry[r]
	}
	return c.now[r]
}

// truncated returns a register with the lower half of base.
func (c *compiler) truncated(base isa.Register) reg {
	x := regMap[base]
	for i, h := range c.cache.of {
		if h.valid && h.of == x {
			return regTmp + reg(i)
		}
	}
	i := c.cache.next
	c.cache.next ^= 1
	c.rr(opMovL, regTmp+reg(i), x)
	c.cache.of[i] = cached{true, x}
	return regTmp + reg(i)
}

// arrive begins the instruction at a slot.
func (c *compiler) arrive(pc isa.PC) {
	c.bind(c.slots[pc])
	if l := c.flow.leader[pc]; l >= 0 {
		c.now = c.flow.at[l]
		c.cache = cache{}
	}
	if c.exact || !c.opt.on(PassKnown) {
		c.cache = cache{}
	}
}

// pass goes on behind the instruction at a slot.
func (c *compiler) pass(pc isa.PC) {
	ins := c.Insns[pc]
	if _, goes := c.flow.insn(&c.now, pc, func(int32, *regs) {}); !goes {
		c.now, c.cache = atEntry, cache{}
		return
	}
	class := ins.Op.Class()
	switch {
	case class == isa.ClassJMP || class == isa.ClassJMP32:
		if ins.Op.Code() == isa.CodeCall {
			c.cache = cache{}
		}
		return
	case ins.IsWide():
	case class == isa.ClassLD, ins.Op.Mode() == isa.ModeATOMIC && class.IsMem(),
		class.IsALU() && (ins.Op.Code() == isa.CodeDiv || ins.Op.Code() == isa.CodeMod):
		c.cache = cache{} // writes more than it says
		return
	}
	if class != isa.ClassST && class != isa.ClassSTX {
		c.cache.forget(regMap[ins.Dst()])
	}
}

// forget drops what is known of a register that is written.
func (h *cache) forget(x reg) {
	for i := range h.of {
		if x == regTmp+reg(i) || h.of[i].of == x {
			h.of[i] = cached{}
		}
	}
}
