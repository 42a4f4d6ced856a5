package interp

import (
	"math/bits"

	"bpfvm/isa"
)

// alu64 computes a 64-bit arithmetic instruction. signed selects sdiv and smod
// (off = 1). Division by zero gives 0 and the remainder of it the dividend; the
// shift distance is taken modulo 64 (RFC 9669, section 4.1).
func alu64(code isa.Code, signed bool, dst, src uint64) uint64 {
	switch code {
	case isa.CodeAdd:
		return dst + src
	case isa.CodeSub:
		return dst - src
	case isa.CodeMul:
		return dst * src
	case isa.CodeDiv:
		if signed {
			return sdiv64(dst, src)
		}
		return div64(dst, src)
	case isa.CodeMod:
		if signed {
			return smod64(dst, src)
		}
		return mod64(dst, src)
	case isa.CodeOr:
		return dst | src
	case isa.CodeAnd:
		return dst & src
	case isa.CodeXor:
		return dst ^ src
	case isa.CodeLsh:
		return dst << (src & 63)
	case isa.CodeRsh:
		return dst >> (src & 63)
	case isa.CodeArsh:
		return uint64(int64(dst) >> (src & 63))
	case isa.CodeNeg:
		return -dst
	}
	return src // CodeMov
}

// alu32 computes a 32-bit arithmetic instruction; its result is zero-extended.
func alu32(code isa.Code, signed bool, dst, src uint32) uint32 {
	switch code {
	case isa.CodeDiv:
		if signed {
			return sdiv32(dst, src)
		}
		return div32(dst, src)
	case isa.CodeMod:
		if signed {
			return smod32(dst, src)
		}
		return mod32(dst, src)
	case isa.CodeLsh:
		return dst << (src & 31)
	case isa.CodeRsh:
		return dst >> (src & 31)
	case isa.CodeArsh:
		return uint32(int32(dst) >> (src & 31))
	}
	// The low halves of the others do not depend on the high halves.
	return uint32(alu64(code, signed, uint64(dst), uint64(src)))
}

func div64(dst, src uint64) uint64 {
	if src == 0 {
		return 0
	}
	return dst / src
}

func mod64(dst, src uint64) uint64 {
	if src == 0 {
		return dst
	}
	return dst % src
}

// sdiv64 rounds towards zero. The most negative number divided by -1 is itself
// (verifier.c: do_misc_fixups turns division by -1 into a negation).
func sdiv64(dst, src uint64) uint64 {
	switch {
	case src == 0:
		return 0
	case int64(src) == -1:
		return -dst
	}
	return uint64(int64(dst) / int64(src))
}

// smod64 has the sign of the dividend.
func smod64(dst, src uint64) uint64 {
	switch {
	case src == 0:
		return dst
	case int64(src) == -1:
		return 0
	}
	return uint64(int64(dst) % int64(src))
}

func div32(dst, src uint32) uint32 {
	if src == 0 {
		return 0
	}
	return dst / src
}

func mod32(dst, src uint32) uint32 {
	if src == 0 {
		return dst
	}
	return dst % src
}

func sdiv32(dst, src uint32) uint32 {
	switch {
	case src == 0:
		return 0
	case int32(src) == -1:
		return -dst
	}
	return uint32(int32(dst) / int32(src))
}

func smod32(dst, src uint32) uint32 {
	switch {
	case src == 0:
		return dst
	case int32(src) == -1:
		return 0
	}
	return uint32(int32(dst) % int32(src))
}

// signExtend reads the low bits (8, 16 or 32) of v as a signed number.
func signExtend(v uint64, bits int16) uint64 {
	switch bits {
	case 8:
		return uint64(int64(int8(v)))
	case 16:
		return uint64(int64(int16(v)))
	}
	return uint64(int64(int32(v)))
}

// byteSwap reverses the low bits (16, 32 or 64) of v; the rest becomes zero.
func byteSwap(v uint64, size int32) uint64 {
	switch size {
	case 16:
		return uint64(bits.ReverseBytes16(uint16(v)))
	case 32:
		return uint64(bits.ReverseBytes32(uint32(v)))
	}
	return bits.ReverseBytes64(v)
}

// truncate keeps the low bits (16, 32 or 64) of v: the conversion to
// little-endian order on a little-endian machine.
func truncate(v uint64, size int32) uint64 {
	switch size {
	case 16:
		return uint64(uint16(v))
	case 32:
		return uint64(uint32(v))
	}
	return v
}

// compare decides a 64-bit conditional jump (RFC 9669, table 8).
func compare(code isa.Code, dst, src uint64) bool {
	switch code {
	case isa.CodeJeq:
		return dst == src
	case isa.CodeJne:
		return dst != src
	case isa.CodeJset:
		return dst&src != 0
	case isa.CodeJgt:
		return dst > src
	case isa.CodeJge:
		return dst >= src
	case isa.CodeJlt:
		return dst < src
	case isa.CodeJle:
		return dst <= src
	case isa.CodeJsgt:
		return int64(dst) > int64(src)
	case isa.CodeJsge:
		return int64(dst) >= int64(src)
	case isa.CodeJslt:
		return int64(dst) < int64(src)
	}
	return int64(dst) <= int64(src) // CodeJsle
}

// compare32 decides a 32-bit conditional jump: sign-extending both sides keeps
// every one of the comparisons, signed and unsigned.
func compare32(code isa.Code, dst, src uint32) bool {
	return compare(code, uint64(int64(int32(dst))), uint64(int64(int32(src))))
}

// mayGotoLimit is how often may_goto falls through in one activation of a
// function (include/linux/bpf.h, BPF_MAX_LOOPS).
const mayGotoLimit = 8 << 20
