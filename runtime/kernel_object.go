package runtime

import (
	"fmt"

	"github.com/cilium/ebpf/btf"

	"bpfvm/vm"
)

const (
	// objectBase is where kernel objects begin that nobody has laid out; task_structs
	// lie below, what scenarios lay out above (taskBase, scenario's kernelBase).
	objectBase = 0xffff888200000000
	// objectGrain is the distance between objects: zeros follow up to there.
	objectGrain = 256
	// maxObjectBytes bounds all of them in bytes.
	maxObjectBytes = 16 << 20
)

// objectTable holds the kernel objects that stand in where a scenario does not say
// what an argument points to: one object of zeros for each type.
type objectTable struct {
	addr map[string]uint64
	next uint64
}

// KernelObject returns the address of an object of a structure of the target: the
// current task for a task_struct, else an object of zeros, always the same for a
// type. Programs read it through typed pointers and the probe_read helpers.
func (rt *Runtime) KernelObject(t btf.Type) (uint64, error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.kernelObject(t)
}

func (rt *Runtime) kernelObject(t btf.Type) (uint64, error) {
	name := t.TypeName()
	if name == "task_struct" {
		return rt.tasks.ask(rt, rt.task.PID), nil
	}
	if a, ok := rt.objects.addr[name]; ok && name != "" {
		return a, nil
	}
	size, err := btf.Sizeof(t)
	if err != nil {
		return 0, fmt.Errorf("object of type %s: %w", name, err)
	}
	room := uint64(max(size, 1)+objectGrain-1) &^ (objectGrain - 1)
	if rt.objects.next+room > maxObjectBytes {
		return 0, fmt.Errorf("object of type %s: more than %d bytes of kernel objects", name, maxObjectBytes)
	}
	addr := objectBase + rt.objects.next
	if err := rt.mem.Foreign.Add(vm.Segment{Addr: addr, Data: make([]byte, room), Name: name}); err != nil {
		return 0, err
	}
	rt.objects.next += room
	if rt.objects.addr == nil {
		rt.objects.addr = map[string]uint64{}
	}
	rt.objects.addr[name] = addr
	return addr, nil
}

// DefaultArgs gives words for all arguments of a signature: pointers to structures
// lead to kernel objects, the rest is zero.
func (rt *Runtime) DefaultArgs(s Signature) ([]uint64, error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.defaultArgs(s)
}

func (rt *Runtime) defaultArgs(s Signature) ([]uint64, error) {
	var words []uint64
	for i, n := range s.Slots() {
		w := make([]uint64, n)
		if to := PointsTo(s.Args[i].Type); to != nil {
			addr, err := rt.kernelObject(to)
			if err != nil {
				return nil, fmt.Errorf("argument %s: %w", s.Args[i].Name, err)
			}
			w[0] = addr
		}
		words = append(words, w...)
	}
	return words, nil
}
