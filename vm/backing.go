//go:build !linux

package vm

// backing holds the arena in ordinary Go memory, which moves when it grows. All
// state refers to it by offset, so nothing notices.
type backing struct{}

func (*backing) open(*Memory) {}

func (*backing) close() error { return nil }

// native says that there is no mapping for machine code.
func (*backing) native() uintptr { return 0 }

func (*backing) grow(m *Memory, limit uint64) error {
	growSlices(m, limit)
	return nil
}
