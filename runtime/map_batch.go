package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
)

// The batch commands of bpf(2) (kernel/bpf/syscall.c, bpf_map_do_batch): many elements
// in one system call. Two kinds of maps walk differently:
//
//   - Arrays, tries and arrays of maps go from key to key; the cursor is the last key.
//   - Hash tables go bucket by bucket; the cursor is the next bucket, in 4 bytes. A
//     bucket that has more elements than there is room for is left for the next call,
//     and is ENOSPC when it is the first.
//
// ENOENT is the end of the map, and comes together with the last elements.

// Batch is what a batch lookup found.
type Batch struct {
	Keys, Values [][]byte
	// Next is the cursor for the call that goes on; nil when it did not move.
	Next []byte
}

// batchKinds says which commands the types have; the others are ENOTSUPP.
var batchKinds = map[spec.MapType]struct{ buckets, remove bool }{
	spec.MapArray:         {},
	spec.MapPerCPUArray:   {},
	spec.MapArrayOfMaps:   {},
	spec.MapLPMTrie:       {remove: true},
	spec.MapHash:          {buckets: true, remove: true},
	spec.MapPerCPUHash:    {buckets: true, remove: true},
	spec.MapLRUHash:       {buckets: true, remove: true},
	spec.MapLRUPerCPUHash: {buckets: true, remove: true},
	spec.MapHashOfMaps:    {buckets: true, remove: true},
}

// LookupBatch returns up to n elements: BPF_MAP_LOOKUP_BATCH. A nil cursor starts at
// the beginning. The elements of a Batch are valid when the error is ENOENT, too.
func LookupBatch(m Map, cursor []byte, n int, flags uint64) (Batch, error) {
	return lookupBatch(m.(kmap), cursor, n, flags, false)
}

// LookupAndDeleteBatch is LookupBatch that removes what it returns:
// BPF_MAP_LOOKUP_AND_DELETE_BATCH. Only hash tables can do that.
func LookupAndDeleteBatch(m Map, cursor []byte, n int, flags uint64) (Batch, error) {
	return lookupBatch(m.(kmap), cursor, n, flags, true)
}

func lookupBatch(m kmap, cursor []byte, n int, flags uint64, remove bool) (Batch, error) {
	b := m.base()
	defer b.lock().Unlock()
	e := b.mayRead()
	if remove {
		e = firstErrno(e, b.mayWrite())
	}
	kind, ok := batchKinds[b.spec.Type]
	switch {
	case e != 0:
		return Batch{}, e
	case !ok || remove && !kind.buckets:
		return Batch{}, spec.ENOTSUPP
	case flags&^spec.UpdateLock != 0 || b.checkLock(flags) != 0:
		return Batch{}, spec.EINVAL
	case n <= 0:
		return Batch{}, nil
	case kind.buckets:
		return b.bucketBatch(cursor, n, remove)
	}
	return b.keyBatch(cursor, n)
}

// keyBatch is generic_map_lookup_batch.
func (b *mapBase) keyBatch(cursor []byte, n int) (Batch, error) {
	if cursor != nil && len(cursor) != int(b.spec.KeySize) {
		return Batch{}, spec.EINVAL
	}
	var out Batch
	key := cursor
	for len(out.Keys) < n {
		next, e := b.self.nextKey(key)
		if e != 0 {
			return out.upTo(key), e
		}
		key = next
		value, e := b.self.sysLookup(key)
		switch {
		case e == spec.ENOENT:
			continue // an empty place
		case e != 0:
			return Batch{}, e
		}
		out.Keys, out.Values = append(out.Keys, key), append(out.Values, value)
	}
	return out.upTo(key), nil
}

// upTo sets the cursor when something was found.
func (b Batch) upTo(key []byte) Batch {
	if len(b.Keys) > 0 {
		b.Next = key
	}
	return b
}

// bucketBatch is __htab_map_lookup_and_delete_batch.
func (b *mapBase) bucketBatch(cursor []byte, n int, remove bool) (Batch, error) {
	t := b.self.(interface{ table() *htab }).table()
	bucket := uint32(0)
	if cursor != nil {
		if len(cursor) < 4 {
			return Batch{}, spec.EINVAL
		}
		bucket = binary.LittleEndian.Uint32(cursor)
	}
	if bucket > t.mask {
		return Batch{}, spec.ENOENT
	}
	var out Batch
	for {
		keys := t.bucketKeys(bucket)
		if len(keys) > n-len(out.Keys) {
			out.Next = number(bucket)
			if len(out.Keys) == 0 {
				return out, spec.ENOSPC
			}
			return out, nil
		}
		for _, key := range keys {
			value, e := b.self.sysLookup(key)
			if e != 0 {
				return Batch{}, e
			}
			out.Keys, out.Values = append(out.Keys, key), append(out.Values, value)
			if remove {
				t.remove(key)
			}
		}
		bucket++
		if bucket > t.mask {
			out.Next = number(bucket)
			return out, spec.ENOENT
		}
	}
}

// bucketKeys are the keys of a bucket.
func (t *htab) bucketKeys(bucket uint32) (keys [][]byte) {
	if t.heads == nil {
		return nil
	}
	for s := t.heads[bucket]; s >= 0; s = t.next[s] {
		keys = append(keys, t.key(s))
	}
	return keys
}

func (m *Hash) table() *htab       { return m.t }
func (m *PerCPUHash) table() *htab { return m.t }
func (m *HashOfMaps) table() *htab { return m.refs.t }

// UpdateBatch stores elements one after the other and returns how many it stored
// before the error: BPF_MAP_UPDATE_BATCH (generic_map_update_batch). Of the flags only
// BPF_F_LOCK is allowed.
func UpdateBatch(m Map, keys, values [][]byte, flags uint64) (int, error) {
	b := m.(kmap).base()
	defer b.lock().Unlock()
	if err := b.checkBatch(flags, false); err != nil {
		return 0, err
	}
	for i, key := range keys {
		if b.userKey(key) != 0 || i >= len(values) || len(values[i]) != b.userValueSize() {
			return i, spec.EINVAL
		}
		if err := b.self.sysUpdate(key, values[i], flags); err != nil {
			return i, err
		}
	}
	return len(keys), nil
}

// DeleteBatch removes keys one after the other and returns how many it removed before
// the error: BPF_MAP_DELETE_BATCH (generic_map_delete_batch).
func DeleteBatch(m Map, keys [][]byte, flags uint64) (int, error) {
	b := m.(kmap).base()
	defer b.lock().Unlock()
	if err := b.checkBatch(flags, true); err != nil {
		return 0, err
	}
	for i, key := range keys {
		if e := firstErrno(b.userKey(key), b.self.deleteElem(key)); e != 0 {
			return i, e
		}
	}
	return len(keys), nil
}

// checkBatch judges a batch that writes.
func (b *mapBase) checkBatch(flags uint64, remove bool) error {
	kind, ok := batchKinds[b.spec.Type]
	switch {
	case b.mayWrite() != 0:
		return spec.EPERM
	case !ok || remove && !kind.remove:
		return spec.ENOTSUPP
	case flags&^spec.UpdateLock != 0:
		return spec.EINVAL
	}
	return asError(b.checkLock(flags))
}
