package isa

import (
	"math"
	"strings"
)

// immUse says how an instruction reads its 32-bit immediate, and so which
// numbers can be written for it.
type immUse uint8

const (
	immSigned immUse = iota // extended to 64 bits: -2^31 to 2^31-1
	immWord                 // only 32 bits count: up to 2^32-1 as well
	immJump                 // like immSigned, but the kernel prints it as 32 bits of hex
	immID                   // a number that names something: 32 bits
)

// number takes an unsigned number.
func (p *parser) number() uint64 {
	t := p.next()
	if t.kind != tokNumber {
		p.fail(t, "want a number, found %s", t)
		return 0
	}
	v, err := parseNumber(t.text)
	if err != nil {
		p.fail(t, "%s is not a number of up to 64 bits (decimal, 0x or 0b)", t)
	}
	return v
}

// imm32 takes an immediate with an optional sign.
func (p *parser) imm32(use immUse) int32 {
	t := p.peek()
	neg := p.accept("-")
	if !neg {
		p.accept("+")
	}
	if n := p.peek(); n.kind != tokNumber && use != immID {
		p.fail(n, "want a number or a register, found %s", n)
		return 0
	}
	hex := strings.HasPrefix(strings.ToLower(p.peek().text), "0x")
	v := p.number()
	if neg {
		if v > 1<<31 {
			p.fail(t, "-%#x does not fit 32 bits", v)
		}
		return int32(-int64(min(v, 1<<31)))
	}
	switch {
	case v <= math.MaxInt32:
	case v <= math.MaxUint32 && (use != immSigned && use != immJump || use == immJump && hex):
	case hex && v >= 1<<64-1<<31 && use != immID: // a sign-extended 64-bit number
	case v <= math.MaxUint32:
		p.fail(t, "%#x would be sign-extended to %#x; write %d for that, or load it with \"r1 = %#x ll\"",
			v, uint64(int64(int32(uint32(v)))), int32(uint32(v)), v)
	default:
		p.fail(t, "%#x does not fit 32 bits; a 64-bit constant is loaded with \"r1 = %#x ll\"", v, v)
	}
	return int32(uint32(v))
}

// off16 takes the number of an offset whose sign is known.
func (p *parser) off16(neg bool) int16 {
	t := p.peek()
	v := p.number()
	limit := uint64(math.MaxInt16)
	if neg {
		limit++
	}
	if v > limit {
		p.fail(t, "offset %d does not fit the 16 bits of the field (-32768 to 32767)", v)
		return 0
	}
	if neg {
		return int16(-int64(v))
	}
	return int16(v)
}

// memType is the width and signedness of an access.
type memType struct {
	size   Size
	signed bool
}

var memTypes = map[string]memType{
	"u8": {SizeB, false}, "u16": {SizeH, false}, "u32": {SizeW, false}, "u64": {SizeDW, false},
	"s8": {SizeB, true}, "s16": {SizeH, true}, "s32": {SizeW, true},
}

// pointerCast parses "(u32 *)".
func (p *parser) pointerCast() memType {
	p.expect("(")
	t := p.next()
	m, ok := memTypes[t.text]
	if !ok || t.kind != tokWord {
		p.fail(t, "want a width (u8 u16 u32 u64, or s8 s16 s32 to extend the sign), found %s", t)
	}
	p.expect("*")
	p.expect(")")
	return m
}

// address parses "(r2 +4)".
func (p *parser) address() (Register, int16) {
	p.expect("(")
	r, off := p.baseAndOffset()
	p.expect(")")
	return r, off
}

// baseAndOffset parses "r2 +4".
func (p *parser) baseAndOffset() (Register, int16) {
	r, _ := p.register(64)
	var off int16
	if t := p.peek(); t.is("+") || t.is("-") {
		p.next()
		neg := t.is("-")
		if p.accept("-") { // as in "skb[r1 + -5]"
			neg = !neg
		}
		off = p.off16(neg)
	}
	return r, off
}

// typedAddress parses "(u64 *)(r1 +0)", the operand of atomics, without sign.
func (p *parser) typedAddress() (Size, Register, int16) {
	at := p.peek()
	m := p.pointerCast()
	if m.signed {
		p.fail(at, "only loads extend signs; write u8, u16, u32 or u64")
	}
	r, off := p.address()
	return m.size, r, off
}

// store parses what follows the "*" of a store: "(u32 *)(r1 +4) = r2", and with
// lock the atomics that return nothing: "(u64 *)(r1 +0) += r2".
func (p *parser) store(lock bool) {
	size, dst, off := p.typedAddress()
	op := p.next()
	if lock {
		p.lockedUpdate(op, size, dst, off)
		return
	}
	if !op.is("=") {
		if _, ok := aluAssign[op.text]; ok && op.kind == tokPunct {
			p.fail(op, "memory is changed in place only with \"lock *(u64 *)(r1 +0) %s r2\"", op.text)
		}
		p.fail(op, "want \"=\", found %s", op)
	}
	if t := p.peek(); isRegister(t) || t.is("fp") {
		src := p.storedRegister(size)
		p.emit(MemOp(ClassSTX, ModeMEM, size), dst, src, off, 0)
		return
	}
	use := immWord
	if size == SizeDW {
		use = immSigned
	}
	p.emit(MemOp(ClassST, ModeMEM, size), dst, 0, off, p.imm32(use))
}

// storedRegister takes the register of a store. LLVM writes its w name where
// at most four bytes are stored; the encoding is the same.
func (p *parser) storedRegister(size Size) Register {
	if size == SizeDW {
		r, _ := p.register(64)
		return r
	}
	r, _ := p.register(0)
	return r
}

// lockedAtomics maps the operators of "lock" to the operation.
var lockedAtomics = map[string]AtomicOp{"+=": AtomicAdd, "|=": AtomicOr, "&=": AtomicAnd, "^=": AtomicXor}

func (p *parser) lockedUpdate(op token, size Size, dst Register, off int16) {
	a, ok := lockedAtomics[op.text]
	if !ok || op.kind != tokPunct {
		p.fail(op, "want one of += |= &= ^= after lock, found %s", op)
	}
	if size != SizeW && size != SizeDW {
		p.fail(op, "atomics are 4 or 8 bytes wide: u32 or u64")
	}
	p.emit(MemOp(ClassSTX, ModeATOMIC, size), dst, p.storedRegister(size), off, int32(a))
}

// storeRelease parses "((u64 *)(r1 +0), r2)".
func (p *parser) storeRelease() {
	p.expect("(")
	size, dst, off := p.typedAddress()
	p.expect(",")
	src := p.storedRegister(size)
	p.expect(")")
	p.emit(MemOp(ClassSTX, ModeATOMIC, size), dst, src, off, int32(AtomicStoreRel))
}
