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
	ArgSocket       // a socket of some kind, also as typed kernel pointer
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

	ArgSockCommon     // a socket of some kind, but no typed kernel pointer to one
	ArgFullSockOrNull // a full socket (struct bpf_sock) or NULL
	ArgCtxOrNull      // the program's context or NULL
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
	// ArgOf says more about an argument: the kernel's struct behind an ArgBTFID
	// ("task_struct"), or which dynptr it must be ("ringbuf") or becomes ("local").
	ArgOf [5]string
	// ArgWrites marks the memory that the helper writes (MEM_WRITE). Kinds with
	// Uninit in their name need no initialised memory; ArgMem with this mark does.
	ArgWrites [5]bool
	// RetOf is the kernel's struct behind a RetBTFID result, RetTrusted says that
	// the pointer is trusted (PTR_TRUSTED).
	RetOf      string
	RetTrusted bool
	// GPLOnly helpers are refused in programs without a GPL-compatible license.
	GPLOnly bool
	// FreeFor lists program types whose form of a GPLOnly helper needs no license.
	FreeFor []ProgType
	// ChangesPacket helpers may move the packet: pointers into it taken before
	// the call are dead after it (bpf_helper_changes_pkt_data).
	ChangesPacket bool
	// PacketAccess helpers take packet memory where they take memory (pkt_access).
	PacketAccess bool
	// Fastcall helpers keep R1 to R5 beyond their arguments (allow_fastcall).
	Fastcall bool
	// Cap is what the loading process must be capable of for programs that have the
	// helper from bpf_base_func_proto; tracing types need CAP_PERFMON as such.
	Cap Cap
	// MapTypes are the map types that it takes; nil for the general ones. See
	// TakesMap.
	MapTypes []MapType
	// AllowedBy names the kernel function that refuses it in single programs of a
	// type, mostly by what they are attached to; empty for none.
	AllowedBy string
	// Forms are other prototypes that some program types have under this number.
	// See HelperFor.
	Forms []HelperForm
	// Attach lists program types of which only some attach types may call it.
	Attach []HelperAttach

	Acquires   bool     // its result is a reference that must be released
	Releases   bool     // it ends the reference in its first pointer argument
	MightSleep bool     // for sleepable programs only
	Groups     []string // which program types may call it: names of groups or types
	Since      string   // kernel that brought it, "4.1"
	Signature  string   // C prototype: "void *bpf_map_lookup_elem(struct bpf_map *map, const void *key)"
	Doc        string   // our description, for "bpfvm explain"
}

// HelperForm is the prototype of a helper as some program types have it: the
// same number, another kernel function behind it.
type HelperForm struct {
	Types []ProgType
	Args  [5]ArgKind
	ArgOf [5]string
}

// HelperAttach limits a helper to some attach types of one program type.
type HelperAttach struct {
	Type   ProgType
	Attach []AttachType
}

// Cap is a capability of the process that loads a program (capabilities(7)).
type Cap uint8

// Capabilities that decide about helpers.
const (
	CapNone     Cap = iota // what loading needs anyway
	CapBPF                 // CAP_BPF
	CapPerfmon             // CAP_PERFMON, which CAP_SYS_ADMIN includes
	CapNetAdmin            // CAP_NET_ADMIN
)

// String returns "CAP_BPF", or "" for none.
func (c Cap) String() string {
	return [...]string{"", "CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"}[min(c, 3)]
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
