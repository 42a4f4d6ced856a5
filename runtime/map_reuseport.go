package runtime

import (
	"encoding/binary"
	"slices"

	"bpfvm/spec"
)

// ReuseportArray is a BPF_MAP_TYPE_REUSEPORT_SOCKARRAY
// (kernel/bpf/reuseport_array.c): the sockets of a SO_REUSEPORT group, of which
// bpf_sk_select_reuseport chooses one. A socket can be in one place only.
type ReuseportArray struct {
	mapBase
	cookies places[uint32]
}

// checkReuseportArray is reuseport_array_alloc_check.
func checkReuseportArray(s *spec.MapSpec, cpus int) spec.Errno {
	if s.ValueSize != 4 && s.ValueSize != 8 {
		return spec.EINVAL
	}
	return checkArray(s, cpus)
}

func newReuseportArray(b mapBase) (kmap, error) {
	return &ReuseportArray{mapBase: b}, b.fitPlaces()
}

// Socket returns the cookie of the socket at an index, or 0.
func (m *ReuseportArray) Socket(index uint32) uint32 { return m.cookies.get(index) }

func (m *ReuseportArray) lookupElem(_ int, key []byte) (uint64, spec.Errno) {
	return m.rt.addrOf(m.cookies.get(binary.LittleEndian.Uint32(key))), 0
}

// updateElem is bpf_fd_reuseport_array_update_elem; only user space gets here.
func (m *ReuseportArray) updateElem(_ int, key, value []byte, flags uint64) spec.Errno {
	index := binary.LittleEndian.Uint32(key)
	switch {
	case flags > spec.UpdateExist:
		return spec.EINVAL
	case index >= m.spec.MaxEntries:
		return spec.E2BIG
	case len(value) == 8 && binary.LittleEndian.Uint64(value) > 1<<31-1:
		return spec.EINVAL
	}
	cookie := binary.LittleEndian.Uint32(value)
	if cookie == 0 || cookie > 1<<31-1 {
		return spec.EBADF
	}
	old := m.cookies.get(index)
	switch {
	case old != 0 && flags == spec.UpdateNoExist:
		return spec.EEXIST
	case old == 0 && flags == spec.UpdateExist:
		return spec.ENOENT
	case m.rt.inReuseport(cookie):
		return spec.EBUSY
	}
	m.cookies.set(index, cookie)
	return 0
}

// inReuseport says whether a socket is in one of these arrays: its sk_user_data is
// set.
func (rt *Runtime) inReuseport(cookie uint32) bool {
	for _, m := range rt.maps {
		a, ok := m.(*ReuseportArray)
		if !ok {
			continue
		}
		if slices.Contains(a.cookies.at, cookie) {
			return true
		}
	}
	return false
}

func (m *ReuseportArray) deleteElem(key []byte) spec.Errno {
	return m.cookies.take(binary.LittleEndian.Uint32(key), m.spec.MaxEntries)
}

func (m *ReuseportArray) sysLookup(key []byte) ([]byte, spec.Errno) {
	return m.sockCookie(m.cookies.get(binary.LittleEndian.Uint32(key)))
}

func (m *ReuseportArray) nextKey(key []byte) ([]byte, spec.Errno) { return m.indexAfter(key) }
