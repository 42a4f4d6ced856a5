package verifier

import (
	"fmt"
	"math/bits"
)

// Tnum is a tristate number (kernel/bpf/tnum.c): of each bit it knows that it
// is 0, that it is 1, or nothing. A bit set in Mask is unknown; all others are
// as in Value, which has no bit in common with Mask.
//
//	Value  0b1000
//	Mask   0b0011   stands for 8, 9, 10 and 11
type Tnum struct {
	Value, Mask uint64
}

var (
	tnumUnknown = Tnum{0, ^uint64(0)}
	tnumZero    = Tnum{}
)

func tnumConst(v uint64) Tnum { return Tnum{v, 0} }

// tnumRange returns the best tnum that holds all numbers from lo to hi: the
// bits above the highest one in which they differ are known.
func tnumRange(lo, hi uint64) Tnum {
	n := bits.Len64(lo ^ hi)
	if n > 63 {
		return tnumUnknown
	}
	delta := uint64(1)<<n - 1
	return Tnum{lo &^ delta, delta}
}

// IsConst reports whether only one number fits.
func (a Tnum) IsConst() bool { return a.Mask == 0 }

// IsUnknown reports whether every number fits.
func (a Tnum) IsUnknown() bool { return a.Mask == ^uint64(0) }

// Contains reports whether the number fits.
func (a Tnum) Contains(v uint64) bool { return (v^a.Value)&^a.Mask == 0 }

// In reports whether every number of b is one of a.
func (a Tnum) In(b Tnum) bool {
	return b.Mask&^a.Mask == 0 && a.Value == b.Value&^a.Mask
}

// aligned reports whether every number is a multiple of size, a power of two.
func (a Tnum) aligned(size uint64) bool { return (a.Value|a.Mask)&(size-1) == 0 }

func (a Tnum) lsh(n uint8) Tnum { return Tnum{a.Value << n, a.Mask << n} }
func (a Tnum) rsh(n uint8) Tnum { return Tnum{a.Value >> n, a.Mask >> n} }

// arsh shifts arithmetically; an unknown sign bit spreads as unknown.
func (a Tnum) arsh(n uint8, width int) Tnum {
	if width == 32 {
		return Tnum{uint64(uint32(int32(a.Value) >> n)), uint64(uint32(int32(a.Mask) >> n))}
	}
	return Tnum{uint64(int64(a.Value) >> n), uint64(int64(a.Mask) >> n)}
}

// add: a bit of the sum is unknown where an operand's bit is, or where the
// carries of the least and of the greatest sum differ.
func (a Tnum) add(b Tnum) Tnum {
	sm := a.Mask + b.Mask
	sv := a.Value + b.Value
	chi := (sm + sv) ^ sv
	mu := chi | a.Mask | b.Mask
	return Tnum{sv &^ mu, mu}
}

func (a Tnum) sub(b Tnum) Tnum {
	dv := a.Value - b.Value
	chi := (dv + a.Mask) ^ (dv - b.Mask)
	mu := chi | a.Mask | b.Mask
	return Tnum{dv &^ mu, mu}
}

func (a Tnum) neg() Tnum { return tnumZero.sub(a) }

func (a Tnum) and(b Tnum) Tnum {
	v := a.Value & b.Value
	return Tnum{v, (a.Value | a.Mask) & (b.Value | b.Mask) &^ v}
}

func (a Tnum) or(b Tnum) Tnum {
	v := a.Value | b.Value
	return Tnum{v, (a.Mask | b.Mask) &^ v}
}

func (a Tnum) xor(b Tnum) Tnum {
	mu := a.Mask | b.Mask
	return Tnum{(a.Value ^ b.Value) &^ mu, mu}
}

// mul multiplies as on paper, bit by bit of a: a known 1 adds b shifted, an
// unknown bit joins the sums with and without it (6.18's tnum_mul).
func (a Tnum) mul(b Tnum) Tnum {
	acc := tnumZero
	for a.Value|a.Mask != 0 {
		if a.Value&1 != 0 {
			acc = acc.add(b)
		} else if a.Mask&1 != 0 {
			acc = acc.union(acc.add(b))
		}
		a, b = a.rsh(1), b.lsh(1)
	}
	return acc
}

// overlap reports whether some number fits both.
func (a Tnum) overlap(b Tnum) bool {
	return (a.Value^b.Value)&^(a.Mask|b.Mask) == 0
}

// intersect keeps what both know. The operands must overlap.
func (a Tnum) intersect(b Tnum) Tnum {
	mu := a.Mask & b.Mask
	return Tnum{(a.Value | b.Value) &^ mu, mu}
}

// union is the best tnum that holds all numbers of both.
func (a Tnum) union(b Tnum) Tnum {
	mu := a.Value ^ b.Value | a.Mask | b.Mask
	return Tnum{a.Value & b.Value &^ mu, mu}
}

// next returns the least number of a above z, or a's greatest where there is none
// (tnum_step).
func (a Tnum) next(z uint64) uint64 {
	top := a.Value | a.Mask
	if z >= top {
		return top
	}
	if z < a.Value {
		return a.Value
	}
	// The result is z down to some bit, which is 0 in z and becomes 1, and least
	// below it. Above that bit z must fit.
	wrong := (z ^ a.Value) &^ a.Mask
	can := ^z & top
	if n := bits.Len64(wrong); n > 0 {
		can &^= 1<<(n-1) - 1
	}
	bit := can & -can
	return z&^(bit<<1-1) | bit | a.Value&(bit-1)
}

// cast keeps the low bytes and clears the others.
func (a Tnum) cast(bytes int) Tnum {
	if bytes >= 8 {
		return a
	}
	m := uint64(1)<<(8*bytes) - 1
	return Tnum{a.Value & m, a.Mask & m}
}

func (a Tnum) subreg() Tnum              { return a.cast(4) }
func (a Tnum) clearSubreg() Tnum         { return Tnum{a.Value &^ 0xffffffff, a.Mask &^ 0xffffffff} }
func (a Tnum) withSubreg(s Tnum) Tnum    { return a.clearSubreg().or(s.subreg()) }
func (a Tnum) constSubreg(v uint32) Tnum { return a.withSubreg(tnumConst(uint64(v))) }

// isConstSubreg reports whether the low 32 bits are known.
func (a Tnum) isConstSubreg() bool { return uint32(a.Mask) == 0 }

// String prints as the kernel's tnum_strn does.
func (a Tnum) String() string {
	if a.Mask == 0 {
		if a.Value <= 0xffff {
			return fmt.Sprint(a.Value)
		}
		return fmt.Sprintf("%#x", a.Value)
	}
	return fmt.Sprintf("(%#x; %#x)", a.Value, a.Mask)
}
