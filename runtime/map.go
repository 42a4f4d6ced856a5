package runtime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync"

	"bpfvm/spec"
	"bpfvm/vm"
)

// Map is a map as user space sees it through bpf(2). Keys and values are copies.
// Errors are of type spec.Errno and those of the kernel.
type Map interface {
	// Name is the map's name in its object.
	Name() string
	// Spec is what the map was made from.
	Spec() *spec.MapSpec
	// ID is the map's number, counted from 1 in the order of creation: what maps
	// of maps hold.
	ID() uint32
	// Addr is the handle that programs hold: what an LDDW of the map loads.
	Addr() uint64

	// Keys of queues, stacks and bloom filters are nil: Update pushes a value, Lookup
	// peeks at the next one, LookupAndDelete pops it.

	// Lookup returns the value of a key. Values of a per-CPU map are those of all
	// CPUs one after the other, each padded to 8 bytes.
	Lookup(key []byte) ([]byte, error)
	// Update stores a value; flags are BPF_ANY, BPF_NOEXIST or BPF_EXIST
	// (spec.UpdateAny and so on). Per-CPU maps want a value for each CPU, in the
	// shape that Lookup returns.
	Update(key, value []byte, flags uint64) error
	// Delete removes a key.
	Delete(key []byte) error
	// LookupAndDelete returns a value and removes it. Only hash maps, queues and
	// stacks can do that.
	LookupAndDelete(key []byte, flags uint64) ([]byte, error)
	// NextKey returns the key after the given one in the map's own order, the
	// first when the key is nil or not there, and ENOENT after the last.
	NextKey(key []byte) ([]byte, error)
}

// All yields the elements of a map in its own order, which is the same in every
// run. Maps without elements (ring buffers) yield nothing.
func All(m Map) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for key, err := m.NextKey(nil); err == nil; key, err = m.NextKey(key) {
			value, err := m.Lookup(key)
			if err != nil {
				continue // an empty place of a prog or perf event array
			}
			if !yield(key, value) {
				return
			}
		}
	}
}

// kmap is a map as the kernel's struct bpf_map_ops has it. Everything that is
// passed has the right size, and the runtime's lock is held.
type kmap interface {
	Map
	base() *mapBase

	// What helpers call; the value of a lookup is an address, 0 for none. An
	// errno of lookupElem means that programs cannot look into such maps at all.
	lookupElem(cpu int, key []byte) (addr uint64, e spec.Errno)
	updateElem(cpu int, key, value []byte, flags uint64) spec.Errno
	deleteElem(key []byte) spec.Errno

	// What bpf(2) calls. mapBase has sysLookup and sysUpdate for maps that treat
	// user space as they treat programs.
	sysLookup(key []byte) ([]byte, spec.Errno)
	sysUpdate(key, value []byte, flags uint64) error
	nextKey(key []byte) ([]byte, spec.Errno)
}

// mapBase is what all maps share.
type mapBase struct {
	rt     *Runtime
	spec   *spec.MapSpec
	id     uint32
	handle *vm.Region
	self   kmap
	frozen bool
	fields []valueField // parts of values that are the kernel's, by offset
	access access       // what programs may do
	array  *elems       // of an array, else nil
}

func (b *mapBase) base() *mapBase      { return b }
func (b *mapBase) Name() string        { return b.spec.Name }
func (b *mapBase) Spec() *spec.MapSpec { return b.spec }
func (b *mapBase) ID() uint32          { return b.id }
func (b *mapBase) Addr() uint64        { return b.handle.Base }
func (b *mapBase) lock() *sync.Mutex   { b.rt.mu.Lock(); return &b.rt.mu }

// checkUpdateFlags judges the flags of an update as far as all maps agree.
func checkUpdateFlags(flags uint64) spec.Errno {
	if flags&^spec.UpdateLock > spec.UpdateExist {
		return spec.EINVAL
	}
	return 0
}

// progPerm is what programs may do with the map's values.
func (b *mapBase) progPerm() vm.Perm {
	switch {
	case b.spec.Flags&spec.MapRdOnlyProg != 0:
		return vm.PermRead
	case b.spec.Flags&spec.MapWrOnlyProg != 0:
		return vm.PermWrite
	}
	return vm.PermRW
}

// Limits of map creation.
const (
	// maxHashElem bounds key_size + value_size of hash maps (hashtab.c,
	// htab_map_alloc_check): KMALLOC_MAX_SIZE, 4 MiB on x86-64, less struct
	// htab_elem.
	maxHashElem = 4<<20 - 48
	// maxPerCPUValue is PCPU_MIN_UNIT_SIZE (include/linux/percpu.h).
	maxPerCPUValue = 32 << 10
)

// accessFlags are the flags that all maps share (BPF_F_ACCESS_MASK).
const accessFlags = spec.MapRdOnly | spec.MapWrOnly | spec.MapRdOnlyProg | spec.MapWrOnlyProg

// checkMapAttr judges what BPF_MAP_CREATE judges before it looks at the type
// (kernel/bpf/syscall.c, map_create).
func checkMapAttr(s *spec.MapSpec) spec.Errno {
	const rw, rwProg = spec.MapRdOnly | spec.MapWrOnly, spec.MapRdOnlyProg | spec.MapWrOnlyProg
	switch {
	case s.Extra != 0 && s.Type != spec.MapBloomFilter && s.Type != spec.MapArena:
		return spec.EINVAL
	case s.Flags&rw == rw:
		return spec.EINVAL
	case s.Flags&spec.MapNUMANode != 0 && s.NumaNode != 0: // the one node is 0
		return spec.EINVAL
	case s.Flags&rwProg == rwProg:
		return spec.EINVAL
	}
	return 0
}

// newMap creates a map: the kernel's checks, its handle and its storage. The fields
// are parts of its values that belong to the kernel.
func (rt *Runtime) newMap(s *spec.MapSpec, fields []valueField) (kmap, error) {
	kind, ok := mapKinds[s.Type]
	if !ok {
		return nil, &UnsupportedError{What: "map type", Name: s.Type.String(), Map: s.Name}
	}
	fail := func(e error) error { return fmt.Errorf("map %q: create: %w", s.Name, e) }
	if e := firstErrno(checkMapAttr(s), kind.check(s, len(rt.cpus))); e != 0 {
		if why := unfinished(s); why != "" {
			return nil, fmt.Errorf("map %q: create: %w: %s, which user space sets before it loads the object", s.Name, e, why)
		}
		return nil, fail(e)
	}
	if e := checkFields(s, fields); e != 0 {
		return nil, fail(e)
	}
	b := mapBase{rt: rt, spec: s, id: uint32(len(rt.maps) + 1), fields: fields}
	m, err := kind.alloc(b)
	if err != nil {
		return nil, fail(err)
	}
	handle, err := rt.mem.Handle(vm.RegionMap, s.Name, m)
	if err != nil {
		return nil, fail(err)
	}
	m.base().self, m.base().handle = m, handle
	m.base().grantAccess()
	// The handle's own bytes, which no program can touch, hold the map's place in
	// the table, so that a helper finds it without a search.
	binary.LittleEndian.PutUint64(rt.mem.Raw(handle.Base, 8), uint64(len(rt.maps)))
	rt.maps = append(rt.maps, m)
	rt.handles = append(rt.handles, mapHandle{handle.Base, m.base()})
	return m, nil
}

// unfinished says what the object leaves open, where that is why the map cannot be
// made: libbpf's users call bpf_map__set_max_entries and the like.
func unfinished(s *spec.MapSpec) string {
	keyless := s.Type == spec.MapQueue || s.Type == spec.MapStack || s.Type == spec.MapBloomFilter
	rings := s.Type == spec.MapRingBuf || s.Type == spec.MapUserRingBuf || s.Type == spec.MapArena
	owned := s.Flags&spec.MapNoPrealloc != 0 && s.KeyTypeID != 0 && s.Type != spec.MapHash && s.Type != spec.MapLPMTrie
	switch {
	case s.MaxEntries == 0 && !owned && s.Type != spec.MapCgroupStorage && s.Type != spec.MapPerCPUCgroupStorage:
		return "max_entries is 0"
	case s.ValueSize == 0 && !rings:
		return "value_size is 0"
	case s.KeySize == 0 && !rings && !keyless:
		return "key_size is 0"
	case s.Inner == nil && (s.Type == spec.MapArrayOfMaps || s.Type == spec.MapHashOfMaps):
		return "there is no inner map"
	}
	return ""
}

// mapHandle is a map and its address.
type mapHandle struct {
	addr uint64
	m    *mapBase
}

// mapAt returns the map behind a handle.
func (rt *Runtime) mapAt(addr uint64) (kmap, error) {
	b, err := rt.baseAt(addr)
	if err != nil {
		return nil, err
	}
	return b.self, nil
}

// baseAt is mapAt for helpers that are called often: a load and two comparisons.
func (rt *Runtime) baseAt(addr uint64) (*mapBase, error) {
	buf, _ := rt.mem.View()
	if addr < uint64(len(buf))-8 {
		if i := binary.LittleEndian.Uint64(buf[addr:]); i < uint64(len(rt.handles)) {
			if h := &rt.handles[i]; h.addr == addr {
				return h.m, nil
			}
		}
	}
	return nil, &vm.Fault{Addr: addr, Size: 8, Need: vm.PermRead, Where: rt.mem.Symbolize(addr), Why: "not a map"}
}

// allocErr turns a full arena into the kernel's number, with the arena's words.
func allocErr(err error) error {
	if errors.Is(err, vm.ErrNoMemory) {
		return fmt.Errorf("%w: %w", spec.ENOMEM, err)
	}
	return err
}

// mapKind is how maps of one type are made. check is what the kernel judges, as
// map_alloc_check does, and what of map_alloc does not depend on memory.
type mapKind struct {
	check func(s *spec.MapSpec, cpus int) spec.Errno
	alloc func(mapBase) (kmap, error)
}

// mapKinds are the map types that exist here.
var mapKinds map[spec.MapType]mapKind

func init() {
	mapKinds = map[spec.MapType]mapKind{ // in init, as maps of maps look into it
		spec.MapArray:               {checkArray, newArray},
		spec.MapHash:                {checkHash, newHash},
		spec.MapPerCPUArray:         {checkArray, newPerCPUArray},
		spec.MapPerCPUHash:          {checkHash, newPerCPUHash},
		spec.MapLRUHash:             {checkHash, newLRUHash},
		spec.MapLRUPerCPUHash:       {checkHash, newLRUPerCPUHash},
		spec.MapLPMTrie:             {checkLPMTrie, newLPMTrie},
		spec.MapProgArray:           {checkFDArray, newProgArray},
		spec.MapPerfEventArray:      {checkFDArray, newPerfEventArray},
		spec.MapCgroupArray:         {checkFDArray, newCgroupArray},
		spec.MapArrayOfMaps:         {checkArrayOfMaps, newArrayOfMaps},
		spec.MapHashOfMaps:          {checkHashOfMaps, newHashOfMaps},
		spec.MapStackTrace:          {checkStackTrace, newStackTrace},
		spec.MapQueue:               {checkQueueStack, newQueueStack},
		spec.MapStack:               {checkQueueStack, newQueueStack},
		spec.MapBloomFilter:         {checkBloomFilter, newBloomFilter},
		spec.MapRingBuf:             {checkRingBuf, newRingBuf},
		spec.MapUserRingBuf:         {checkRingBuf, newUserRingBuf},
		spec.MapDevmap:              {checkDevmap, newDevmap},
		spec.MapDevmapHash:          {checkDevmap, newDevmap},
		spec.MapCPUMap:              {checkCPUMap, newCPUMap},
		spec.MapXSKMap:              {checkXSKMap, newXSKMap},
		spec.MapSockmap:             {checkSockmap, newSockmap},
		spec.MapSockhash:            {checkSockmap, newSockmap},
		spec.MapReuseportSockarray:  {checkReuseportArray, newReuseportArray},
		spec.MapSKStorage:           {checkLocalStorage, newLocalStorage},
		spec.MapInodeStorage:        {checkLocalStorage, newLocalStorage},
		spec.MapTaskStorage:         {checkLocalStorage, newLocalStorage},
		spec.MapCgrpStorage:         {checkLocalStorage, newLocalStorage},
		spec.MapCgroupStorage:       {checkCgroupStorage, newCgroupStorage},
		spec.MapPerCPUCgroupStorage: {checkCgroupStorage, newCgroupStorage},
	}
}

// asError returns nil for zero and the number as an error otherwise.
func asError(e spec.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

// round8 rounds a size up to a multiple of 8, as values are laid out.
func round8(n uint32) uint64 { return (uint64(n) + 7) &^ 7 }
