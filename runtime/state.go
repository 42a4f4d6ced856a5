package runtime

import (
	"github.com/cilium/ebpf/btf"

	"bpfvm/spec"
)

// helperState is what helpers and kernel functions keep from one run to the next.
type helperState struct {
	heap       heap
	containers containers
	socks      map[*Socket]*sockRef
	cookies    map[any]uint64    // of sockets, by what identifies them
	cookie     uint64            // the last one given
	cgroups    map[uint64]uint64 // id -> address of the struct cgroup
	timers     map[uint64]*timer // by address
	timerSeq   uint64
	timerRuns  []TimerRun // since the last result
	locals     map[*spec.CollectionSpec]*btf.Spec
}
