package spec

import (
	"slices"
	"strconv"
)

// ProgTypeInfo describes a program type.
type ProgTypeInfo struct {
	Type   ProgType
	Name   string // as libbpf and bpftool write it: "kprobe"
	Kernel string // as the kernel's enum has it: "BPF_PROG_TYPE_KPROBE"
	Ctx    string // name of its context for Ctx; empty where a target decides
	Since  string // kernel that brought it, "4.1"
	// TestRun says what BPF_PROG_TEST_RUN takes: "data" (a packet), "ctx" (the
	// context only), or the errno name that it answers with ("ENOTSUPP").
	TestRun string
	// PrivateStack says that each frame may have its own 512 bytes of stack,
	// instead of all frames of a call chain sharing them; see HasPrivateStack.
	PrivateStack bool
	// Caps are the capabilities that loading needs.
	Caps []Cap
	// Packet says what pointers into the packet allow.
	Packet PacketAccess
	// Sleepable says whether such programs may load with BPF_F_SLEEPABLE; see
	// CanSleep.
	Sleepable Sleepable
	// SleepableAt lists the attach types that SleepSome means.
	SleepableAt []AttachType
	// AttachChecked says that the attach type at load must be one of the type's own.
	AttachChecked bool

	Rets    []RetValue // return values with a name
	Returns string     // what the return value means, in words
	Doc     string
}

// RetValue is a return value with a name.
type RetValue struct {
	Value int32
	Name  string // "XDP_DROP"
}

// PacketAccess is what programs may do through pointers into the packet.
type PacketAccess uint8

// Kinds of packet access.
const (
	PacketNone  PacketAccess = iota
	PacketLoad               // read, but helpers do not take packet memory
	PacketRead               // read, also by helpers with HelperProto.PacketAccess
	PacketWrite              // and write
)

// String returns "none", "read, not by helpers", "read" or "read and write".
func (p PacketAccess) String() string {
	return [...]string{"none", "read, not by helpers", "read", "read and write"}[min(p, 3)]
}

// Sleepable says whether programs of a type may sleep.
type Sleepable uint8

// Kinds of sleeping.
const (
	SleepNever  Sleepable = iota
	SleepSome             // in the attach types of SleepableAt
	SleepAny              // where the loader asks for it
	SleepAlways           // and must ask for it
)

// CanSleep reports whether programs of the type, attached so, may be loaded with
// BPF_F_SLEEPABLE. What they are attached to must allow it as well: uprobes, not
// kprobes; LSM hooks that may block (kernel/bpf/verifier.c, can_be_sleepable).
func CanSleep(t ProgType, attach AttachType) bool {
	info := t.Info()
	return info != nil && info.Sleepable != SleepNever && (info.Sleepable != SleepSome || slices.Contains(info.SleepableAt, attach))
}

// ProgTypes returns all program types in the order of their numbers; index and
// number are the same. The slice is shared: do not change it.
func ProgTypes() []ProgTypeInfo { return progTypes[:] }

// ProgTypeByName finds a program type by either of its names.
func ProgTypeByName(name string) (ProgType, bool) {
	for i := range progTypes {
		if p := &progTypes[i]; p.Name == name || p.Kernel == name {
			return p.Type, true
		}
	}
	return ProgUnspec, false
}

// Info returns the description of the type, or nil for a number that Linux 6.18
// does not know.
func (t ProgType) Info() *ProgTypeInfo {
	if int64(t) >= int64(len(progTypes)) {
		return nil
	}
	return &progTypes[t]
}

// String returns the short name: "xdp". Unknown numbers print as "prog_type(99)".
func (t ProgType) String() string {
	if info := t.Info(); info != nil {
		return info.Name
	}
	return "prog_type(" + strconv.FormatUint(uint64(t), 10) + ")"
}

// Ctx returns the layout of the context of the type, or nil where it depends on
// the target (ext) or the type is unknown.
func (t ProgType) Ctx() *CtxLayout {
	info := t.Info()
	if info == nil || info.Ctx == "" {
		return nil
	}
	return CtxByName(info.Ctx)
}

// HasPrivateStack reports whether each frame of such programs may use 512 bytes of
// stack of its own, where the JIT supports that (x86-64, arm64); elsewhere all
// frames of a call chain share 512 bytes. Iterators share although other tracing
// programs do not, and so do asynchronous callbacks
// (kernel/bpf/verifier.c, bpf_enable_priv_stack; bpf_prog_check_recur).
func HasPrivateStack(t ProgType, attach AttachType) bool {
	info := t.Info()
	return info != nil && info.PrivateStack && !(t == ProgTracing && attach == AttachTraceIter)
}

// RetName returns the name that the program type gives to a return value: what
// a program left in R0, of which hooks look at the lower 32 bits. It is empty
// for values without a name.
func RetName(t ProgType, r0 uint64) string {
	info := t.Info()
	if info == nil {
		return ""
	}
	for _, r := range info.Rets {
		if r.Value == int32(r0) {
			return r.Name
		}
	}
	return ""
}

// AttachTypeInfo describes an attach type.
type AttachTypeInfo struct {
	Type   AttachType
	Name   string   // "cgroup_inet_ingress"
	Kernel string   // "BPF_CGROUP_INET_INGRESS"
	Prog   ProgType // the program type that uses it
}

// AttachTypes returns all attach types in the order of their numbers. The slice
// is shared: do not change it.
func AttachTypes() []AttachTypeInfo { return attachTypes[:] }

// AttachTypeByName finds an attach type by either of its names.
func AttachTypeByName(name string) (AttachType, bool) {
	for i := range attachTypes {
		if a := &attachTypes[i]; a.Name == name || a.Kernel == name {
			return a.Type, true
		}
	}
	return 0, false
}

// String returns the short name: "xdp". As 0 is both "none" and
// cgroup_inet_ingress, look at the program type first.
func (t AttachType) String() string {
	if int64(t) >= int64(len(attachTypes)) {
		return "attach_type(" + strconv.FormatUint(uint64(t), 10) + ")"
	}
	return attachTypes[t].Name
}
