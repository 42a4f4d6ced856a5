package vm

import "fmt"

// Fault describes why an access of size bytes at addr is refused: engines call it
// after their own check said no.
func (m *Memory) Fault(addr uint64, size int, need Perm) *Fault {
	return m.fault(addr, size, need)
}

func (m *Memory) fault(addr uint64, size int, need Perm) *Fault {
	f := &Fault{Addr: addr, Size: size, Need: need, Where: m.Symbolize(addr)}
	f.Why = m.why(addr, size, need)
	return f
}

// why finds the object that the access was most likely meant for and says how it
// missed it.
func (m *Memory) why(addr uint64, size int, need Perm) string {
	if addr < FirstAddr {
		if addr < 4096 {
			return "address is NULL or NULL plus an offset"
		}
		return "address is below all memory"
	}
	if addr >= 1<<32 {
		return "not an address of the program's memory (kernel and user addresses are reached by probe_read helpers only)"
	}
	r := m.Find(addr)
	if r == nil {
		return m.whyOutside(addr, size)
	}
	switch r.Kind {
	case RegionMap, RegionFunc:
		return fmt.Sprintf("%s is opaque: it can be passed to helpers but not dereferenced", m.symbolizeIn(r, r.Base))
	case RegionStack:
		return stackWhy(r, addr, size)
	case RegionPacket:
		end := addr + uint64(size)
		switch {
		case end > r.End:
			return fmt.Sprintf("%d bytes past data_end, the packet has %d bytes", end-r.End, r.End-r.Start)
		case addr < r.Start:
			return fmt.Sprintf("%d bytes before data", r.Start-addr)
		}
	}
	if obj, ok := m.Object(addr); ok {
		if over := addr + uint64(size); over > obj.Base+obj.Size {
			return fmt.Sprintf("%d bytes past the end, the object has %d bytes", over-obj.Base-obj.Size, obj.Size)
		}
	}
	if need&PermWrite != 0 {
		return "memory is read-only"
	}
	return "memory is not readable"
}

func stackWhy(r *Region, addr uint64, size int) string {
	frame, top := stackFrame(r, addr)
	low, end := top-StackSize, addr+uint64(size)
	switch {
	case addr < low:
		return fmt.Sprintf("%d bytes below the %d-byte stack of frame %d", low-addr, StackSize, frame)
	case end > top:
		return fmt.Sprintf("%d bytes above the frame pointer of frame %d", end-top, frame)
	}
	return "stack frame is not in use"
}

func (m *Memory) whyOutside(addr uint64, size int) string {
	// The nearest region below is the one that was overrun, unless the one above
	// is nearer.
	var below, above *Region
	for _, r := range m.regions {
		if r.Base <= addr {
			below = r
		} else {
			above = r
			break
		}
	}
	const near = 4096
	if above != nil && above.Base-addr < near && (below == nil || above.Base-addr < addr-(below.Base+below.Size)) {
		return fmt.Sprintf("%d bytes before %s", above.Base-addr, m.symbolizeIn(above, above.Base))
	}
	if below != nil && addr-(below.Base+below.Size) < near {
		return fmt.Sprintf("%d bytes past the end of %s (%d bytes)",
			addr+uint64(size)-below.Base-below.Size, m.symbolizeIn(below, below.Base), below.Size)
	}
	return "no object there"
}
