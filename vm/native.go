package vm

// What machine code knows about the arena at compile time.
const (
	// NativeLimit is the number of addresses that have a permission at
	// NativePerm: 2 GiB less room for the guard, so that the distance fits a
	// 32-bit displacement. The last GuardSize addresses of an arena are never
	// allocated, hence an access of at most 8 bytes at NativeLimit-8 or above is
	// always refused.
	NativeLimit = 1<<31 - 128<<10
	// NativePerm is the distance in bytes from an address to its permission.
	NativePerm = -(NativeLimit + 64<<10)
)

// Native returns the address of the arena's byte 0 for machine code: from there
// on 4 GiB, and 64 KiB more on both sides, are mapped readable and writable, and
// the permissions lie NativePerm away. It does not change until Close. 0 means
// that the arena is not mapped like this, on this system or with this cap.
func (m *Memory) Native() uintptr { return m.back.native() }
