package vm

import (
	goruntime "runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// backing reserves the whole 4 GiB window of addresses, with guards on both
// sides, and as much for the permissions. Nothing of it costs memory until it is
// touched (private, anonymous, no-reserve), growing never moves it, and a stray
// native access at base + 32-bit offset meets zero pages instead of a signal.
// Where the system refuses the mapping, the arena is a Go slice as elsewhere.
type backing struct {
	window, perms []byte
	cleanup       goruntime.Cleanup
}

// windowGuard is the unused space on both sides of the window in bytes: a 32-bit
// offset plus a 16-bit displacement stays inside.
const windowGuard = 64 << 10

func (b *backing) open(m *Memory) {
	window, err := reserve(MaxCap + 2*windowGuard)
	if err != nil {
		return
	}
	perms, err := reserve(int(m.cap))
	if err != nil {
		unix.Munmap(window)
		return
	}
	b.window, b.perms = window, perms
	b.cleanup = goruntime.AddCleanup(m, func(maps [2][]byte) {
		unix.Munmap(maps[0])
		unix.Munmap(maps[1])
	}, [2][]byte{window, perms})
}

func reserve(size int) ([]byte, error) {
	return unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
}

func (b *backing) close() error {
	if b.window == nil {
		return nil
	}
	b.cleanup.Stop()
	err := unix.Munmap(b.window)
	if err2 := unix.Munmap(b.perms); err == nil {
		err = err2
	}
	b.window, b.perms = nil, nil
	return err
}

func (b *backing) grow(m *Memory, limit uint64) error {
	if b.window == nil {
		growSlices(m, limit)
		return nil
	}
	m.buf = b.window[windowGuard : windowGuard+limit : windowGuard+limit]
	// Perm is a byte, so the two views have the same layout.
	m.perm = unsafe.Slice((*Perm)(unsafe.Pointer(&b.perms[0])), limit)
	return nil
}
