package runtime

import (
	"fmt"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{"bpf_perf_event_output": perfEventOutput})
	register(map[string]helperFunc{"bpf_perf_event_output": packetEventOutput},
		spec.ProgXDP, spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgSocketFilter)
}

// Flags of bpf_perf_event_output (include/uapi/linux/bpf.h).
const (
	perfIndexMask  = 1<<32 - 1     // BPF_F_INDEX_MASK
	perfCurrentCPU = 1<<32 - 1     // BPF_F_CURRENT_CPU
	perfCtxLenMask = 0xfffff << 32 // BPF_F_CTXLEN_MASK
)

// perfArray returns the perf event array behind a handle.
func (e *Env) perfArray(handle uint64) (*PerfEventArray, error) {
	m, err := e.rt.baseAt(handle)
	if err != nil {
		return nil, err
	}
	if a, ok := m.self.(*PerfEventArray); ok {
		return a, nil
	}
	return nil, fmt.Errorf("map %q is no perf event array", m.Name())
}

// perfEventOutput is bpf_perf_event_output of tracing programs: (ctx, map, flags,
// data, size).
func perfEventOutput(e *Env, _, handle, flags, data, size uint64) (uint64, error) {
	return e.perfOutput(handle, flags, data, size, 0)
}

// packetEventOutput is that of packet programs: bits 32 to 51 of the flags ask for
// so many bytes of the packet behind the data (net/core/filter.c,
// bpf_xdp_event_output and bpf_skb_event_output).
func packetEventOutput(e *Env, _, handle, flags, data, size uint64) (uint64, error) {
	n := flags & perfCtxLenMask >> 32
	if flags&^(perfCtxLenMask|perfIndexMask) == 0 && n > e.packet.len() {
		return spec.EFAULT.Ret(), nil
	}
	return e.perfOutput(handle, flags&^perfCtxLenMask, data, size, n)
}

func (e *Env) perfOutput(handle, flags, data, size, packet uint64) (uint64, error) {
	m, err := e.perfArray(handle)
	if err != nil {
		return 0, err
	}
	b, err := e.read(data, size)
	if err != nil {
		return 0, err
	}
	if flags&^perfIndexMask != 0 {
		return spec.EINVAL.Ret(), nil
	}
	index := flags & perfIndexMask
	if index == perfCurrentCPU {
		index = uint64(e.cpu)
	}
	if packet > 0 {
		all := make([]byte, size+packet)
		copy(all, b)
		e.packet.copyOut(all[size:], 0)
		b = all
	}
	return m.output(e.cpu, index, b).Ret(), nil
}
