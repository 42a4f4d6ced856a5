package spec

// HelperID is the number of a helper in a call instruction's imm
// (include/uapi/linux/bpf.h, ___BPF_FUNC_MAPPER).
type HelperID int32

// ArgKind says what a helper wants in an argument register
// (include/linux/bpf.h, enum bpf_arg_type).
type ArgKind uint8

// Argument kinds. A Mem argument is followed by the Size argument that bounds it.
const (
	ArgNone           ArgKind = iota
	ArgAnything               // any initialised value
	ArgConstMapPtr            // a map
	ArgMapKey                 // readable memory of the map's key_size
	ArgMapValue               // readable memory of the map's value_size
	ArgUninitMapValue         // writable memory of the map's value_size
	ArgMem                    // readable memory, its size follows
	ArgMemOrNull
	ArgUninitMem // writable memory, its size follows; fully written by the helper
	ArgSize      // size of the memory before it, at least 1
	ArgSizeOrZero
	ArgCtx          // the program's context
	ArgRingBufMem   // what bpf_ringbuf_reserve returned
	ArgAllocSize    // a known constant size
	ArgConstStr     // a NUL-terminated string in read-only map memory
	ArgFunc         // a callback
	ArgStackOrNull  // stack pointer, callback context
	ArgTimer        // a bpf_timer in a map value
	ArgKptr         // a kernel pointer stored in a map value
	ArgSpinLock     // a bpf_spin_lock
	ArgBTFID        // a typed kernel pointer
	ArgDynptr       // a bpf_dynptr on the stack
	ArgSocket       // a socket of some kind
	ArgSockOrNull   // socket or NULL
	ArgLong         // pointer to a writable 8-byte integer
	ArgInt          // pointer to a writable 4-byte integer
	ArgPerCPUBTFID  // a per-CPU kernel variable
	ArgPointerStack // a pointer to the stack
	ArgIterator     // an open-coded iterator on the stack

	ArgMapValueOrNull // readable memory of the map's value_size, or NULL
	ArgBTFIDOrNull    // a typed kernel pointer or NULL
	ArgUninitDynptr   // room for a bpf_dynptr on the stack, which the helper makes
	ArgFixedMem       // readable memory of HelperProto.ArgSizes bytes
)

// RetKind says what a helper leaves in R0 (enum bpf_return_type).
type RetKind uint8

// Return kinds.
const (
	RetInteger          RetKind = iota
	RetVoid                     // R0 is not readable afterwards
	RetMapValueOrNull           // pointer to the map's value, or NULL
	RetMemOrNull                // pointer to memory whose size an argument tells
	RetSocketOrNull             // struct bpf_sock
	RetTCPSockOrNull            // struct bpf_tcp_sock
	RetSockCommonOrNull         // struct bpf_sock_common
	RetBTFID                    // typed kernel pointer, never NULL
	RetBTFIDOrNull              // typed kernel pointer or NULL
	RetMemOrBTFIDOrNull         // bpf_per_cpu_ptr
	RetMemOrBTFID               // bpf_this_cpu_ptr
	RetDynptrMemOrNull          // bpf_dynptr_data
	RetMapValue                 // pointer to the map's value, never NULL
)

// HelperProto is the contract of one helper (struct bpf_func_proto).
type HelperProto struct {
	ID   HelperID
	Name string // with its prefix: "bpf_map_lookup_elem"
	Ret  RetKind
	Args [5]ArgKind
	// ArgSizes holds the bytes that an ArgFixedMem argument points to.
	ArgSizes [5]uint32
	// GPLOnly helpers are refused in programs without a GPL-compatible license.
	GPLOnly bool
	// FreeFor lists program types whose form of a GPLOnly helper needs no license.
	FreeFor []ProgType
	// ChangesPacket helpers may move the packet: pointers into it taken before
	// the call are dead after it (bpf_helper_changes_pkt_data).
	ChangesPacket bool
	Acquires      bool     // its result is a reference that must be released
	Releases      bool     // it ends the reference in its first pointer argument
	MightSleep    bool     // for sleepable programs only
	Groups        []string // which program types may call it: names of groups or types
	Since         string   // kernel that brought it, "4.1"
	Signature     string   // C prototype: "void *bpf_map_lookup_elem(struct bpf_map *map, const void *key)"
	Doc           string   // our description, for "bpfvm explain"
}

// NumArgs returns how many argument registers the helper reads.
func (h *HelperProto) NumArgs() int {
	for i, a := range h.Args {
		if a == ArgNone {
			return i
		}
	}
	return len(h.Args)
}
