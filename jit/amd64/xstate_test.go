package amd64

import (
	"fmt"
	"math/bits"

	"bpfvm/vm"
)

// xkind is what an interval counts from.
type xkind uint8

const (
	xTop     xkind = iota
	xNumber        // from 0, as a signed number
	xFrame         // from rbp as the function has it
	xContext       // from the end of the context
)

type xval struct {
	kind   xkind
	lo, hi int64
	id     int
	delta  int64
}

const xLimit = 1 << 42

func xnum(lo, hi int64) xval {
	if lo < -xLimit || hi > xLimit || lo > hi {
		return xval{}
	}
	return xval{kind: xNumber, lo: lo, hi: hi}
}

var x32 = xnum(0, 1<<32-1)

func (v xval) small() bool { return v.kind == xNumber && v.lo >= 0 }
func (v xval) low() xval {
	if v.small() && v.hi < 1<<32 {
		return xnum(v.lo, v.hi)
	}
	return x32
}

func (v xval) plus(o xval) xval {
	if v.kind == xTop || o.kind != xNumber {
		v, o = o, v
	}
	if v.kind == xTop || o.kind != xNumber {
		return xval{}
	}
	r := xnum(v.lo+o.lo, v.hi+o.hi)
	if r.kind != xTop {
		r.kind = v.kind
	}
	return r
}

// xcmp is the comparison that the flags come from.
type xcmp struct {
	valid bool
	wide  bool
	a     reg
	b     xval
}

type xstate struct {
	r     [16]xval
	flags xcmp
	depth int // words pushed
	stack [16]xval
}

// value is what an instruction computes, in 64 bits; what is 32 bits wide is cut by
// the caller.
func (s *xstate) value(in instr, src xval) xval {
	d := s.r[in.dst]
	l := opTable[in.op].width == 4
	if l {
		d = d.low()
	}
	switch in.op {
	case opMovQ:
		if in.form == fRR && in.src == rsp {
			return xval{}
		}
		if in.form == fRR {
			if src.id == 0 {
				xids++
				s.r[in.src].id, s.r[in.src].delta = xids, 0
				src = s.r[in.src]
			}
			return src
		}
		if in.form == fRI {
			return src
		}
	case opMovL:
		switch in.form {
		case fRR:
			return src.low()
		case fRI:
			return xnum(int64(uint32(in.imm)), int64(uint32(in.imm)))
		}
		return x32
	case opMovZxB:
		return xnum(0, 255)
	case opMovZxW:
		return xnum(0, 65535)
	case opMovSxB:
		return xnum(-128, 127)
	case opMovSxW:
		return xnum(-32768, 32767)
	case opMovSxL:
		return xnum(-1<<31, 1<<31-1)
	case opLea:
		v := s.r[in.mem.base].plus(xnum(int64(in.mem.disp), int64(in.mem.disp)))
		if in.mem.index != noReg {
			v = v.plus(s.r[in.mem.index])
		} else {
			v.id, v.delta = s.r[in.mem.base].id, s.r[in.mem.base].delta+int64(in.mem.disp)
		}
		return v
	case opAddQ:
		v := d.plus(src)
		if in.form == fRI {
			v.id, v.delta = d.id, d.delta+in.imm
		}
		return v
	case opSubQ:
		if src.kind == xNumber {
			return d.plus(xnum(-src.hi, -src.lo))
		}
	case opAddL:
		if src.small() {
			return d.plus(src)
		}
	case opXorQ, opXorL, opOrQ, opOrL:
		if in.form == fRR && in.dst == in.src && (in.op == opXorL || in.op == opXorQ) {
			return xnum(0, 0)
		}
		if in.op == opOrQ && in.form == fRI && in.imm == stackMask && d.kind == xTop {
			return xval{kind: xContext}
		}
		if d.small() && src.small() {
			return xnum(0, 1<<bits.Len64(uint64(d.hi|src.hi))-1)
		}
	case opAndQ, opAndL:
		switch {
		case d.small() && src.small():
			return xnum(0, min(d.hi, src.hi))
		case src.small():
			return xnum(0, src.hi)
		case d.small():
			return xnum(0, d.hi)
		}
	case opShrQ, opShrL:
		if in.form == fRI {
			if d.small() {
				return xnum(d.lo>>in.imm, d.hi>>in.imm)
			}
			if in.imm > 24 {
				return xnum(0, 1<<(64-in.imm)-1)
			}
		}
	case opShlQ, opShlL:
		if in.form == fRI && d.small() && bits.Len64(uint64(d.hi))+int(in.imm) <= 42 {
			return xnum(d.lo<<in.imm, d.hi<<in.imm)
		}
	case opRolQ, opRolL: // nothing comes round
		width := 32
		if !l {
			width = 42
		}
		if d.small() && bits.Len64(uint64(d.hi))+int(in.imm) <= width {
			return xnum(d.lo<<in.imm, d.hi<<in.imm)
		}
	case opImul3Q, opImul3L:
		v := s.r[in.src]
		if l {
			v = v.low()
		}
		if v.small() && in.imm >= 0 && bits.Len64(uint64(v.hi))+bits.Len64(uint64(in.imm)) <= 42 {
			return xnum(v.lo*in.imm, v.hi*in.imm)
		}
	}
	return xval{}
}

var xids int

// memory judges an operand.
func (s *xstate) memory(in instr) error {
	m := in.mem
	if in.op == opLea {
		return nil
	}
	size := int64(widthOf(in))
	base := xval{}
	if m.index == noReg {
		if m.base == rsp && m.disp == 0 {
			return nil
		}
		if base = s.r[m.base]; base.kind != xContext || base.lo != 0 || base.hi != 0 || m.disp < ctxBase || int64(m.disp)+size > 1 {
			return fmt.Errorf("neither arena nor stack nor context: %+v", base)
		}
		return nil
	}
	if m.base != regArena {
		return fmt.Errorf("not in the arena")
	}
	x := s.r[m.index]
	lo, hi := x.lo+int64(m.disp), x.hi+int64(m.disp)+size
	switch {
	case in.op == opTestB && m.disp < -1<<20: // a permission
		if x.kind == xNumber && lo >= vm.NativePerm && hi <= vm.NativePerm+vm.NativeLimit {
			return nil
		}
	case x.kind == xNumber:
		if lo >= -windowGuardBytes && hi <= 1<<32+windowGuardBytes {
			return nil
		}
	case x.kind == xFrame: // rbp is in the lower half of the window, above its first 64 KiB
		if lo >= -vm.FirstAddr && hi <= 1<<31 {
			return nil
		}
	}
	return fmt.Errorf("%+v is not contained", x)
}

const windowGuardBytes = 64 << 10

// refine narrows the state to where a condition holds. It returns false where it
// cannot.
func (s *xstate) refine(cc cond) bool {
	f := s.flags
	if !f.valid || f.b.kind != xNumber {
		return true
	}
	a := s.r[f.a]
	if a.kind == xFrame && f.wide && f.b.small() && cc == condB { // and so it is a small number, too
		s.r[f.a] = xnum(0, f.b.hi-1)
		return true
	}
	if a.kind == xFrame || a.kind == xContext {
		return true
	}
	if !f.wide {
		limit := int64(1) << 31 // signed
		switch cc {
		case condE, condB, condAE, condA, condBE:
			limit = 1 << 32
		}
		if !a.small() || !f.b.small() || a.hi >= limit || f.b.hi >= limit {
			return true
		}
	}
	lo, hi := int64(-1<<63), int64(1<<63-1)
	if a.kind == xNumber {
		lo, hi = a.lo, a.hi
	}
	switch b := f.b; cc {
	case condE:
		lo, hi = max(lo, b.lo), min(hi, b.hi)
	case condB, condBE:
		if !b.small() {
			return true
		}
		lo, hi = max(lo, 0), min(hi, b.hi)
		if cc == condB {
			hi = min(hi, b.hi-1)
		}
	case condA, condAE:
		if !b.small() || !a.small() {
			return true
		}
		lo = max(lo, b.lo)
		if cc == condA {
			lo = max(lo, b.lo+1)
		}
	case condL:
		hi = min(hi, b.hi-1)
	case condLE:
		hi = min(hi, b.hi)
	case condG:
		lo = max(lo, b.lo+1)
	case condGE:
		lo = max(lo, b.lo)
	default:
		return true
	}
	if lo > hi {
		return false
	}
	if lo < -xLimit || hi > xLimit {
		return true
	}
	for r := range s.r {
		v := &s.r[r]
		if r != int(f.a) && (a.id == 0 || v.id != a.id || v.kind == xFrame) {
			continue
		}
		l, h := lo+v.delta-a.delta, hi+v.delta-a.delta
		if v.kind == xNumber {
			l, h = max(l, v.lo), min(h, v.hi)
		}
		if n := xnum(l, h); n.kind == xNumber {
			v.kind, v.lo, v.hi = xNumber, l, h
		}
	}
	return true
}

// widthOf is the bytes of memory that an instruction touches.
func widthOf(in instr) int {
	switch in.op {
	case opMovZxB, opMovSxB:
		return 1
	case opMovZxW, opMovSxW:
		return 2
	case opMovSxL:
		return 4
	}
	return int(opTable[in.op].width)
}
