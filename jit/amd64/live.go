package amd64

import (
	"strings"

	"bpfvm/isa"
)

// liveness tells which registers somebody will read. What is written to others need
// not be computed: neither results that are overwritten nor the values that a call
// leaves in R1 to R5. A trap shows such registers as destroyed.
type liveness struct {
	all  bool     // the pass is off: everything counts
	mask []uint16 // by slot, before the instruction; bit n is Rn
}

// maxSweeps bounds the time for programs whose loops are tangled on purpose: a few
// more than the deepest nest of loops are enough for others.
const maxSweeps = 100

const allRegs = 1<<isa.NumRegisters - 1

// at returns the registers that count before the instruction at a slot.
func (l *liveness) at(pc isa.PC) uint16 {
	if l.all || int(pc) >= len(l.mask) {
		return allRegs
	}
	return l.mask[pc]
}

// behind returns those that count behind it, when control goes on there.
func (l *liveness) behind(pc isa.PC) uint16 { return l.at(pc + 1) }

// args are R1 to Rn.
func args(n int) uint16 { return 1<<(n+1) - 2 }

// findLive solves the equations backwards: a register counts before an instruction
// that reads it, and before one that does not write it when it counts behind. What
// only a dead instruction reads does not count.
func (s *source) findLive() {
	s.live = liveness{all: !s.opt.on(PassDead) || s.Crossing}
	if s.live.all {
		return
	}
	n := len(s.Insns)
	mask := make([]uint16, n)
	s.live.mask = mask
	for sweep, again := 0, true; again; sweep++ {
		if sweep == maxSweeps {
			s.live = liveness{all: true}
			return
		}
		again = false
		for pc := isa.PC(n - 1); pc >= 0; pc-- {
			if s.Forms[pc] == nil {
				continue
			}
			if m := s.liveBefore(pc, mask); m != mask[pc] {
				mask[pc], again = m, true
			}
		}
	}
}

// liveBefore applies the instruction at a slot.
func (s *source) liveBefore(pc isa.PC, mask []uint16) uint16 {
	ins, form := s.Insns[pc], s.Forms[pc]
	next := pc + 1
	if ins.IsWide() {
		next++
	}
	behind := uint16(0)
	if int(next) < len(mask) {
		behind = mask[next]
	}
	target, jumps := s.Insns.JumpTarget(pc)
	switch class := ins.Op.Class(); {
	case ins.Op == isa.OpExit:
		return 1 << isa.R0
	case ins.Op == isa.OpJa || ins.Op == isa.OpJa32:
		return mask[target]
	case jumps:
		return behind | mask[target] | reads(form, ins)
	case class == isa.ClassJMP && ins.Op.Code() == isa.CodeCall:
		return behind&^args(5)&^1 | s.callReads(pc, mask)
	case class == isa.ClassLD && !ins.IsWide():
		// Outside of the packet the function returns.
		return behind&^args(5)&^1 | reads(form, ins)
	case s.leftOut[pc]:
		return behind
	case s.rotations[pc].left != 0:
		return behind | 1<<ins.Dst()
	case s.removable(pc) && behind&(1<<ins.Dst()) == 0:
		return behind
	}
	w := writes(form, ins)
	r := reads(form, ins)
	if ins.Op.Class() == isa.ClassSTX && ins.Op.Mode() == isa.ModeATOMIC && isa.AtomicOp(ins.Imm) == isa.AtomicCmpXchg {
		r |= 1 << isa.R0
	}
	return behind&^w | r
}

// callReads are the registers that a call reads.
func (s *source) callReads(pc isa.PC, mask []uint16) uint16 {
	ins := s.Insns[pc]
	if in, ok := s.inlines[pc]; ok {
		switch {
		case in.array == nil || in.inFrame:
			return 0
		}
		return args(2)
	}
	switch {
	case ins.IsPseudoCall():
		t, _ := s.Insns.CallTarget(pc)
		return mask[t] // no verified function reads others than R1 to R5
	case ins.IsHelperCall():
		// A helper without a signature is made by hand; one with dots reads all that
		// its format names.
		if p := s.Helpers[ins.Imm].Proto; p != nil && p.Signature != "" && !strings.Contains(p.Signature, "...") {
			return args(p.NumArgs())
		}
	case ins.Op == isa.OpCallX:
		return args(5) | 1<<ins.Dst()
	}
	return args(5)
}

// removable reports whether an instruction does nothing but write its destination.
func (s *source) removable(pc isa.PC) bool {
	ins := s.Insns[pc]
	return ins.IsWide() || ins.Op.Class().IsALU()
}

// dead reports whether the instruction at a slot need not be done.
func (s *source) dead(pc isa.PC) bool {
	ins := s.Insns[pc]
	next := pc + 1
	if ins.IsWide() {
		next++
	}
	return s.removable(pc) && s.live.at(next)&(1<<ins.Dst()) == 0
}

func reads(form *isa.Op, ins isa.Instruction) (m uint16) {
	if r := form.Dst.Rule; r == isa.RuleRead || r == isa.RuleReadWrite {
		m |= 1 << ins.Dst()
	}
	if r := form.Src.Rule; r == isa.RuleRead || r == isa.RuleReadWrite {
		m |= 1 << ins.Src()
	}
	return m
}

func writes(form *isa.Op, ins isa.Instruction) (m uint16) {
	if r := form.Dst.Rule; r == isa.RuleWrite || r == isa.RuleReadWrite {
		m |= 1 << ins.Dst()
	}
	if r := form.Src.Rule; r == isa.RuleWrite || r == isa.RuleReadWrite {
		m |= 1 << ins.Src()
	}
	return m
}
