package runtime

import (
	"math/bits"

	"bpfvm/spec"
)

// BloomFilter is a BPF_MAP_TYPE_BLOOM_FILTER (kernel/bpf/bloom_filter.c): a set of
// bits. Push sets those that the hashes of a value choose, peek says whether all of
// them are set. So a value that was pushed is always found (0), and one that was
// not is mostly missed (ENOENT) and sometimes found all the same. Nothing can be
// taken out.
//
// The kernel hashes with a random seed unless BPF_F_ZERO_SEED is given; here the
// seed is always 0, so which values are found by mistake is repeatable.
type BloomFilter struct {
	mapBase
	bits   []uint64
	mask   uint32 // bits - 1
	hashes uint32
}

// bloomHashes is the number of hashes when map_extra does not say one.
const bloomHashes = 5

// checkBloomFilter is bloom_map_alloc_check and the first part of bloom_map_alloc.
func checkBloomFilter(s *spec.MapSpec, _ int) spec.Errno {
	switch {
	case s.ValueSize > kmallocMax:
		return spec.E2BIG
	case s.KeySize != 0, s.ValueSize == 0, s.MaxEntries == 0,
		s.Flags&^(spec.MapNUMANode|spec.MapZeroSeed|accessFlags) != 0, s.Extra&^0xf != 0:
		return spec.EINVAL
	}
	return 0
}

func newBloomFilter(b mapBase) (kmap, error) {
	m := &BloomFilter{mapBase: b, hashes: uint32(b.spec.Extra)}
	if m.hashes == 0 {
		m.hashes = bloomHashes
	}
	m.mask = bloomMask(b.spec.MaxEntries, m.hashes)
	size := (uint64(m.mask) + 1) / 8
	if size > b.rt.mem.Cap() {
		return nil, spec.ENOMEM
	}
	m.bits = make([]uint64, size/8)
	return m, nil
}

// bloomMask chooses the number of bits as bloom_map_alloc does: n*k/ln 2 makes the
// fewest mistakes, 7/5 stands for 1/ln 2, and the next power of two is taken.
func bloomMask(n, k uint32) uint32 {
	want := uint64(n) * uint64(k)
	if want >= 1<<32 {
		return 1<<32 - 1
	}
	want = want / 5 * 7
	switch {
	case want > 1<<31:
		return 1<<32 - 1
	case want <= 64:
		return 63
	}
	return uint32(1)<<bits.Len32(uint32(want)-1) - 1
}

// push is bloom_map_push_elem.
func (m *BloomFilter) push(value []byte, flags uint64) spec.Errno {
	if flags != spec.UpdateAny {
		return spec.EINVAL
	}
	for i := range m.hashes {
		h := jhashSeed(value, i) & m.mask
		m.bits[h/64] |= 1 << (h % 64)
	}
	return 0
}

// peek is bloom_map_peek_elem: the value is what is asked for.
func (m *BloomFilter) peek(value []byte) spec.Errno {
	for i := range m.hashes {
		h := jhashSeed(value, i) & m.mask
		if m.bits[h/64]&(1<<(h%64)) == 0 {
			return spec.ENOENT
		}
	}
	return 0
}

// pop is bloom_map_pop_elem.
func (m *BloomFilter) pop([]byte) spec.Errno { return spec.EOPNOTSUPP }

// Has reports whether the value was pushed, or seems to have been. For user space
// the lookup's value is what is asked for, so this is BPF_MAP_LOOKUP_ELEM.
func (m *BloomFilter) Has(value []byte) error {
	defer m.lock().Unlock()
	if e := m.mayRead(); e != 0 {
		return e
	}
	if len(value) != int(m.spec.ValueSize) {
		return spec.EINVAL
	}
	return asError(m.peek(value))
}

func (m *BloomFilter) lookupElem(int, []byte) (uint64, spec.Errno) { return 0, spec.EINVAL }

func (m *BloomFilter) updateElem(int, []byte, []byte, uint64) spec.Errno { return spec.EINVAL }

func (m *BloomFilter) deleteElem([]byte) spec.Errno { return spec.EOPNOTSUPP }

func (m *BloomFilter) nextKey([]byte) ([]byte, spec.Errno) { return nil, spec.EOPNOTSUPP }

// sysLookup: which value, Has has to be told.
func (m *BloomFilter) sysLookup([]byte) ([]byte, spec.Errno) { return nil, spec.EINVAL }

// sysUpdate pushes.
func (m *BloomFilter) sysUpdate(_, value []byte, flags uint64) error {
	return asError(m.push(value, flags))
}
