package runtime

import "bpfvm/spec"

// PerCPUHash is a BPF_MAP_TYPE_PERCPU_HASH (kernel/bpf/hashtab.c): one table of
// keys, and a value for each CPU behind each of them.
type PerCPUHash struct {
	mapBase
	t *htab
}

func newPerCPUHash(b mapBase) (kmap, error) {
	if e := checkHash(b.spec, true); e != 0 {
		return nil, e
	}
	m := &PerCPUHash{mapBase: b}
	m.t = newHtab(&m.mapBase, true)
	return m, nil
}

// Len returns the number of elements.
func (m *PerCPUHash) Len() int { return int(m.t.count) }

func (m *PerCPUHash) lookupElem(cpu int, key []byte) (uint64, spec.Errno) {
	return m.t.use(cpu, key), 0
}

// updateElem is __htab_percpu_map_update_elem: the value of an element that is
// there is overwritten for this CPU alone; a new element is zero for the others.
func (m *PerCPUHash) updateElem(cpu int, key, value []byte, flags uint64) spec.Errno {
	if flags > spec.UpdateExist {
		return spec.EINVAL
	}
	size := uint64(m.spec.ValueSize)
	return m.t.update(cpu, key, flags, true, func(slot int32, fresh bool) {
		for c := range m.t.valCPUs {
			if c == cpu {
				copy(m.rt.mem.Raw(m.t.addr(slot, c), size), value)
			} else if fresh {
				clear(m.rt.mem.Raw(m.t.addr(slot, c), size))
			}
		}
	})
}

func (m *PerCPUHash) deleteElem(key []byte) spec.Errno { return m.t.remove(key) }

// Lookup implements [Map].
func (m *PerCPUHash) Lookup(key []byte) ([]byte, error) {
	defer m.lock().Unlock()
	if e := m.userRead(key); e != 0 {
		return nil, e
	}
	return m.copyPerCPU(func(cpu int) uint64 { return m.t.lookup(cpu, key) })
}

// Update implements [Map] (bpf_percpu_hash_update): the values of all CPUs.
func (m *PerCPUHash) Update(key, value []byte, flags uint64) error {
	defer m.lock().Unlock()
	if e := m.userWrite(key); e != 0 {
		return e
	}
	size := round8(m.spec.ValueSize)
	if flags > spec.UpdateExist || uint64(len(value)) != size*uint64(m.t.valCPUs) {
		return spec.EINVAL
	}
	return asError(m.t.update(0, key, flags, true, func(slot int32, _ bool) {
		for c := range m.t.valCPUs {
			copy(m.rt.mem.Raw(m.t.addr(slot, c), size), value[uint64(c)*size:])
		}
	}))
}

// NextKey implements [Map]: in the order of the hash.
func (m *PerCPUHash) NextKey(key []byte) ([]byte, error) { return m.t.userNextKey(key) }
