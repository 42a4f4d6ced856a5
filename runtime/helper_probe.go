package runtime

import (
	"bytes"

	"bpfvm/spec"
	"bpfvm/vm"
)

func init() {
	register(map[string]helperFunc{
		"bpf_probe_read":            probe(anySpace, false),
		"bpf_probe_read_kernel":     probe(kernelSpace, false),
		"bpf_probe_read_user":       probe(userSpace, false),
		"bpf_probe_read_str":        probe(anySpace, true),
		"bpf_probe_read_kernel_str": probe(kernelSpace, true),
		"bpf_probe_read_user_str":   probe(userSpace, true),
	})
}

// space says which addresses a probe_read may reach.
type space int

const (
	anySpace    space = iota // by the address, as machines with separate halves do
	kernelSpace              // kernel addresses, and what lies in the arena
	userSpace                // user addresses only
)

// The halves of the address space of x86-64 with 48-bit addresses
// (Documentation/arch/x86/x86_64/mm.rst); what is between them is not canonical.
const (
	taskSize   = 1<<47 - pageSize // TASK_SIZE_MAX
	kernelHalf = 0xffff800000000000
)

// probe makes a helper of the probe_read family (kernel/trace/bpf_trace.c):
// (dst, size, address). Plain reads give 0, strings their length with the NUL;
// what is not there gives -EFAULT and zeroes in all of dst. The forms for the
// kernel's memory give -ERANGE for addresses that are not the kernel's.
func probe(where space, str bool) helperFunc {
	return func(e *Env, dst, size, addr, _, _ uint64) (uint64, error) {
		b, err := e.write(dst, uint64(uint32(size)))
		if err != nil {
			return 0, err
		}
		if str {
			return e.probeStr(b, addr, where), nil
		}
		return e.probeFill(b, addr, where).Ret(), nil
	}
}

// probeFill fills dst or zeroes it.
func (e *Env) probeFill(dst []byte, addr uint64, where space) spec.Errno {
	errno := spec.Errno(0)
	switch {
	case where == kernelSpace && !e.kernelAddr(addr):
		errno = spec.ERANGE
	case len(dst) > 0 && !e.probeRead(dst, addr, where):
		errno = spec.EFAULT
	default:
		return 0
	}
	clear(dst)
	return errno
}

// kernelAddr is copy_from_kernel_nofault_allowed (arch/x86/mm/maccess.c): what is
// not in the kernel's half of the address space is ERANGE, not EFAULT.
func (e *Env) kernelAddr(addr uint64) bool {
	return addr >= kernelHalf || e.rt.mem.Find(addr) != nil
}

// probeRead fills dst with what lies at an address of the arena or outside.
func (e *Env) probeRead(dst []byte, addr uint64, where space) bool {
	if e.rt.mem.Has(addr, len(dst), vm.PermRead) {
		// The arena plays the kernel's memory: stack, maps, packets.
		if where == userSpace {
			return false
		}
		copy(dst, e.rt.mem.Raw(addr, uint64(len(dst))))
		return true
	}
	user := addr < taskSize
	if user && where == kernelSpace || !user && where == userSpace {
		return false
	}
	return e.rt.mem.Foreign.Read(dst, addr) == len(dst)
}

// probeStr is strncpy_from_kernel_nofault and its sibling: up to len(dst) bytes
// with the NUL, which is always stored. Of a string that is too long the last byte
// is cut off. Bytes behind the NUL stay as they were.
func (e *Env) probeStr(dst []byte, addr uint64, where space) uint64 {
	if len(dst) == 0 {
		return 0
	}
	if where == kernelSpace && !e.kernelAddr(addr) {
		clear(dst)
		return spec.ERANGE.Ret()
	}
	// A string may end just before a fault, so it is read in growing pieces that
	// stop where memory does.
	n := 0
	var buf [64]byte
	for n < len(dst) {
		chunk := buf[:min(len(buf), len(dst)-n)]
		got := e.probePrefix(chunk, addr+uint64(n), where)
		if i := bytes.IndexByte(chunk[:got], 0); i >= 0 {
			copy(dst[n:], chunk[:i+1])
			return uint64(n + i + 1)
		}
		if got < len(chunk) {
			clear(dst)
			return spec.EFAULT.Ret()
		}
		copy(dst[n:], chunk)
		n += got
	}
	dst[len(dst)-1] = 0
	return uint64(len(dst))
}

// probePrefix reads as many bytes as there are and returns their number.
func (e *Env) probePrefix(dst []byte, addr uint64, where space) int {
	if e.probeRead(dst, addr, where) {
		return len(dst)
	}
	for i := range dst {
		if !e.probeRead(dst[i:i+1], addr+uint64(i), where) {
			return i
		}
	}
	return len(dst)
}
