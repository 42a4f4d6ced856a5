package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
)

// CgroupArray is a BPF_MAP_TYPE_CGROUP_ARRAY (kernel/bpf/arraymap.c): cgroups that
// programs ask about with bpf_current_task_under_cgroup and bpf_skb_under_cgroup.
// User space stores the file descriptor of a cgroup's directory; here it stores the
// cgroup's id, and 0 is a bad one. It cannot be read back.
type CgroupArray struct {
	mapBase
	ids places[uint32]
}

func newCgroupArray(b mapBase) (kmap, error) {
	return &CgroupArray{mapBase: b}, b.fitPlaces()
}

// Cgroup returns the id of the cgroup at an index, or 0.
func (m *CgroupArray) Cgroup(index uint32) uint64 { return uint64(m.ids.get(index)) }

// lookupElem is fd_array_map_lookup_elem.
func (m *CgroupArray) lookupElem(int, []byte) (uint64, spec.Errno) { return 0, spec.EOPNOTSUPP }

func (m *CgroupArray) updateElem(int, []byte, []byte, uint64) spec.Errno { return spec.EINVAL }

func (m *CgroupArray) deleteElem(key []byte) spec.Errno {
	return m.ids.take(binary.LittleEndian.Uint32(key), m.spec.MaxEntries)
}

func (m *CgroupArray) sysLookup([]byte) ([]byte, spec.Errno) { return nil, spec.ENOTSUPP }

func (m *CgroupArray) sysUpdate(key, value []byte, flags uint64) error {
	i, e := m.checkPlace(key, flags)
	if e != 0 {
		return e
	}
	id := binary.LittleEndian.Uint32(value)
	if id == 0 {
		return spec.EBADF
	}
	m.ids.set(i, id)
	return nil
}

func (m *CgroupArray) nextKey(key []byte) ([]byte, spec.Errno) { return m.indexAfter(key) }
