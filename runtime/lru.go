package runtime

// lru keeps the elements of an LRU hash map in the order of their last use, so
// that a full map can make room for a new element by dropping the one that has not
// been used for the longest time.
//
//	oldest -> slot <-> slot <-> slot <- newest
//
// Used means: found by a program, or written by anybody. Lookups of user space do
// not count (hashtab.c, htab_lru_map_lookup_elem_sys), so a dump of the map changes
// nothing.
//
// The kernel approximates that order (kernel/bpf/bpf_lru_list.c): a reference bit
// for each element, an active and an inactive list that are rotated now and then,
// up to 128 elements dropped at once, free elements kept ready for each CPU. There
// a map may drop elements before it is full, and when an update only replaces a
// value or fails. Here exactly one element goes, the oldest, and only when an
// update adds one to a full map. Which elements remain is therefore repeatable, and
// a program that relies on it relies on more than Linux gives.
//
// With BPF_F_NO_COMMON_LRU each CPU has a list of its own and an equal share of the
// elements: it drops those that it added itself.
type lru struct {
	lists []lruList // one, or one for each CPU
	quota uint32    // elements of one list

	// Per slot of the table:
	older, newer []int32 // neighbours or -1
	list         []int32 // list that the slot is on
}

type lruList struct {
	oldest, newest int32 // -1 when empty
	count          uint32
}

func newLRU(lists int, maxEntries uint32) *lru {
	l := &lru{lists: make([]lruList, lists), quota: maxEntries / uint32(lists)}
	for i := range l.lists {
		l.lists[i] = lruList{oldest: -1, newest: -1}
	}
	return l
}

// grow makes room for n more slots.
func (l *lru) grow(n int) {
	l.older = append(l.older, make([]int32, n)...)
	l.newer = append(l.newer, make([]int32, n)...)
	l.list = append(l.list, make([]int32, n)...)
}

// of returns the list to which a CPU adds.
func (l *lru) of(cpu int) int32 { return int32(cpu % len(l.lists)) }

// victim returns the slot that has to go before the CPU can add another, or -1.
func (l *lru) victim(cpu int) int32 {
	if q := &l.lists[l.of(cpu)]; q.count >= l.quota {
		return q.oldest
	}
	return -1
}

// add puts a slot at the newest end of the CPU's list.
func (l *lru) add(cpu int, slot int32) { l.push(l.of(cpu), slot) }

// touch makes a slot the newest of its list.
func (l *lru) touch(slot int32) {
	list := l.list[slot]
	if l.lists[list].newest != slot {
		l.drop(slot)
		l.push(list, slot)
	}
}

func (l *lru) push(list, slot int32) {
	q := &l.lists[list]
	l.list[slot], l.older[slot], l.newer[slot] = list, q.newest, -1
	if q.newest >= 0 {
		l.newer[q.newest] = slot
	} else {
		q.oldest = slot
	}
	q.newest = slot
	q.count++
}

// drop takes a slot out of its list.
func (l *lru) drop(slot int32) {
	q := &l.lists[l.list[slot]]
	older, newer := l.older[slot], l.newer[slot]
	if older >= 0 {
		l.newer[older] = newer
	} else {
		q.oldest = newer
	}
	if newer >= 0 {
		l.older[newer] = older
	} else {
		q.newest = older
	}
	q.count--
}
