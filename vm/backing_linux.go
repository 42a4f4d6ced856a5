package vm

import (
	goruntime "runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// backing reserves the whole 4 GiB window of addresses, with guards on both
// sides, and the permissions below it. Nothing of it costs memory until it is
// touched (private, anonymous, no-reserve), growing never moves it, and a stray
// native access at base + 32-bit offset meets zero pages instead of a signal.
// Where the system refuses the mapping, the arena is a Go slice as elsewhere.
//
//	NativeLimit bytes   64 KiB   4 GiB      64 KiB
//	+------------------+-------+----------+-------+
//	| permissions      | guard | window   | guard |
//	+------------------+-------+----------+-------+
//	^ NativePerm from the window's base   ^ base + 4 GiB
//
// The distance is a constant below 2 GiB, so that machine code finds the
// permission of a byte without another register. An arena that may grow beyond
// NativeLimit has its permissions elsewhere.
type backing struct {
	all           []byte // one mapping of everything
	window, perms []byte
	cleanup       goruntime.Cleanup
}

// windowGuard is the unused space on both sides of the window in bytes: a 32-bit
// offset plus a 16-bit displacement stays inside.
const windowGuard = 64 << 10

func (b *backing) open(m *Memory) {
	perms := NativeLimit
	if m.cap > NativeLimit {
		perms = int(m.cap)
	}
	all, err := reserve(perms + MaxCap + 2*windowGuard)
	if err != nil {
		return
	}
	b.all, b.perms, b.window = all, all[:perms], all[perms+windowGuard:]
	b.cleanup = goruntime.AddCleanup(m, func(all []byte) { unix.Munmap(all) }, all)
}

func reserve(size int) ([]byte, error) {
	return unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
}

func (b *backing) close() error {
	if b.all == nil {
		return nil
	}
	b.cleanup.Stop()
	err := unix.Munmap(b.all)
	b.all, b.window, b.perms = nil, nil, nil
	return err
}

// native returns the address of the window, 0 where machine code cannot use it.
func (b *backing) native() uintptr {
	if b.window == nil || len(b.perms) != NativeLimit {
		return 0
	}
	return uintptr(unsafe.Pointer(&b.window[0]))
}

func (b *backing) grow(m *Memory, limit uint64) error {
	if b.window == nil {
		growSlices(m, limit)
		return nil
	}
	m.buf = b.window[:limit:limit]
	// Perm is a byte, so the two views have the same layout.
	m.perm = unsafe.Slice((*Perm)(unsafe.Pointer(&b.perms[0])), limit)
	return nil
}
