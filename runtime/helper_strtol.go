package runtime

import (
	"encoding/binary"
	"math"
	"math/bits"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_strtol":  strtol,
		"bpf_strtoul": strtoul,
	})
}

// strtoxBase is BPF_STRTOX_BASE_MASK: the number's base, 0 (by its prefix), 8, 10 or
// 16.
const strtoxBase = 0x1f

// strtoxMax is the longest number that is looked at: the buffer of __bpf_strtoull.
const strtoxMax = 63

// strtol is bpf_strtol(buf, buf_len, flags, res): R0 is the number of bytes that
// make up the number, white space before it included.
func strtol(e *Env, buf, size, flags, res, _ uint64) (uint64, error) {
	n, v, negative, errno, err := e.strtoull(buf, size, flags, res)
	if err != nil || errno != 0 {
		return errno.Ret(), err
	}
	if negative && int64(-v) > 0 || !negative && v > math.MaxInt64 {
		return spec.ERANGE.Ret(), nil
	}
	if negative {
		v = -v
	}
	return n, e.putWord(res, v)
}

// strtoul is bpf_strtoul: the same for numbers without a sign.
func strtoul(e *Env, buf, size, flags, res, _ uint64) (uint64, error) {
	n, v, negative, errno, err := e.strtoull(buf, size, flags, res)
	switch {
	case err != nil || errno != 0:
		return errno.Ret(), err
	case negative:
		return spec.EINVAL.Ret(), nil
	}
	return n, e.putWord(res, v)
}

func (e *Env) putWord(addr, v uint64) error {
	b, err := e.write(addr, 8)
	if err == nil {
		binary.LittleEndian.PutUint64(b, v)
	}
	return err
}

// strtoull is __bpf_strtoull (kernel/bpf/helpers.c).
func (e *Env) strtoull(buf, size, flags, res uint64) (n, v uint64, negative bool, errno spec.Errno, err error) {
	if err = e.putWord(res, 0); err != nil {
		return
	}
	s, err := e.read(buf, size)
	if err != nil {
		return
	}
	base := flags & strtoxBase
	if len(s) == 0 || flags&^strtoxBase != 0 || base != 0 && base != 8 && base != 10 && base != 16 {
		return 0, 0, false, spec.EINVAL, nil
	}
	i := 0
	for i < len(s) && (isSpace(s[i]) || s[i] == 0xa0) {
		i++
	}
	if negative = i < len(s) && s[i] == '-'; negative {
		i++
	}
	digits := s[i:min(len(s), i+strtoxMax)]
	prefix, base := radix(digits, base)
	v, count, overflow := parseInteger(digits[prefix:], base)
	switch {
	case overflow:
		return 0, 0, false, spec.ERANGE, nil
	case count == 0:
		return 0, 0, false, spec.EINVAL, nil
	}
	return uint64(i + prefix + count), v, negative, 0, nil
}

// radix is _parse_integer_fixup_radix (lib/kstrtox.c): the base by the prefix, and
// the length of a 0x to skip.
func radix(s []byte, base uint64) (prefix int, _ uint64) {
	at := func(i int) byte {
		if i < len(s) {
			return s[i]
		}
		return 0
	}
	hex := at(0) == '0' && at(1)|0x20 == 'x'
	if base == 0 {
		switch {
		case hex && digit(at(2)) < 16:
			base = 16
		case at(0) == '0':
			base = 8
		default:
			base = 10
		}
	}
	if base == 16 && hex {
		return 2, base
	}
	return 0, base
}

// digit is the value of a digit, 36 or more for anything else.
func digit(c byte) uint64 {
	switch {
	case c >= '0' && c <= '9':
		return uint64(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return uint64(c|0x20-'a') + 10
	}
	return 36
}

// parseInteger is _parse_integer: the value of the digits at the start of s and their
// number.
func parseInteger(s []byte, base uint64) (v uint64, n int, overflow bool) {
	for ; n < len(s) && digit(s[n]) < base; n++ {
		hi, lo := bits.Mul64(v, base)
		sum, carry := bits.Add64(lo, digit(s[n]), 0)
		overflow = overflow || hi+carry != 0
		v = sum
	}
	return v, n, overflow
}
