package layout

// Array is where the elements of an array lie: BPF_MAP_TYPE_ARRAY, and
// BPF_MAP_TYPE_PERCPU_ARRAY with one array for each CPU.
type Array struct {
	Base   uint64 // address of the first element (of CPU 0)
	Stride uint64 // bytes from one element to the next
	Count  uint32 // max_entries
	// CPUs is the number of arrays, 1 when all CPUs share it, and Distance how many
	// bytes lie between them.
	CPUs     int
	Distance uint64
}

// Lookup returns the address of an element for a CPU, 0 when the index is too large
// or there is no such CPU: what bpf_map_lookup_elem gives.
func (a *Array) Lookup(cpu int, index uint32) uint64 {
	switch {
	case index >= a.Count:
		return 0
	case a.CPUs == 1:
		cpu = 0
	case uint(cpu) >= uint(a.CPUs):
		return 0
	}
	return a.Base + uint64(cpu)*a.Distance + uint64(index)*a.Stride
}

// End is the first address behind all elements.
func (a *Array) End() uint64 {
	return a.Base + uint64(a.CPUs-1)*a.Distance + uint64(a.Count)*a.Stride
}
