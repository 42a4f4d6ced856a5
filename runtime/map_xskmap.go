package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
	"bpfvm/vm"
)

// XSKMap is a BPF_MAP_TYPE_XSKMAP (net/xdp/xskmap.c): AF_XDP sockets that XDP programs
// hand frames to with bpf_redirect_map. A socket is known by a number, as in other
// maps of sockets; user space cannot read it back. A lookup by a program gives its
// struct bpf_xdp_sock, the receive queue that it is bound to: here the index.
type XSKMap struct {
	mapBase
	cookies places[uint32]
	socks   places[*vm.Region]
}

// checkXSKMap is the first part of xsk_map_alloc.
func checkXSKMap(s *spec.MapSpec, _ int) spec.Errno {
	if s.MaxEntries == 0 || s.KeySize != 4 || s.ValueSize != 4 || s.Flags&^objectMapFlags != 0 {
		return spec.EINVAL
	}
	return 0
}

func newXSKMap(b mapBase) (kmap, error) { return &XSKMap{mapBase: b}, b.fitPlaces() }

// Socket returns the number of the socket at an index, or 0.
func (m *XSKMap) Socket(index uint32) uint32 { return m.cookies.get(index) }

func (m *XSKMap) lookupElem(_ int, key []byte) (uint64, spec.Errno) {
	index := binary.LittleEndian.Uint32(key)
	if m.cookies.get(index) == 0 {
		return 0, 0
	}
	r := m.socks.get(index)
	if r == nil {
		var err error
		r, err = m.rt.mem.Alloc(vm.Spec{Kind: vm.RegionScratch, Name: "xdp_sock", Size: 4, Perm: vm.PermRead})
		if err != nil {
			return 0, 0
		}
		binary.LittleEndian.PutUint32(m.rt.mem.Raw(r.Base, 4), index)
		m.socks.set(index, r)
	}
	return r.Base, 0
}

// updateElem is xsk_map_update_elem; only user space gets here.
func (m *XSKMap) updateElem(_ int, key, value []byte, flags uint64) spec.Errno {
	index, cookie := binary.LittleEndian.Uint32(key), binary.LittleEndian.Uint32(value)
	old := m.cookies.get(index)
	switch {
	case flags > spec.UpdateExist:
		return spec.EINVAL
	case index >= m.spec.MaxEntries:
		return spec.E2BIG
	case cookie == 0 || cookie > 1<<31-1:
		return spec.EBADF
	case old == cookie:
		return 0
	case old != 0 && flags == spec.UpdateNoExist:
		return spec.EEXIST
	case old == 0 && flags == spec.UpdateExist:
		return spec.ENOENT
	}
	m.cookies.set(index, cookie)
	return 0
}

// deleteElem is xsk_map_delete_elem: no error where there is nothing.
func (m *XSKMap) deleteElem(key []byte) spec.Errno {
	index := binary.LittleEndian.Uint32(key)
	if index >= m.spec.MaxEntries {
		return spec.EINVAL
	}
	m.cookies.set(index, 0)
	return 0
}

// sysLookup is xsk_map_lookup_elem_sys_only.
func (m *XSKMap) sysLookup([]byte) ([]byte, spec.Errno) { return nil, spec.EOPNOTSUPP }

func (m *XSKMap) nextKey(key []byte) ([]byte, spec.Errno) { return m.indexAfter(key) }
