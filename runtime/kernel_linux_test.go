package runtime_test

import (
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/perf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"bpfvm/spec"
)

// pinToCPU keeps the thread on one CPU.
func pinToCPU(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}

// recordReader returns a function that gives the next record, if there is one, for
// maps that have records.
func recordReader(m *ebpf.Map, typ spec.MapType) (func() ([]byte, bool), error) {
	switch typ {
	case spec.MapRingBuf:
		r, err := ringbuf.NewReader(m)
		return func() ([]byte, bool) {
			r.SetDeadline(time.Now())
			rec, err := r.Read()
			return rec.RawSample, err == nil
		}, err
	case spec.MapPerfEventArray:
		r, err := perf.NewReader(m, 64*4096)
		return func() ([]byte, bool) {
			r.SetDeadline(time.Now())
			rec, err := r.Read()
			return rec.RawSample, err == nil
		}, err
	}
	return nil, nil
}
