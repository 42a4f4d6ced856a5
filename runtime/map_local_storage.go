package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
	"bpfvm/vm"
)

// LocalStorage is a map whose values belong to kernel objects: BPF_MAP_TYPE_SK_STORAGE,
// _INODE_STORAGE, _TASK_STORAGE and _CGRP_STORAGE (kernel/bpf/bpf_local_storage.c). A
// program passes the object itself:
//
//	v = bpf_task_storage_get(&m, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
//
// User space names it by a file descriptor: a pidfd, a socket, a cgroup's directory, an
// open file. Here the key is the pid, the socket's cookie, or the cgroup's id; inodes have
// no such number (EBADF). There is no way to walk such a map in the kernel;
// [LocalStorage.Owners] does.
type LocalStorage struct {
	mapBase
	values slab
	slots  map[uint64]int32 // by the object's number, or its address
	order  []uint64         // the objects, as they came
}

// localStorageMax is BPF_LOCAL_STORAGE_MAX_VALUE_SIZE: the size of an element is kept
// in 16 bits, struct bpf_local_storage_elem included.
const localStorageMax = 1<<16 - 1 - 128

// checkLocalStorage is bpf_local_storage_map_alloc_check. The kernel wants BTF for key
// and value, whose key must be a number of 32 bits.
func checkLocalStorage(s *spec.MapSpec, _ int) spec.Errno {
	const allowed = spec.MapNoPrealloc | spec.MapClone
	switch {
	case s.Flags&^allowed != 0, s.Flags&spec.MapNoPrealloc == 0, s.MaxEntries != 0, s.KeySize != 4, s.ValueSize == 0,
		s.KeyTypeID == 0, s.ValueTypeID == 0:
		return spec.EINVAL
	case s.ValueSize > localStorageMax:
		return spec.E2BIG
	}
	return 0
}

func newLocalStorage(b mapBase) (kmap, error) {
	m := &LocalStorage{mapBase: b, slots: map[uint64]int32{}}
	m.values.b = &m.mapBase
	return m, nil
}

// Len returns the number of values.
func (m *LocalStorage) Len() int { return len(m.slots) }

// Owners returns the objects that have a value, oldest first, and the values. An
// object is what user space calls it, or else its address.
func (m *LocalStorage) Owners() (owners []uint64, values [][]byte) {
	defer m.lock().Unlock()
	for _, o := range m.order {
		v, _ := m.copyValue(m.get(o))
		owners, values = append(owners, o), append(values, v)
	}
	return owners, values
}

// get returns the address of an object's value, or 0.
func (m *LocalStorage) get(owner uint64) uint64 {
	if slot, ok := m.slots[owner]; ok {
		return m.values.addrs[slot]
	}
	return 0
}

// put is bpf_local_storage_update. The value may be nil for zeros.
func (m *LocalStorage) put(owner uint64, value []byte, flags uint64) spec.Errno {
	if flags&^spec.UpdateLock > spec.UpdateExist || m.checkLock(flags) != 0 {
		return spec.EINVAL
	}
	lock := flags&spec.UpdateLock != 0
	flags &^= spec.UpdateLock
	old, there := m.slots[owner]
	switch {
	case there && flags == spec.UpdateNoExist:
		return spec.EEXIST
	case !there && flags == spec.UpdateExist:
		return spec.ENOENT
	case there && lock && value != nil:
		m.copyIn(m.values.addrs[old], value)
		return 0
	}
	slot, e := m.values.take()
	if e != 0 {
		return e
	}
	clear(m.rt.mem.Raw(m.values.addrs[slot], uint64(m.spec.ValueSize)))
	if value != nil {
		m.copyIn(m.values.addrs[slot], value)
	}
	m.slots[owner] = slot
	if there {
		m.values.put(old)
	} else {
		m.order = append(m.order, owner)
	}
	return 0
}

// remove deletes an object's value.
func (m *LocalStorage) remove(owner uint64) spec.Errno {
	slot, ok := m.slots[owner]
	if !ok {
		return spec.ENOENT
	}
	delete(m.slots, owner)
	m.values.put(slot)
	for i, o := range m.order {
		if o == owner {
			m.order = append(m.order[:i:i], m.order[i+1:]...)
			break
		}
	}
	return 0
}

// owner finds the object that user space names.
func (m *LocalStorage) owner(key []byte) (uint64, spec.Errno) {
	n := binary.LittleEndian.Uint32(key)
	if n == 0 || n > 1<<31-1 || m.spec.Type == spec.MapInodeStorage {
		return 0, spec.EBADF
	}
	return uint64(n), 0
}

// ownerAt finds the object that a program passes. Objects whose number is not known
// are known by their address.
func (m *LocalStorage) ownerAt(e *Env, addr uint64) uint64 {
	switch m.spec.Type {
	case spec.MapTaskStorage:
		if pid, ok := e.rt.tasks.pidAt(addr); ok && pid != 0 {
			return uint64(pid)
		}
	case spec.MapSKStorage:
		if ref, err := e.sock(addr); err == nil {
			return e.rt.cookieOf(ref.s)
		}
	case spec.MapCgrpStorage:
		if id, err := e.cgroupID(addr); err == nil {
			return id
		}
	}
	return addr
}

// lookupElem is that of user space: programs have helpers that take the object.
func (m *LocalStorage) lookupElem(_ int, key []byte) (uint64, spec.Errno) {
	owner, e := m.owner(key)
	if e != 0 {
		return 0, e
	}
	return m.get(owner), 0
}

func (m *LocalStorage) updateElem(_ int, key, value []byte, flags uint64) spec.Errno {
	owner, e := m.owner(key)
	if e != 0 {
		return e
	}
	return m.put(owner, value, flags)
}

func (m *LocalStorage) deleteElem(key []byte) spec.Errno {
	owner, e := m.owner(key)
	if e != 0 {
		return e
	}
	return m.remove(owner)
}

// nextKey is notsupp_get_next_key.
func (m *LocalStorage) nextKey([]byte) ([]byte, spec.Errno) { return nil, spec.ENOTSUPP }

// CgroupStorage is a BPF_MAP_TYPE_CGROUP_STORAGE or BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE
// (kernel/bpf/local_storage.c): one value, or one for each CPU, for each cgroup to which
// a program is attached; bpf_get_local_storage returns that of the cgroup that the
// program runs for. With a key of 16 bytes, struct bpf_cgroup_storage_key, each type of
// attachment has a value of its own.
//
// Values appear when a program is attached in the kernel, here when it first asks.
// User space can change them, and neither add nor delete any.
type CgroupStorage struct {
	mapBase
	keys   [][]byte // as they came
	values []*vm.Region
}

// cgroupKeySize is sizeof(struct bpf_cgroup_storage_key): the cgroup's id, the attach
// type and 4 bytes of padding.
const cgroupKeySize = 16

// maxCgroupValues bounds the values of one map.
const maxCgroupValues = 1 << 12

// checkCgroupStorage is the first part of cgroup_storage_map_alloc.
func checkCgroupStorage(s *spec.MapSpec, _ int) spec.Errno {
	limit := uint32(localStorageMax)
	if s.Type.PerCPU() {
		limit = maxPerCPUValue
	}
	switch {
	case s.KeySize != cgroupKeySize && s.KeySize != 8, s.ValueSize == 0:
		return spec.EINVAL
	case s.ValueSize > limit:
		return spec.E2BIG
	case s.Flags&^(spec.MapNUMANode|accessFlags) != 0, s.MaxEntries != 0:
		return spec.EINVAL
	}
	return 0
}

func newCgroupStorage(b mapBase) (kmap, error) { return &CgroupStorage{mapBase: b}, nil }

// storage returns the address of the value of a cgroup and attach type for one CPU,
// making it when there is none; 0 where the arena is full.
func (m *CgroupStorage) storage(cgroup uint64, attach spec.AttachType, cpu int) uint64 {
	key := binary.LittleEndian.AppendUint64(nil, cgroup)
	if m.spec.KeySize == cgroupKeySize {
		key = binary.LittleEndian.AppendUint64(key, uint64(attach))
	}
	r := m.find(key)
	if r == nil {
		if len(m.keys) >= maxCgroupValues {
			return 0
		}
		count := uint64(1)
		if m.spec.Type.PerCPU() {
			count = uint64(len(m.rt.cpus))
		}
		var err error
		r, err = m.rt.mem.Alloc(vm.Spec{
			Kind: vm.RegionMapValue, Name: m.spec.Name, Perm: m.progPerm(),
			Elem: uint64(m.spec.ValueSize), Count: count, Owner: m,
		})
		if err != nil {
			return 0
		}
		m.keys, m.values = append(m.keys, key), append(m.values, r)
	}
	if !m.spec.Type.PerCPU() {
		cpu = 0
	}
	return r.Base + uint64(cpu)*r.Stride
}

// find is cgroup_storage_lookup.
func (m *CgroupStorage) find(key []byte) *vm.Region {
	for i, k := range m.keys {
		if string(k) == string(key) {
			return m.values[i]
		}
	}
	return nil
}

func (m *CgroupStorage) lookupElem(_ int, key []byte) (uint64, spec.Errno) {
	if r := m.find(key); r != nil {
		return r.Base, 0
	}
	return 0, 0
}

// sysLookup gives the value, or those of all CPUs (bpf_percpu_cgroup_storage_copy).
func (m *CgroupStorage) sysLookup(key []byte) ([]byte, spec.Errno) {
	r := m.find(key)
	switch {
	case r == nil:
		return nil, spec.ENOENT
	case m.spec.Type.PerCPU():
		return m.copyPerCPU(func(cpu int) uint64 { return r.Base + uint64(cpu)*r.Stride })
	}
	return m.copyValue(r.Base)
}

// updateElem is cgroup_storage_update_elem, and bpf_percpu_cgroup_storage_update for
// the values of all CPUs.
func (m *CgroupStorage) updateElem(_ int, key, value []byte, flags uint64) spec.Errno {
	if flags&^(spec.UpdateLock|spec.UpdateExist) != 0 || m.checkLock(flags) != 0 || flags&spec.UpdateLock != 0 && m.spec.Type.PerCPU() {
		return spec.EINVAL
	}
	r := m.find(key)
	if r == nil {
		return spec.ENOENT
	}
	copy(m.rt.mem.Raw(r.Base, uint64(len(value))), value)
	return 0
}

func (m *CgroupStorage) deleteElem([]byte) spec.Errno { return spec.EINVAL }

// nextKey is cgroup_storage_get_next_key: in the order in which they came, and no
// first one for a key that is not there.
func (m *CgroupStorage) nextKey(key []byte) ([]byte, spec.Errno) {
	next := 0
	if key != nil {
		for next = 0; next < len(m.keys) && string(m.keys[next]) != string(key); next++ {
		}
		next++
	}
	if next >= len(m.keys) {
		return nil, spec.ENOENT
	}
	return append([]byte(nil), m.keys[next]...), 0
}
