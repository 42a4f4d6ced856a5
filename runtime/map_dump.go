package runtime

import (
	"bytes"
	"encoding/binary"
	"iter"

	"bpfvm/spec"
)

// Elements yields what is in a map, for display. It is [All], and shows more than
// bpf(2) would tell:
//
//   - queues and stacks: the values in the order in which they would be popped, with
//     their places as keys of 4 bytes;
//   - cgroup arrays and maps of sockets: the numbers of the objects, also where user
//     space cannot read them back;
//   - storage of sockets, tasks and cgroups by their numbers, in 4 bytes; that of
//     other objects by their addresses, in 8.
//
// Bloom filters, ring buffers and perf event arrays yield nothing.
func Elements(m Map) iter.Seq2[[]byte, []byte] {
	switch m := m.(type) {
	case *QueueStack:
		return func(yield func(key, value []byte) bool) {
			for i, v := range m.Values() {
				if !yield(number(uint32(i)), v) {
					return
				}
			}
		}
	case *CgroupArray:
		return m.numbers(&m.ids)
	case *XSKMap:
		return m.numbers(&m.cookies)
	case *ReuseportArray:
		return m.numbers(&m.cookies)
	case *Sockmap:
		if m.hash() {
			return m.hashed()
		}
		return m.numbers(&m.cookies)
	case *LocalStorage:
		return m.elements()
	}
	return All(m)
}

// numbers yields the places that are not empty, in the size of the map's values.
func (b *mapBase) numbers(p *places[uint32]) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		l := b.lock()
		at := append([]uint32(nil), p.at...)
		l.Unlock()
		for i, n := range at {
			if n != 0 && !yield(number(uint32(i)), b.sized(n)) {
				return
			}
		}
	}
}

// sized is a number in the size of the map's values.
func (b *mapBase) sized(n uint32) []byte {
	v := make([]byte, max(b.spec.ValueSize, 4))
	binary.LittleEndian.PutUint32(v, n)
	return v
}

func (m *Sockmap) hashed() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for key, err := m.NextKey(nil); err == nil; key, err = m.NextKey(key) {
			l := m.lock()
			n := m.refs.get(key)
			l.Unlock()
			if !yield(key, m.sized(n)) {
				return
			}
		}
	}
}

func (m *LocalStorage) elements() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		owners, values := m.Owners()
		for i, o := range owners {
			if !yield(ownerKey(o), values[i]) {
				return
			}
		}
	}
}

// ownerKey is the key of an object: what user space calls it, or its address.
func ownerKey(owner uint64) []byte {
	if owner < 1<<31 {
		return number(uint32(owner))
	}
	return binary.LittleEndian.AppendUint64(nil, owner)
}

// pidAt returns the task whose task_struct is at an address.
func (t *taskTable) pidAt(addr uint64) (pid uint32, ok bool) {
	for pid, a := range t.slots {
		if a == addr {
			return pid, true
		}
	}
	return 0, false
}

// Restore stores an element as [Elements] yields it, or as a map without keys takes
// it, a user ring buffer a sample: the values of a stack come in the order in which they would be popped last to
// first. It makes what user space cannot make in the kernel: the storage of a cgroup.
func Restore(m Map, key, value []byte) error {
	switch m := m.(type) {
	case *QueueStack, *BloomFilter:
		return m.Update(nil, value, spec.UpdateAny)
	case *UserRingBuf:
		return m.Submit(value)
	case *CgroupStorage:
		if err := m.create(key); err != nil {
			return err
		}
	}
	return m.Update(key, value, spec.UpdateAny)
}

// create makes the storage of a cgroup when there is none.
func (m *CgroupStorage) create(key []byte) error {
	defer m.lock().Unlock()
	if e := m.userKey(key); e != 0 {
		return e
	}
	attach := spec.AttachType(0)
	if len(key) == cgroupKeySize {
		attach = spec.AttachType(binary.LittleEndian.Uint32(key[8:]))
		key = bytes.Clone(key)
		clear(key[12:])
	}
	if m.storage(binary.LittleEndian.Uint64(key), attach, 0) == 0 {
		return spec.ENOMEM
	}
	return nil
}
