package amd64

import (
	"bpfvm/isa"
	"bpfvm/vm"
	"bpfvm/vm/layout"
)

// inlined is a helper call that machine code does itself.
type inlined struct {
	op    vm.HelperOp
	array *layout.Array // OpMapLookup: whose elements
	// key is the distance of the key from R10 when it is known to lie in the frame;
	// else it is reached, and checked, through R2.
	key     int32
	inFrame bool
}

// inline decides whether the call at a slot is one, from what is known before it.
func (s *source) inline(pc isa.PC, now *regs) (in inlined, ok bool) {
	ins := s.Insns[pc]
	if !s.opt.on(PassInline) || !ins.IsHelperCall() {
		return inlined{}, false
	}
	in.op = s.Helpers[ins.Imm].Op
	switch in.op {
	case vm.OpProcessorID:
		return in, true
	case vm.OpMapLookup:
		handle := now[isa.R1]
		if handle.base != number || handle.lo != handle.hi {
			return inlined{}, false
		}
		a, found := s.Arrays[uint64(handle.lo)]
		if !found || a.CPUs < 1 || a.Count == 0 || a.Base > vm.NativeLimit || a.Stride > vm.NativeLimit ||
			a.Distance > vm.NativeLimit || a.End() > vm.NativeLimit {
			return inlined{}, false
		}
		in.array = &a
		if k := now[isa.R2]; k.base == frame && k.lo == k.hi && k.lo >= -vm.StackSize && k.lo+4 <= 0 {
			in.key, in.inFrame = int32(k.lo), true
		}
		return in, true
	}
	return inlined{}, false
}

// result is what machine code guarantees of R0 behind it: nothing where Go may have
// served the call.
func (in *inlined) result() known {
	switch {
	case in.array == nil:
		return any32
	case in.inFrame: // an element, or NULL
		return between(0, int64(in.array.End()))
	}
	return known{}
}

// findInlined finds all calls that are done in machine code.
func (s *source) findInlined() {
	s.inlines = map[isa.PC]inlined{}
	if !s.opt.on(PassInline) {
		return
	}
	var now regs
	for pc := range s.Insns.All() {
		if l := s.flow.leader[pc]; l >= 0 {
			now = s.flow.at[l]
		}
		if in, ok := s.inline(pc, &now); ok {
			s.inlines[pc] = in
		}
		if _, goes := s.flow.insn(&now, pc, func(int32, *regs) {}); !goes {
			now = atEntry
		}
	}
}

// inlineCall emits the helper call at pc in machine code.
func (c *compiler) inlineCall(pc isa.PC, in *inlined) {
	if in.op == vm.OpProcessorID {
		c.context(rax)
		c.rm(opMovL, rax, inContext(rax, ctxCPU))
		c.destroy(pc)
		return
	}
	done := c.newLabel()
	a := in.array
	if in.inFrame {
		c.rm(opMovL, rax, mem{regArena, rbp, in.key})
	} else {
		refused := c.cold(func() {
			c.leaveFor(exitServe, pc)
			c.jump(always, done)
		})
		c.rr(opMovQ, regAddr, rsi)
		c.check(regAddr, 4, vm.PermRead, refused)
		c.rm(opMovL, rax, mem{regArena, regAddr, 0})
	}
	c.ri(opCmpL, rax, int64(int32(a.Count)))
	c.jump(condAE, c.cold(func() {
		c.rr(opXorL, rax, rax)
		c.jump(always, done)
	}))
	c.scale(rax, a.Stride)
	if a.CPUs > 1 {
		c.context(regTmp)
		c.rm(opMovL, regTmp, inContext(regTmp, ctxCPU))
		c.ri(opCmpL, regTmp, int64(a.CPUs))
		c.jump(condAE, c.cold(func() {
			c.rr(opXorL, rax, rax)
			c.jump(always, done)
		}))
		c.rri(opImul3L, regTmp, regTmp, int64(a.Distance))
		c.rr(opAddL, rax, regTmp)
	}
	c.ri(opAddL, rax, int64(a.Base))
	c.bind(done)
	c.cache = cache{}
	c.destroy(pc)
}

// scale multiplies a number of 32 bits.
func (c *compiler) scale(r reg, by uint64) {
	if by&(by-1) != 0 {
		c.rri(opImul3L, r, r, int64(by))
		return
	}
	n := int64(0)
	for by > 1 {
		by >>= 1
		n++
	}
	if n > 0 {
		c.ri(opShlL, r, n)
	}
}

// destroy leaves in R1 to R5 what a call does, where anyone may look.
func (c *compiler) destroy(pc isa.PC) {
	for r := isa.R1; r <= isa.R5; r++ {
		if c.live.behind(pc)&(1<<r) != 0 {
			c.constant(regMap[r], vm.Poison+uint64(r))
		}
	}
}
