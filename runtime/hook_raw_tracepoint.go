package runtime

import (
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
	"bpfvm/vm"
)

// RawTracepoint is one hit of a raw tracepoint: its arguments as they are (struct
// bpf_raw_tracepoint_args). Programs may read as many as the tracepoint has; what
// is not given is zero.
type RawTracepoint struct {
	Args []uint64
	CPU  int
}

// maxRawArgs is the largest number of arguments of a tracepoint
// (kernel/trace/bpf_trace.c, bpf_trace_run12).
const maxRawArgs = 12

func (r *RawTracepoint) accepts(t spec.ProgType) bool {
	return t == spec.ProgRawTracepoint
}

func (r *RawTracepoint) on() int { return r.CPU }

func (r *RawTracepoint) setup(e *Env, _ *Program) (*vm.Region, error) {
	if len(r.Args) > maxRawArgs {
		return nil, fmt.Errorf("%d arguments: at most %d: %w", len(r.Args), maxRawArgs, spec.EINVAL)
	}
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, 8*maxRawArgs, vm.PermRead)
	if err != nil {
		return nil, err
	}
	b := e.rt.mem.Raw(ctx.Base, ctx.Size)
	for i, a := range r.Args {
		binary.LittleEndian.PutUint64(b[8*i:], a)
	}
	return ctx, nil
}

func (r *RawTracepoint) finish(*Env, *Result) {}
