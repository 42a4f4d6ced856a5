package runtime

import "bpfvm/spec"

// LRUHash is a BPF_MAP_TYPE_LRU_HASH (kernel/bpf/hashtab.c): a hash map that is
// never full. An update that finds no room drops the element that was not used for
// the longest time instead of failing with E2BIG.
type LRUHash struct{ Hash }

func newLRUHash(b mapBase) (kmap, error) {
	b.spec = lruSpec(b.spec, len(b.rt.cpus))
	m := &LRUHash{Hash{mapBase: b}}
	m.t = newHtab(&m.mapBase, 1)
	m.t.lru = newLRU(lruLists(b.spec, len(b.rt.cpus)), b.spec.MaxEntries)
	return m, nil
}

// lruLists is the number of LRU lists that a map has.
func lruLists(s *spec.MapSpec, cpus int) int {
	if s.Flags&spec.MapNoCommonLRU != 0 {
		return cpus
	}
	return 1
}

// lruSpec rounds the size of a map with a list for each CPU so that all lists are
// equal and none is empty (htab_map_alloc).
func lruSpec(s *spec.MapSpec, cpus int) *spec.MapSpec {
	n := uint32(lruLists(s, cpus))
	rest := s.MaxEntries % n
	if rest == 0 {
		return s
	}
	c := *s
	if c.MaxEntries -= rest; c.MaxEntries+n > c.MaxEntries { // no overflow: up
		c.MaxEntries += n
	}
	return &c
}
