package verifier

import (
	"slices"

	"bpfvm/isa"
)

// The stack in closed states: 8 bytes that a function stores through R10 are known
// until something else may write there. In a function whose R10 is never copied or
// stored, nothing else can. In others that is each call, which may have got a
// pointer, and each store through another register, unless its Access fact says
// where it goes.

// escapes tells of each function whether R10 gets anywhere but into the address of
// a load or store.
func (env *env) escapes() []bool {
	out := make([]bool, len(env.subprogs))
	for pc, ins := range env.insns.All() {
		if ins.Src() != isa.R10 {
			continue
		}
		switch class := ins.Op.Class(); {
		case class.IsALU() && ins.Op.Source() == isa.SrcX, class == isa.ClassSTX:
			out[env.subprogAt(int(pc))] = true
		}
	}
	return out
}

// stackEffect forgets what the instruction may overwrite and notes what it stores.
func (c *closer) stackEffect(pc int, ins isa.Instruction, s *closedState) {
	if len(s.stack) == 0 && !(ins.Op.Class().IsMem() && ins.Dst() == isa.R10) {
		return
	}
	escaped := c.escapes[c.env.subprogAt(pc)]
	switch class := ins.Op.Class(); {
	case class.IsJump() && ins.Op.Code() == isa.CodeCall:
		if escaped {
			s.stack = nil
		}
	case class != isa.ClassST && class != isa.ClassSTX || isa.AtomicOp(ins.Imm) == isa.AtomicLoadAcq && ins.Op.Mode() == isa.ModeATOMIC:
	case ins.Dst() == isa.R10:
		off, size := int(ins.Off), ins.Op.Size().Bytes()
		s.forget(off, off+size)
		if size == 8 && off%8 == 0 && ins.Op.Mode() == isa.ModeMEM {
			v := constBounds(uint64(int64(ins.Imm)))
			if class == isa.ClassSTX {
				v = unboundedBounds()
				if ins.Src() < isa.R10 {
					v = s.regs[ins.Src()]
				}
			}
			s.know(off, v)
		}
	case escaped:
		c.strayStore(pc, s)
	}
}

// strayStore is a store through another register than R10.
func (c *closer) strayStore(pc int, s *closedState) {
	if c.env.notes != nil {
		switch n := &c.env.notes[pc]; {
		case !n.seen || n.mixed:
		case n.access.Kind != PtrToStack || n.access.FrameUp > 0:
			return
		default:
			s.forget(int(max(n.access.MinOff, -1<<20)), int(min(n.access.MaxOff, 0))+n.access.Size)
			return
		}
	}
	s.stack = nil
}

// forget drops what is known of the bytes from low to below high.
func (s *closedState) forget(low, high int) {
	hit := func(f StackFact) bool { return f.Off < high && f.Off+8 > low }
	if slices.ContainsFunc(s.stack, hit) {
		s.stack = slices.DeleteFunc(slices.Clone(s.stack), hit)
	}
}

// know notes a slot, of which nothing is known so far.
func (s *closedState) know(off int, v Bounds) {
	if v == unboundedBounds() {
		return
	}
	at, _ := slices.BinarySearchFunc(s.stack, off, func(f StackFact, off int) int { return f.Off - off })
	s.stack = slices.Insert(slices.Clone(s.stack), at, StackFact{off, v})
}

// filled is what a load gives: what is known of the slot, if it reads one.
func (s *closedState) filled(ins isa.Instruction) Bounds {
	if ins.Src() == isa.R10 {
		for i := range s.stack {
			if f := &s.stack[i]; f.Off == int(ins.Off) { // little endian: the low bytes come first
				b := f.Bounds
				if ins.Op.Mode() == isa.ModeMEMSX {
					b.signExtend64(ins.Op.Size().Bytes())
					b.sync()
				} else {
					b.truncate(ins.Op.Size().Bytes())
				}
				return b
			}
		}
	}
	return loaded(ins)
}

// joinStack keeps of old what now knows as well, each with the join of its bounds.
func joinStack(old, now []StackFact, widening bool) (out []StackFact, changed bool) {
	for i := range old {
		f := old[i]
		at, ok := slices.BinarySearchFunc(now, f.Off, func(n StackFact, off int) int { return n.Off - off })
		if !ok {
			changed = true
			continue
		}
		j := f.join(&now[at].Bounds)
		if j != f.Bounds {
			changed = true
			if widening {
				j = widen(&f.Bounds, &j)
			}
			if j == unboundedBounds() {
				continue
			}
			f.Bounds = j
		}
		out = append(out, f)
	}
	return out, changed
}
