package vm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Sizes of the arena.
const (
	// FirstAddr is the lowest address that is ever handed out: page 0 and its
	// neighbourhood stay invalid, so a NULL pointer plus a small offset traps.
	FirstAddr = 64 << 10
	// GuardSize is the smallest gap in bytes between two regions. No single
	// access is wider (8 bytes), so checking its two ends checks all of it.
	GuardSize = 16
	// DefaultCap is the default limit of an arena in bytes.
	DefaultCap = 256 << 20
	// MaxCap is the largest possible arena: addresses have 32 bits.
	MaxCap = 1 << 32

	growStep = 1 << 20
)

// ErrNoMemory is the cause of every allocation that does not fit the arena; it
// stands for the kernel's ENOMEM.
var ErrNoMemory = errors.New("cannot allocate memory")

// Memory is one arena. Its zero value is not usable; make one with [NewMemory].
//
// A Memory is not safe for concurrent allocation. Concurrent runs may read and
// write it; data races between programs are theirs, as in the kernel.
type Memory struct {
	buf     []byte // bytes, index = address; len is the current limit
	perm    []Perm // permission of each byte; same length
	next    uint64 // next free address
	cap     uint64
	regions []*Region // sorted by Base
	back    backing

	// Foreign is everything outside the arena. It is never nil.
	Foreign *Foreign
}

// NewMemory makes an empty arena that can grow to capBytes (0: [DefaultCap]).
// Close returns its address space; the garbage collector does so too.
func NewMemory(capBytes uint64) (*Memory, error) {
	if capBytes == 0 {
		capBytes = DefaultCap
	}
	if capBytes < 2*FirstAddr || capBytes > MaxCap {
		return nil, fmt.Errorf("arena of %d bytes: want %d to %d", capBytes, 2*FirstAddr, uint64(MaxCap))
	}
	m := &Memory{next: FirstAddr, cap: capBytes, Foreign: &Foreign{}}
	m.back.open(m)
	if err := m.grow(FirstAddr); err != nil {
		return nil, err
	}
	return m, nil
}

// Close gives the arena's memory back. The Memory and all slices of it must not
// be used afterwards.
func (m *Memory) Close() error {
	m.buf, m.perm, m.regions = nil, nil, nil
	return m.back.close()
}

// Cap returns the size in bytes that the arena may grow to.
func (m *Memory) Cap() uint64 { return m.cap }

// Used returns the number of bytes that regions and their guards take.
func (m *Memory) Used() uint64 { return m.next - FirstAddr }

// View returns the bytes and permissions, both indexed by address, for engines
// that check accesses themselves. Both become stale when a helper allocates:
// reload them after each helper call.
func (m *Memory) View() (bytes []byte, perm []Perm) { return m.buf, m.perm }

// Spec of a new region for [Memory.Alloc]. Count elements of Elem bytes each are
// laid out Stride apart; with Stride 0 the region is one object of Size bytes.
type Spec struct {
	Kind  RegionKind
	Name  string
	Perm  Perm
	Size  uint64
	Elem  uint64
	Count uint64
	First uint64
	Align uint64 // power of two; 0 means 8
	Owner any
}

// Alloc reserves zeroed memory and returns its region. It returns an error that
// wraps [ErrNoMemory] when the arena's cap is reached.
func (m *Memory) Alloc(s Spec) (*Region, error) {
	stride := uint64(0)
	if s.Count > 0 {
		stride = (s.Elem + 7) &^ 7
		if stride != 0 && s.Count > m.cap/stride {
			return nil, m.noMemory(s, "more than the whole arena")
		}
		s.Size = stride * s.Count
	}
	align := max(s.Align, 8)
	base := (m.next + GuardSize + align - 1) &^ (align - 1)
	end := base + s.Size
	if end < base || end+GuardSize > m.cap {
		return nil, m.noMemory(s, fmt.Sprintf("%d bytes", s.Size))
	}
	if err := m.grow(end + GuardSize); err != nil {
		return nil, err
	}
	r := &Region{
		Base: base, Size: s.Size, Kind: s.Kind, Name: s.Name,
		Stride: stride, Elem: s.Elem, First: s.First,
		Start: base, End: end, Owner: s.Owner,
	}
	if stride != 0 && s.Elem != stride {
		for a := base; a < end; a += stride {
			m.Protect(a, s.Elem, s.Perm)
		}
	} else {
		m.Protect(base, s.Size, s.Perm)
	}
	m.next = end
	m.regions = append(m.regions, r)
	return r, nil
}

// Handle reserves an address that stands for an object without memory: a map or
// a function. Programs may hold and pass it but not dereference it.
func (m *Memory) Handle(kind RegionKind, name string, owner any) (*Region, error) {
	return m.Alloc(Spec{Kind: kind, Name: name, Size: 8, Owner: owner})
}

func (m *Memory) noMemory(s Spec, what string) error {
	name := s.Kind.String()
	if s.Name != "" {
		name += "(" + s.Name + ")"
	}
	return fmt.Errorf("arena: %s of %s does not fit, %d of %d bytes are used: %w",
		name, what, m.Used(), m.cap, ErrNoMemory)
}

// grow makes addresses below end usable.
func (m *Memory) grow(end uint64) error {
	if end <= uint64(len(m.buf)) {
		return nil
	}
	limit := min((end+growStep-1)&^uint64(growStep-1), m.cap)
	return m.back.grow(m, limit)
}

// Protect sets the permission of size bytes from addr. The range must have been
// allocated.
func (m *Memory) Protect(addr, size uint64, p Perm) {
	if size == 0 {
		return
	}
	s := m.perm[addr : addr+size]
	s[0] = p
	for n := 1; n < len(s); n *= 2 {
		copy(s[n:], s[:n])
	}
}

// Fault is an access that the arena refuses.
type Fault struct {
	Addr  uint64
	Size  int
	Need  Perm   // what the access wanted to do
	Where string // the address by its name
	Why   string // what is wrong, as a sentence without a period
}

// Error implements error.
func (f *Fault) Error() string {
	verb := "read"
	if f.Need&PermWrite != 0 {
		verb = "write"
	}
	return fmt.Sprintf("%s of %d bytes at %s: %s", verb, f.Size, f.Where, f.Why)
}

// Bytes returns the memory of an access after checking the permission of every
// byte. The slice is valid until something is allocated. The error is a *Fault.
func (m *Memory) Bytes(addr uint64, size int, need Perm) ([]byte, error) {
	if !m.Has(addr, size, need) {
		return nil, m.fault(addr, size, need)
	}
	return m.buf[addr : addr+uint64(size) : addr+uint64(size)], nil
}

// Has reports whether every byte of an access of any size has the permission:
// [Memory.Bytes] for those who expect that it often has not.
func (m *Memory) Has(addr uint64, size int, need Perm) bool {
	return size >= 0 && addr < uint64(len(m.buf)) && uint64(size) <= uint64(len(m.buf))-addr && m.allows(addr, uint64(size), need)
}

// allows looks at the permission of every byte; without a branch for each, as helpers
// mostly pass a few bytes.
func (m *Memory) allows(addr, size uint64, need Perm) bool {
	all := need
	for _, p := range m.perm[addr : addr+size] {
		all &= p
	}
	return all == need
}

// Raw returns size bytes from addr for the owner of a region, whatever the
// permissions are. It panics when the range is not inside the arena: the caller
// has allocated it.
func (m *Memory) Raw(addr, size uint64) []byte {
	return m.buf[addr : addr+size : addr+size]
}

// Ok reports whether an access of 1 to 8 bytes is allowed. It looks at the first
// and the last byte only, which suffices because regions are further apart.
func (m *Memory) Ok(addr uint64, size int, need Perm) bool {
	end := addr + uint64(size) - 1
	return end >= addr && end < uint64(len(m.perm)) && m.perm[addr]&m.perm[end]&need == need
}

// Load reads size (1, 2, 4 or 8) bytes as a little-endian number.
func (m *Memory) Load(addr uint64, size int) (uint64, error) {
	if !m.Ok(addr, size, PermRead) {
		return 0, m.fault(addr, size, PermRead)
	}
	switch b := m.buf[addr:]; size {
	case 1:
		return uint64(b[0]), nil
	case 2:
		return uint64(binary.LittleEndian.Uint16(b)), nil
	case 4:
		return uint64(binary.LittleEndian.Uint32(b)), nil
	default:
		return binary.LittleEndian.Uint64(b), nil
	}
}

// Store writes the low size (1, 2, 4 or 8) bytes of v, little-endian.
func (m *Memory) Store(addr uint64, size int, v uint64) error {
	if !m.Ok(addr, size, PermWrite) {
		return m.fault(addr, size, PermWrite)
	}
	switch b := m.buf[addr:]; size {
	case 1:
		b[0] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(b, uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(b, uint32(v))
	default:
		binary.LittleEndian.PutUint64(b, v)
	}
	return nil
}
