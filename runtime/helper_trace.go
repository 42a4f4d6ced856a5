package runtime

import (
	"bytes"
	"encoding/binary"
	"strings"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_trace_printk":  tracePrintk,
		"bpf_trace_vprintk": traceVprintk,
		"bpf_snprintf":      snprintf,
		"bpf_strncmp":       strncmp,
	})
}

// tracePrintk is bpf_trace_printk(fmt, fmt_size, ...): a line for the trace buffer
// with at most three arguments. R0 is the number of bytes printed.
func tracePrintk(e *Env, format, size, a1, a2, a3 uint64) (uint64, error) {
	f, err := e.read(format, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	return e.printk(f, []uint64{a1, a2, a3}), nil
}

// traceVprintk is bpf_trace_vprintk(fmt, fmt_size, args, data_len): the same with
// up to twelve arguments in an array.
func traceVprintk(e *Env, format, size, args, dataLen, _ uint64) (uint64, error) {
	f, err := e.read(format, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	a, errno, err := e.printArgs(args, dataLen)
	if err != nil || errno != 0 {
		return errno.Ret(), err
	}
	return e.printk(f, a), nil
}

// printArgs reads an array of arguments.
func (e *Env) printArgs(addr, dataLen uint64) ([]uint64, spec.Errno, error) {
	n := uint64(uint32(dataLen))
	if n%8 != 0 || n > maxBprintfArgs*8 || n != 0 && addr == 0 {
		return nil, spec.EINVAL, nil
	}
	if n == 0 {
		return nil, 0, nil
	}
	b, err := e.read(addr, n)
	if err != nil {
		return nil, 0, err
	}
	args := make([]uint64, n/8)
	for i := range args {
		args[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return args, 0, nil
}

func (e *Env) printk(format []byte, args []uint64) uint64 {
	s, n, errno := e.bprintf(format, args)
	if errno != 0 {
		return errno.Ret()
	}
	t := &e.rt.task
	e.rt.trace.add(TraceLine{
		Comm: t.comm(), PID: t.PID, CPU: e.cpu, Time: e.rt.Clock.Now, Msg: strings.TrimSuffix(s, "\n"),
	})
	return uint64(n)
}

// snprintf is bpf_snprintf(str, str_size, fmt, args, data_len): R0 is the length
// that the whole text has, with the NUL.
func snprintf(e *Env, str, size, format, args, dataLen uint64) (uint64, error) {
	dst, err := e.write(str, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	a, errno, err := e.printArgs(args, dataLen)
	if err != nil || errno != 0 {
		return errno.Ret(), err
	}
	f, err := e.cString(format, maxString)
	if err != nil {
		return 0, err
	}
	s, n, errno := e.bprintf(f, a)
	if errno != 0 {
		return errno.Ret(), nil
	}
	if len(dst) > 0 {
		dst[copy(dst[:len(dst)-1], s)] = 0
	}
	return uint64(n + 1), nil
}

// maxString bounds strings that end at a NUL. The kernel has no bound but the size
// of the map that holds them.
const maxString = 64 << 10

// cString returns at most limit bytes from an address, up to and with the NUL.
func (e *Env) cString(addr uint64, limit int) ([]byte, error) {
	var s []byte
	for len(s) < limit {
		b, err := e.read(addr+uint64(len(s)), 1)
		if err != nil {
			return nil, err
		}
		s = append(s, b[0])
		if b[0] == 0 {
			break
		}
	}
	return s, nil
}

// strncmp is bpf_strncmp(s1, s1_sz, s2): strncmp with the size second; s2 is a
// constant string.
func strncmp(e *Env, s1, size, s2, _, _ uint64) (uint64, error) {
	a, err := e.read(s1, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	b, err := e.cString(s2, min(len(a), maxString))
	if err != nil {
		return 0, err
	}
	// Both end at their NUL or after size bytes.
	return uint64(int64(bytes.Compare(untilNUL(a), untilNUL(b)))), nil
}

func untilNUL(b []byte) []byte {
	if before, _, ok := bytes.Cut(b, []byte{0}); ok {
		return before
	}
	return b
}
