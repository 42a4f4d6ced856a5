package amd64

import "bpfvm/isa"

// Rotations. Neither C nor eBPF has them; compilers write two shifts of one value and
// put the halves together:
//
//	w2 = w0
//	w2 >>= 19
//	w0 <<= 13
//	w0 |= w2          rol  eax, 13
//
// What counts is where the values come from, not how the instructions stand: the last
// writer of either operand is a shift by a constant, one to the left and one to the
// right, by as many bits together as the value has, and both shift the same value,
// whatever copies it has gone through.
//
// Then the shift of the register that takes the result is left out, and the register
// rotated where the halves are put together; the other shift and the copy for it are
// dead unless somebody else reads them (live.go). Between the two places the register
// holds the value as it was: nobody may look at it there, nothing may trap or leave,
// and no other image takes over.

// rotation is a place where two halves are put together.
type rotation struct {
	reg   isa.Register
	left  uint8 // bits
	wide  bool
	shift isa.PC // the shift that is left out
}

// rotateWindow is how many slots back a rotation is looked for.
const rotateWindow = 24

// findRotations fills the plan.
func (s *source) findRotations() {
	s.rotations, s.leftOut, s.unshifted = map[isa.PC]rotation{}, map[isa.PC]bool{}, map[isa.PC]uint16{}
	if !s.opt.on(PassRotate) || s.Crossing {
		return
	}
	for pc, ins := range s.Insns.All() {
		if r, ok := s.rotationAt(pc, ins); ok {
			s.rotations[pc], s.leftOut[r.shift] = r, true
			for at := r.shift + 1; at <= pc; at++ {
				s.unshifted[at] |= 1 << r.reg
			}
		}
	}
}

// rotationAt looks whether the instruction at pc puts the halves of one together.
func (s *source) rotationAt(pc isa.PC, ins isa.Instruction) (rotation, bool) {
	class := ins.Op.Class()
	if !class.IsALU() || ins.Op.Source() != isa.SrcX || ins.Dst() == ins.Src() || ins.Off != 0 {
		return rotation{}, false
	}
	switch ins.Op.Code() { // the halves have no bit in common
	case isa.CodeOr, isa.CodeXor, isa.CodeAdd:
	default:
		return rotation{}, false
	}
	begin := s.straight(pc)
	mine, ok := s.shiftBefore(pc, begin, ins.Dst(), class)
	other, ok2 := s.shiftBefore(pc, begin, ins.Src(), class)
	if !ok || !ok2 || mine.left == other.left {
		return rotation{}, false
	}
	width := uint8(32)
	if class == isa.ClassALU64 {
		width = 64
	}
	if mine.bits+other.bits != width || mine.bits == 0 || other.bits == 0 {
		return rotation{}, false
	}
	a, from := s.origin(mine.pc, begin, ins.Dst(), class)
	b, from2 := s.origin(other.pc, begin, ins.Src(), class)
	if a != b || from != from2 {
		return rotation{}, false
	}
	for at := mine.pc + 1; at < pc; at++ { // nobody looks
		if s.Forms[at] == nil {
			continue
		}
		if (reads(s.Forms[at], s.Insns[at])|writes(s.Forms[at], s.Insns[at]))&(1<<ins.Dst()) != 0 {
			return rotation{}, false
		}
	}
	left := mine.bits
	if !mine.left {
		left = other.bits
	}
	return rotation{reg: ins.Dst(), left: left, wide: class == isa.ClassALU64, shift: mine.pc}, true
}

// straight returns the first slot from which control runs to pc through nothing but
// arithmetic.
func (s *source) straight(pc isa.PC) isa.PC {
	begin := pc
	for begin > 0 && pc-begin < rotateWindow && s.flow.leader[begin] < 0 && s.Pos[begin]%yieldEvery != 0 {
		prev := begin - 1
		if s.Forms[prev] == nil || !s.Insns[prev].Op.Class().IsALU() {
			break
		}
		begin = prev
	}
	return begin
}

// shifted is a shift by a constant.
type shifted struct {
	pc   isa.PC
	left bool
	bits uint8
}

// shiftBefore finds the last instruction before pc that writes a register, if it is a
// shift of the class.
func (s *source) shiftBefore(pc, begin isa.PC, r isa.Register, class isa.Class) (shifted, bool) {
	at := s.writerBefore(pc, begin, r)
	if at < 0 {
		return shifted{}, false
	}
	ins := s.Insns[at]
	code := ins.Op.Code()
	if ins.Op.Class() != class || ins.Op.Source() != isa.SrcK || code != isa.CodeLsh && code != isa.CodeRsh {
		return shifted{}, false
	}
	mask := int32(31)
	if class == isa.ClassALU64 {
		mask = 63
	}
	return shifted{at, code == isa.CodeLsh, uint8(ins.Imm & mask)}, true
}

// writerBefore returns the last slot before pc that writes a register, -1 when there
// is none from begin on.
func (s *source) writerBefore(pc, begin isa.PC, r isa.Register) isa.PC {
	for at := pc - 1; at >= begin; at-- {
		if s.Forms[at] != nil && writes(s.Forms[at], s.Insns[at])&(1<<r) != 0 {
			return at
		}
	}
	return -1
}

// origin follows copies back to the register and the slot where its value was made.
func (s *source) origin(pc, begin isa.PC, r isa.Register, class isa.Class) (isa.Register, isa.PC) {
	for {
		at := s.writerBefore(pc, begin, r)
		if at < 0 {
			return r, -1
		}
		// The lower half of either copy is what 32 bits are about.
		if c := s.Insns[at]; !isCopy(c) || class == isa.ClassALU64 && c.Op.Class() != class {
			return r, at
		}
		r, pc = s.Insns[at].Src(), at
	}
}

// rotate emits the rotation at a slot.
func (c *compiler) rotate(r rotation) {
	c.ri(pair{opRolQ, opRolL}.of(r.wide), regMap[r.reg], int64(r.left))
}
