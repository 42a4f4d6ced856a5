package verifier

import "bpfvm/isa"

// checkFormat checks the format text of bpf_snprintf, which must be known
// (check_bpf_snprintf_call): as many values as it names, and only conversions
// that the kernel has.
func (env *env) checkFormat(meta *callMeta) error {
	r := env.reg(isa.R3)
	size := env.reg(isa.R5)
	b, ok := constMapBytes(r.Map)
	if !ok || !size.VarOff.IsConst() {
		return notModelled("bpf_snprintf with a format that is not known")
	}
	n := size.VarOff.Value
	if n%8 != 0 || n > 12*8 {
		return env.reject(CodeArgType, "Invalid format string\n")
	}
	at := int(r.Off) + int(int64(r.VarOff.Value))
	count := 0
	for i := at; i >= 0 && i < len(b) && b[i] != 0; i++ {
		if b[i] != '%' {
			continue
		}
		i++
		if i < len(b) && b[i] == '%' {
			continue
		}
		for i < len(b) && (b[i] == '0' || b[i] == '+' || b[i] == '-' || b[i] == ' ' || b[i] >= '1' && b[i] <= '9') {
			i++
		}
		for l := 0; l < 2 && i < len(b) && b[i] == 'l'; l++ {
			i++
		}
		if i >= len(b) {
			return notModelled("bpf_snprintf with an unusual format")
		}
		switch b[i] {
		case 'd', 'i', 'u', 'x', 'X', 's', 'c':
		default:
			return notModelled("bpf_snprintf with conversion %%%c", b[i])
		}
		count++
	}
	if uint64(count) > n/8 {
		return env.reject(CodeArgType, "Invalid format string\n")
	}
	return nil
}
