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
	Flags   string // which creation flags it takes, beyond the common ones
	// Helpers are the helpers that programs may call with such a map, beside those
	// that HelperProto.MapTypes gives it; nil for all that ask for no map type.
	Helpers []string
	Source  string // where the kernel checks this, file:function
	Doc     string
}

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
