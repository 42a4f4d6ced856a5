package verifier

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// smallTnums yields every tnum of n bits, with all numbers that fit it.
func smallTnums(n uint) (tnums []Tnum, members [][]uint64) {
	for mask := range uint64(1) << n {
		for value := range uint64(1) << n {
			if value&mask != 0 {
				continue
			}
			a := Tnum{value, mask}
			var m []uint64
			for v := range uint64(1) << n {
				if a.Contains(v) {
					m = append(m, v)
				}
			}
			tnums, members = append(tnums, a), append(members, m)
		}
	}
	return tnums, members
}

var tnumOps = []struct {
	name string
	abs  func(a, b Tnum) Tnum
	conc func(a, b uint64) uint64
}{
	{"add", Tnum.add, func(a, b uint64) uint64 { return a + b }},
	{"sub", Tnum.sub, func(a, b uint64) uint64 { return a - b }},
	{"mul", Tnum.mul, func(a, b uint64) uint64 { return a * b }},
	{"and", Tnum.and, func(a, b uint64) uint64 { return a & b }},
	{"or", Tnum.or, func(a, b uint64) uint64 { return a | b }},
	{"xor", Tnum.xor, func(a, b uint64) uint64 { return a ^ b }},
}

func TestTnumOpsExhaustive(t *testing.T) {
	tnums, members := smallTnums(5)
	for _, op := range tnumOps {
		for i, a := range tnums {
			for j, b := range tnums {
				r := op.abs(a, b)
				if r.Value&r.Mask != 0 {
					t.Fatalf("%v %s %v = %v: a bit is known and unknown", a, op.name, b, r)
				}
				for _, x := range members[i] {
					for _, y := range members[j] {
						if v := op.conc(x, y); !r.Contains(v) {
							t.Fatalf("%v %s %v = %v misses %d %s %d = %d", a, op.name, b, r, x, op.name, y, v)
						}
					}
				}
			}
		}
	}
}

func TestTnumSetsExhaustive(t *testing.T) {
	tnums, members := smallTnums(4)
	for i, a := range tnums {
		for j, b := range tnums {
			in, overlap := true, false
			for _, y := range members[j] {
				in = in && a.Contains(y)
				overlap = overlap || a.Contains(y)
			}
			if a.In(b) != in {
				t.Fatalf("%v holds %v: %v", a, b, a.In(b))
			}
			if a.overlap(b) != overlap {
				t.Fatalf("%v overlaps %v: %v", a, b, a.overlap(b))
			}
			if u := a.union(b); !u.In(a) || !u.In(b) {
				t.Fatalf("union of %v and %v is %v", a, b, u)
			}
			if !overlap {
				continue
			}
			x := a.intersect(b)
			for _, v := range members[i] {
				if b.Contains(v) != x.Contains(v) {
					t.Fatalf("intersection of %v and %v is %v, for %d", a, b, x, v)
				}
			}
		}
	}
}

func TestTnumNextExhaustive(t *testing.T) {
	tnums, members := smallTnums(5)
	for i, a := range tnums {
		for z := range uint64(40) {
			want := a.Value | a.Mask
			for _, m := range members[i] {
				if m > z {
					want = m
					break
				}
			}
			if got := a.next(z); got != want {
				t.Fatalf("%v after %d: %d, want %d", a, z, got, want)
			}
		}
	}
}

func TestTnumRange(t *testing.T) {
	for lo := range uint64(32) {
		for hi := lo; hi < 32; hi++ {
			r := tnumRange(lo, hi)
			for v := lo; v <= hi; v++ {
				if !r.Contains(v) {
					t.Fatalf("range %d..%d is %v, without %d", lo, hi, r, v)
				}
			}
		}
	}
	if r := tnumRange(0, math.MaxUint64); !r.IsUnknown() {
		t.Errorf("range of everything is %v", r)
	}
}

// drawTnum draws a tnum and a number that fits it.
func drawTnum(t *rapid.T, label string) (Tnum, uint64) {
	mask, v := rapid.Uint64().Draw(t, label+".mask"), rapid.Uint64().Draw(t, label)
	return Tnum{v &^ mask, mask}, v
}

func TestTnumOps64(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, x := drawTnum(t, "a")
		b, y := drawTnum(t, "b")
		for _, op := range tnumOps {
			if r, v := op.abs(a, b), op.conc(x, y); !r.Contains(v) {
				t.Fatalf("%v %s %v = %v misses %#x", a, op.name, b, r, v)
			}
		}
		n := uint8(rapid.IntRange(0, 63).Draw(t, "n"))
		for _, s := range []struct {
			name string
			abs  Tnum
			v    uint64
		}{
			{"<<", a.lsh(n), x << n}, {">>", a.rsh(n), x >> n}, {"s>>", a.arsh(n, 64), uint64(int64(x) >> n)},
			{"s>>32", a.subreg().arsh(n%32, 32), uint64(uint32(int32(x) >> (n % 32)))},
			{"neg", a.neg(), -x}, {"cast", a.cast(2), x & 0xffff},
		} {
			if !s.abs.Contains(s.v) {
				t.Fatalf("%v %s %d = %v misses %#x", a, s.name, n, s.abs, s.v)
			}
		}
	})
}
