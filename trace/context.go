package trace

import (
	"encoding/binary"
	"errors"
	"fmt"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// contextInput lays bytes out as a program's context; what is missing is zeros.
func contextInput(p *spec.ProgramSpec, b []byte) (runtime.Input, error) {
	words := func(n int) []uint64 {
		padded := make([]byte, 8*n)
		copy(padded, b)
		w := make([]uint64, n)
		for i := range w {
			w[i] = binary.LittleEndian.Uint64(padded[8*i:])
		}
		return w
	}
	tooLong := func(want int) error {
		if len(b) > want {
			return fmt.Errorf("context of %d bytes: that of %s (%s) has %d", len(b), p.Name, p.Type, want)
		}
		return nil
	}
	nregs := len(runtime.RegNames())
	regs := func() (out runtime.PtRegs) {
		w := words(nregs)
		for i, name := range runtime.RegNames() {
			*out.Reg(name) = w[i]
		}
		return out
	}
	switch p.Type {
	case spec.ProgKprobe:
		return &runtime.Kprobe{Regs: regs()}, tooLong(8 * nregs)
	case spec.ProgPerfEvent:
		w := words(nregs + 2)
		return &runtime.PerfEvent{Regs: regs(), Period: w[nregs], Addr: w[nregs+1]}, tooLong(8*nregs + 16)
	case spec.ProgRawTracepoint, spec.ProgRawTracepointWritable:
		return &runtime.RawTracepoint{Args: words((len(b) + 7) / 8)}, nil
	case spec.ProgTracepoint:
		size := max(len(b), 64)
		if layout := spec.Tracepoint(p.AttachTo); layout != nil {
			if err := tooLong(int(layout.Size)); err != nil {
				return nil, err
			}
			size = int(layout.Size)
		}
		rec := make([]byte, size)
		copy(rec, b)
		return &runtime.Tracepoint{Record: rec}, nil
	case spec.ProgSyscall:
		return &runtime.Syscall{Ctx: b}, nil
	case spec.ProgXDP, spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgSocketFilter, spec.ProgCgroupSKB:
		return nil, fmt.Errorf("%s runs on packets, not on a context of bytes", p.Name)
	}
	return nil, fmt.Errorf("context of bytes for a program of type %s: %w", p.Type, errors.ErrUnsupported)
}
