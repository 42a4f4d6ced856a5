package runtime

// LRUPerCPUHash is a BPF_MAP_TYPE_LRU_PERCPU_HASH (kernel/bpf/hashtab.c): an
// [LRUHash] with a value for each CPU behind each key. When an element goes, the
// values of all CPUs go.
type LRUPerCPUHash struct{ PerCPUHash }

func newLRUPerCPUHash(b mapBase) (kmap, error) {
	b.spec = lruSpec(b.spec, len(b.rt.cpus))
	m := &LRUPerCPUHash{PerCPUHash{mapBase: b}}
	m.t = newHtab(&m.mapBase, len(b.rt.cpus))
	m.t.lru = newLRU(lruLists(b.spec, len(b.rt.cpus)), b.spec.MaxEntries)
	return m, nil
}
