package runtime

import (
	"github.com/cilium/ebpf/btf"

	"bpfvm/types"
)

// taskLayout is where the target kernel keeps the fields of a task.
type taskLayout struct {
	task, mm, cred structLayout
}

// structLayout holds the size of a structure and the offsets of its fields, those
// of anonymous members included.
type structLayout struct {
	size uint32
	off  map[string]uint32
}

func (l *taskLayout) init(target *btf.Spec) {
	l.task = layoutOf(target, "task_struct")
	l.mm = layoutOf(target, "mm_struct")
	l.cred = layoutOf(target, "cred")
}

// layoutOf looks a structure up; it is empty when the target does not have it.
func layoutOf(target *btf.Spec, name string) structLayout {
	t, err := types.TypeByName(target, "struct "+name)
	if err != nil {
		return structLayout{}
	}
	fields, err := types.Fields(t)
	if err != nil {
		return structLayout{}
	}
	l := structLayout{off: map[string]uint32{}}
	for _, f := range fields {
		if end := f.Off + f.Size; f.Bits == 0 && end <= taskStride/4 {
			l.off[f.Name] = f.Off
			l.size = max(l.size, end)
		}
	}
	return l
}
