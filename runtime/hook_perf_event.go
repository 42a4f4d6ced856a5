package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
	"bpfvm/vm"
)

// PerfEvent is one sample of a perf event (struct bpf_perf_event_data).
type PerfEvent struct {
	Regs   PtRegs
	Period uint64
	Addr   uint64
	CPU    int
}

// perfEventSize is sizeof(struct bpf_perf_event_data).
const perfEventSize = ptRegsSize + 16

func (s *PerfEvent) accepts(t spec.ProgType) bool { return t == spec.ProgPerfEvent }
func (s *PerfEvent) on() int                      { return s.CPU }

func (s *PerfEvent) setup(e *Env, _ *Program) (*vm.Region, error) {
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, perfEventSize, vm.PermRead)
	if err != nil {
		return nil, err
	}
	b := e.rt.mem.Raw(ctx.Base, perfEventSize)
	s.Regs.put(b)
	binary.LittleEndian.PutUint64(b[ptRegsSize:], s.Period)
	binary.LittleEndian.PutUint64(b[ptRegsSize+8:], s.Addr)
	return ctx, nil
}

func (s *PerfEvent) finish(*Env, *Result) {}
