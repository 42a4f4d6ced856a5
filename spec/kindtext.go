package spec

// argKindText describes the argument kinds for readers.
var argKindText = [...]string{
	ArgNone:           "nothing",
	ArgAnything:       "any initialised value",
	ArgConstMapPtr:    "a map",
	ArgMapKey:         "memory of the size of a key",
	ArgMapValue:       "memory of the size of a value",
	ArgMapValueOrNull: "memory of the size of a value, or NULL",
	ArgUninitMapValue: "memory of the size of a value, written",
	ArgMem:            "memory, its size follows",
	ArgMemOrNull:      "memory, its size follows, or NULL",
	ArgUninitMem:      "memory, its size follows, written",
	ArgSize:           "size of the memory before it, at least 1",
	ArgSizeOrZero:     "size of the memory before it, may be 0",
	ArgCtx:            "the context",
	ArgRingBufMem:     "a reserved ring buffer record",
	ArgAllocSize:      "a constant size",
	ArgConstStr:       "a constant string in read-only map memory",
	ArgFunc:           "a function of the program",
	ArgStackOrNull:    "a pointer to the stack, or NULL",
	ArgTimer:          "a bpf_timer in a map value",
	ArgKptr:           "a kernel pointer field in a map value",
	ArgSpinLock:       "a bpf_spin_lock in a map value",
	ArgBTFID:          "a typed kernel pointer",
	ArgBTFIDOrNull:    "a typed kernel pointer, or NULL",
	ArgDynptr:         "a bpf_dynptr",
	ArgUninitDynptr:   "room for a bpf_dynptr on the stack",
	ArgSocket:         "a socket",
	ArgSockOrNull:     "a socket, or NULL",
	ArgSockCommon:     "a socket, not as typed kernel pointer",
	ArgFullSockOrNull: "a full socket, or NULL",
	ArgCtxOrNull:      "the context, or NULL",
	ArgLong:           "an aligned 8-byte integer, written",
	ArgInt:            "an aligned 4-byte integer, written",
	ArgFixedMem:       "memory of a fixed size",
	ArgPerCPUBTFID:    "a per-CPU kernel variable",
	ArgPointerStack:   "a pointer to the stack",
	ArgIterator:       "an iterator on the stack",
}

// String describes the kind in a few words: "memory, its size follows".
func (k ArgKind) String() string {
	if int(k) < len(argKindText) {
		return argKindText[k]
	}
	return "unknown"
}

// retKindText describes the return kinds for readers.
var retKindText = [...]string{
	RetInteger:          "a number",
	RetVoid:             "nothing: r0 is not readable",
	RetMapValue:         "pointer to a map value",
	RetMapValueOrNull:   "pointer to a map value, or NULL",
	RetMemOrNull:        "pointer to memory, or NULL",
	RetSocketOrNull:     "struct bpf_sock, or NULL",
	RetTCPSockOrNull:    "struct bpf_tcp_sock, or NULL",
	RetSockCommonOrNull: "struct bpf_sock_common, or NULL",
	RetBTFID:            "a typed kernel pointer",
	RetBTFIDOrNull:      "a typed kernel pointer, or NULL",
	RetMemOrBTFIDOrNull: "pointer to the variable, or NULL",
	RetMemOrBTFID:       "pointer to the variable",
	RetDynptrMemOrNull:  "pointer to memory of the dynptr, or NULL",
}

// String describes the kind in a few words: "pointer to a map value, or NULL".
func (k RetKind) String() string {
	if int(k) < len(retKindText) {
		return retKindText[k]
	}
	return "unknown"
}
