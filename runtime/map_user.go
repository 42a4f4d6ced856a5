package runtime

import (
	"bytes"

	"bpfvm/spec"
)

// The user side of maps: what the commands of bpf(2) do before and after they ask
// the map (kernel/bpf/syscall.c, map_lookup_elem and so on). They judge the access
// flags of the map and the sizes of what is passed, and copy values.
//
// Wrong sizes have no number in the kernel, which reads as much as it needs; here
// they are EINVAL. A map without keys (queue, stack, bloom filter, ring buffers)
// wants no key at all: EINVAL for one.

// userKey judges a key.
func (b *mapBase) userKey(key []byte) spec.Errno {
	if len(key) != int(b.spec.KeySize) {
		return spec.EINVAL
	}
	return 0
}

// userValueSize is bpf_map_value_size: the bytes of a value as user space passes
// and gets it.
func (b *mapBase) userValueSize() int {
	switch b.spec.Type {
	case spec.MapPerCPUHash, spec.MapPerCPUArray, spec.MapLRUPerCPUHash, spec.MapPerCPUCgroupStorage:
		return int(round8(b.spec.ValueSize)) * len(b.rt.cpus)
	}
	return int(b.spec.ValueSize)
}

// mayRead and mayWrite judge the access that user space has (map_get_sys_perms).
func (b *mapBase) mayRead() spec.Errno {
	if b.spec.Flags&spec.MapWrOnly != 0 {
		return spec.EPERM
	}
	return 0
}

func (b *mapBase) mayWrite() spec.Errno {
	if b.spec.Flags&spec.MapRdOnly != 0 || b.frozen {
		return spec.EPERM
	}
	return 0
}

// checkLock refuses BPF_F_LOCK for values that have no lock.
func (b *mapBase) checkLock(flags uint64) spec.Errno {
	if flags&spec.UpdateLock != 0 && !b.hasLock() {
		return spec.EINVAL
	}
	return 0
}

// Lookup implements [Map]: BPF_MAP_LOOKUP_ELEM.
func (b *mapBase) Lookup(key []byte) ([]byte, error) { return LookupFlags(b.self, key, 0) }

// LookupFlags is Map.Lookup with flags: spec.UpdateLock reads a value that has a lock
// while nobody holds it.
func LookupFlags(m Map, key []byte, flags uint64) ([]byte, error) {
	b := m.(kmap).base()
	defer b.lock().Unlock()
	if flags&^spec.UpdateLock != 0 {
		return nil, spec.EINVAL
	}
	if e := firstErrno(b.mayRead(), b.checkLock(flags), b.userKey(key)); e != 0 {
		return nil, e
	}
	value, e := b.self.sysLookup(key)
	return value, asError(e)
}

// Update implements [Map]: BPF_MAP_UPDATE_ELEM.
func (b *mapBase) Update(key, value []byte, flags uint64) error {
	defer b.lock().Unlock()
	if e := firstErrno(b.mayWrite(), b.checkLock(flags), b.userKey(key)); e != 0 {
		return e
	}
	if len(value) != b.userValueSize() {
		return spec.EINVAL
	}
	return b.self.sysUpdate(key, value, flags)
}

// Delete implements [Map]: BPF_MAP_DELETE_ELEM.
func (b *mapBase) Delete(key []byte) error {
	defer b.lock().Unlock()
	if e := firstErrno(b.mayWrite(), b.userKey(key)); e != 0 {
		return e
	}
	return asError(b.self.deleteElem(key))
}

// NextKey implements [Map]: BPF_MAP_GET_NEXT_KEY.
func (b *mapBase) NextKey(key []byte) ([]byte, error) {
	defer b.lock().Unlock()
	if e := b.mayRead(); e != 0 {
		return nil, e
	}
	if key != nil {
		if e := b.userKey(key); e != 0 {
			return nil, e
		}
	}
	next, e := b.self.nextKey(key)
	return next, asError(e)
}

// sysLookup copies the value that a program would see.
func (b *mapBase) sysLookup(key []byte) ([]byte, spec.Errno) {
	addr, e := b.self.lookupElem(0, key)
	if e != 0 {
		return nil, e
	}
	return b.copyValue(addr)
}

// copyValue copies a value; 0 is no value.
func (b *mapBase) copyValue(addr uint64) ([]byte, spec.Errno) {
	if addr == 0 {
		return nil, spec.ENOENT
	}
	value := bytes.Clone(b.rt.mem.Raw(addr, uint64(b.spec.ValueSize)))
	b.clearFields(value)
	return value, 0
}

// sysUpdate does what an update by a program does.
func (b *mapBase) sysUpdate(key, value []byte, flags uint64) error {
	return asError(b.self.updateElem(0, key, value, flags))
}

// firstErrno returns the first that is not 0.
func firstErrno(all ...spec.Errno) spec.Errno {
	for _, e := range all {
		if e != 0 {
			return e
		}
	}
	return 0
}

// taker are the maps whose elements user space can take out in one step.
type taker interface {
	sysTake(key []byte) ([]byte, spec.Errno)
}

// LookupAndDelete implements [Map]: BPF_MAP_LOOKUP_AND_DELETE_ELEM.
func (b *mapBase) LookupAndDelete(key []byte, flags uint64) ([]byte, error) {
	defer b.lock().Unlock()
	if flags&^spec.UpdateLock != 0 {
		return nil, spec.EINVAL
	}
	if e := firstErrno(b.mayRead(), b.mayWrite(), b.checkLock(flags), b.userKey(key)); e != 0 {
		return nil, e
	}
	t, ok := b.self.(taker)
	if !ok {
		return nil, spec.ENOTSUPP
	}
	value, e := t.sysTake(key)
	return value, asError(e)
}
