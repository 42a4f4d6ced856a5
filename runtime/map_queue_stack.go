package runtime

import (
	"bytes"

	"bpfvm/spec"
	"bpfvm/vm"
)

// QueueStack is a BPF_MAP_TYPE_QUEUE (first in, first out) or BPF_MAP_TYPE_STACK
// (last in, first out; kernel/bpf/queue_stack_maps.c). It has values and no keys:
// push adds one, peek copies the next one, pop takes it away. For user space these
// are update, lookup and lookup-and-delete without a key.
//
//	    tail                head
//	     v                   v
//	----+---+---+---+---+---+----      a ring of max_entries+1 places: when head
//	    | a | b | c | d | e |          and tail meet, it is empty
//	----+---+---+---+---+---+----
//
// Both push at the head. A queue pops a, a stack e.
type QueueStack struct {
	mapBase
	ring       *vm.Region // outside of what programs can reach
	head, tail uint64
	size       uint64 // places: max_entries + 1
}

// kmallocMax is KMALLOC_MAX_SIZE on x86-64 (include/linux/slab.h): 4 MiB.
const kmallocMax = 4 << 20

// queueStackFlags is QUEUE_STACK_CREATE_FLAG_MASK.
const queueStackFlags = spec.MapNUMANode | accessFlags

// checkQueueStack is queue_stack_map_alloc_check.
func checkQueueStack(s *spec.MapSpec, _ int) spec.Errno {
	switch {
	case s.MaxEntries == 0, s.KeySize != 0, s.ValueSize == 0, s.Flags&^queueStackFlags != 0:
		return spec.EINVAL
	case s.ValueSize > kmallocMax:
		return spec.E2BIG
	}
	return 0
}

func newQueueStack(b mapBase) (kmap, error) {
	m := &QueueStack{mapBase: b, size: uint64(b.spec.MaxEntries) + 1}
	r, err := b.rt.mem.Alloc(vm.Spec{
		Kind: vm.RegionMapValue, Name: b.spec.Name, Perm: vm.PermNone,
		Elem: uint64(b.spec.ValueSize), Count: m.size, Owner: m,
	})
	if err != nil {
		return nil, allocErr(err)
	}
	m.ring = r
	return m, nil
}

// Len returns the number of values.
func (m *QueueStack) Len() int { return int((m.head + m.size - m.tail) % m.size) }

// place returns the bytes of a place.
func (m *QueueStack) place(i uint64) []byte {
	return m.rt.mem.Raw(m.ring.Base+i*m.ring.Stride, uint64(m.spec.ValueSize))
}

// Values returns the values in the order in which they would be popped.
func (m *QueueStack) Values() [][]byte {
	defer m.lock().Unlock()
	var all [][]byte
	for i := range uint64(m.Len()) {
		at := m.tail + i
		if m.spec.Type == spec.MapStack {
			at = m.head + m.size - 1 - i
		}
		all = append(all, bytes.Clone(m.place(at%m.size)))
	}
	return all
}

// push is queue_stack_map_push_elem. BPF_EXIST makes room in a full map by
// dropping the oldest value, of a stack too.
func (m *QueueStack) push(value []byte, flags uint64) spec.Errno {
	if flags&spec.UpdateNoExist != 0 || flags > spec.UpdateExist {
		return spec.EINVAL
	}
	next := (m.head + 1) % m.size
	if next == m.tail {
		if flags&spec.UpdateExist == 0 {
			return spec.E2BIG
		}
		m.tail = (m.tail + 1) % m.size
	}
	copy(m.place(m.head), value)
	m.head = next
	return 0
}

// get is __queue_map_get and __stack_map_get: it copies the next value, and takes
// it away when remove says so. There is none: the copy is zeros, and ENOENT.
func (m *QueueStack) get(value []byte, remove bool) spec.Errno {
	if m.head == m.tail {
		clear(value)
		return spec.ENOENT
	}
	if m.spec.Type == spec.MapQueue {
		copy(value, m.place(m.tail))
		if remove {
			m.tail = (m.tail + 1) % m.size
		}
		return 0
	}
	last := (m.head + m.size - 1) % m.size
	copy(value, m.place(last))
	if remove {
		m.head = last
	}
	return 0
}

func (m *QueueStack) peek(value []byte) spec.Errno { return m.get(value, false) }

func (m *QueueStack) pop(value []byte) spec.Errno { return m.get(value, true) }

// The operations with keys do not exist (queue_stack_map_lookup_elem and so on).

func (m *QueueStack) lookupElem(int, []byte) (uint64, spec.Errno) { return 0, spec.EINVAL }

func (m *QueueStack) updateElem(int, []byte, []byte, uint64) spec.Errno { return spec.EINVAL }

func (m *QueueStack) deleteElem([]byte) spec.Errno { return spec.EINVAL }

func (m *QueueStack) nextKey([]byte) ([]byte, spec.Errno) { return nil, spec.EINVAL }

// sysLookup peeks.
func (m *QueueStack) sysLookup([]byte) ([]byte, spec.Errno) {
	value := make([]byte, m.spec.ValueSize)
	if e := m.peek(value); e != 0 {
		return nil, e
	}
	return value, 0
}

// sysUpdate pushes.
func (m *QueueStack) sysUpdate(_, value []byte, flags uint64) error {
	return asError(m.push(value, flags))
}

// sysTake pops.
func (m *QueueStack) sysTake([]byte) ([]byte, spec.Errno) {
	value := make([]byte, m.spec.ValueSize)
	if e := m.pop(value); e != 0 {
		return nil, e
	}
	return value, 0
}
