package vm

// growSlices replaces the arena by a larger copy of itself.
func growSlices(m *Memory, limit uint64) {
	// Doubling keeps the copying linear in the final size.
	if double := 2 * uint64(len(m.buf)); limit < double {
		limit = min(double, m.cap)
	}
	buf := make([]byte, limit)
	copy(buf, m.buf)
	perm := make([]Perm, limit)
	copy(perm, m.perm)
	m.buf, m.perm = buf, perm
}
