package runtime

import (
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
)

// Maps whose elements are kernel objects. User space names the object by a file
// descriptor, or an interface index, and reads an id back, if it may read at all.
// Here there are no file descriptors: user space passes the object's number both
// ways, and a number that nothing has is a bad one (EBADF).

// checkFDArray is fd_array_map_alloc_check.
func checkFDArray(s *spec.MapSpec, cpus int) spec.Errno {
	plain := *s
	switch {
	case s.ValueSize != 4, s.Flags&(spec.MapRdOnlyProg|spec.MapWrOnlyProg|spec.MapMmapable|spec.MapInnerMap) != 0:
		return spec.EINVAL
	case s.Type == spec.MapPerfEventArray:
		plain.Flags &^= spec.MapPreserveElem
	}
	return checkArray(&plain, cpus)
}

// fitPlaces refuses an array whose pointers the kernel would have to allocate at
// once when they would not fit the arena. They do not lie there, but count as if
// they did.
func (b *mapBase) fitPlaces() error {
	if size := 8 * uint64(b.spec.MaxEntries); size > b.rt.mem.Cap() {
		return fmt.Errorf("%w: %d bytes of pointers are more than the whole arena", spec.ENOMEM, size)
	}
	return nil
}

// places are the elements of an array in which most are empty: the zero value. It
// grows with the largest index that is used.
type places[T comparable] struct{ at []T }

func (p *places[T]) get(i uint32) T {
	if uint64(i) < uint64(len(p.at)) {
		return p.at[i]
	}
	var none T
	return none
}

func (p *places[T]) set(i uint32, v T) {
	if n := int(i) + 1 - len(p.at); n > 0 {
		var none T
		if v == none {
			return
		}
		p.at = append(p.at, make([]T, n)...)
	}
	p.at[i] = v
}

// take empties a place of an array of n (__fd_array_map_delete_elem).
func (p *places[T]) take(i, n uint32) spec.Errno {
	var none T
	switch {
	case i >= n:
		return spec.E2BIG
	case p.get(i) == none:
		return spec.ENOENT
	}
	p.at[i] = none
	return 0
}

// checkPlace judges an update of an array of objects by user space
// (bpf_fd_array_map_update_elem).
func (b *mapBase) checkPlace(key []byte, flags uint64) (uint32, spec.Errno) {
	i := binary.LittleEndian.Uint32(key)
	switch {
	case flags != spec.UpdateAny:
		return 0, spec.EINVAL
	case i >= b.spec.MaxEntries:
		return 0, spec.E2BIG
	}
	return i, 0
}

// number makes the value that stands for an object.
func number(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
