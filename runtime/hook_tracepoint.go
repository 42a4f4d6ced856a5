package runtime

import (
	"fmt"

	"bpfvm/spec"
	"bpfvm/vm"
)

// Tracepoint is one record of a tracepoint, laid out as its format file says
// (tracefs: events/CATEGORY/NAME/format). The first 8 bytes are the common fields,
// which the kernel hides from programs; put what you like there.
type Tracepoint struct {
	Record []byte
	CPU    int
}

// maxTracepoint is PERF_MAX_TRACE_SIZE (include/linux/trace_events.h).
const maxTracepoint = 8192

func (t *Tracepoint) accepts(pt spec.ProgType) bool { return pt == spec.ProgTracepoint }
func (t *Tracepoint) on() int                       { return t.CPU }

func (t *Tracepoint) setup(e *Env, _ *Program) (*vm.Region, error) {
	if len(t.Record) < 8 || len(t.Record) > maxTracepoint {
		return nil, fmt.Errorf("record of %d bytes: want 8 to %d: %w", len(t.Record), maxTracepoint, spec.EINVAL)
	}
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, uint64(len(t.Record)), vm.PermRead)
	if err != nil {
		return nil, err
	}
	copy(e.rt.mem.Raw(ctx.Base, ctx.Size), t.Record)
	return ctx, nil
}

func (t *Tracepoint) finish(*Env, *Result) {}
