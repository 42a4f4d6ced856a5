package verifier

import (
	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// RegType says what a register or a spilled slot holds (enum bpf_reg_type). The
// low byte is the kind, the bits above are flags.
type RegType uint32

// Kinds, with the name that the log prints.
const (
	NotInit         RegType = iota
	Scalar                  // "scalar"
	PtrToCtx                // "ctx"
	ConstPtrToMap           // "map_ptr"
	PtrToMapValue           // "map_value"
	PtrToMapKey             // "map_key"
	PtrToStack              // "fp"
	PtrToPacketMeta         // "pkt_meta"
	PtrToPacket             // "pkt"
	PtrToPacketEnd          // "pkt_end"
	PtrToFlowKeys           // "flow_keys"
	PtrToSocket             // "sock"
	PtrToSockCommon         // "sock_common"
	PtrToTCPSock            // "tcp_sock"
	PtrToTPBuffer           // "tp_buffer"
	PtrToXDPSock            // "xdp_sock"
	PtrToBTFID              // "ptr_"
	PtrToMem                // "mem"
	PtrToArena              // "arena"
	PtrToBuf                // "buf"
	PtrToFunc               // "func"
	PtrToDynptr             // "dynptr_ptr": a dynptr that the kernel owns

	baseMask RegType = 0xff
)

// Flags of a RegType (enum bpf_type_flag).
const (
	MaybeNull   RegType = 1 << (8 + iota) // "_or_null"
	RdOnly                                // "rdonly_"
	FromRingBuf                           // "ringbuf_"
	Untrusted                             // "untrusted_"
	Trusted                               // "trusted_"
	MemUser                               // "user_": an address of user space
	MemPerCPU                             // "percpu_": one object for each CPU
	MemRCU                                // "rcu_": alive until the RCU read section ends
	MemAlloc                              // an object of a type of the program
	NonOwnRef                             // it stays in its list or tree
	DynptrSKB                             // a slice of a packet, by way of a dynptr
	DynptrXDP
)

// trustFlags are what kernel functions ask of pointers that they follow
// (BPF_REG_TRUSTED_MODIFIERS).
const trustFlags = MemAlloc | Trusted | NonOwnRef

func (t RegType) base() RegType   { return t & baseMask }
func (t RegType) maybeNull() bool { return t&MaybeNull != 0 }

func (t RegType) isPkt() bool    { return t.base() == PtrToPacket || t.base() == PtrToPacketMeta }
func (t RegType) isPktAny() bool { return t.isPkt() || t.base() == PtrToPacketEnd }
func (t RegType) isSock() bool {
	switch t.base() {
	case PtrToSocket, PtrToSockCommon, PtrToTCPSock, PtrToXDPSock:
		return true
	}
	return false
}

// spillable reports whether a register of the type keeps its meaning when it is
// stored to the stack (is_spillable_regtype).
func (t RegType) spillable() bool { return t.base() >= PtrToCtx }

var regTypeNames = [...]string{
	"?", "scalar", "ctx", "map_ptr", "map_value", "map_key", "fp", "pkt_meta", "pkt", "pkt_end",
	"flow_keys", "sock", "sock_common", "tcp_sock", "tp_buffer", "xdp_sock", "ptr_", "mem", "arena", "buf", "func",
	"dynptr_ptr",
}

// String returns the kernel's name (reg_type_str).
func (t RegType) String() string {
	s := regTypeNames[t.base()]
	if t.maybeNull() && t.base() == PtrToBTFID {
		s += "or_null_"
	} else if t.maybeNull() {
		s += "_or_null"
	}
	for _, f := range [...]struct {
		flag RegType
		name string
	}{{Trusted, "trusted_"}, {Untrusted, "untrusted_"}, {MemRCU, "rcu_"}, {MemPerCPU, "percpu_"},
		{MemUser, "user_"}, {FromRingBuf, "ringbuf_"}, {RdOnly, "rdonly_"}} {
		if t&f.flag != 0 {
			s = f.name + s
		}
	}
	return s
}

// Ranges of a packet pointer that was compared with the packet's end, but
// points to or past it (enum, AT_PKT_END and BEYOND_PKT_END).
const (
	atPktEnd     = -1
	beyondPktEnd = -2
)

// addConst marks the id of a scalar that differs from the others of that id by
// the constant in Off, which was added in 64 or in 32 bits (BPF_ADD_CONST).
const (
	addConst64 = uint32(1) << 31
	addConst32 = uint32(1) << 30
	addConst   = addConst64 | addConst32
)

// RegState is what is known of one register on one path (struct bpf_reg_state).
//
// For a pointer, Off is the fixed part of its offset and the Bounds describe the
// variable part; for a scalar the Bounds describe the value.
type RegState struct {
	Type RegType
	Off  int32
	Bounds
	// ID ties registers together: scalars that are equal, copies of one
	// or_null pointer, packet pointers with the same variable part.
	ID uint32
	// RefObjID names the acquired reference that the pointer carries.
	RefObjID uint32
	// Frame is the frame that a stack pointer points into.
	Frame int32
	// Range is how many bytes from Off are proven for a packet pointer.
	Range int32
	// MemSize is the size of the object behind PtrToMem.
	MemSize uint32
	// Subprog is the function behind PtrToFunc.
	Subprog int32
	// Map is the map behind map pointers, values and keys.
	Map *spec.MapSpec
	// MapUID tells apart maps that were looked up in a map of maps.
	MapUID uint32
	// BTF is the structure behind a typed pointer, of the kernel or (Local) of
	// the program; of an iterator's slot the iterator's structure.
	BTF   btf.Type
	Local bool
	// Precise scalars matter exactly: pruning compares their ranges.
	Precise bool
	// First marks the slot by which a dynptr is addressed, Dynptr tells its kind.
	First  bool
	Dynptr DynptrKind
	// Iter and Depth: how far an open-coded iterator is.
	Iter  IterState
	Depth uint32
	// DynptrID is the dynptr that the memory is a slice of.
	DynptrID uint32
}

func notInitReg() RegState {
	return RegState{Bounds: unboundedBounds()}
}

func unknownScalar() RegState {
	return RegState{Type: Scalar, Bounds: unboundedBounds()}
}

func constScalar(v uint64) RegState {
	return RegState{Type: Scalar, Bounds: constBounds(v)}
}

// setConst makes r a known scalar, keeping nothing of what it was.
func (r *RegState) setConst(v uint64) { *r = constScalar(v) }

// setUnknown makes r a scalar of which nothing is known.
func (r *RegState) setUnknown() { *r = unknownScalar() }

// setPointer makes r a pointer of the type with offset zero.
func (r *RegState) setPointer(t RegType) { *r = RegState{Type: t, Bounds: constBounds(0)} }

// isNull reports whether r is the scalar 0.
func (r *RegState) isNull() bool {
	return r.Type == Scalar && r.VarOff == tnumZero
}

// clearID forgets what the scalar is tied to.
func (r *RegState) clearID() {
	r.ID = 0
	r.Off = 0
}

// notNull reports whether the pointer is certainly not NULL (reg_not_null).
func (r *RegState) notNull() bool {
	if r.Type.maybeNull() || r.SMin <= -maxVarOff || r.SMax >= maxVarOff {
		return false // an offset that large could lead around to zero
	}
	switch r.Type.base() {
	case PtrToSocket, PtrToTCPSock, PtrToXDPSock, PtrToBuf, PtrToMapValue, PtrToMapKey, PtrToSockCommon, ConstPtrToMap:
		return true
	case PtrToMem:
		return r.Type&Untrusted == 0
	case PtrToBTFID:
		return r.trusted()
	}
	return false
}

// trusted reports whether kernel functions may follow the pointer
// (is_trusted_reg): it is held, or was handed out as valid.
func (r *RegState) trusted() bool {
	if r.RefObjID != 0 {
		return true
	}
	switch r.Type.base() { // sockets and maps live as long as the program runs
	case PtrToSocket, PtrToSockCommon, PtrToTCPSock, ConstPtrToMap:
		if r.Type&^(baseMask|trustFlags) == 0 {
			return true
		}
	}
	return r.Type&trustFlags != 0 && r.Type&^(trustFlags|baseMask) == 0
}

// rcu reports whether the object lives at least as long as the RCU read section
// (is_rcu_reg).
func (r *RegState) rcu() bool { return r.Type&MemRCU != 0 }

// markNotNull turns an or_null pointer into the pointer proper
// (mark_ptr_not_null_reg); a value of a map of maps is a map.
func (env *env) markNotNull(r *RegState) {
	if r.Type.base() == PtrToMapValue && r.Map != nil {
		switch {
		case r.Map.Inner != nil:
			r.Type = ConstPtrToMap
			r.Map = env.innerMap(r.Map.Inner)
			if env.mapRecord(r.Map).has(fieldTimer, fieldWorkqueue, fieldTaskWork) {
				r.MapUID = r.ID // the callback must be set for the same map
			}
			return
		case r.Map.Type == spec.MapXSKMap:
			r.Type = PtrToXDPSock
			return
		case r.Map.Type == spec.MapSockmap || r.Map.Type == spec.MapSockhash:
			r.Type = PtrToSocket
			return
		}
	}
	r.Type &^= MaybeNull
}

// String prints the register as the log does.
func (r *RegState) String() string { return regString(r, r.Frame) }

// reg returns the state of a register in the current frame.
func (env *env) reg(r isa.Register) *RegState { return &env.cur.cur().Regs[r] }

// innerMap is the map behind the pointers that lookups in a map of maps give: it
// has the template's sizes, and no name.
func (env *env) innerMap(m *spec.MapSpec) *spec.MapSpec {
	if env.inner == nil {
		env.inner = map[*spec.MapSpec]*spec.MapSpec{}
	}
	c := env.inner[m]
	if c == nil {
		copied := *m
		copied.Name = ""
		c = &copied
		env.inner[m] = c
	}
	return c
}
