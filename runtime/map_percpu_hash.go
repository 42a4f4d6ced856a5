package runtime

import "bpfvm/spec"

// PerCPUHash is a BPF_MAP_TYPE_PERCPU_HASH (kernel/bpf/hashtab.c): one table of
// keys, and a value for each CPU behind each of them.
type PerCPUHash struct {
	mapBase
	t *htab
}

func newPerCPUHash(b mapBase) (kmap, error) {
	m := &PerCPUHash{mapBase: b}
	m.t = newHtab(&m.mapBase, len(b.rt.cpus))
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

// sysLookup gives the values of all CPUs (bpf_percpu_hash_copy).
func (m *PerCPUHash) sysLookup(key []byte) ([]byte, spec.Errno) {
	return m.copyPerCPU(func(cpu int) uint64 { return m.t.lookup(cpu, key) })
}

// sysUpdate stores the values of all CPUs (bpf_percpu_hash_update).
func (m *PerCPUHash) sysUpdate(key, value []byte, flags uint64) error {
	if flags > spec.UpdateExist {
		return spec.EINVAL
	}
	size := round8(m.spec.ValueSize)
	return asError(m.t.update(0, key, flags, true, func(slot int32, _ bool) {
		for c := range m.t.valCPUs {
			copy(m.rt.mem.Raw(m.t.addr(slot, c), size), value[uint64(c)*size:])
		}
	}))
}

func (m *PerCPUHash) nextKey(key []byte) ([]byte, spec.Errno) { return m.t.nextKey(key) }

// sysTake is htab_percpu_map_lookup_and_delete_elem.
func (m *PerCPUHash) sysTake(key []byte) ([]byte, spec.Errno) {
	value, e := m.sysLookup(key)
	if e == 0 {
		e = m.t.remove(key)
	}
	return value, e
}
