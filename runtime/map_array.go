package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
	"bpfvm/vm"
	"bpfvm/vm/layout"
)

// Array is a BPF_MAP_TYPE_ARRAY (kernel/bpf/arraymap.c): max_entries values that
// all exist from the start, zeroed, side by side in the arena. Keys are indexes.
//
// .data, .rodata and .bss are arrays of one element whose value programs address
// directly.
type Array struct {
	mapBase
	elems *vm.Region
}

// elems are elements side by side in the arena.
type elems struct{ first, stride, count uint64 }

// checkArray is array_map_alloc_check.
func checkArray(s *spec.MapSpec, _ int) spec.Errno {
	percpu := s.Type == spec.MapPerCPUArray
	allowed := accessFlags | spec.MapNUMANode
	if s.Type == spec.MapArray {
		allowed |= spec.MapMmapable | spec.MapInnerMap
	}
	switch {
	case s.MaxEntries == 0, s.KeySize != 4, s.ValueSize == 0, s.Flags&^allowed != 0:
		return spec.EINVAL
	case percpu && s.Flags&spec.MapNUMANode != 0:
		return spec.EINVAL
	case s.ValueSize > 1<<31-1:
		return spec.E2BIG
	case percpu && round8(s.ValueSize) > maxPerCPUValue:
		return spec.E2BIG
	}
	return 0
}

func newArray(b mapBase) (kmap, error) {
	m := &Array{mapBase: b}
	r, err := b.rt.mem.Alloc(vm.Spec{
		Kind: vm.RegionMapValue, Name: b.spec.Name, Perm: b.progPerm(),
		Elem: uint64(b.spec.ValueSize), Count: uint64(b.spec.MaxEntries), Owner: m,
	})
	if err != nil {
		return nil, allocErr(err)
	}
	m.elems = r
	m.array = &elems{first: r.Base, stride: r.Stride, count: uint64(b.spec.MaxEntries)}
	return m, nil
}

// layout is where compilers find the elements.
func (m *Array) layout() layout.Array {
	return layout.Array{Base: m.elems.Base, Stride: m.elems.Stride, Count: m.spec.MaxEntries, CPUs: 1}
}

// ValueAddr returns the address of an element, or 0 when the index is too large.
func (m *Array) ValueAddr(index uint32) uint64 {
	if index >= m.spec.MaxEntries {
		return 0
	}
	return m.elems.Base + uint64(index)*m.elems.Stride
}

func (m *Array) lookupElem(_ int, key []byte) (uint64, spec.Errno) {
	return m.ValueAddr(binary.LittleEndian.Uint32(key)), 0
}

// checkArrayUpdate is the part of array_map_update_elem that judges.
func (b *mapBase) checkArrayUpdate(key []byte, flags uint64) spec.Errno {
	switch {
	case checkUpdateFlags(flags) != 0:
		return spec.EINVAL
	case binary.LittleEndian.Uint32(key) >= b.spec.MaxEntries:
		return spec.E2BIG
	case flags&spec.UpdateNoExist != 0:
		return spec.EEXIST
	case b.checkLock(flags) != 0:
		return spec.EINVAL
	}
	return 0
}

func (m *Array) updateElem(_ int, key, value []byte, flags uint64) spec.Errno {
	if e := m.checkArrayUpdate(key, flags); e != 0 {
		return e
	}
	addr := m.ValueAddr(binary.LittleEndian.Uint32(key))
	m.copyIn(addr, value)
	m.freeFields(addr)
	return 0
}

// deleteElem is array_map_delete_elem: elements of arrays cannot go.
func (m *Array) deleteElem([]byte) spec.Errno { return spec.EINVAL }

// nextKey gives indexes in ascending order (array_map_get_next_key).
func (m *Array) nextKey(key []byte) ([]byte, spec.Errno) { return m.indexAfter(key) }

// indexAfter returns the key of the next index; the first one after nil and after
// an index that is too large.
func (b *mapBase) indexAfter(key []byte) ([]byte, spec.Errno) {
	next := uint32(0)
	if key != nil {
		if i := binary.LittleEndian.Uint32(key); i < b.spec.MaxEntries {
			next = i + 1
		}
	}
	if next == b.spec.MaxEntries {
		return nil, spec.ENOENT
	}
	return binary.LittleEndian.AppendUint32(nil, next), 0
}
