package runtime

import (
	"encoding/binary"
	"math/bits"

	"bpfvm/spec"
)

// LPMTrie is a BPF_MAP_TYPE_LPM_TRIE (kernel/bpf/lpm_trie.c): a lookup finds the
// element with the longest prefix that matches, as routing tables do. Keys are
// struct bpf_lpm_trie_key: the length of the prefix in bits, then the bytes, most
// significant bit first.
//
//	      10.0.0.0/8
//	      /        \
//	10.1.0.0/16   (10.128.0.0/9)        in parentheses: an inner node without value
//	               /          \
//	       10.128.0.0/16   10.192.0.0/16
//
// A node's left child goes on with a 0 bit, the right one with a 1. Inner nodes
// always have two children. Bits behind the prefix are kept as they were given, and
// mean nothing.
type LPMTrie struct {
	mapBase
	root   *lpmNode
	count  uint32
	values slab
	spare  []*lpmNode // nodes that were taken out
}

type lpmNode struct {
	child [2]*lpmNode
	bits  uint32 // prefix length
	inner bool   // LPM_TREE_NODE_FLAG_IM: no element
	slot  int32  // of the value; -1 in nodes that never had one
	data  []byte
}

// Limits of lpm_trie.c, trie_alloc.
const (
	lpmDataMax  = 256                     // LPM_DATA_SIZE_MAX
	lpmKeyHead  = 4                       // the prefix length before the bytes
	lpmValueMax = 4<<20 - lpmDataMax - 24 // LPM_VAL_SIZE_MAX: KMALLOC_MAX_SIZE, less the node
)

// checkLPMTrie is the first part of trie_alloc.
func checkLPMTrie(s *spec.MapSpec, _ int) spec.Errno {
	const allowed = spec.MapNoPrealloc | spec.MapNUMANode | accessFlags
	switch {
	case s.MaxEntries == 0, s.Flags&spec.MapNoPrealloc == 0, s.Flags&^allowed != 0,
		s.KeySize < lpmKeyHead+1, s.KeySize > lpmKeyHead+lpmDataMax,
		s.ValueSize == 0, s.ValueSize > lpmValueMax:
		return spec.EINVAL
	}
	return 0
}

func newLPMTrie(b mapBase) (kmap, error) {
	m := &LPMTrie{mapBase: b}
	m.values = slab{b: &m.mapBase}
	return m, nil
}

// Len returns the number of elements.
func (m *LPMTrie) Len() int { return int(m.count) }

// maxBits is the length of the longest prefix.
func (m *LPMTrie) maxBits() uint32 { return 8 * (m.spec.KeySize - lpmKeyHead) }

// split takes a key apart.
func (m *LPMTrie) split(key []byte) (prefix uint32, data []byte) {
	return binary.LittleEndian.Uint32(key), key[lpmKeyHead:]
}

// match is longest_prefix_match: how many leading bits agree, up to the shorter
// prefix.
func (n *lpmNode) match(prefix uint32, data []byte) uint32 {
	limit := min(n.bits, prefix)
	for i := uint32(0); 8*i < limit; i++ {
		if diff := n.data[i] ^ data[i]; diff != 0 {
			return min(8*i+uint32(bits.LeadingZeros8(diff)), limit)
		}
	}
	return limit
}

// lpmBit is extract_bit.
func lpmBit(data []byte, i uint32) int { return int(data[i/8] >> (7 - i%8) & 1) }

// find is trie_lookup_elem: the deepest node with a value on the way down.
func (m *LPMTrie) find(key []byte) *lpmNode {
	prefix, data := m.split(key)
	if prefix > m.maxBits() {
		return nil
	}
	var found *lpmNode
	for n := m.root; n != nil; n = n.child[lpmBit(data, n.bits)] {
		matched := n.match(prefix, data)
		if matched < n.bits {
			break
		}
		if !n.inner {
			found = n
		}
		if matched == m.maxBits() {
			break
		}
	}
	return found
}

func (m *LPMTrie) lookupElem(_ int, key []byte) (uint64, spec.Errno) {
	if n := m.find(key); n != nil {
		return m.values.addrs[n.slot], 0
	}
	return 0, 0
}

// updateElem is trie_update_elem: as in a hash map, a new value takes a new slot.
func (m *LPMTrie) updateElem(_ int, key, value []byte, flags uint64) spec.Errno {
	prefix, data := m.split(key)
	if flags > spec.UpdateExist || prefix > m.maxBits() {
		return spec.EINVAL
	}
	place, matched := &m.root, uint32(0)
	for n := *place; n != nil; n = *place {
		matched = n.match(prefix, data)
		if n.bits != matched || n.bits == prefix {
			break
		}
		place = &n.child[lpmBit(data, n.bits)]
	}
	old := *place
	same := old != nil && old.bits == matched && matched == prefix
	replace := same && !old.inner
	switch {
	case replace && flags == spec.UpdateNoExist:
		return spec.EEXIST
	case !replace && flags == spec.UpdateExist:
		return spec.ENOENT
	case !replace && m.count == m.spec.MaxEntries:
		return spec.ENOSPC
	}
	slot, e := m.values.take()
	if e != 0 {
		return e
	}
	copy(m.rt.mem.Raw(m.values.addrs[slot], uint64(m.spec.ValueSize)), value)
	n := m.node(lpmNode{bits: prefix, slot: slot}, data)
	if !replace {
		m.count++
	}
	switch {
	case old == nil:
	case same:
		n.child = old.child
		m.drop(old)
	case matched == prefix: // the new prefix is the beginning of the old one
		n.child[lpmBit(old.data, matched)] = old
	default: // they part: an inner node where they do
		fork := m.node(lpmNode{bits: matched, inner: true, slot: -1}, old.data)
		bit := lpmBit(data, matched)
		fork.child[bit], fork.child[1-bit] = n, old
		n = fork
	}
	*place = n
	return 0
}

// deleteElem is trie_delete_elem.
func (m *LPMTrie) deleteElem(key []byte) spec.Errno {
	prefix, data := m.split(key)
	if prefix > m.maxBits() {
		return spec.EINVAL
	}
	var parent *lpmNode
	place, parentPlace := &m.root, &m.root
	matched := uint32(0)
	for n := *place; n != nil; n = *place {
		matched = n.match(prefix, data)
		if n.bits != matched || n.bits == prefix {
			break
		}
		parent, parentPlace = n, place
		place = &n.child[lpmBit(data, n.bits)]
	}
	n := *place
	if n == nil || n.bits != prefix || n.bits != matched || n.inner {
		return spec.ENOENT
	}
	m.count--
	switch left, right := n.child[0], n.child[1]; {
	case left != nil && right != nil:
		n.inner = true // the kernel keeps the value's memory, too
		return 0
	case left != nil:
		*place = left
	case right != nil:
		*place = right
	case parent != nil && parent.inner: // it would have one child only
		other := parent.child[0]
		if other == n {
			other = parent.child[1]
		}
		*parentPlace = other
		m.drop(parent)
	default:
		*place = nil
	}
	m.drop(n)
	return 0
}

// node makes a node with a copy of the data, out of one that was dropped if possible.
func (m *LPMTrie) node(n lpmNode, data []byte) *lpmNode {
	var p *lpmNode
	if last := len(m.spare) - 1; last >= 0 {
		p, m.spare = m.spare[last], m.spare[:last]
	} else {
		p = new(lpmNode)
	}
	n.data = append(p.data[:0], data...)
	*p = n
	return p
}

// drop takes a node that is no longer linked, and its value.
func (m *LPMTrie) drop(n *lpmNode) {
	m.values.put(n.slot)
	m.spare = append(m.spare, n)
}

// nextKey is trie_get_next_key: longer prefixes before the shorter ones that
// contain them (postorder); a key that is not there leads to the first one.
func (m *LPMTrie) nextKey(key []byte) ([]byte, spec.Errno) {
	if m.root == nil {
		return nil, spec.ENOENT
	}
	path, found := m.path(key)
	if !found {
		return m.key(m.root.first()), 0
	}
	for i := len(path) - 1; i > 0; i-- {
		parent := path[i-1]
		if parent.child[0] == path[i] && parent.child[1] != nil {
			return m.key(parent.child[1].first()), 0
		}
		if !parent.inner {
			return m.key(parent), 0
		}
	}
	return nil, spec.ENOENT
}

// path returns the nodes from the root to the one with exactly this key.
func (m *LPMTrie) path(key []byte) (path []*lpmNode, found bool) {
	if key == nil {
		return nil, false
	}
	prefix, data := m.split(key)
	if prefix > m.maxBits() {
		return nil, false
	}
	for n := m.root; n != nil; n = n.child[lpmBit(data, n.bits)] {
		path = append(path, n)
		if matched := n.match(prefix, data); n.bits != matched {
			return nil, false
		}
		if n.bits == prefix {
			return path, !n.inner
		}
	}
	return nil, false
}

// first is the first node in postorder below and including n.
func (n *lpmNode) first() *lpmNode {
	for {
		switch {
		case n.child[0] != nil:
			n = n.child[0]
		case n.child[1] != nil:
			n = n.child[1]
		default:
			return n
		}
	}
}

func (m *LPMTrie) key(n *lpmNode) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, n.bits), n.data...)
}
