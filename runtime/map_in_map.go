package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
)

// Maps of maps (kernel/bpf/map_in_map.c). The outer map is made with a template:
// the verifier judges programs by it, so every map that is stored must be like it.
// A lookup by a program gives the inner map itself, to be passed to the next
// helper:
//
//	inner = bpf_map_lookup_elem(&outer, &key);
//	if (inner)
//		value = bpf_map_lookup_elem(inner, &key);
//
// User space stores a file descriptor and reads an id; here both are [Map.ID].

// checkTemplate is bpf_map_meta_alloc.
func checkTemplate(s *spec.MapSpec, cpus int) spec.Errno {
	in := s.Inner
	if in == nil {
		return spec.EBADF
	}
	kind, ok := mapKinds[in.Type]
	if !ok {
		return spec.ENOTSUPP
	}
	if e := firstErrno(checkMapAttr(in), kind.check(in, cpus)); e != 0 {
		return e
	}
	switch in.Type {
	case spec.MapArrayOfMaps, spec.MapHashOfMaps: // one level is all there is
		return spec.EINVAL
	case spec.MapProgArray, spec.MapCgroupStorage, spec.MapPerCPUCgroupStorage, spec.MapStructOps:
		return spec.ENOTSUPP // without map_meta_equal
	}
	return 0
}

// checkInner says whether a map may be stored: it is of the template's type, sizes
// and flags (bpf_map_meta_equal), and an array is of its length unless
// BPF_F_INNER_MAP says that this may differ (array_map_meta_equal). The flags for
// user space belong to the file descriptor and do not count.
func checkInner(template, s *spec.MapSpec) bool {
	const ofFD = spec.MapRdOnly | spec.MapWrOnly
	s, template = createdSpec(s), createdSpec(template)
	return s.Type == template.Type && s.KeySize == template.KeySize && s.ValueSize == template.ValueSize &&
		s.Flags&^ofFD == template.Flags&^ofFD &&
		(s.Type != spec.MapArray || s.Flags&spec.MapInnerMap != 0 || s.MaxEntries == template.MaxEntries)
}

// innerMap finds the map that user space stores (bpf_map_fd_get_ptr).
func (b *mapBase) innerMap(value []byte) (kmap, spec.Errno) {
	m := b.rt.mapByID(binary.LittleEndian.Uint32(value))
	switch {
	case m == nil:
		return nil, spec.EBADF
	case !checkInner(b.spec.Inner, m.Spec()):
		return nil, spec.EINVAL
	}
	return m, 0
}

// mapByID returns a map, or nil.
func (rt *Runtime) mapByID(id uint32) kmap {
	if id == 0 || uint64(id) > uint64(len(rt.maps)) {
		return nil
	}
	return rt.maps[id-1]
}

// ArrayOfMaps is a BPF_MAP_TYPE_ARRAY_OF_MAPS (kernel/bpf/arraymap.c).
type ArrayOfMaps struct {
	mapBase
	ids places[uint32]
}

func checkArrayOfMaps(s *spec.MapSpec, cpus int) spec.Errno {
	return firstErrno(checkFDArray(s, cpus), checkTemplate(s, cpus))
}

func newArrayOfMaps(b mapBase) (kmap, error) {
	return &ArrayOfMaps{mapBase: b}, b.fitPlaces()
}

// lookupElem is array_of_map_lookup_elem: the inner map.
func (m *ArrayOfMaps) lookupElem(_ int, key []byte) (uint64, spec.Errno) {
	if inner := m.rt.mapByID(m.ids.get(binary.LittleEndian.Uint32(key))); inner != nil {
		return inner.Addr(), 0
	}
	return 0, 0
}

// updateElem: the verifier lets programs look into the map only.
func (m *ArrayOfMaps) updateElem(int, []byte, []byte, uint64) spec.Errno { return spec.EINVAL }

func (m *ArrayOfMaps) deleteElem(key []byte) spec.Errno {
	return m.ids.take(binary.LittleEndian.Uint32(key), m.spec.MaxEntries)
}

// sysLookup gives the id of the inner map.
func (m *ArrayOfMaps) sysLookup(key []byte) ([]byte, spec.Errno) {
	if id := m.ids.get(binary.LittleEndian.Uint32(key)); id != 0 {
		return number(id), 0
	}
	return nil, spec.ENOENT
}

func (m *ArrayOfMaps) sysUpdate(key, value []byte, flags uint64) error {
	i, e := m.checkPlace(key, flags)
	if e != 0 {
		return e
	}
	inner, e := m.innerMap(value)
	if e != 0 {
		return e
	}
	m.ids.set(i, inner.ID())
	return nil
}

func (m *ArrayOfMaps) nextKey(key []byte) ([]byte, spec.Errno) { return m.indexAfter(key) }

// HashOfMaps is a BPF_MAP_TYPE_HASH_OF_MAPS (kernel/bpf/hashtab.c).
type HashOfMaps struct {
	mapBase
	refs refTable
}

// checkHashOfMaps is fd_htab_map_alloc_check and htab_of_map_alloc.
func checkHashOfMaps(s *spec.MapSpec, cpus int) spec.Errno {
	if s.ValueSize != 4 {
		return spec.EINVAL
	}
	return firstErrno(checkHash(s, cpus), checkTemplate(s, cpus))
}

func newHashOfMaps(b mapBase) (kmap, error) {
	m := &HashOfMaps{mapBase: b}
	m.refs = newRefTable(&m.mapBase)
	return m, nil
}

// Len returns the number of elements.
func (m *HashOfMaps) Len() int { return int(m.refs.t.count) }

// lookupElem is htab_of_map_lookup_elem: the inner map.
func (m *HashOfMaps) lookupElem(_ int, key []byte) (uint64, spec.Errno) {
	if inner := m.rt.mapByID(m.refs.get(key)); inner != nil {
		return inner.Addr(), 0
	}
	return 0, 0
}

func (m *HashOfMaps) updateElem(int, []byte, []byte, uint64) spec.Errno { return spec.EINVAL }

func (m *HashOfMaps) deleteElem(key []byte) spec.Errno { return m.refs.t.remove(key) }

// sysLookup gives the id of the inner map.
func (m *HashOfMaps) sysLookup(key []byte) ([]byte, spec.Errno) {
	if id := m.refs.get(key); id != 0 {
		return number(id), 0
	}
	return nil, spec.ENOENT
}

// sysUpdate is bpf_fd_htab_map_update_elem: the map is looked at before the flags.
func (m *HashOfMaps) sysUpdate(key, value []byte, flags uint64) error {
	inner, e := m.innerMap(value)
	if e != 0 {
		return e
	}
	return asError(m.refs.set(key, inner.ID(), flags, true))
}

func (m *HashOfMaps) nextKey(key []byte) ([]byte, spec.Errno) { return m.refs.t.nextKey(key) }
