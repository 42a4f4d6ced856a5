package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
)

// refTable is a hash table whose elements are numbers of objects instead of values:
// maps, sockets, or slots of a slab. Numbers are not 0.
type refTable struct {
	t   *htab
	ids []uint32 // by slot of the table
}

func newRefTable(b *mapBase) refTable { return refTable{t: newHtab(b, 0)} }

// get returns the number behind a key, or 0.
func (r *refTable) get(key []byte) uint32 {
	if slot := r.t.find(key, r.t.hashOf(key)); slot >= 0 {
		return r.ids[slot]
	}
	return 0
}

// set stores a number, in place or in front of its bucket.
func (r *refTable) set(key []byte, id uint32, flags uint64, inPlace bool) spec.Errno {
	return r.t.update(0, key, flags, inPlace, func(slot int32, _ bool) {
		if n := int(slot) + 1 - len(r.ids); n > 0 {
			r.ids = append(r.ids, make([]uint32, n)...)
		}
		r.ids[slot] = id
	})
}

// hashOf chooses the bucket of a key: devmap_hash takes the index itself
// (dev_map_index_hash), all others jhash.
func (t *htab) hashOf(key []byte) uint32 {
	if t.b.spec.Type == spec.MapDevmapHash {
		return binary.LittleEndian.Uint32(key)
	}
	return jhash(key)
}
