package verifier

import (
	"math"
	"testing"

	"bpfvm/isa"

	"pgregory.net/rapid"
)

// concreteALU is what the machine computes (RFC 9669, section 4.1).
func concreteALU(code isa.Code, a, b uint64, is64 bool) uint64 {
	if is64 {
		switch code {
		case isa.CodeAdd:
			return a + b
		case isa.CodeSub:
			return a - b
		case isa.CodeMul:
			return a * b
		case isa.CodeAnd:
			return a & b
		case isa.CodeOr:
			return a | b
		case isa.CodeXor:
			return a ^ b
		case isa.CodeLsh:
			return a << (b & 63)
		case isa.CodeRsh:
			return a >> (b & 63)
		case isa.CodeArsh:
			return uint64(int64(a) >> (b & 63))
		}
	}
	x, y := uint32(a), uint32(b)
	switch code {
	case isa.CodeLsh:
		return uint64(x << (y & 31))
	case isa.CodeRsh:
		return uint64(x >> (y & 31))
	case isa.CodeArsh:
		return uint64(uint32(int32(x) >> (y & 31)))
	}
	return uint64(uint32(concreteALU(code, uint64(x), uint64(y), true)))
}

func concreteJump(code isa.Code, a, b uint64, low bool) bool {
	s, u := int64(a), int64(b)
	if low {
		a, b = uint64(uint32(a)), uint64(uint32(b))
		s, u = int64(int32(a)), int64(int32(b))
	}
	switch code {
	case isa.CodeJeq:
		return a == b
	case isa.CodeJne:
		return a != b
	case isa.CodeJset:
		return a&b != 0
	case isa.CodeJgt:
		return a > b
	case isa.CodeJge:
		return a >= b
	case isa.CodeJlt:
		return a < b
	case isa.CodeJle:
		return a <= b
	case isa.CodeJsgt:
		return s > u
	case isa.CodeJsge:
		return s >= u
	case isa.CodeJslt:
		return s < u
	}
	return s <= u
}

var (
	aluCodes  = []isa.Code{isa.CodeAdd, isa.CodeSub, isa.CodeMul, isa.CodeAnd, isa.CodeOr, isa.CodeXor}
	shifts    = []isa.Code{isa.CodeLsh, isa.CodeRsh, isa.CodeArsh}
	jumpCodes = []isa.Code{isa.CodeJeq, isa.CodeJne, isa.CodeJset, isa.CodeJgt, isa.CodeJge, isa.CodeJlt,
		isa.CodeJle, isa.CodeJsgt, isa.CodeJsge, isa.CodeJslt, isa.CodeJsle}
)

// span returns the bounds of lo..hi around a base, and the numbers.
func span(base uint64, lo, hi int) (Bounds, []uint64) {
	b := constBounds(base + uint64(int64(lo)))
	vals := []uint64{base + uint64(int64(lo))}
	for i := lo + 1; i <= hi; i++ {
		v := base + uint64(int64(i))
		c := constBounds(v)
		b = b.join(&c)
		vals = append(vals, v)
	}
	b.sync()
	return b, vals
}

// spans are all intervals of four bits around the places where numbers wrap.
func spans() (bs []Bounds, vals [][]uint64) {
	for _, base := range []uint64{0, 1 << 31, 1 << 32, 1 << 63} {
		for lo := -3; lo <= 3; lo++ {
			for hi := lo; hi <= 3; hi++ {
				b, v := span(base, lo, hi)
				bs, vals = append(bs, b), append(vals, v)
			}
		}
	}
	return bs, vals
}

func TestBoundsHoldTheirNumbers(t *testing.T) {
	bs, vals := spans()
	for i := range bs {
		for _, v := range vals[i] {
			if !bs[i].Contains(v) {
				t.Fatalf("%+v misses %#x", bs[i], v)
			}
		}
	}
}

func TestBoundsALUExhaustive(t *testing.T) {
	bs, vals := spans()
	for i := range bs {
		for j := range bs {
			for _, code := range aluCodes {
				for _, is64 := range []bool{true, false} {
					r := bs[i]
					r.apply(code, &bs[j], is64)
					for _, x := range vals[i] {
						for _, y := range vals[j] {
							if v := concreteALU(code, x, y, is64); !r.Contains(v) {
								t.Fatalf("%#x.. %s %#x.. (64-bit %v): %s misses %#x",
									vals[i], aluSymbol(code), vals[j], is64, regString(&RegState{Type: Scalar, Bounds: r}, 0), v)
							}
						}
					}
				}
			}
		}
		for _, code := range shifts {
			for n := range uint64(64) {
				for _, is64 := range []bool{true, false} {
					if !is64 && n > 31 {
						continue
					}
					r, s := bs[i], constBounds(n)
					r.apply(code, &s, is64)
					for _, x := range vals[i] {
						if v := concreteALU(code, x, n, is64); !r.Contains(v) {
							t.Fatalf("%#x.. %s %d (64-bit %v) misses %#x", vals[i], aluSymbol(code), n, is64, v)
						}
					}
				}
			}
		}
	}
}

func TestBoundsBranchExhaustive(t *testing.T) {
	bs, vals := spans()
	for i := range bs {
		for j := range bs {
			for _, code := range jumpCodes {
				for _, low := range []bool{false, true} {
					decided := scalarTaken(&bs[i], &bs[j], code, low)
					yesA, yesB := bs[i], bs[j]
					refine(&yesA, &yesB, code, low)
					yesA.sync()
					yesB.sync()
					noA, noB := bs[i], bs[j]
					refine(&noA, &noB, negate(code), low)
					noA.sync()
					noB.sync()
					for _, x := range vals[i] {
						for _, y := range vals[j] {
							took := concreteJump(code, x, y, low)
							if decided != unknownBranch && taken(took) != decided {
								t.Fatalf("%#x jump %#x %#x (low %v): decided %d", x, uint8(code), y, low, decided)
							}
							a, b := &noA, &noB
							if took {
								a, b = &yesA, &yesB
							}
							if !a.Contains(x) || !b.Contains(y) {
								t.Fatalf("%#x jump %#x %#x (low %v, taken %v): refined to %+v and %+v", x, uint8(code), y, low, took, a, b)
							}
						}
					}
				}
			}
		}
	}
}

// drawBounds draws a few numbers and bounds that hold them.
func drawBounds(t *rapid.T, label string) (Bounds, []uint64) {
	vals := rapid.SliceOfN(rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 100), rapid.Map(rapid.Uint32(), func(v uint32) uint64 { return uint64(int64(int32(v))) })), 1, 4).Draw(t, label)
	b := constBounds(vals[0])
	for _, v := range vals[1:] {
		c := constBounds(v)
		b = b.join(&c)
	}
	b.sync()
	return b, vals
}

func TestBounds64(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, xs := drawBounds(t, "a")
		b, ys := drawBounds(t, "b")
		holds := func(what string, r *Bounds, v uint64) {
			if !r.Contains(v) {
				t.Fatalf("%s: %+v misses %#x", what, *r, v)
			}
		}
		for _, is64 := range []bool{true, false} {
			for _, code := range aluCodes {
				r := a
				r.apply(code, &b, is64)
				for _, x := range xs {
					for _, y := range ys {
						holds(aluSymbol(code), &r, concreteALU(code, x, y, is64))
					}
				}
			}
		}
		for _, n := range []int{1, 2, 4} {
			r := a
			r.truncate(n)
			sx, s32 := a, a
			sx.signExtend64(n)
			sx.sync()
			for _, x := range xs {
				k := uint(64 - 8*n)
				holds("truncate", &r, x<<k>>k)
				holds("sign-extend", &sx, uint64(int64(x<<k)>>k))
			}
			if n < 4 {
				s32.signExtend32(n)
				s32.zext32()
				for _, x := range xs {
					k := uint(32 - 8*n)
					holds("sign-extend to 32", &s32, uint64(uint32(int32(uint32(x)<<k)>>k)))
				}
			}
		}
		for _, code := range jumpCodes {
			for _, low := range []bool{false, true} {
				for _, x := range xs {
					for _, y := range ys {
						c := code
						if !concreteJump(code, x, y, low) {
							c = negate(code)
						}
						p, q := a, b
						refine(&p, &q, c, low)
						p.sync()
						q.sync()
						holds("left", &p, x)
						holds("right", &q, y)
					}
				}
			}
		}
	})
}

func TestBoundsLearn(t *testing.T) {
	tests := []struct {
		name string
		in   Bounds
		want string
	}{
		{"bits and interval meet in one number",
			Bounds{Tnum{0, 0x200}, 1, math.MaxInt64, 1, math.MaxUint64, math.MinInt32, math.MaxInt32, 0, math.MaxUint32}, "512"},
		{"an unsigned interval is a signed one",
			Bounds{tnumUnknown, math.MinInt64, math.MaxInt64, 1, 9, math.MinInt32, math.MaxInt32, 0, math.MaxUint32},
			"scalar(smin=umin=smin32=umin32=1,smax=umax=smax32=umax32=9,var_off=(0x0; 0xf))"},
	}
	for _, tt := range tests {
		tt.in.sync()
		if got := regString(&RegState{Type: Scalar, Bounds: tt.in}, 0); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
