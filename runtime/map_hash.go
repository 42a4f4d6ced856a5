package runtime

import "bpfvm/spec"

// Hash is a BPF_MAP_TYPE_HASH (kernel/bpf/hashtab.c).
type Hash struct {
	mapBase
	t *htab
}

func newHash(b mapBase) (kmap, error) {
	m := &Hash{mapBase: b}
	m.t = newHtab(&m.mapBase, 1)
	return m, nil
}

// Len returns the number of elements.
func (m *Hash) Len() int { return int(m.t.count) }

func (m *Hash) lookupElem(_ int, key []byte) (uint64, spec.Errno) { return m.t.use(0, key), 0 }

func (m *Hash) updateElem(cpu int, key, value []byte, flags uint64) spec.Errno {
	return m.t.update(cpu, key, flags, false, func(slot int32, fresh bool) {
		addr := m.t.addr(slot, 0)
		m.copyIn(addr, value)
		if fresh && len(m.fields) > 0 {
			m.clearFields(m.rt.mem.Raw(addr, uint64(m.spec.ValueSize)))
		}
	})
}

func (m *Hash) deleteElem(key []byte) spec.Errno { return m.t.remove(key) }

// sysLookup does not count as use of an LRU map's element
// (htab_lru_map_lookup_elem_sys).
func (m *Hash) sysLookup(key []byte) ([]byte, spec.Errno) {
	return m.copyValue(m.t.lookup(0, key))
}

// nextKey is in the order of the hash, which is that of the kernel for maps with
// BPF_F_ZERO_SEED.
func (m *Hash) nextKey(key []byte) ([]byte, spec.Errno) { return m.t.nextKey(key) }

// sysTake is htab_map_lookup_and_delete_elem.
func (m *Hash) sysTake(key []byte) ([]byte, spec.Errno) {
	value, e := m.sysLookup(key)
	if e == 0 {
		e = m.t.remove(key)
	}
	return value, e
}
