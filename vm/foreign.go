package vm

import (
	"fmt"
	"slices"
	"sort"
)

// Foreign is memory outside the arena: kernel and user addresses that occur in a
// scenario's registers and structures. It is a sparse table of segments. Programs
// never dereference such an address; helpers read it for them and return -EFAULT
// where nothing is stored.
type Foreign struct {
	segs []Segment // sorted by Addr, not overlapping
}

// Segment is a run of foreign bytes.
type Segment struct {
	Addr uint64
	Data []byte
	Name string // what it is, for display: "str", "task_struct"
	User bool   // a user-space address: probe_read_user and probe_write_user reach it
}

// Add stores a segment. It returns an error when it is empty, wraps around the
// address space or overlaps another.
func (f *Foreign) Add(s Segment) error {
	if len(s.Data) == 0 {
		return fmt.Errorf("foreign memory %#x: empty", s.Addr)
	}
	if s.Addr+uint64(len(s.Data))-1 < s.Addr {
		return fmt.Errorf("foreign memory %#x: %d bytes wrap around", s.Addr, len(s.Data))
	}
	i := f.search(s.Addr)
	if i < len(f.segs) && f.segs[i].Addr-s.Addr < uint64(len(s.Data)) ||
		i > 0 && s.Addr-f.segs[i-1].Addr < uint64(len(f.segs[i-1].Data)) {
		return fmt.Errorf("foreign memory %#x: %d bytes overlap other foreign memory", s.Addr, len(s.Data))
	}
	f.segs = slices.Insert(f.segs, i, s)
	return nil
}

// Remove forgets the segment that starts at addr, if there is one.
func (f *Foreign) Remove(addr uint64) {
	if i := f.search(addr); i < len(f.segs) && f.segs[i].Addr == addr {
		f.segs = slices.Delete(f.segs, i, i+1)
	}
}

// search returns the index of the first segment at or above addr.
func (f *Foreign) search(addr uint64) int {
	return sort.Search(len(f.segs), func(i int) bool { return f.segs[i].Addr >= addr })
}

// Find returns the segment that holds the address, or nil.
func (f *Foreign) Find(addr uint64) *Segment {
	i := sort.Search(len(f.segs), func(i int) bool { return f.segs[i].Addr > addr })
	if i == 0 || addr-f.segs[i-1].Addr >= uint64(len(f.segs[i-1].Data)) {
		return nil
	}
	return &f.segs[i-1]
}

// Segments returns all segments in order of address. The slice must not be
// changed.
func (f *Foreign) Segments() []Segment { return f.segs }

// Read fills dst from addr on and returns how many bytes were there; fewer than
// len(dst) means a fault at addr plus that number. Neighbouring segments are read
// as one.
func (f *Foreign) Read(dst []byte, addr uint64) int {
	done := 0
	for done < len(dst) {
		b := f.from(addr + uint64(done))
		if b == nil {
			break
		}
		done += copy(dst[done:], b)
	}
	return done
}

// Write stores src at addr and returns how many bytes had a place.
func (f *Foreign) Write(addr uint64, src []byte) int {
	done := 0
	for done < len(src) {
		b := f.from(addr + uint64(done))
		if b == nil {
			break
		}
		done += copy(b, src[done:])
	}
	return done
}

// from returns what is stored from an address to the end of its segment, or nil.
func (f *Foreign) from(addr uint64) []byte {
	s := f.Find(addr)
	if s == nil {
		return nil
	}
	return s.Data[addr-s.Addr:]
}
