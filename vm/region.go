package vm

import (
	"fmt"
	"sort"
)

// RegionKind says what a region of the arena holds. It decides how addresses in
// it are printed.
type RegionKind uint8

// Kinds of regions.
const (
	RegionStack    RegionKind = iota // the frames of one run, 512 bytes each
	RegionCtx                        // the context structure
	RegionPacket                     // headroom, packet and tailroom
	RegionMapValue                   // elements of a map
	RegionMap                        // opaque handle: a map itself
	RegionFunc                       // opaque handle: a function for callbacks
	RegionRingBuf                    // ring buffer records
	RegionTask                       // kernel structures that a program may read
	RegionScratch                    // memory of the runtime
	RegionSock                       // what programs see of a socket
)

var regionNames = [...]string{"stack", "ctx", "pkt", "map_value", "map", "func", "ringbuf_mem", "task", "scratch", "sock"}

// String returns the kernel's word for pointers into such a region.
func (k RegionKind) String() string {
	if int(k) < len(regionNames) {
		return regionNames[k]
	}
	return fmt.Sprintf("region(%d)", uint8(k))
}

// Region is one allocation of the arena.
type Region struct {
	Base uint64 // first address
	Size uint64 // bytes
	Kind RegionKind
	Name string // map or function name; empty where there is only one

	// Stride is the distance in bytes between the elements of a map region, and
	// Elem the accessible bytes of each. Both are 0 when the region is one object.
	Stride, Elem uint64
	// First is the index of the region's first element: maps that grow have
	// several regions.
	First uint64

	// Start is the address that prints as "+0", normally Base. For a packet it is
	// the packet's first byte, for a stack it is not used.
	Start uint64
	// End is the first address after the object that programs should see: for a
	// packet data_end, else Base+Size.
	End uint64

	// Owner is what the region belongs to: the runtime's map or function.
	Owner any
}

// Contains reports whether the address lies in the region.
func (r *Region) Contains(addr uint64) bool { return addr-r.Base < r.Size }

// Object is the smallest thing that an address belongs to: a stack frame, one
// map element, a packet. Pointers must stay inside the object they came from;
// the checking engines enforce it.
type Object struct {
	Region *Region
	Base   uint64 // first address of the object
	Size   uint64 // bytes
	Index  uint64 // element or frame number
}

// Object returns the object at an address; ok is false in guards and outside the
// arena.
func (m *Memory) Object(addr uint64) (obj Object, ok bool) {
	r := m.Find(addr)
	if r == nil {
		return Object{}, false
	}
	switch {
	case r.Kind == RegionStack:
		frame, top := stackFrame(r, addr)
		return Object{r, top - StackSize, StackSize, frame}, true
	case r.Stride != 0:
		i := (addr - r.Base) / r.Stride
		return Object{r, r.Base + i*r.Stride, r.Elem, r.First + i}, true
	case r.Kind == RegionPacket:
		return Object{r, r.Start, r.End - r.Start, 0}, true
	}
	return Object{r, r.Base, r.Size, 0}, true
}

// Find returns the region that contains the address, or nil.
func (m *Memory) Find(addr uint64) *Region {
	i := sort.Search(len(m.regions), func(i int) bool { return m.regions[i].Base > addr })
	if i == 0 {
		return nil
	}
	if r := m.regions[i-1]; r.Contains(addr) {
		return r
	}
	return nil
}

// Regions returns all regions in order of address. The slice must not be
// changed.
func (m *Memory) Regions() []*Region { return m.regions }

// Symbolize prints an address as what it is: "fp-8", "fp(1)-16" in the frame of
// the first subprogram, "ctx+4", "pkt+12", "map_value(counts)[3]+4",
// "map(counts)". A number that is no address of the arena prints in hexadecimal.
func (m *Memory) Symbolize(addr uint64) string {
	r := m.Find(addr)
	if r == nil {
		// One past the end of an object is a common and legal pointer value.
		if prev := m.Find(addr - 1); addr > 0 && prev != nil && prev.Kind != RegionMap && prev.Kind != RegionFunc {
			return m.symbolizeIn(prev, addr)
		}
		return fmt.Sprintf("%#x", addr)
	}
	return m.symbolizeIn(r, addr)
}

func (m *Memory) symbolizeIn(r *Region, addr uint64) string {
	switch r.Kind {
	case RegionStack:
		frame, top := stackFrame(r, addr)
		name := "fp"
		if frame > 0 {
			name = fmt.Sprintf("fp(%d)", frame)
		}
		return name + signed(int64(addr-top))
	case RegionPacket:
		return "pkt" + signed(int64(addr-r.Start))
	}
	name := r.Kind.String()
	if r.Name != "" {
		name += "(" + r.Name + ")"
	}
	off := addr - r.Base
	if r.Stride != 0 {
		i := off / r.Stride
		if addr == r.Base+r.Size {
			i-- // one past the last element
		}
		off -= i * r.Stride
		name += fmt.Sprintf("[%d]", r.First+i)
	}
	if off == 0 {
		return name
	}
	return name + signed(int64(off))
}

// stackFrame returns the frame that a stack address was most likely meant for, and
// its R10. Half of the guard between two frames counts as above the lower one,
// the other half as below the upper one.
func stackFrame(r *Region, addr uint64) (frame, top uint64) {
	frame = (addr - r.Base) / frameStride
	if (addr-r.Base)%frameStride < frameGuard/2 && frame > 0 {
		frame--
	}
	return frame, r.Base + (frame+1)*frameStride
}

// signed prints an offset with its sign, and nothing for zero.
func signed(off int64) string {
	if off == 0 {
		return ""
	}
	return fmt.Sprintf("%+d", off)
}
