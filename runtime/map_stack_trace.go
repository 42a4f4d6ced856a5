package runtime

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"bpfvm/spec"
)

// StackTrace is a BPF_MAP_TYPE_STACK_TRACE (kernel/bpf/stackmap.c): call stacks,
// stored by bpf_get_stackid under a number that is a hash of their addresses. Two
// stacks of the same hash want the same place, and the second one is refused
// (EEXIST) or takes it over (BPF_F_REUSE_STACKID).
//
// A value is an array of return addresses, the innermost first, filled up with
// zeros; with BPF_F_STACK_BUILD_ID an array of struct bpf_stack_build_id, of which
// only the address is known here (BPF_STACK_BUILD_ID_IP).
type StackTrace struct {
	mapBase
	buckets places[*stackBucket] // a power of two of them
	size    uint32               // number of buckets
	used    uint32               // of max_entries
}

type stackBucket struct {
	hash uint32
	ips  []uint64
}

// Flags of bpf_get_stackid and bpf_get_stack (include/uapi/linux/bpf.h).
const (
	stackSkipMask  = 0xff    // BPF_F_SKIP_FIELD_MASK
	stackUser      = 1 << 8  // BPF_F_USER_STACK
	stackFastCmp   = 1 << 9  // BPF_F_FAST_STACK_CMP
	stackReuse     = 1 << 10 // BPF_F_REUSE_STACKID
	stackBuildID   = 1 << 11 // BPF_F_USER_BUILD_ID
	stackMaxDepth  = 127     // sysctl_perf_event_max_stack, PERF_MAX_STACK_DEPTH
	buildIDSize    = 32      // struct bpf_stack_build_id: s32 status, 20 bytes, u64 ip
	buildIDFromIP  = 2       // BPF_STACK_BUILD_ID_IP
	stackIDAllowed = stackSkipMask | stackUser | stackFastCmp | stackReuse
)

// checkStackTrace is the first part of stack_map_alloc.
func checkStackTrace(s *spec.MapSpec, _ int) spec.Errno {
	const allowed = spec.MapNUMANode | spec.MapRdOnly | spec.MapWrOnly | spec.MapStackBuildID
	frame := stackFrameSize(s)
	switch {
	case s.Flags&^allowed != 0, s.MaxEntries == 0, s.KeySize != 4, s.ValueSize < 8,
		s.ValueSize%frame != 0, s.ValueSize/frame > stackMaxDepth:
		return spec.EINVAL
	case s.MaxEntries > 1<<31:
		return spec.E2BIG
	}
	return 0
}

// stackFrameSize is stack_map_data_size: the bytes of one frame in a value.
func stackFrameSize(s *spec.MapSpec) uint32 {
	if s.Flags&spec.MapStackBuildID != 0 {
		return buildIDSize
	}
	return 8
}

func newStackTrace(b mapBase) (kmap, error) {
	m := &StackTrace{mapBase: b, size: uint32(1) << bits.Len32(b.spec.MaxEntries-1)}
	return m, b.fitPlaces()
}

// store is bpf_get_stackid for a stack: its number or a negative errno. ips are the
// return addresses, the innermost first.
func (m *StackTrace) store(ips []uint64, flags uint64) int64 {
	if flags&^stackIDAllowed != 0 {
		return spec.EINVAL.Neg()
	}
	// get_perf_callchain fetches no more frames than can be used.
	skip := uint32(flags & stackSkipMask)
	depth := min(m.spec.ValueSize/stackFrameSize(m.spec)+skip, stackMaxDepth)
	ips = ips[:min(len(ips), int(depth))]
	if len(ips) <= int(skip) {
		return spec.EFAULT.Neg()
	}
	ips = ips[skip:]
	hash := jhashWords(ips)
	id := hash & (m.size - 1)
	old := m.buckets.get(id)
	same := old != nil && old.hash == hash
	switch {
	case same && flags&stackFastCmp != 0, same && slices.Equal(old.ips, ips):
		return int64(id)
	case old != nil && flags&stackReuse == 0:
		return spec.EEXIST.Neg()
	case m.used == m.spec.MaxEntries: // also to take a place over: stackid_new_bucket
		return spec.ENOMEM.Neg()
	}
	if old == nil {
		m.used++
	}
	m.buckets.set(id, &stackBucket{hash, slices.Clone(ips)})
	return int64(id)
}

// lookupElem is stack_map_lookup_elem.
func (m *StackTrace) lookupElem(int, []byte) (uint64, spec.Errno) { return 0, spec.EOPNOTSUPP }

func (m *StackTrace) updateElem(int, []byte, []byte, uint64) spec.Errno { return spec.EINVAL }

func (m *StackTrace) deleteElem(key []byte) spec.Errno {
	e := m.buckets.take(binary.LittleEndian.Uint32(key), m.size)
	if e == 0 {
		m.used--
	}
	return e
}

// sysLookup is bpf_stackmap_copy.
func (m *StackTrace) sysLookup(key []byte) ([]byte, spec.Errno) {
	b := m.buckets.get(binary.LittleEndian.Uint32(key))
	if b == nil {
		return nil, spec.ENOENT
	}
	value := make([]byte, m.spec.ValueSize)
	putStack(value, b.ips, stackFrameSize(m.spec) == buildIDSize)
	return value, 0
}

// sysTake is bpf_stackmap_extract with delete.
func (m *StackTrace) sysTake(key []byte) ([]byte, spec.Errno) {
	value, e := m.sysLookup(key)
	if e == 0 {
		e = m.deleteElem(key)
	}
	return value, e
}

// putStack lays a stack out, and zeros behind it. Without files to look into, a
// frame with a build id says that it has the address only.
func putStack(dst []byte, ips []uint64, buildID bool) {
	clear(dst)
	for _, ip := range ips {
		if buildID {
			binary.LittleEndian.PutUint32(dst, buildIDFromIP)
			binary.LittleEndian.PutUint64(dst[24:], ip)
			dst = dst[buildIDSize:]
			continue
		}
		binary.LittleEndian.PutUint64(dst, ip)
		dst = dst[8:]
	}
}

// nextKey is stack_map_get_next_key: ids in ascending order; from one that is not
// there the walk starts again.
func (m *StackTrace) nextKey(key []byte) ([]byte, spec.Errno) {
	id := uint32(0)
	if key != nil {
		if k := binary.LittleEndian.Uint32(key); m.buckets.get(k) != nil {
			id = k + 1
		}
	}
	for n := uint32(len(m.buckets.at)); id < n; id++ {
		if m.buckets.at[id] != nil {
			return number(id), 0
		}
	}
	return nil, spec.ENOENT
}
