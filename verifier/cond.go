package verifier

import (
	"math/bits"

	"bpfvm/isa"
)

// jsetNot is the condition "no common bit", which no instruction has; it is what
// holds where a jset is not taken.
const jsetNot = isa.CodeJset | 1

// flip turns a op b around: b op' a (flip_opcode).
func flip(c isa.Code) isa.Code {
	switch c {
	case isa.CodeJge:
		return isa.CodeJle
	case isa.CodeJgt:
		return isa.CodeJlt
	case isa.CodeJle:
		return isa.CodeJge
	case isa.CodeJlt:
		return isa.CodeJgt
	case isa.CodeJsge:
		return isa.CodeJsle
	case isa.CodeJsgt:
		return isa.CodeJslt
	case isa.CodeJsle:
		return isa.CodeJsge
	case isa.CodeJslt:
		return isa.CodeJsgt
	}
	return c
}

// negate is the condition that holds when c does not (rev_opcode).
func negate(c isa.Code) isa.Code {
	switch c {
	case isa.CodeJeq:
		return isa.CodeJne
	case isa.CodeJne:
		return isa.CodeJeq
	case isa.CodeJset:
		return jsetNot
	case jsetNot:
		return isa.CodeJset
	case isa.CodeJge:
		return isa.CodeJlt
	case isa.CodeJgt:
		return isa.CodeJle
	case isa.CodeJle:
		return isa.CodeJgt
	case isa.CodeJlt:
		return isa.CodeJge
	case isa.CodeJsge:
		return isa.CodeJslt
	case isa.CodeJsgt:
		return isa.CodeJsle
	case isa.CodeJsle:
		return isa.CodeJsgt
	}
	return isa.CodeJsge // of jslt
}

// Answers of branchTaken.
const (
	unknownBranch = -1
	neverTaken    = 0
	alwaysTaken   = 1
)

func taken(b bool) int {
	if b {
		return alwaysTaken
	}
	return neverTaken
}

// isConst reports whether the value, or its low half, is known.
func (b *Bounds) isConst(low bool) bool {
	if low {
		return b.VarOff.isConstSubreg()
	}
	return b.VarOff.IsConst()
}

func (b *Bounds) constVal(low bool) uint64 {
	if low {
		return uint64(uint32(b.VarOff.Value))
	}
	return b.VarOff.Value
}

// scalarTaken decides a comparison of numbers where the bounds suffice
// (is_scalar_branch_taken).
func scalarTaken(a, b *Bounds, c isa.Code, low bool) int {
	t1, t2 := a.VarOff, b.VarOff
	umin1, umax1, smin1, smax1 := a.UMin, a.UMax, a.SMin, a.SMax
	umin2, umax2, smin2, smax2 := b.UMin, b.UMax, b.SMin, b.SMax
	if low {
		t1, t2 = t1.subreg(), t2.subreg()
		umin1, umax1, smin1, smax1 = uint64(a.U32Min), uint64(a.U32Max), int64(a.S32Min), int64(a.S32Max)
		umin2, umax2, smin2, smax2 = uint64(b.U32Min), uint64(b.U32Max), int64(b.S32Min), int64(b.S32Max)
	}
	order := func(yes, no bool) int {
		switch {
		case yes:
			return alwaysTaken
		case no:
			return neverTaken
		}
		return unknownBranch
	}
	switch c {
	case isa.CodeJeq, isa.CodeJne:
		eq := unknownBranch
		switch {
		case t1.IsConst() && t2.IsConst():
			eq = taken(t1.Value == t2.Value)
		case !t1.overlap(t2), umin1 > umax2, umax1 < umin2, smin1 > smax2, smax1 < smin2:
			eq = neverTaken
		case !low && (a.U32Min > b.U32Max || a.U32Max < b.U32Min || a.S32Min > b.S32Max || a.S32Max < b.S32Min):
			eq = neverTaken
		}
		if eq != unknownBranch && c == isa.CodeJne {
			return 1 - eq
		}
		return eq
	case isa.CodeJset:
		if !b.isConst(low) {
			a, b = b, a
			t1, t2 = t2, t1
		}
		if !b.isConst(low) {
			return unknownBranch
		}
		return order(t1.Value&t2.Value != 0, (t1.Mask|t1.Value)&t2.Value == 0)
	case isa.CodeJgt:
		return order(umin1 > umax2, umax1 <= umin2)
	case isa.CodeJsgt:
		return order(smin1 > smax2, smax1 <= smin2)
	case isa.CodeJlt:
		return order(umax1 < umin2, umin1 >= umax2)
	case isa.CodeJslt:
		return order(smax1 < smin2, smin1 >= smax2)
	case isa.CodeJge:
		return order(umin1 >= umax2, umax1 < umin2)
	case isa.CodeJsge:
		return order(smin1 >= smax2, smax1 < smin2)
	case isa.CodeJle:
		return order(umax1 <= umin2, umin1 > umax2)
	case isa.CodeJsle:
		return order(smax1 <= smin2, smin1 > smax2)
	}
	return unknownBranch
}

// branchTaken decides a comparison before it is made (is_branch_taken).
func branchTaken(a, b *RegState, c isa.Code, low bool) int {
	if a.Type.isPktAny() && b.Type.isPktAny() && !low {
		return pktTaken(a, b, c)
	}
	if a.Type != Scalar || b.Type != Scalar {
		if low {
			return unknownBranch
		}
		// Known pointers are not NULL. Of two pointers nothing is known.
		if !b.VarOff.IsConst() || b.Type != Scalar {
			c = flip(c)
			a, b = b, a
		}
		if b.Type != Scalar || !b.VarOff.IsConst() || b.VarOff.Value != 0 || !a.notNull() {
			return unknownBranch
		}
		switch c {
		case isa.CodeJeq:
			return neverTaken
		case isa.CodeJne:
			return alwaysTaken
		}
		return unknownBranch
	}
	return scalarTaken(&a.Bounds, &b.Bounds, c, low)
}

// refine makes a and b what they are where "a c b" holds (regs_refine_cond_op).
func refine(a, b *Bounds, c isa.Code, low bool) {
	switch c {
	case isa.CodeJge, isa.CodeJgt, isa.CodeJsge, isa.CodeJsgt:
		c = flip(c)
		a, b = b, a
	}
	switch c {
	case isa.CodeJeq:
		if low {
			a.U32Min, a.U32Max = max(a.U32Min, b.U32Min), min(a.U32Max, b.U32Max)
			a.S32Min, a.S32Max = max(a.S32Min, b.S32Min), min(a.S32Max, b.S32Max)
			b.U32Min, b.U32Max, b.S32Min, b.S32Max = a.U32Min, a.U32Max, a.S32Min, a.S32Max
			t := a.VarOff.subreg().intersect(b.VarOff.subreg())
			a.VarOff, b.VarOff = a.VarOff.withSubreg(t), b.VarOff.withSubreg(t)
			return
		}
		a.UMin, a.UMax = max(a.UMin, b.UMin), min(a.UMax, b.UMax)
		a.SMin, a.SMax = max(a.SMin, b.SMin), min(a.SMax, b.SMax)
		b.UMin, b.UMax, b.SMin, b.SMax = a.UMin, a.UMax, a.SMin, a.SMax
		a.VarOff = a.VarOff.intersect(b.VarOff)
		b.VarOff = a.VarOff
	case isa.CodeJne:
		if !b.isConst(low) {
			a, b = b, a
		}
		if !b.isConst(low) {
			return
		}
		// The value can only be cut off at an end of an interval.
		v := b.constVal(low)
		if low {
			if a.U32Min == uint32(v) {
				a.U32Min++
			}
			if a.U32Max == uint32(v) {
				a.U32Max--
			}
			if a.S32Min == int32(v) {
				a.S32Min++
			}
			if a.S32Max == int32(v) {
				a.S32Max--
			}
			return
		}
		if a.UMin == v {
			a.UMin++
		}
		if a.UMax == v {
			a.UMax--
		}
		if a.SMin == int64(v) {
			a.SMin++
		}
		if a.SMax == int64(v) {
			a.SMax--
		}
	case isa.CodeJset:
		if !b.isConst(low) {
			a, b = b, a
		}
		if !b.isConst(low) {
			return
		}
		// One of the bits is set: with a single bit we know which.
		v := b.constVal(low)
		if bits.OnesCount64(v) != 1 {
			return
		}
		if low {
			a.VarOff = a.VarOff.withSubreg(a.VarOff.subreg().or(tnumConst(v)))
		} else {
			a.VarOff = a.VarOff.or(tnumConst(v))
		}
	case jsetNot:
		if !b.isConst(low) {
			a, b = b, a
		}
		if !b.isConst(low) {
			return
		}
		v := b.constVal(low)
		t := a.VarOff
		*a = unboundedBounds()
		a.VarOff = t
		if low {
			a.VarOff = t.withSubreg(t.subreg().and(tnumConst(^v)))
		} else {
			a.VarOff = t.and(tnumConst(^v))
		}
	case isa.CodeJle:
		if low {
			a.U32Max = min(a.U32Max, b.U32Max)
			b.U32Min = max(a.U32Min, b.U32Min)
		} else {
			a.UMax = min(a.UMax, b.UMax)
			b.UMin = max(a.UMin, b.UMin)
		}
	case isa.CodeJlt:
		if low {
			a.U32Max = min(a.U32Max, b.U32Max-1)
			b.U32Min = max(a.U32Min+1, b.U32Min)
		} else {
			a.UMax = min(a.UMax, b.UMax-1)
			b.UMin = max(a.UMin+1, b.UMin)
		}
	case isa.CodeJsle:
		if low {
			a.S32Max = min(a.S32Max, b.S32Max)
			b.S32Min = max(a.S32Min, b.S32Min)
		} else {
			a.SMax = min(a.SMax, b.SMax)
			b.SMin = max(a.SMin, b.SMin)
		}
	case isa.CodeJslt:
		if low {
			a.S32Max = min(a.S32Max, b.S32Max-1)
			b.S32Min = max(a.S32Min+1, b.S32Min)
		} else {
			a.SMax = min(a.SMax, b.SMax-1)
			b.SMin = max(a.SMin+1, b.SMin)
		}
	}
}
