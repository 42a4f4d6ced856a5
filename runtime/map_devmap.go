package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
)

// Devmap is a BPF_MAP_TYPE_DEVMAP or BPF_MAP_TYPE_DEVMAP_HASH (kernel/bpf/devmap.c):
// network interfaces that XDP programs send frames to with bpf_redirect_map. The
// value is struct bpf_devmap_val: the interface's index, and where the map has room
// for it a program that runs on the frame before it is sent. User space passes the
// program's file descriptor and reads its id; here both are [Program.ID].
//
// Programs read the value and cannot change it. In an array the interface 0 empties
// a place, and deleting an empty one is no error.
type Devmap struct {
	mapBase
	objectValues
	slots places[uint32] // of an array: slot+1 by index
	refs  refTable       // of a hash: slot+1 by key
}

// objectValues are values that name an object and perhaps a program for it:
// struct bpf_devmap_val and struct bpf_cpumap_val. Slots count from 1.
type objectValues struct{ values slab }

// checkDevmap is dev_map_alloc_check.
func checkDevmap(s *spec.MapSpec, _ int) spec.Errno {
	switch {
	case s.MaxEntries == 0, s.KeySize != 4, s.ValueSize != 4 && s.ValueSize != 8, s.Flags&^objectMapFlags != 0:
		return spec.EINVAL
	case s.Type == spec.MapDevmapHash && s.MaxEntries > 1<<31:
		return spec.EINVAL
	}
	return 0
}

// objectMapFlags is DEV_CREATE_FLAG_MASK, and what sockmaps and xskmaps take.
const objectMapFlags = spec.MapNUMANode | spec.MapRdOnly | spec.MapWrOnly

func newDevmap(b mapBase) (kmap, error) {
	b.spec = createdSpec(b.spec)
	m := &Devmap{mapBase: b}
	m.values.b = &m.mapBase
	if b.spec.Type == spec.MapDevmapHash {
		m.refs = newRefTable(&m.mapBase)
	}
	return m, b.fitPlaces()
}

// createdSpec is the map as the kernel keeps it: some types change their flags.
func createdSpec(s *spec.MapSpec) *spec.MapSpec {
	if s.Type != spec.MapDevmap && s.Type != spec.MapDevmapHash {
		return s
	}
	c := *s
	c.Flags |= spec.MapRdOnlyProg // dev_map_init_map
	return &c
}

func (m *Devmap) hash() bool { return m.spec.Type == spec.MapDevmapHash }

// slot returns the slot of a key, or 0.
func (m *Devmap) slot(key []byte) uint32 {
	if m.hash() {
		return m.refs.get(key)
	}
	return m.slots.get(binary.LittleEndian.Uint32(key))
}

func (m *Devmap) lookupElem(_ int, key []byte) (uint64, spec.Errno) {
	return m.addr(m.slot(key)), 0
}

// updateElem is __dev_map_update_elem and __dev_map_hash_update_elem; only user
// space gets here. BPF_EXIST does not ask whether there is something.
func (m *Devmap) updateElem(_ int, key, value []byte, flags uint64) spec.Errno {
	index, ifindex := binary.LittleEndian.Uint32(key), binary.LittleEndian.Uint32(value)
	old := m.slot(key)
	switch {
	case flags > spec.UpdateExist, m.hash() && ifindex == 0:
		return spec.EINVAL
	case m.hash() && old != 0 && flags == spec.UpdateNoExist:
		return spec.EEXIST
	case !m.hash() && index >= m.spec.MaxEntries:
		return spec.E2BIG
	case !m.hash() && flags == spec.UpdateNoExist:
		return spec.EEXIST
	case ifindex == 0 && len(value) == 8 && int32(binary.LittleEndian.Uint32(value[4:])) > 0:
		return spec.EINVAL
	case ifindex != 0 && (!m.rt.hasLink(ifindex) || len(value) == 8 && !m.rt.runsBehind(value[4:], spec.AttachXDPDevmap)):
		return spec.EINVAL
	case m.hash() && old == 0 && m.refs.t.count >= m.spec.MaxEntries:
		return spec.E2BIG
	}
	slot := uint32(0)
	if ifindex != 0 {
		var e spec.Errno
		if slot, e = m.store(value); e != 0 {
			return e
		}
	}
	m.drop(old)
	if m.hash() {
		return m.refs.set(key, slot, spec.UpdateAny, false)
	}
	m.slots.set(index, slot)
	return 0
}

// addr returns the address of a slot's value, 0 for slot 0.
func (o *objectValues) addr(slot uint32) uint64 {
	if slot == 0 {
		return 0
	}
	return o.values.addrs[slot-1]
}

// store puts a value into a new slot. A negative file descriptor is none, and reads
// back as id 0.
func (o *objectValues) store(value []byte) (uint32, spec.Errno) {
	slot, e := o.values.take()
	if e != 0 {
		return 0, e
	}
	to := o.values.b.rt.mem.Raw(o.values.addrs[slot], uint64(len(value)))
	copy(to, value)
	if len(to) == 8 && int32(binary.LittleEndian.Uint32(to[4:])) < 0 {
		clear(to[4:])
	}
	return uint32(slot) + 1, 0
}

// drop gives a slot back.
func (o *objectValues) drop(slot uint32) { o.values.put(int32(slot) - 1) }

// deleteElem is dev_map_delete_elem and dev_map_hash_delete_elem.
func (m *Devmap) deleteElem(key []byte) spec.Errno {
	slot := m.slot(key)
	if m.hash() {
		m.drop(slot)
		return m.refs.t.remove(key)
	}
	index := binary.LittleEndian.Uint32(key)
	if index >= m.spec.MaxEntries {
		return spec.EINVAL
	}
	m.drop(slot)
	m.slots.set(index, 0)
	return 0
}

// nextKey is dev_map_get_next_key and dev_map_hash_get_next_key.
func (m *Devmap) nextKey(key []byte) ([]byte, spec.Errno) {
	if m.hash() {
		return m.refs.t.nextKey(key)
	}
	return m.indexAfter(key)
}

// runsBehind says whether the number is that of an XDP program of an attach type, or
// of none.
func (rt *Runtime) runsBehind(value []byte, at spec.AttachType) bool {
	id := int32(binary.LittleEndian.Uint32(value))
	if id <= 0 {
		return true
	}
	if int(id) > len(rt.progs) {
		return false
	}
	p := rt.progs[id-1]
	return p.Type() == spec.ProgXDP && p.spec.Attach == at
}

// hasLink says whether there is a network interface of an index. Where the scenario
// describes none, every index has one.
func (rt *Runtime) hasLink(index uint32) bool {
	return index != 0 && (len(rt.World.Links) == 0 || rt.World.link(index) != nil)
}
