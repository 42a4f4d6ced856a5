package runtime

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
	"bpfvm/vm"
)

// RawTracepoint is one hit of a raw tracepoint: its arguments as they are (struct
// bpf_raw_tracepoint_args). Programs may read as many as the tracepoint has; what
// is not given is zero. Programs that know the arguments' types (tp_btf) and those
// that may write the buffer which the first one points to (raw_tracepoint.w) get
// the same words.
type RawTracepoint struct {
	Args []uint64
	// Buffer is what the first argument points to for writable programs.
	Buffer []byte
	CPU    int
}

// maxRawArgs is the largest number of arguments of a tracepoint
// (kernel/trace/bpf_trace.c, bpf_trace_run12).
const maxRawArgs = 12

func (r *RawTracepoint) accepts(t spec.ProgType) bool {
	return t == spec.ProgRawTracepoint || t == spec.ProgRawTracepointWritable || t == spec.ProgTracing
}

func (r *RawTracepoint) on() int { return r.CPU }

func (r *RawTracepoint) setup(e *Env, p *Program) (*vm.Region, error) {
	switch {
	case len(r.Args) > maxRawArgs:
		return nil, fmt.Errorf("%d arguments: at most %d: %w", len(r.Args), maxRawArgs, spec.EINVAL)
	case p.Type() == spec.ProgTracing && p.spec.Attach != spec.AttachTraceRawTP:
		return nil, fmt.Errorf("%s does not trace a tracepoint: %w", p.Name(), spec.EINVAL)
	case len(r.Buffer) > skbMaxLen:
		return nil, fmt.Errorf("buffer of %d bytes: at most %d: %w", len(r.Buffer), skbMaxLen, spec.EINVAL)
	}
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, 8*maxRawArgs, vm.PermRead)
	if err != nil {
		return nil, err
	}
	e.args = len(r.Args)
	for i, a := range r.Args {
		binary.LittleEndian.PutUint64(e.rt.mem.Raw(ctx.Base+uint64(8*i), 8), a)
	}
	if p.Type() == spec.ProgRawTracepointWritable {
		buf, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionScratch, uint64(max(len(r.Buffer), 1)), vm.PermRW)
		if err != nil {
			return nil, err
		}
		copy(e.rt.mem.Raw(buf.Base, buf.Size), r.Buffer)
		binary.LittleEndian.PutUint64(e.rt.mem.Raw(ctx.Base, 8), buf.Base)
		e.buffer = buf
	}
	return ctx, nil
}

func (r *RawTracepoint) finish(e *Env, res *Result) {
	if e.buffer != nil {
		res.Output = bytes.Clone(e.rt.mem.Raw(e.buffer.Base, uint64(len(r.Buffer))))
	}
}
