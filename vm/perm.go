package vm

// Perm says what a program may do with a byte of the arena.
type Perm uint8

// Permissions. A byte without any is a guard or an opaque handle.
const (
	PermRead  Perm = 1 << 0
	PermWrite Perm = 1 << 1
	PermNone  Perm = 0
	PermRW         = PermRead | PermWrite
)

// String returns "r", "w", "rw" or "-".
func (p Perm) String() string {
	switch p & PermRW {
	case PermRead:
		return "r"
	case PermWrite:
		return "w"
	case PermRW:
		return "rw"
	}
	return "-"
}
