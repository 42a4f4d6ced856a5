package runtime

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"bpfvm/spec"
	"bpfvm/vm"
)

// htab is the hash table behind the hash maps (kernel/bpf/hashtab.c). Elements
// are numbered slots: their values lie in the arena, once for each CPU in per-CPU
// maps; keys, hashes and chains lie outside, where no program can harm them.
//
//	heads[hash & mask] -> slot -> slot -> -1      newest first
//
// A deleted element keeps its memory and its contents until its slot is used
// again, as in the kernel, and a program that still holds a pointer sees the new
// owner's value then. Freed slots are reused last in, first out.
type htab struct {
	b       *mapBase
	valCPUs int // values of one element: 1, the number of CPUs, or 0

	heads []int32 // first slot of each bucket or -1; made at the first insertion
	mask  uint32
	count uint32 // elements in the table

	// Per slot:
	next  []int32
	hash  []uint32
	keys  []byte   // key_size bytes each
	addrs []uint64 // valCPUs addresses each

	used  uint32  // slots ever handed out, free ones included
	free  []int32 // stack of free slots
	extra []int32 // spare slot of each CPU, -1 when none: see replace

	lru *lru // of LRU maps, else nil
}

const (
	// maxBuckets bounds the heads of a table, 4 MiB. Up to it there are as many
	// buckets as in the kernel, and the same order of keys.
	maxBuckets = 1 << 20
	// firstSlab is the number of elements allocated first; each further
	// allocation doubles the table. The kernel allocates all at once unless
	// BPF_F_NO_PREALLOC is set; that shows only as memory in use.
	firstSlab = 64
)

// hashFlags are the flags that hash maps allow (HTAB_CREATE_FLAG_MASK).
const hashFlags = spec.MapNoPrealloc | spec.MapNoCommonLRU | spec.MapNUMANode | accessFlags | spec.MapZeroSeed

// checkHash is htab_map_alloc_check and the limit of htab_map_alloc.
func checkHash(s *spec.MapSpec, _ int) spec.Errno {
	percpu := s.Type.PerCPU()
	lru := s.Type == spec.MapLRUHash || s.Type == spec.MapLRUPerCPUHash
	lists := s.Flags&spec.MapNoCommonLRU != 0 // a list for each CPU
	switch {
	case s.Flags&^hashFlags != 0, lists && !lru:
		return spec.EINVAL
	case lru && s.Flags&spec.MapNoPrealloc != 0:
		return spec.ENOTSUPP
	case (percpu || lists) && s.Flags&spec.MapNUMANode != 0:
		return spec.EINVAL
	case s.MaxEntries == 0, s.KeySize == 0, s.ValueSize == 0:
		return spec.EINVAL
	case uint64(s.KeySize)+uint64(s.ValueSize) >= maxHashElem:
		return spec.E2BIG
	case percpu && round8(s.ValueSize) > maxPerCPUValue:
		return spec.E2BIG
	case s.MaxEntries > 1<<31:
		return spec.E2BIG
	}
	return 0
}

// newHtab makes a table whose elements have so many values: 1, one for each CPU, or
// none.
func newHtab(b *mapBase, values int) *htab {
	t := &htab{b: b, valCPUs: values}
	t.mask = min(uint32(1)<<bits.Len32(b.spec.MaxEntries-1), maxBuckets) - 1
	return t
}

// find returns the slot of a key, or -1.
func (t *htab) find(key []byte, hash uint32) int32 {
	if t.heads == nil {
		return -1
	}
	s := t.heads[hash&t.mask]
	if len(key) == 4 { // no call to compare
		k := binary.LittleEndian.Uint32(key)
		for s >= 0 && (t.hash[s] != hash || binary.LittleEndian.Uint32(t.keys[int(s)*4:]) != k) {
			s = t.next[s]
		}
		return s
	}
	size := len(key)
	for s >= 0 && (t.hash[s] != hash || !bytes.Equal(t.keys[int(s)*size:][:size], key)) {
		s = t.next[s]
	}
	return s
}

// addr returns the address of a slot's value for one CPU.
func (t *htab) addr(slot int32, cpu int) uint64 {
	if t.valCPUs == 1 {
		return t.addrs[slot]
	}
	return t.addrs[int(slot)*t.valCPUs+cpu]
}

// lookup returns the address of a key's value, or 0.
func (t *htab) lookup(cpu int, key []byte) uint64 {
	return t.valueAt(t.find(key, jhash(key)), cpu)
}

// use is lookup by a program: an LRU map notes it.
func (t *htab) use(cpu int, key []byte) uint64 {
	s := t.find(key, t.hashOf(key))
	if s >= 0 && t.lru != nil {
		t.lru.touch(s)
	}
	return t.valueAt(s, cpu)
}

func (t *htab) valueAt(slot int32, cpu int) uint64 {
	if slot < 0 || cpu >= t.valCPUs && t.valCPUs != 1 {
		return 0
	}
	return t.addr(slot, cpu)
}

// update is htab_map_update_elem: a new element always takes a new slot, also
// when it replaces an old one, so that concurrent readers never see half a value.
// fill writes the value into the slot.
func (t *htab) update(cpu int, key []byte, flags uint64, inPlace bool, fill func(slot int32, fresh bool)) spec.Errno {
	if e := checkUpdateFlags(flags); e != 0 {
		return e
	}
	if flags&spec.UpdateLock != 0 {
		if e := t.b.checkLock(flags); e != 0 {
			return e
		}
		flags &^= spec.UpdateLock
		inPlace = true
	}
	hash := t.hashOf(key)
	old := t.find(key, hash)
	switch {
	case old >= 0 && flags == spec.UpdateNoExist:
		return spec.EEXIST
	case old < 0 && flags == spec.UpdateExist:
		return spec.ENOENT
	case old >= 0 && inPlace:
		fill(old, false)
		if t.lru != nil {
			t.lru.touch(old)
		}
		return 0
	case t.lru != nil:
		t.makeRoom(cpu, old)
	case old < 0 && t.count >= t.b.spec.MaxEntries:
		return spec.E2BIG
	}
	slot, e := t.take(cpu, old >= 0)
	if e != 0 {
		return e
	}
	size := len(key)
	copy(t.keys[int(slot)*size:][:size], key)
	t.hash[slot] = hash
	fill(slot, true)
	if old >= 0 {
		t.unlink(old)
		t.put(cpu, old, true)
	}
	t.next[slot] = t.heads[hash&t.mask]
	t.heads[hash&t.mask] = slot
	t.count++
	if t.lru != nil {
		t.lru.add(cpu, slot)
	}
	return 0
}

// makeRoom drops the oldest element of an LRU map's list when it is full and the
// element that is to be added does not replace one of the same list.
func (t *htab) makeRoom(cpu int, old int32) {
	if old >= 0 && t.lru.list[old] == t.lru.of(cpu) {
		return
	}
	if s := t.lru.victim(cpu); s >= 0 {
		t.unlink(s)
		t.put(cpu, s, false)
	}
}

// remove deletes a key.
func (t *htab) remove(key []byte) spec.Errno {
	s := t.find(key, t.hashOf(key))
	if s < 0 {
		return spec.ENOENT
	}
	t.unlink(s)
	t.put(0, s, false)
	return 0
}

// unlink takes a slot out of its bucket.
func (t *htab) unlink(slot int32) {
	p := &t.heads[t.hash[slot]&t.mask]
	for *p != slot {
		p = &t.next[*p]
	}
	*p = t.next[slot]
	t.count--
	if t.lru != nil {
		t.lru.drop(slot)
	}
}

// prealloc reports whether the kernel would have allocated all elements at once.
func (t *htab) prealloc() bool { return t.b.spec.Flags&spec.MapNoPrealloc == 0 }

// take finds a slot for a new element. When it replaces an element of a
// preallocated map it is the spare one of the CPU, and the old element becomes
// the spare (hashtab.c, alloc_htab_elem): replacing needs no free element.
func (t *htab) take(cpu int, replace bool) (int32, spec.Errno) {
	spare := replace && t.prealloc()
	if spare && t.extra[cpu] >= 0 {
		return t.extra[cpu], 0
	}
	if n := len(t.free); n > 0 && !spare {
		s := t.free[n-1]
		t.free = t.free[:n-1]
		return s, 0
	}
	if int(t.used) == len(t.next) {
		if e := t.grow(); e != 0 {
			return 0, e
		}
	}
	t.used++
	return int32(t.used - 1), 0
}

// put gives a slot back.
func (t *htab) put(cpu int, slot int32, replaced bool) {
	if len(t.b.fields) > 0 && t.valCPUs == 1 {
		t.b.freeFields(t.addr(slot, 0))
	}
	if replaced && t.prealloc() {
		t.extra[cpu] = slot
		return
	}
	t.free = append(t.free, slot)
}

// grow allocates another slab of elements. It cannot fail in the kernel, which
// has allocated all of them at creation; here the arena may be full.
func (t *htab) grow() spec.Errno {
	if t.heads == nil {
		t.heads = make([]int32, t.mask+1)
		for i := range t.heads {
			t.heads[i] = -1
		}
		t.extra = make([]int32, len(t.b.rt.cpus))
		for i := range t.extra {
			t.extra[i] = -1
		}
	}
	first := len(t.next)
	total := uint64(t.b.spec.MaxEntries) + uint64(len(t.extra))
	n := int(min(max(uint64(first), firstSlab), total-uint64(first)))
	regions := make([]*vm.Region, t.valCPUs)
	for cpu := range regions {
		name := t.b.spec.Name
		if t.b.spec.Type.PerCPU() {
			name = perCPUName(name, cpu)
		}
		r, err := t.b.rt.mem.Alloc(vm.Spec{
			Kind: vm.RegionMapValue, Name: name, Perm: t.b.progPerm(),
			Elem: uint64(t.b.spec.ValueSize), Count: uint64(n), First: uint64(first), Owner: t.b.self,
		})
		if err != nil {
			return spec.ENOMEM
		}
		regions[cpu] = r
	}
	for i := range n {
		for _, r := range regions {
			t.addrs = append(t.addrs, r.Base+uint64(i)*r.Stride)
		}
	}
	t.next = append(t.next, make([]int32, n)...)
	t.hash = append(t.hash, make([]uint32, n)...)
	t.keys = append(t.keys, make([]byte, n*int(t.b.spec.KeySize))...)
	if t.lru != nil {
		t.lru.grow(n)
	}
	return 0
}

// nextKey is htab_map_get_next_key: bucket by bucket, newest first in each; a key
// that is not there leads to the first one.
func (t *htab) nextKey(key []byte) ([]byte, spec.Errno) {
	if t.heads == nil {
		return nil, spec.ENOENT
	}
	bucket := uint32(0)
	if key != nil {
		hash := t.hashOf(key)
		if s := t.find(key, hash); s >= 0 {
			if n := t.next[s]; n >= 0 {
				return t.key(n), 0
			}
			bucket = hash&t.mask + 1
		}
	}
	for ; bucket <= t.mask; bucket++ {
		if s := t.heads[bucket]; s >= 0 {
			return t.key(s), 0
		}
	}
	return nil, spec.ENOENT
}

func (t *htab) key(slot int32) []byte {
	size := int(t.b.spec.KeySize)
	return bytes.Clone(t.keys[int(slot)*size:][:size])
}
