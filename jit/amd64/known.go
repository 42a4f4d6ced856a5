package amd64

import (
	"math"
	"math/bits"

	"bpfvm/isa"
)

// What machine code itself guarantees of the registers, whatever the program is and
// whatever is claimed of it: a load of 4 bytes leaves a number below 2^32, because
// the processor does so. This is all that containment may rest on, so it follows
// from the instructions alone; facts of the verifier have no say here.
//
// It is a small analysis of intervals, forward along the control flow of each
// function. A function starts with nothing known: not of its arguments, whoever
// calls it.

// base is what an interval counts from.
type base uint8

const (
	anything base = iota // nothing is known
	number               // from zero, as a signed 64-bit number
	frame                // from R10
)

// known bounds a register: lo <= value - base <= hi.
type known struct {
	base   base
	lo, hi int64
	// Registers with the same id other than 0 differ by the difference of their
	// deltas, whatever they hold.
	id    int32
	delta int64
}

// knownLimit bounds intervals, so that no sum of two overflows.
const knownLimit = 1 << 40

// regs is what is known of R0 to R10.
type regs [isa.NumRegisters]known

func between(lo, hi int64) known {
	if lo < -knownLimit || hi > knownLimit || lo > hi {
		return known{}
	}
	return known{base: number, lo: lo, hi: hi}
}

var (
	any32   = between(0, 1<<32-1)
	atEntry = regs{isa.R10: {base: frame}}
)

// value is k without what ties it to other registers.
func (k known) value() known { k.id, k.delta = 0, 0; return k }

// small reports whether k is a number that is not negative.
func (k known) small() bool { return k.base == number && k.lo >= 0 }

// join is what holds when one of both does.
func (k known) join(o known) known {
	if k.base != o.base || k.base == anything {
		return known{}
	}
	return known{base: k.base, lo: min(k.lo, o.lo), hi: max(k.hi, o.hi)}
}

// clip keeps what is within 32 bits as it is: what a 32-bit operation makes of it.
func (k known) clip() known {
	if k.small() && k.hi <= any32.hi {
		return k.value()
	}
	return any32
}

// sum is k + sign*o.
func (k known) sum(o known, sign int64) known {
	switch {
	case k.base == anything || o.base == anything || o.base == frame && (sign < 0 || k.base == frame):
		return known{}
	case sign < 0:
		o.lo, o.hi = -o.hi, -o.lo
	}
	r := between(k.lo+o.lo, k.hi+o.hi)
	if r.base == number && (k.base == frame || o.base == frame) {
		r.base = frame
	}
	return r
}

// ids makes numbers for values that are in several registers.
type ids int32

// step changes s by one instruction that is no jump; calls of functions included.
func (n *ids) step(s *regs, form *isa.Op, ins isa.Instruction, imm64 uint64) {
	dst, src := ins.Dst(), ins.Src()
	set := func(r isa.Register, k known) {
		if r < isa.R10 { // nothing writes R10
			s[r] = k
		}
	}
	switch class := ins.Op.Class(); {
	case ins.IsWide():
		set(dst, between(int64(imm64), int64(imm64)))
	case class == isa.ClassALU64:
		n.alu64(s, ins)
	case class == isa.ClassALU:
		set(dst, alu32(s, ins))
	case class == isa.ClassJMP && ins.Op.Code() == isa.CodeCall, class == isa.ClassLD:
		for r := isa.R0; r <= isa.R5; r++ {
			s[r] = known{}
		}
	case class == isa.ClassLDX:
		set(dst, afterLoad(ins.Op.Size(), ins.Op.Mode() == isa.ModeMEMSX))
	case ins.Op.Mode() == isa.ModeATOMIC:
		for _, w := range []struct {
			rule isa.Rule
			reg  isa.Register
		}{{form.Dst.Rule, dst}, {form.Src.Rule, src}} {
			if w.rule == isa.RuleWrite || w.rule == isa.RuleReadWrite {
				set(w.reg, known{})
			}
		}
		if isa.AtomicOp(ins.Imm) == isa.AtomicCmpXchg {
			set(isa.R0, known{})
		}
	}
}

// afterLoad is what a load leaves.
func afterLoad(size isa.Size, signed bool) known {
	n := 8 * size.Bytes()
	switch {
	case n == 64:
		return known{}
	case signed:
		return between(-1<<(n-1), 1<<(n-1)-1)
	}
	return between(0, 1<<n-1)
}

// operand is the second operand of an ALU instruction.
func operand(s *regs, ins isa.Instruction) known {
	if ins.Op.Source() == isa.SrcX {
		return s[ins.Src()]
	}
	return between(int64(ins.Imm), int64(ins.Imm))
}

// alu64 is class ALU64.
func (n *ids) alu64(s *regs, ins isa.Instruction) {
	dst := ins.Dst()
	if dst == isa.R10 {
		return
	}
	d, o := s[dst], operand(s, ins)
	switch code := ins.Op.Code(); {
	case code == isa.CodeMov && ins.Op.Source() == isa.SrcX && ins.Off == 0:
		if o.id == 0 && ins.Src() != isa.R10 {
			*n++
			s[ins.Src()].id, s[ins.Src()].delta = int32(*n), 0
			o = s[ins.Src()]
		}
		s[dst] = o
	case code == isa.CodeMov && ins.Op.Source() == isa.SrcK:
		s[dst] = o
	case code == isa.CodeMov: // sign extension
		s[dst] = between(-1<<(ins.Off-1), 1<<(ins.Off-1)-1)
	case code == isa.CodeAdd && ins.Op.Source() == isa.SrcK:
		r := d.sum(o, 1)
		r.id, r.delta = d.id, d.delta+int64(ins.Imm)
		s[dst] = r
	case code == isa.CodeAdd:
		s[dst] = d.sum(o, 1)
	case code == isa.CodeSub:
		s[dst] = d.sum(o, -1)
	case code == isa.CodeEnd && ins.Imm == 16:
		s[dst] = between(0, 1<<16-1)
	case code == isa.CodeEnd && ins.Imm == 32:
		s[dst] = any32
	default:
		s[dst] = bitwise(code, ins, d, o, 64)
	}
}

// alu32 is class ALU: whatever it computes, the upper half is zero.
func alu32(s *regs, ins isa.Instruction) known {
	d, o := s[ins.Dst()], operand(s, ins)
	switch code := ins.Op.Code(); {
	case code == isa.CodeMov && ins.Op.Source() == isa.SrcK:
		return between(int64(uint32(ins.Imm)), int64(uint32(ins.Imm)))
	case code == isa.CodeMov && ins.Off == 0:
		return o.clip()
	case code == isa.CodeMov:
		return any32
	case code == isa.CodeEnd && ins.Imm == 16:
		return between(0, 1<<16-1)
	case code == isa.CodeEnd && ins.Imm == 64: // the class is that of a conditional swap
		return known{}
	case code == isa.CodeAdd && d.small() && o.small():
		return d.sum(o, 1).clip()
	default:
		return bitwise(code, ins, d.clip(), o, 32).clip()
	}
}

// bitwise is what holds after the other operations on so many bits. Where d is not
// known to be small, only the operation itself can bound the result.
func bitwise(code isa.Code, ins isa.Instruction, d, o known, width uint8) known {
	constant := ins.Op.Source() == isa.SrcK
	switch code {
	case isa.CodeAnd:
		switch {
		case d.small() && o.small():
			return between(0, min(d.hi, o.hi))
		case o.small():
			return between(0, o.hi)
		case d.small():
			return between(0, d.hi)
		}
	case isa.CodeOr, isa.CodeXor:
		if d.small() && o.small() {
			return between(0, 1<<bits.Len64(uint64(d.hi|o.hi))-1)
		}
	case isa.CodeRsh:
		if constant {
			n := uint8(ins.Imm) & (width - 1)
			switch {
			case d.small():
				return between(d.lo>>n, d.hi>>n)
			case 64-n < 40: // 64 bits, of which few are left
				return between(0, 1<<(64-n)-1)
			}
		}
	case isa.CodeLsh:
		if n := uint8(ins.Imm) & (width - 1); constant && d.small() && bits.Len64(uint64(d.hi))+int(n) < 40 {
			return between(d.lo<<n, d.hi<<n)
		}
	case isa.CodeMul:
		if constant && d.small() && ins.Imm >= 0 && bits.Len64(uint64(d.hi))+bits.Len32(uint32(ins.Imm)) < 40 {
			return between(d.lo*int64(ins.Imm), d.hi*int64(ins.Imm))
		}
	case isa.CodeDiv:
		if ins.Off == 0 && d.small() {
			return between(0, d.hi)
		}
	case isa.CodeMod:
		if ins.Off == 0 && d.small() {
			return between(0, d.hi)
		}
	}
	return known{}
}

// refine narrows s to where the conditional jump is taken, or is not. It returns
// false when that cannot be.
func refine(s *regs, ins isa.Instruction, taken bool) bool {
	code := ins.Op.Code()
	if ins.Op == isa.OpMayGoto || code == isa.CodeJset {
		return true
	}
	d, o := s[ins.Dst()], operand(s, ins)
	if ins.Op.Class() == isa.ClassJMP32 {
		// The comparison is one of the lower halves; so it is of the whole numbers
		// where both are known to have no upper one, and, for a signed one, not to be
		// negative as 32 bits.
		limit := any32.hi
		switch code {
		case isa.CodeJsgt, isa.CodeJsge, isa.CodeJslt, isa.CodeJsle:
			limit = 1<<31 - 1
		}
		if !d.small() || !o.small() || d.hi > limit || o.hi > limit {
			return true
		}
	}
	if !taken {
		code = negated[code>>4]
	}
	unsigned := code == isa.CodeJlt || code == isa.CodeJle || code == isa.CodeJgt || code == isa.CodeJge
	switch {
	case o.base != number, d.base == frame, unsigned && !o.small():
		return true
	case (code == isa.CodeJgt || code == isa.CodeJge) && !d.small():
		return true // may be negative, which is large
	}
	lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
	if d.base == number {
		lo, hi = d.lo, d.hi
	}
	switch code {
	case isa.CodeJeq:
		lo, hi = max(lo, o.lo), min(hi, o.hi)
	case isa.CodeJlt: // and so it is no negative number
		lo, hi = max(lo, 0), min(hi, o.hi-1)
	case isa.CodeJle:
		lo, hi = max(lo, 0), min(hi, o.hi)
	case isa.CodeJslt:
		hi = min(hi, o.hi-1)
	case isa.CodeJsle:
		hi = min(hi, o.hi)
	case isa.CodeJgt, isa.CodeJsgt:
		lo = max(lo, o.lo+1)
	case isa.CodeJge, isa.CodeJsge:
		lo = max(lo, o.lo)
	default:
		return true
	}
	if lo > hi {
		return false
	}
	bounded := between(lo, hi)
	if bounded.base == anything {
		return true // no bound on one side
	}
	for r := range s {
		k := &s[r]
		if r == int(ins.Dst()) {
			k.base, k.lo, k.hi = number, lo, hi
			continue
		}
		if d.id == 0 || k.id != d.id || k.base == frame {
			continue
		}
		// k is d and the difference of the deltas, in 64 bits: exact, as both are
		// small.
		if shift := k.delta - d.delta; shift >= -knownLimit && shift <= knownLimit {
			k.narrow(lo+shift, hi+shift)
		}
	}
	return true
}

// narrow adds what is known from elsewhere.
func (k *known) narrow(lo, hi int64) {
	if k.base == number {
		lo, hi = max(lo, k.lo), min(hi, k.hi)
	}
	if b := between(lo, hi); b.base == number {
		k.base, k.lo, k.hi = number, lo, hi
	}
}

// negated is the comparison that holds when another does not.
var negated = [16]isa.Code{
	isa.CodeJeq >> 4: isa.CodeJne, isa.CodeJne >> 4: isa.CodeJeq,
	isa.CodeJgt >> 4: isa.CodeJle, isa.CodeJle >> 4: isa.CodeJgt,
	isa.CodeJge >> 4: isa.CodeJlt, isa.CodeJlt >> 4: isa.CodeJge,
	isa.CodeJsgt >> 4: isa.CodeJsle, isa.CodeJsle >> 4: isa.CodeJsgt,
	isa.CodeJsge >> 4: isa.CodeJslt, isa.CodeJslt >> 4: isa.CodeJsge,
}
