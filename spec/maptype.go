package spec

// MapType is the type of a map (include/uapi/linux/bpf.h, enum bpf_map_type).
type MapType uint32

// Map types with their numbers of Linux 6.18.
const (
	MapUnspec              MapType = 0
	MapHash                MapType = 1
	MapArray               MapType = 2
	MapProgArray           MapType = 3
	MapPerfEventArray      MapType = 4
	MapPerCPUHash          MapType = 5
	MapPerCPUArray         MapType = 6
	MapStackTrace          MapType = 7
	MapCgroupArray         MapType = 8
	MapLRUHash             MapType = 9
	MapLRUPerCPUHash       MapType = 10
	MapLPMTrie             MapType = 11
	MapArrayOfMaps         MapType = 12
	MapHashOfMaps          MapType = 13
	MapDevmap              MapType = 14
	MapSockmap             MapType = 15
	MapCPUMap              MapType = 16
	MapXSKMap              MapType = 17
	MapSockhash            MapType = 18
	MapCgroupStorage       MapType = 19
	MapReuseportSockarray  MapType = 20
	MapPerCPUCgroupStorage MapType = 21
	MapQueue               MapType = 22
	MapStack               MapType = 23
	MapSKStorage           MapType = 24
	MapDevmapHash          MapType = 25
	MapStructOps           MapType = 26
	MapRingBuf             MapType = 27
	MapInodeStorage        MapType = 28
	MapTaskStorage         MapType = 29
	MapBloomFilter         MapType = 30
	MapUserRingBuf         MapType = 31
	MapCgrpStorage         MapType = 32
	MapArena               MapType = 33
)

// MapFlags are the BPF_F_* bits of map creation.
type MapFlags uint32

// Flags of map creation (include/uapi/linux/bpf.h, BPF_MAP_CREATE flags).
const (
	MapNoPrealloc   MapFlags = 1 << 0
	MapNoCommonLRU  MapFlags = 1 << 1
	MapNUMANode     MapFlags = 1 << 2
	MapRdOnly       MapFlags = 1 << 3 // read-only for user space
	MapWrOnly       MapFlags = 1 << 4 // write-only for user space
	MapStackBuildID MapFlags = 1 << 5
	MapZeroSeed     MapFlags = 1 << 6
	MapRdOnlyProg   MapFlags = 1 << 7 // read-only for programs: .rodata
	MapWrOnlyProg   MapFlags = 1 << 8
	MapClone        MapFlags = 1 << 9
	MapMmapable     MapFlags = 1 << 10
	MapPreserveElem MapFlags = 1 << 11
	MapInnerMap     MapFlags = 1 << 12
	MapLink         MapFlags = 1 << 13 // struct_ops: attached by a link, not by its first update
)

// Flags of map updates (include/uapi/linux/bpf.h).
const (
	UpdateAny     uint64 = 0 // BPF_ANY: create or replace
	UpdateNoExist uint64 = 1 // BPF_NOEXIST: create only, else -EEXIST
	UpdateExist   uint64 = 2 // BPF_EXIST: replace only, else -ENOENT
	UpdateLock    uint64 = 4 // BPF_F_LOCK: under the value's spin lock
)
