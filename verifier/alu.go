package verifier

import (
	"math"
	"math/bits"

	"bpfvm/isa"
)

// checkALU checks an arithmetic instruction and computes what its destination
// can hold (check_alu_op).
func (env *env) checkALU(ins isa.Instruction) error {
	code, is64 := ins.Op.Code(), ins.Op.Class() == isa.ClassALU64
	var err error
	switch {
	case code == isa.CodeNeg || code == isa.CodeEnd:
		err = env.checkUnary(ins, code, is64)
	case code == isa.CodeMov:
		err = env.checkMov(ins, is64)
	case code > isa.CodeEnd:
		return env.reject(CodeBadOpcode, "invalid BPF_ALU opcode %x\n", uint8(code))
	default:
		err = env.checkBinary(ins, code, is64)
	}
	if err != nil {
		return err
	}
	d := env.reg(ins.Dst())
	if d.Type == Scalar && !d.consistent() {
		d.Bounds = unboundedBounds() // reg_bounds_sanity_check
	}
	return nil
}

func (env *env) checkUnary(ins isa.Instruction, code isa.Code, is64 bool) error {
	if code == isa.CodeNeg {
		if ins.Op.Source() != isa.SrcK || ins.Src() != 0 || ins.Off != 0 || ins.Imm != 0 {
			return env.reject(CodeReserved, "BPF_NEG uses reserved fields\n")
		}
	} else if ins.Src() != 0 || ins.Off != 0 || ins.Imm != 16 && ins.Imm != 32 && ins.Imm != 64 ||
		is64 && ins.Op.Source() != isa.SrcK {
		return env.reject(CodeReserved, "BPF_END uses reserved fields\n")
	}
	if err := env.readReg(ins.Dst()); err != nil {
		return err
	}
	d := env.reg(ins.Dst())
	if code == isa.CodeNeg && d.Type == Scalar {
		if err := env.writeReg(ins.Dst()); err != nil {
			return err
		}
		old := d.Bounds
		v := constBounds(0)
		v.sub(&old)
		v.VarOff = old.VarOff.neg()
		precise := d.Precise
		*d = RegState{Type: Scalar, Bounds: v, Precise: precise}
		if !is64 {
			d.zext32()
		}
		d.sync()
		return nil
	}
	if d.Type != Scalar {
		return env.defineReg(ins.Dst())
	}
	if err := env.writeReg(ins.Dst()); err != nil {
		return err
	}
	d.swap(int(ins.Imm)/8, is64 || ins.Op.Source() == isa.SrcX)
	return nil
}

// swap reverses the order of the low bytes, if asked to, and cuts off the others
// (scalar_byte_swap). Bits keep what is known of them; intervals do not.
func (r *RegState) swap(size int, swap bool) {
	if swap || size < regSize {
		r.clearID()
	}
	if swap {
		t := r.VarOff.cast(size)
		n := 64 - 8*size
		r.Bounds = unboundedBounds()
		r.VarOff = Tnum{bits.ReverseBytes64(t.Value << n), bits.ReverseBytes64(t.Mask << n)}
		r.VarOff = r.VarOff.cast(size)
		r.sync()
	}
	r.truncate(size)
}

func (env *env) checkMov(ins isa.Instruction, is64 bool) error {
	if ins.Op.Source() == isa.SrcX {
		switch {
		case !is64:
			if ins.Off != 0 && ins.Off != 8 && ins.Off != 16 || ins.Imm != 0 {
				return env.reject(CodeReserved, "BPF_MOV uses reserved fields\n")
			}
		case ins.Off == 1: // BPF_ADDR_SPACE_CAST
			if ins.Imm != 1 && ins.Imm != 1<<16 {
				return env.reject(CodeReserved, "addr_space_cast insn can only convert between address space 1 and 0\n")
			}
			return notModelled("arena address space casts")
		case ins.Off != 0 && ins.Off != 8 && ins.Off != 16 && ins.Off != 32 || ins.Imm != 0:
			return env.reject(CodeReserved, "BPF_MOV uses reserved fields\n")
		}
		if err := env.readReg(ins.Src()); err != nil {
			return err
		}
	} else if ins.Src() != 0 || ins.Off != 0 {
		return env.reject(CodeReserved, "BPF_MOV uses reserved fields\n")
	}
	if err := env.writeReg(ins.Dst()); err != nil {
		return err
	}
	d := env.reg(ins.Dst())
	if ins.Op.Source() == isa.SrcK {
		if is64 {
			d.setConst(uint64(int64(ins.Imm)))
		} else {
			d.setConst(uint64(uint32(ins.Imm)))
		}
		return nil
	}
	s := env.reg(ins.Src())
	width := int(ins.Off)
	switch {
	case is64 && width == 0:
		env.assignIDBeforeCopy(s)
		*d = *s
	case s.Type != Scalar:
		// Part of a pointer is a number that nothing is known of.
		d.setUnknown()
		if !is64 {
			d.zext32()
		}
	case is64:
		same := s.UMax < 1<<(width-1)
		if same {
			env.assignIDBeforeCopy(s)
		}
		*d = *s
		if !same {
			d.clearID()
		}
		d.signExtend64(width / 8)
	default:
		same := regWidth(s) <= 32
		if width != 0 {
			same = s.UMax < 1<<(width-1)
		}
		if same {
			env.assignIDBeforeCopy(s)
		}
		*d = *s
		if !same {
			d.clearID()
		}
		if width != 0 {
			d.signExtend32(width / 8)
		}
		d.zext32()
	}
	return nil
}

func (env *env) checkBinary(ins isa.Instruction, code isa.Code, is64 bool) error {
	signedDiv := ins.Off == 1 && (code == isa.CodeDiv || code == isa.CodeMod)
	if ins.Off != 0 && !signedDiv ||
		ins.Op.Source() == isa.SrcX && ins.Imm != 0 || ins.Op.Source() == isa.SrcK && ins.Src() != 0 {
		return env.reject(CodeReserved, "BPF_ALU uses reserved fields\n")
	}
	if ins.Op.Source() == isa.SrcX {
		if err := env.readReg(ins.Src()); err != nil {
			return err
		}
	}
	if err := env.readReg(ins.Dst()); err != nil {
		return err
	}
	if ins.Op.Source() == isa.SrcK {
		switch code {
		case isa.CodeDiv, isa.CodeMod:
			if ins.Imm == 0 {
				return env.reject(CodeDivZero, "div by zero\n")
			}
		case isa.CodeLsh, isa.CodeRsh, isa.CodeArsh:
			if width := int32(map[bool]int{true: 64, false: 32}[is64]); ins.Imm < 0 || ins.Imm >= width {
				return env.reject(CodeShift, "invalid shift %d\n", ins.Imm)
			}
		}
	}
	if err := env.writeReg(ins.Dst()); err != nil {
		return err
	}
	return env.adjustReg(ins)
}

// adjustReg computes dst op= src, for numbers and pointers
// (adjust_reg_min_max_vals).
func (env *env) adjustReg(ins isa.Instruction) error {
	code, is64 := ins.Op.Code(), ins.Op.Class() == isa.ClassALU64
	d := env.reg(ins.Dst())
	var src RegState
	if ins.Op.Source() == isa.SrcK {
		src = constScalar(uint64(int64(ins.Imm)))
		if d.Type != Scalar {
			ptr := *d
			return env.adjustPointer(ins, d, &ptr, &src, true)
		}
	} else {
		s := env.reg(ins.Src())
		switch {
		case s.Type != Scalar && d.Type != Scalar:
			if code == isa.CodeSub {
				d.setUnknown() // the distance of two pointers is a number
				return nil
			}
			return env.reject(CodePtrArith, "R%d pointer %s pointer prohibited\n", ins.Dst(), aluSymbol(code))
		case s.Type != Scalar:
			// number += pointer: only a sum makes sense, and the number matters.
			if err := env.markPrecise(int(ins.Dst())); err != nil {
				return err
			}
			off, ptr := *d, *s
			return env.adjustPointer(ins, d, &ptr, &off, false)
		case d.Type != Scalar:
			if err := env.markPrecise(int(ins.Src())); err != nil {
				return err
			}
			ptr, off := *d, *s
			return env.adjustPointer(ins, d, &ptr, &off, true)
		case d.Precise:
			if err := env.markPrecise(int(ins.Src())); err != nil {
				return err
			}
		}
		src = *s
	}
	whole := is64 || d.UMax <= math.MaxUint32 // else the upper half is lost, and with it the tie
	if err := env.adjustScalar(ins, d, &src); err != nil {
		return err
	}
	off, ok := distance(code, &src.Bounds, is64)
	if !ok || !whole || d.ID == 0 || d.ID&addConst != 0 || ins.Op.Source() == isa.SrcX && ins.Src() == ins.Dst() {
		d.clearID()
		return nil
	}
	// A copy plus a constant stays tied to the original.
	if d.ID |= addConst64; !is64 {
		d.ID ^= addConst
	}
	d.Off = off
	return nil
}

// distance is the constant that an addition or subtraction adds, if it fits.
func distance(code isa.Code, src *Bounds, is64 bool) (int32, bool) {
	if code != isa.CodeAdd && code != isa.CodeSub || !src.isConst(!is64) {
		return 0, false
	}
	v := int64(src.VarOff.Value)
	if !is64 {
		v = int64(int32(v))
	}
	if v != int64(int32(v)) || code == isa.CodeSub && v == math.MinInt32 {
		return 0, false
	}
	if code == isa.CodeSub {
		v = -v
	}
	return int32(v), true
}

// adjustScalar computes the bounds of a number (adjust_scalar_min_max_vals).
func (env *env) adjustScalar(ins isa.Instruction, d *RegState, src *RegState) error {
	code, is64 := ins.Op.Code(), ins.Op.Class() == isa.ClassALU64
	width := uint64(64)
	if !is64 {
		width = 32
	}
	switch code {
	case isa.CodeAdd, isa.CodeSub, isa.CodeAnd, isa.CodeXor, isa.CodeOr, isa.CodeMul:
	case isa.CodeLsh, isa.CodeRsh, isa.CodeArsh:
		known := src.VarOff.IsConst() && src.SMin == src.SMax && src.UMin == src.UMax
		if !is64 {
			known = src.VarOff.isConstSubreg() && src.S32Min == src.S32Max && src.U32Min == src.U32Max
		}
		if !known || src.UMax >= width {
			d.setUnknown()
			return nil
		}
	default:
		// Quotients and remainders: nothing is known, not even that a 32-bit
		// result has no upper half.
		d.setUnknown()
		return nil
	}
	if code == isa.CodeAnd || code == isa.CodeOr {
		if src.VarOff.IsConst() {
			if err := env.maybeFork(ins, d); err != nil {
				return err
			}
		}
	}
	d.Bounds.apply(code, &src.Bounds, is64)
	return nil
}

// maybeFork splits a path in two where a register is 0 or -1, as after an
// arithmetic shift of the sign: masks made of it are then constants on both
// (maybe_fork_scalars).
func (env *env) maybeFork(ins isa.Instruction, d *RegState) error {
	low := false
	switch {
	case d.SMin == -1 && d.SMax == 0:
	case d.S32Min == -1 && d.S32Max == 0:
		low = true
	default:
		return nil
	}
	other, err := env.push(env.insnIdx, env.insnIdx)
	if err != nil {
		return err
	}
	o := &other.cur().Regs[ins.Dst()]
	if low {
		o.setConst32(0)
		d.setConst32(math.MaxUint32)
	} else {
		o.Bounds = constBounds(0)
		d.Bounds = constBounds(math.MaxUint64)
	}
	return nil
}

// apply computes b op= src. Shifts must be by a known amount below the width.
func (b *Bounds) apply(code isa.Code, src *Bounds, is64 bool) {
	switch code {
	case isa.CodeAdd:
		b.add(src)
		b.VarOff = b.VarOff.add(src.VarOff)
	case isa.CodeSub:
		b.sub(src)
		b.VarOff = b.VarOff.sub(src.VarOff)
	case isa.CodeMul:
		b.VarOff = b.VarOff.mul(src.VarOff)
		b.mul(src)
	case isa.CodeAnd:
		b.VarOff = b.VarOff.and(src.VarOff)
		b.bitwise(src, andLimits)
	case isa.CodeOr:
		b.VarOff = b.VarOff.or(src.VarOff)
		b.bitwise(src, orLimits)
	case isa.CodeXor:
		b.VarOff = b.VarOff.xor(src.VarOff)
		b.bitwise(src, xorLimits)
	case isa.CodeLsh:
		b.lsh(uint8(src.UMin), is64)
	case isa.CodeRsh:
		b.rsh(uint8(src.UMin), is64)
	case isa.CodeArsh:
		b.arsh(uint8(src.UMin), is64)
	}
	if !is64 {
		b.zext32()
	}
	b.sync()
}

// add: a signed interval is lost when an end overflows; an unsigned one only
// when some sums overflow and some do not.
func (b *Bounds) add(s *Bounds) {
	lo, hi := b.SMin+s.SMin, b.SMax+s.SMax
	if (lo < b.SMin) != (s.SMin < 0) || (hi < b.SMax) != (s.SMax < 0) {
		lo, hi = math.MinInt64, math.MaxInt64
	}
	b.SMin, b.SMax = lo, hi
	ulo, c1 := bits.Add64(b.UMin, s.UMin, 0)
	uhi, c2 := bits.Add64(b.UMax, s.UMax, 0)
	if c1 == 0 && c2 == 1 {
		ulo, uhi = 0, math.MaxUint64
	}
	b.UMin, b.UMax = ulo, uhi

	lo32, hi32 := int64(b.S32Min)+int64(s.S32Min), int64(b.S32Max)+int64(s.S32Max)
	b.S32Min, b.S32Max = fit32(lo32, hi32)
	ulo32, uhi32 := uint64(b.U32Min)+uint64(s.U32Min), uint64(b.U32Max)+uint64(s.U32Max)
	if ulo32 <= math.MaxUint32 && uhi32 > math.MaxUint32 {
		ulo32, uhi32 = 0, math.MaxUint32
	}
	b.U32Min, b.U32Max = uint32(ulo32), uint32(uhi32)
}

func (b *Bounds) sub(s *Bounds) {
	lo, hi := b.SMin-s.SMax, b.SMax-s.SMin
	if (lo > b.SMin) != (s.SMax < 0) || (hi > b.SMax) != (s.SMin < 0) {
		lo, hi = math.MinInt64, math.MaxInt64
	}
	b.SMin, b.SMax = lo, hi
	ulo, c1 := bits.Sub64(b.UMin, s.UMax, 0)
	uhi, c2 := bits.Sub64(b.UMax, s.UMin, 0)
	if c1 == 1 && c2 == 0 {
		ulo, uhi = 0, math.MaxUint64
	}
	b.UMin, b.UMax = ulo, uhi

	b.S32Min, b.S32Max = fit32(int64(b.S32Min)-int64(s.S32Max), int64(b.S32Max)-int64(s.S32Min))
	ulo32, uhi32 := int64(b.U32Min)-int64(s.U32Max), int64(b.U32Max)-int64(s.U32Min)
	if ulo32 < 0 && uhi32 >= 0 {
		ulo32, uhi32 = 0, math.MaxUint32
	}
	b.U32Min, b.U32Max = uint32(ulo32), uint32(uhi32)
}

// fit32 is the interval if both ends are 32-bit numbers, else all of them.
func fit32(lo, hi int64) (int32, int32) {
	if lo < math.MinInt32 || hi > math.MaxInt32 || lo > math.MaxInt32 || hi < math.MinInt32 {
		return math.MinInt32, math.MaxInt32
	}
	return int32(lo), int32(hi)
}

// mulOverflow reports whether the signed product does not fit.
func mulOverflow(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	shi := int64(hi)
	if a < 0 {
		shi -= b
	}
	if b < 0 {
		shi -= a
	}
	return int64(lo), shi != int64(lo)>>63
}

func (b *Bounds) mul(s *Bounds) {
	h1, umax := bits.Mul64(b.UMax, s.UMax)
	h2, umin := bits.Mul64(b.UMin, s.UMin)
	if h1 != 0 || h2 != 0 {
		umin, umax = 0, math.MaxUint64
	}
	lo, hi, over := int64(math.MaxInt64), int64(math.MinInt64), false
	for _, x := range [2]int64{b.SMin, b.SMax} {
		for _, y := range [2]int64{s.SMin, s.SMax} {
			p, o := mulOverflow(x, y)
			lo, hi, over = min(lo, p), max(hi, p), over || o
		}
	}
	if over {
		lo, hi = math.MinInt64, math.MaxInt64
	}
	b.UMin, b.UMax, b.SMin, b.SMax = umin, umax, lo, hi

	umin32, umax32 := uint64(b.U32Min)*uint64(s.U32Min), uint64(b.U32Max)*uint64(s.U32Max)
	if umax32 > math.MaxUint32 {
		umin32, umax32 = 0, math.MaxUint32
	}
	b.U32Min, b.U32Max = uint32(umin32), uint32(umax32)
	lo, hi = math.MaxInt64, math.MinInt64
	for _, x := range [2]int32{b.S32Min, b.S32Max} {
		for _, y := range [2]int32{s.S32Min, s.S32Max} {
			p := int64(x) * int64(y)
			lo, hi = min(lo, p), max(hi, p)
		}
	}
	b.S32Min, b.S32Max = fit32(lo, hi)
}

// Limits of and, or and xor from the operands' unsigned intervals and the bits
// of the result.
type bitLimits func(lo, hi, srcLo, srcHi uint64, v Tnum) (uint64, uint64)

func andLimits(_, hi, _, srcHi uint64, v Tnum) (uint64, uint64) { return v.Value, min(hi, srcHi) }
func orLimits(lo, _, srcLo, _ uint64, v Tnum) (uint64, uint64) {
	return max(lo, srcLo), v.Value | v.Mask
}
func xorLimits(_, _, _, _ uint64, v Tnum) (uint64, uint64) { return v.Value, v.Value | v.Mask }

// bitwise computes the intervals of and, or, xor; VarOff is the result's
// already (scalar32_min_max_and and its kin).
func (b *Bounds) bitwise(s *Bounds, limits bitLimits) {
	sub := b.VarOff.subreg()
	if sub.IsConst() && s.VarOff.isConstSubreg() {
		b.setConst32(uint32(sub.Value))
	} else {
		lo, hi := limits(uint64(b.U32Min), uint64(b.U32Max), uint64(s.U32Min), uint64(s.U32Max), sub)
		b.U32Min, b.U32Max = uint32(lo), uint32(hi)
		if int32(b.U32Min) <= int32(b.U32Max) {
			b.S32Min, b.S32Max = int32(b.U32Min), int32(b.U32Max)
		} else {
			b.S32Min, b.S32Max = math.MinInt32, math.MaxInt32
		}
	}
	if b.VarOff.IsConst() && s.VarOff.IsConst() {
		*b = constBounds(b.VarOff.Value)
		return
	}
	b.UMin, b.UMax = limits(b.UMin, b.UMax, s.UMin, s.UMax, b.VarOff)
	if int64(b.UMin) <= int64(b.UMax) {
		b.SMin, b.SMax = int64(b.UMin), int64(b.UMax)
	} else {
		b.SMin, b.SMax = math.MinInt64, math.MaxInt64
	}
	b.update()
}

func (b *Bounds) lsh(n uint8, is64 bool) {
	lsh32 := func() {
		b.S32Min, b.S32Max = math.MinInt32, math.MaxInt32
		if n > 31 || uint64(b.U32Max) > 1<<(31-n) {
			b.U32Min, b.U32Max = 0, math.MaxUint32
		} else {
			b.U32Min <<= n
			b.U32Max <<= n
		}
	}
	if !is64 {
		sub := b.VarOff.subreg()
		lsh32()
		b.VarOff = sub.lsh(n).subreg()
		b.unbound64()
		b.update32()
		return
	}
	if n == 32 {
		b.SMin, b.SMax = int64(b.S32Min)<<32, int64(b.S32Max)<<32
	} else {
		b.SMin, b.SMax = math.MinInt64, math.MaxInt64
	}
	if b.UMax > 1<<(63-n) {
		b.UMin, b.UMax = 0, math.MaxUint64
	} else {
		b.UMin <<= n
		b.UMax <<= n
	}
	lsh32()
	b.VarOff = b.VarOff.lsh(n)
	b.update()
}

func (b *Bounds) rsh(n uint8, is64 bool) {
	if !is64 {
		b.VarOff = b.VarOff.subreg().rsh(n)
		b.S32Min, b.S32Max = math.MinInt32, math.MaxInt32
		b.U32Min >>= n
		b.U32Max >>= n
		b.unbound64()
		b.update32()
		return
	}
	b.SMin, b.SMax = math.MinInt64, math.MaxInt64
	b.VarOff = b.VarOff.rsh(n)
	b.UMin >>= n
	b.UMax >>= n
	b.unbound32()
	b.update()
}

func (b *Bounds) arsh(n uint8, is64 bool) {
	if !is64 {
		b.S32Min >>= n
		b.S32Max >>= n
		b.VarOff = b.VarOff.subreg().arsh(n, 32)
		b.U32Min, b.U32Max = 0, math.MaxUint32
		b.unbound64()
		b.update32()
		return
	}
	b.SMin >>= n
	b.SMax >>= n
	b.VarOff = b.VarOff.arsh(n, 64)
	b.UMin, b.UMax = 0, math.MaxUint64
	b.unbound32()
	b.update()
}

// aluSymbol is the operator as the log prints it (bpf_alu_string).
func aluSymbol(code isa.Code) string {
	return [...]string{"+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", "neg", "%=", "^=", "=", "s>>=", "endian", "", ""}[code>>4]
}
