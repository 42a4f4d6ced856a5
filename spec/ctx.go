package spec

import (
	"strconv"
	"strings"
)

// FieldKind says what a load of a context field gives.
type FieldKind uint8

// Kinds of context fields.
const (
	FieldScalar     FieldKind = iota
	FieldPacket               // start of the packet (PTR_TO_PACKET)
	FieldPacketEnd            // first byte after the packet
	FieldPacketMeta           // start of the metadata before the packet
	FieldPointer              // another pointer; CtxField.Pointer says of what kind
)

// PointerKind says what register a load of a FieldPointer gives (enum
// bpf_reg_type with its flags).
type PointerKind uint8

// Kinds of pointers in contexts.
const (
	NoPointer         PointerKind = iota
	SocketPtr                     // PTR_TO_SOCKET: struct bpf_sock
	SocketOrNullPtr               // PTR_TO_SOCKET_OR_NULL
	SockCommonOrNull              // PTR_TO_SOCK_COMMON_OR_NULL: fields of full sockets are out of reach
	FlowKeysPtr                   // PTR_TO_FLOW_KEYS: struct bpf_flow_keys, readable and writable
	TracepointBuffer              // PTR_TO_TP_BUFFER: bytes whose number the tracepoint decides
	TrustedBTFPointer             // PTR_TO_BTF_ID | PTR_TRUSTED to CtxField.Struct
)

var pointerKindTexts = [...]string{
	NoPointer: "no pointer", SocketPtr: "a full socket", SocketOrNullPtr: "a full socket or NULL",
	SockCommonOrNull: "a socket of any kind or NULL", FlowKeysPtr: "the flow's keys",
	TracepointBuffer: "the tracepoint's buffer", TrustedBTFPointer: "a trusted kernel pointer",
}

// String returns the kind in words.
func (k PointerKind) String() string { return pointerKindTexts[min(int(k), len(pointerKindTexts)-1)] }

// CtxAttach limits what programs of one type may do with a field to some of the
// type's attach types.
type CtxAttach struct {
	Type   ProgType
	Read   bool // loads are limited
	Write  bool // stores are limited
	Attach []AttachType
}

// CtxField is one field of a context structure.
type CtxField struct {
	Name  string
	Off   uint32 // bytes from the start
	Size  uint32 // bytes; of the whole field when it is an array
	CType string // as in the UAPI header: "__u32", "__u32[5]"
	Kind  FieldKind
	// Pointer and Struct say more about a FieldPointer: what kind, and of which
	// kernel struct a TrustedBTFPointer is.
	Pointer PointerKind
	Struct  string
	// Narrow says that loads smaller than the field are allowed at any offset
	// in it (bpf_ctx_narrow_access_ok); packet pointers never allow them.
	Narrow bool
	// NarrowStart says that smaller loads are allowed at its first byte only.
	NarrowStart bool
	// Wide says that 8-byte loads are allowed at offsets divisible by 8 (cb,
	// user_ip6), although the field has 4-byte elements.
	Wide  bool
	Half  bool // smaller loads must have 2 bytes
	Word  bool // a 2-byte field that a 4-byte load at its start may read
	Write bool // programs may store to it
	// WideWrite says that aligned stores of 8 bytes are allowed.
	WideWrite bool
	// WriteFirst says that only the first element of an array may be stored.
	WriteFirst bool
	// NarrowWrite says that stores of other sizes than the element are allowed.
	NarrowWrite bool
	// ReadBy and WriteBy list the program types that may load and store it; nil
	// means every type that has this context. Empty and not nil means none.
	ReadBy, WriteBy []ProgType
	Attach          []CtxAttach
	Signed          bool   // trace events: the number has a sign
	Doc             string // one sentence, may be empty
}

// ElemSize returns the size of one element of the field in bytes: the access
// that is always allowed where access is allowed at all.
func (f *CtxField) ElemSize() uint32 {
	i := strings.IndexByte(f.CType, '[')
	if i < 0 {
		return f.Size
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(f.CType[i+1:], "]"), 10, 32)
	if err != nil || n == 0 {
		return f.Size
	}
	return f.Size / uint32(n)
}

// CtxAlias is another name of a field: "PARM1" for di.
type CtxAlias struct {
	Name, Field string
}

// CtxLayout is the context that programs of a type receive in R1, laid out as
// user space sees it. The kernel rewrites accesses to its own structures; the
// arena holds the user-visible form, so the object's bytecode runs unmodified.
type CtxLayout struct {
	Name   string // "xdp_md", "pt_regs", "__sk_buff", ...
	Size   uint32 // bytes; 0 when it varies (tracepoints)
	Fields []CtxField
	Doc    string

	Aliases []CtxAlias
	Source  string // the kernel function that decides about accesses, file:function
}

// Field returns the field of that name or alias, or nil.
func (c *CtxLayout) Field(name string) *CtxField {
	for _, a := range c.Aliases {
		if a.Name == name {
			name = a.Field
			break
		}
	}
	for i := range c.Fields {
		if c.Fields[i].Name == name {
			return &c.Fields[i]
		}
	}
	return nil
}

// FieldAt returns the field that contains the byte offset, or nil.
func (c *CtxLayout) FieldAt(off uint32) *CtxField {
	for i := range c.Fields {
		if f := &c.Fields[i]; off >= f.Off && off-f.Off < f.Size {
			return f
		}
	}
	return nil
}
