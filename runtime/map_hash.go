package runtime

import (
	"bytes"

	"bpfvm/spec"
)

// Hash is a BPF_MAP_TYPE_HASH (kernel/bpf/hashtab.c).
type Hash struct {
	mapBase
	t *htab
}

func newHash(b mapBase) (kmap, error) {
	if e := checkHash(b.spec, false); e != 0 {
		return nil, e
	}
	m := &Hash{mapBase: b}
	m.t = newHtab(&m.mapBase, false)
	return m, nil
}

// Len returns the number of elements.
func (m *Hash) Len() int { return int(m.t.count) }

func (m *Hash) lookupElem(_ int, key []byte) (uint64, spec.Errno) { return m.t.use(0, key), 0 }

func (m *Hash) updateElem(cpu int, key, value []byte, flags uint64) spec.Errno {
	return m.t.update(cpu, key, flags, false, func(slot int32, _ bool) {
		copy(m.rt.mem.Raw(m.t.addr(slot, 0), uint64(m.spec.ValueSize)), value)
	})
}

func (m *Hash) deleteElem(key []byte) spec.Errno { return m.t.remove(key) }

// Lookup implements [Map].
func (m *Hash) Lookup(key []byte) ([]byte, error) {
	defer m.lock().Unlock()
	if e := m.userRead(key); e != 0 {
		return nil, e
	}
	addr := m.t.lookup(0, key)
	if addr == 0 {
		return nil, spec.ENOENT
	}
	return bytes.Clone(m.rt.mem.Raw(addr, uint64(m.spec.ValueSize))), nil
}

// Update implements [Map].
func (m *Hash) Update(key, value []byte, flags uint64) error {
	defer m.lock().Unlock()
	if e := m.userWrite(key); e != 0 {
		return e
	}
	if flags&spec.UpdateLock != 0 || len(value) != int(m.spec.ValueSize) {
		return spec.EINVAL
	}
	return asError(m.updateElem(0, key, value, flags))
}

// NextKey implements [Map]: in the order of the hash, which is that of the kernel
// for maps with BPF_F_ZERO_SEED.
func (m *Hash) NextKey(key []byte) ([]byte, error) { return m.t.userNextKey(key) }

func (t *htab) userNextKey(key []byte) ([]byte, error) {
	defer t.b.lock().Unlock()
	if e := t.b.userNext(key); e != 0 {
		return nil, e
	}
	next, e := t.nextKey(key)
	return next, asError(e)
}
