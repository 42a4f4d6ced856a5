package verifier

import "math"

// Bounds is what is known of a 64-bit scalar as four intervals and a Tnum, all
// of which hold at once. Each can be sharper than the others, so that every
// change is followed by sync, which lets them teach each other
// (kernel/bpf/verifier.c, reg_bounds_sync).
type Bounds struct {
	VarOff         Tnum
	SMin, SMax     int64
	UMin, UMax     uint64
	S32Min, S32Max int32
	U32Min, U32Max uint32
}

// unboundedBounds knows nothing.
func unboundedBounds() Bounds {
	return Bounds{
		VarOff: tnumUnknown,
		SMin:   math.MinInt64, SMax: math.MaxInt64, UMax: math.MaxUint64,
		S32Min: math.MinInt32, S32Max: math.MaxInt32, U32Max: math.MaxUint32,
	}
}

// constBounds knows the number.
func constBounds(v uint64) Bounds {
	return Bounds{
		VarOff: tnumConst(v),
		SMin:   int64(v), SMax: int64(v), UMin: v, UMax: v,
		S32Min: int32(v), S32Max: int32(v), U32Min: uint32(v), U32Max: uint32(v),
	}
}

// String prints the bounds as the kernel's log prints a scalar.
func (b Bounds) String() string { return regString(&RegState{Type: Scalar, Bounds: b}, 0) }

// IsConst reports whether the number is known.
func (b *Bounds) IsConst() bool { return b.VarOff.IsConst() }

// Contains reports whether the number is possible.
func (b *Bounds) Contains(v uint64) bool {
	return b.VarOff.Contains(v) &&
		int64(v) >= b.SMin && int64(v) <= b.SMax && v >= b.UMin && v <= b.UMax &&
		int32(v) >= b.S32Min && int32(v) <= b.S32Max && uint32(v) >= b.U32Min && uint32(v) <= b.U32Max
}

// consistent reports whether the intervals are not empty and constants agree
// (reg_bounds_sanity_check).
func (b *Bounds) consistent() bool {
	if b.UMin > b.UMax || b.SMin > b.SMax || b.U32Min > b.U32Max || b.S32Min > b.S32Max {
		return false
	}
	if b.VarOff.IsConst() {
		v := b.VarOff.Value
		if b.UMin != v || b.UMax != v || b.SMin != int64(v) || b.SMax != int64(v) {
			return false
		}
	}
	if b.VarOff.isConstSubreg() {
		v := uint32(b.VarOff.Value)
		if b.U32Min != v || b.U32Max != v || b.S32Min != int32(v) || b.S32Max != int32(v) {
			return false
		}
	}
	return true
}

func (b *Bounds) unbound64() {
	b.SMin, b.SMax, b.UMin, b.UMax = math.MinInt64, math.MaxInt64, 0, math.MaxUint64
}

func (b *Bounds) unbound32() {
	b.S32Min, b.S32Max, b.U32Min, b.U32Max = math.MinInt32, math.MaxInt32, 0, math.MaxUint32
}

// setConst32 makes the low half known and leaves the upper half alone; the
// 64-bit intervals keep what they say (__mark_reg32_known).
func (b *Bounds) setConst32(v uint32) {
	b.VarOff = b.VarOff.constSubreg(v)
	b.S32Min, b.S32Max, b.U32Min, b.U32Max = int32(v), int32(v), v, v
}

// update learns the intervals from the bits (__update_reg_bounds).
func (b *Bounds) update() {
	b.update32()
	v := b.VarOff
	b.SMin = max(b.SMin, int64(v.Value|v.Mask&(1<<63)))
	b.SMax = min(b.SMax, int64(v.Value|v.Mask&(1<<63-1)))
	b.UMin = max(b.UMin, v.Value)
	b.UMax = min(b.UMax, v.Value|v.Mask)
	if v.Mask == 0 || v.Mask == math.MaxUint64 || b.UMin > b.UMax {
		return
	}
	// Of the numbers that fit the bits, perhaps only one lies in the interval.
	next := v.next(b.UMin)
	switch fits := v.Contains(b.UMin); {
	case fits && (next > b.UMax || next == b.UMin):
		*b = constBounds(b.UMin)
	case !fits && next == v.Value|v.Mask:
		*b = constBounds(next)
	case !fits && next <= b.UMax && v.next(next) > b.UMax:
		*b = constBounds(next)
	}
}

func (b *Bounds) update32() {
	s := b.VarOff.subreg()
	b.S32Min = max(b.S32Min, int32(uint32(s.Value)|uint32(s.Mask)&0x80000000))
	b.S32Max = min(b.S32Max, int32(uint32(s.Value)|uint32(s.Mask)&0x7fffffff))
	b.U32Min = max(b.U32Min, uint32(s.Value))
	b.U32Max = min(b.U32Max, uint32(s.Value|s.Mask))
}

// deduce32 learns the 32-bit intervals from the 64-bit ones and from each other
// (__reg32_deduce_bounds).
func (b *Bounds) deduce32() {
	// Where the upper halves of the ends agree, the lower halves bound the
	// lower half of the value.
	if b.UMin>>32 == b.UMax>>32 {
		b.U32Min = max(b.U32Min, uint32(b.UMin))
		b.U32Max = min(b.U32Max, uint32(b.UMax))
		if int32(b.UMin) <= int32(b.UMax) {
			b.S32Min = max(b.S32Min, int32(b.UMin))
			b.S32Max = min(b.S32Max, int32(b.UMax))
		}
	}
	if b.SMin>>32 == b.SMax>>32 {
		if uint32(b.SMin) <= uint32(b.SMax) {
			b.U32Min = max(b.U32Min, uint32(b.SMin))
			b.U32Max = min(b.U32Max, uint32(b.SMax))
		}
		if int32(b.SMin) <= int32(b.SMax) {
			b.S32Min = max(b.S32Min, int32(b.SMin))
			b.S32Max = min(b.S32Max, int32(b.SMax))
		}
	}
	// The upper halves are neighbours, the lower ones lead from negative to
	// positive numbers: [x:ffff0000, x+1:0000ffff].
	if uint32(b.UMin>>32)+1 == uint32(b.UMax>>32) && int32(b.UMin) < 0 && int32(b.UMax) >= 0 {
		b.S32Min = max(b.S32Min, int32(b.UMin))
		b.S32Max = min(b.S32Max, int32(b.UMax))
	}
	if uint32(b.SMin>>32)+1 == uint32(b.SMax>>32) && int32(b.SMin) < 0 && int32(b.SMax) >= 0 {
		b.S32Min = max(b.S32Min, int32(b.SMin))
		b.S32Max = min(b.S32Max, int32(b.SMax))
	}
	// An unsigned interval that does not cross the sign is a signed one.
	if int32(b.U32Min) <= int32(b.U32Max) {
		b.S32Min = max(b.S32Min, int32(b.U32Min))
		b.S32Max = min(b.S32Max, int32(b.U32Max))
	}
	if uint32(b.S32Min) <= uint32(b.S32Max) {
		b.U32Min = max(b.U32Min, uint32(b.S32Min))
		b.U32Max = min(b.U32Max, uint32(b.S32Max))
	} else if b.U32Max < uint32(b.S32Min) { // as in deduce64
		b.S32Min = int32(b.U32Min)
		b.U32Max = min(b.U32Max, uint32(b.S32Max))
	} else if uint32(b.S32Max) < b.U32Min {
		b.S32Max = int32(b.U32Max)
		b.U32Min = max(b.U32Min, uint32(b.S32Min))
	}
}

// deduce64 learns the 64-bit intervals from each other (__reg64_deduce_bounds).
func (b *Bounds) deduce64() {
	if int64(b.UMin) <= int64(b.UMax) {
		b.SMin = max(b.SMin, int64(b.UMin))
		b.SMax = min(b.SMax, int64(b.UMax))
	}
	if uint64(b.SMin) <= uint64(b.SMax) {
		b.UMin = max(b.UMin, uint64(b.SMin))
		b.UMax = min(b.UMax, uint64(b.SMax))
		return
	}
	// The signed interval crosses zero: as unsigned numbers it is two pieces,
	// [0, smax] and [smin, max]. Where the unsigned interval meets only one of
	// them, both shrink to what they share.
	if b.UMax < uint64(b.SMin) {
		b.SMin = int64(b.UMin)
		b.UMax = min(b.UMax, uint64(b.SMax))
	} else if uint64(b.SMax) < b.UMin {
		b.SMax = int64(b.UMax)
		b.UMin = max(b.UMin, uint64(b.SMin))
	}
}

// deduceMixed learns the 64-bit intervals from the 32-bit ones
// (__reg_deduce_mixed_bounds).
func (b *Bounds) deduceMixed() {
	umin := b.UMin&^0xffffffff | uint64(b.U32Min)
	umax := b.UMax&^0xffffffff | uint64(b.U32Max)
	b.UMin, b.UMax = max(b.UMin, umin), min(b.UMax, umax)
	smin := b.SMin&^0xffffffff | int64(b.U32Min)
	smax := b.SMax&^0xffffffff | int64(b.U32Max)
	b.SMin, b.SMax = max(b.SMin, smin), min(b.SMax, smax)
	if uint32(b.S32Min) <= uint32(b.S32Max) {
		b.UMin = max(b.UMin, b.UMin&^0xffffffff|uint64(uint32(b.S32Min)))
		b.UMax = min(b.UMax, b.UMax&^0xffffffff|uint64(uint32(b.S32Max)))
		b.SMin = max(b.SMin, b.SMin&^0xffffffff|int64(uint32(b.S32Min)))
		b.SMax = min(b.SMax, b.SMax&^0xffffffff|int64(uint32(b.S32Max)))
	}
	// A value known to lie in [-2^31, 2^31) with a negative or positive lower
	// half is that lower half, extended (for "w1 = (s8)r1" and the like).
	if b.S32Min >= 0 && b.SMin >= math.MinInt32 && b.SMax <= math.MaxInt32 {
		b.SMin, b.SMax = int64(b.S32Min), int64(b.S32Max)
		b.UMin, b.UMax = uint64(b.S32Min), uint64(b.S32Max)
		b.VarOff = b.VarOff.intersect(tnumRange(uint64(b.SMin), uint64(b.SMax)))
	}
}

func (b *Bounds) deduce() {
	b.deduce32()
	b.deduce64()
	b.deduceMixed()
}

// boundOffset learns bits from the intervals (__reg_bound_offset).
func (b *Bounds) boundOffset() {
	v64 := b.VarOff.intersect(tnumRange(b.UMin, b.UMax))
	v32 := v64.subreg().intersect(tnumRange(uint64(b.U32Min), uint64(b.U32Max)))
	b.VarOff = v64.clearSubreg().or(v32)
}

// sync lets all views learn from each other (reg_bounds_sync of 6.18: bits to
// intervals, three rounds of deduction, intervals to bits and back).
func (b *Bounds) sync() {
	b.update()
	b.deduce()
	b.deduce()
	b.deduce()
	b.boundOffset()
	b.update()
}

// zext32 clears the upper half: the intervals are those of the lower half
// (zext_32_to_64).
func (b *Bounds) zext32() {
	b.VarOff = b.VarOff.subreg()
	b.UMin, b.UMax = uint64(b.U32Min), uint64(b.U32Max)
	if b.S32Min >= 0 {
		b.SMin, b.SMax = int64(b.S32Min), int64(b.S32Max)
	} else {
		b.SMin, b.SMax = 0, math.MaxUint32
	}
	b.sync()
}

// truncate keeps the low bytes of a value (coerce_reg_to_size).
func (b *Bounds) truncate(bytes int) {
	if bytes >= 8 {
		return
	}
	b.VarOff = b.VarOff.cast(bytes)
	mask := uint64(1)<<(8*bytes) - 1
	if b.UMin&^mask == b.UMax&^mask {
		b.UMin &= mask
		b.UMax &= mask
	} else {
		b.UMin, b.UMax = 0, mask
	}
	b.SMin, b.SMax = int64(b.UMin), int64(b.UMax)
	if bytes < 4 {
		b.unbound32()
	}
	b.sync()
}

// signExtend64 makes the value the sign extension of its low bytes
// (coerce_reg_to_size_sx).
func (b *Bounds) signExtend64(bytes int) {
	n := uint(8 * bytes)
	sx := func(v uint64) int64 { return int64(v<<(64-n)) >> (64 - n) }
	if b.VarOff.IsConst() {
		*b = constBounds(uint64(sx(b.VarOff.Value)))
		return
	}
	// Ends that agree above the sign bit give ends of the result, unless the
	// sign changes in between.
	topMin, topMax := uint64(b.SMin)>>n, uint64(b.SMax)>>n
	if topMin == topMax {
		lo, hi := sx(uint64(b.SMin)), sx(uint64(b.SMax))
		l, h := min(lo, hi), max(lo, hi)
		if (l >= 0) == (h >= 0) {
			b.SMin, b.SMax = l, h
			b.S32Min, b.S32Max = int32(l), int32(h)
			b.UMin, b.UMax = uint64(l), uint64(h)
			b.U32Min, b.U32Max = uint32(l), uint32(h)
			b.VarOff = tnumRange(uint64(l), uint64(h))
			return
		}
	}
	lo, hi := int64(-1)<<(n-1), int64(1)<<(n-1)-1
	b.SMin, b.SMax = lo, hi
	b.S32Min, b.S32Max = int32(max(lo, math.MinInt32)), int32(min(hi, math.MaxInt32))
	b.UMin, b.UMax = 0, math.MaxUint64
	b.U32Min, b.U32Max = 0, math.MaxUint32
	b.VarOff = tnumUnknown
}

// signExtend32 is the same within the low half (coerce_subreg_to_size_sx); the
// caller clears the upper half afterwards.
func (b *Bounds) signExtend32(bytes int) {
	n := uint(8 * bytes)
	sx := func(v uint32) int32 { return int32(v<<(32-n)) >> (32 - n) }
	if b.VarOff.isConstSubreg() {
		v := sx(uint32(b.VarOff.Value))
		b.S32Min, b.S32Max, b.U32Min, b.U32Max = v, v, uint32(v), uint32(v)
		b.VarOff = tnumConst(uint64(uint32(v)))
		return
	}
	if uint32(b.S32Min)>>n == uint32(b.S32Max)>>n {
		lo, hi := sx(uint32(b.S32Min)), sx(uint32(b.S32Max))
		l, h := min(lo, hi), max(lo, hi)
		if (l >= 0) == (h >= 0) {
			b.S32Min, b.S32Max, b.U32Min, b.U32Max = l, h, uint32(l), uint32(h)
			b.VarOff = tnumRange(uint64(uint32(l)), uint64(uint32(h)))
			return
		}
	}
	b.S32Min, b.S32Max = int32(-1)<<(n-1), int32(1)<<(n-1)-1
	b.U32Min, b.U32Max = 0, math.MaxUint32
	b.VarOff = tnumUnknown.subreg()
}

// within reports whether every interval of b lies inside old's (range_within).
func (b *Bounds) within(old *Bounds) bool {
	return old.UMin <= b.UMin && old.UMax >= b.UMax &&
		old.SMin <= b.SMin && old.SMax >= b.SMax &&
		old.U32Min <= b.U32Min && old.U32Max >= b.U32Max &&
		old.S32Min <= b.S32Min && old.S32Max >= b.S32Max
}

// join returns the least bounds that hold both.
func (b *Bounds) join(o *Bounds) Bounds {
	return Bounds{
		VarOff: b.VarOff.union(o.VarOff),
		SMin:   min(b.SMin, o.SMin), SMax: max(b.SMax, o.SMax),
		UMin: min(b.UMin, o.UMin), UMax: max(b.UMax, o.UMax),
		S32Min: min(b.S32Min, o.S32Min), S32Max: max(b.S32Max, o.S32Max),
		U32Min: min(b.U32Min, o.U32Min), U32Max: max(b.U32Max, o.U32Max),
	}
}
