package spec

import (
	"strconv"
	"strings"
)

// MapTypeInfo describes a map type.
type MapTypeInfo struct {
	Type    MapType
	Name    string // as libbpf and bpftool write it: "percpu_array"
	Kernel  string // as the kernel's enum has it: "BPF_MAP_TYPE_PERCPU_ARRAY"
	Since   string // kernel that brought it
	Key     string // what the key size must be, in words
	Value   string // what the value size must be
	Entries string // what max_entries means
	// KeySize, ValueSize and MaxEntries say the same as numbers. What depends on two
	// of them together, or on the memory that there is, they do not say: hash
	// elements must fit into KMALLOC_MAX_SIZE, cpumaps have at most a slot for each
	// CPU that the kernel supports, more elements than memory give ENOMEM.
	KeySize, ValueSize, MaxEntries Sizes
	// Flags are the flags that it may be created with, Must those that it needs.
	// Flags that exclude each other (read-only and write-only) are not told apart.
	Flags, Must MapFlags
	// BTF says whether the key and the value may have types.
	BTF MapBTF
	// Helpers are the helpers that programs may call with such a map, beside those
	// that HelperProto.MapTypes gives it; nil for all that ask for no map type.
	Helpers []string
	Source  string // where the kernel checks this, file:function
	Doc     string
}

// Sizes is a set of numbers that a map's creation allows.
type Sizes struct {
	Min, Max uint32
	Step     uint32 // multiples of it only; 0 and 1 for all
	Power    bool   // powers of two only
}

// Allows reports whether the number is in the set.
func (s Sizes) Allows(n uint32) bool {
	return n >= s.Min && n <= s.Max && (s.Step == 0 || n%s.Step == 0) && (!s.Power || n&(n-1) == 0)
}

// MapBTF says whether a map may have types for its key and value
// (bpf_map_ops.map_check_btf).
type MapBTF uint8

// Kinds of types of maps.
const (
	MapBTFNone  MapBTF = iota
	MapBTFBoth         // of key and value, or none
	MapBTFValue        // of the value alone, or none
	MapBTFMust         // of key and value
)

// MapTypes returns all map types in the order of their numbers; index and number
// are the same. The slice is shared: do not change it.
func MapTypes() []MapTypeInfo { return mapTypes[:] }

// MapTypeByName finds a map type by either of its names.
func MapTypeByName(name string) (MapType, bool) {
	for i := range mapTypes {
		if m := &mapTypes[i]; m.Name == name || m.Kernel == name {
			return m.Type, true
		}
	}
	return MapUnspec, false
}

// Info returns the description of the type, or nil for a number that Linux 6.18
// does not know.
func (t MapType) Info() *MapTypeInfo {
	if int64(t) >= int64(len(mapTypes)) {
		return nil
	}
	return &mapTypes[t]
}

// String returns the short name: "hash". Unknown numbers print as "map_type(99)".
func (t MapType) String() string {
	if info := t.Info(); info != nil {
		return info.Name
	}
	return "map_type(" + strconv.FormatUint(uint64(t), 10) + ")"
}

// PerCPU reports whether the map keeps one value for each CPU, so that a value
// read by user space is that many values, each padded to 8 bytes.
func (t MapType) PerCPU() bool {
	switch t {
	case MapPerCPUHash, MapPerCPUArray, MapLRUPerCPUHash, MapPerCPUCgroupStorage:
		return true
	}
	return false
}

// mapFlagNames are the names of the bits of MapFlags, lowest first.
var mapFlagNames = [...]string{
	"BPF_F_NO_PREALLOC", "BPF_F_NO_COMMON_LRU", "BPF_F_NUMA_NODE", "BPF_F_RDONLY", "BPF_F_WRONLY",
	"BPF_F_STACK_BUILD_ID", "BPF_F_ZERO_SEED", "BPF_F_RDONLY_PROG", "BPF_F_WRONLY_PROG", "BPF_F_CLONE",
	"BPF_F_MMAPABLE", "BPF_F_PRESERVE_ELEMS", "BPF_F_INNER_MAP", "BPF_F_LINK", "BPF_F_PATH_FD",
	"BPF_F_VTYPE_BTF_OBJ_FD", "BPF_F_TOKEN_FD", "BPF_F_SEGV_ON_FAULT", "BPF_F_NO_USER_CONV",
}

// String returns the names of the flags joined by "|", and "0" for none. Bits
// without a name come last, in hexadecimal.
func (f MapFlags) String() string {
	if f == 0 {
		return "0"
	}
	var names []string
	for i, name := range mapFlagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
			f &^= 1 << i
		}
	}
	if f != 0 {
		names = append(names, "0x"+strconv.FormatUint(uint64(f), 16))
	}
	return strings.Join(names, "|")
}
