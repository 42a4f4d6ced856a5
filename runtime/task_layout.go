package runtime

import "github.com/cilium/ebpf/btf"

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
	var s *btf.Struct
	if target == nil || target.TypeByName(name, &s) != nil {
		return structLayout{}
	}
	l := structLayout{size: min(s.Size, taskStride/4), off: map[string]uint32{}}
	l.add(s.Members, 0, 0)
	return l
}

// add collects members; depth bounds types that contain themselves, which broken
// BTF may have.
func (l *structLayout) add(members []btf.Member, base uint32, depth int) {
	if depth > 8 {
		return
	}
	for _, m := range members {
		off := base + m.Offset.Bytes()
		if m.Name != "" {
			if _, ok := l.off[m.Name]; !ok {
				l.off[m.Name] = off
			}
			continue
		}
		switch t := btf.UnderlyingType(m.Type).(type) {
		case *btf.Struct:
			l.add(t.Members, off, depth+1)
		case *btf.Union:
			l.add(t.Members, off, depth+1)
		}
	}
}
