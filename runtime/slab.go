package runtime

import (
	"bpfvm/spec"
	"bpfvm/vm"
)

// slab hands out values of a map one at a time, for maps whose elements come and
// go. Freed ones keep their contents and are used again last in, first out; a
// program that still holds a pointer sees the new owner's value then.
type slab struct {
	b     *mapBase
	addrs []uint64 // by slot
	used  int      // slots ever handed out
	free  []int32
}

// slabBytes bounds what a slab allocates at once.
const slabBytes = 4 << 20

// take returns a free slot.
func (s *slab) take() (int32, spec.Errno) {
	if n := len(s.free); n > 0 {
		slot := s.free[n-1]
		s.free = s.free[:n-1]
		return slot, 0
	}
	if s.used == len(s.addrs) {
		first := len(s.addrs)
		// Double, but take neither more than the map can hold nor, for the sake of
		// large values, a large part of the arena at once.
		n := max(first, firstSlab)
		n = min(n, int(min(uint64(s.b.spec.MaxEntries), slabBytes/uint64(s.b.spec.ValueSize)))+1)
		r, err := s.b.rt.mem.Alloc(vm.Spec{
			Kind: vm.RegionMapValue, Name: s.b.spec.Name, Perm: s.b.progPerm(),
			Elem: uint64(s.b.spec.ValueSize), Count: uint64(n), First: uint64(first), Owner: s.b.self,
		})
		if err != nil {
			return 0, spec.ENOMEM
		}
		for i := range n {
			s.addrs = append(s.addrs, r.Base+uint64(i)*r.Stride)
		}
	}
	s.used++
	return int32(s.used - 1), 0
}

// put gives a slot back; -1 is none.
func (s *slab) put(slot int32) {
	if slot >= 0 {
		s.free = append(s.free, slot)
	}
}
