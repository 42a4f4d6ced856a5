package verifier

import "bpfvm/isa"

// maxFormatArgs is how many values one text may name (MAX_BPRINTF_VARARGS).
const maxFormatArgs = 12

// checkFormat checks the format text of bpf_snprintf, which must be known
// (check_bpf_snprintf_call): as many values as it names, and only conversions that
// the kernel has.
func (env *env) checkFormat(meta *callMeta) error {
	r := env.reg(isa.R3)
	size := env.reg(isa.R5)
	b, ok := constMapBytes(r.Map)
	if !ok || !size.VarOff.IsConst() {
		return notModelled("bpf_snprintf with a format that is not known")
	}
	n := size.VarOff.Value
	at := int64(r.Off) + int64(r.VarOff.Value)
	if n%8 != 0 || n > 8*maxFormatArgs || at < 0 || at >= int64(len(b)) || !formatFits(b[at:], int(n/8)) {
		return env.reject(CodeArgType, "Invalid format string\n")
	}
	return nil
}

// formatFits reads a format text up to its NUL (kernel/bpf/helpers.c,
// bpf_bprintf_prepare).
func formatFits(f []byte, args int) bool {
	char := func(i int) byte {
		if i < len(f) {
			return f[i]
		}
		return 0
	}
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	for i := 0; char(i) != 0; i++ {
		if c := f[i]; c >= 0x7f || c < ' ' && !isSpace(c) {
			return false
		}
		if f[i] != '%' {
			continue
		}
		if char(i+1) == '%' {
			i++
			continue
		}
		if args--; args < 0 {
			return false
		}
		i++
		for c := char(i); c == '0' || c == '+' || c == '-' || c == ' '; c = char(i) {
			i++
		}
		for digit(char(i)) {
			i++
		}
		switch char(i) {
		case 'p':
			n, ok := pointerFormat(char(i+1), char(i+2))
			if !ok {
				return false
			}
			i += n
			continue
		case 's', 'c':
			continue
		}
		for l := 0; l < 2 && char(i) == 'l'; l++ {
			i++
		}
		switch char(i) {
		case 'd', 'i', 'u', 'x', 'X':
		default:
			return false
		}
	}
	return true
}

// pointerFormat reads what follows %p and returns how many characters belong to it.
func pointerFormat(a, b byte) (n int, ok bool) {
	switch a {
	case 'k', 'u': // text of the kernel, of user space
		return 2, b == 's'
	case 'K', 'x', 's', 'S', 'B':
		return 1, true
	case 'i', 'I':
		return 2, b == '4' || b == '6'
	}
	alnum := a >= '0' && a <= '9' || a >= 'a' && a <= 'z' || a >= 'A' && a <= 'Z'
	return 0, a == 0 || !alnum && a < 0x7f
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
