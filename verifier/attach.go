package verifier

import (
	"strings"

	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// Tracing, iterator and LSM programs run in the place of a kernel function or
// tracepoint, and their context is its arguments: eight bytes each, with the types
// that the kernel's BTF gives (kernel/bpf/btf.c, btf_ctx_access).

// attachTarget is what the program is attached to.
type attachTarget struct {
	name  string // as messages have it: "sched_switch", "bpf_iter_task"
	proto *btf.FuncProto
	first int // 1 where the first parameter is not the program's: void *__data
}

// findAttachTarget looks the target up (bpf_check_attach_target).
func (env *env) findAttachTarget() error {
	p := env.prog
	prefix := ""
	switch p.Type {
	case spec.ProgTracing:
		switch p.Attach {
		case spec.AttachTraceRawTP:
			return env.findTracepoint()
		case spec.AttachTraceIter:
			prefix = "bpf_iter_"
		case spec.AttachTraceFentry, spec.AttachTraceFexit, spec.AttachModifyReturn:
			if p.Flags&flagSleepable != 0 || p.Attach == spec.AttachModifyReturn {
				return notModelled("which functions %v programs that sleep may be attached to", p.Attach)
			}
		default:
			return notModelled("%v programs", p.Attach)
		}
	case spec.ProgLSM:
		prefix = "bpf_lsm_"
		if p.Flags&flagSleepable != 0 {
			return notModelled("which hooks sleepable %v programs may be attached to", p.Attach)
		}
	default:
		return nil
	}
	f := env.kernelFunc(prefix + p.AttachTo)
	if f == nil {
		return notModelled("attach target %s, which is not in the kernel's BTF", prefix+p.AttachTo)
	}
	proto, ok := f.Type.(*btf.FuncProto)
	if !ok {
		return notModelled("attach target %s without a prototype", f.Name)
	}
	env.attach = attachTarget{name: f.Name, proto: proto}
	return nil
}

func (env *env) findTracepoint() error {
	name := "btf_trace_" + env.prog.AttachTo
	k, err := env.kernelTypes()
	if err != nil {
		return notModelled("tracepoints without the kernel's BTF")
	}
	var td *btf.Typedef
	if k.TypeByName(name, &td) != nil {
		return notModelled("attach target %s, which is not in the kernel's BTF", name)
	}
	ptr, ok := bare(td.Type).(*btf.Pointer)
	if !ok {
		return env.reject(CodeAttachTarget, "attach_btf_id %d is not a pointer\n", 0)
	}
	proto, ok := bare(ptr.Target).(*btf.FuncProto)
	if !ok {
		return notModelled("attach target %s without a prototype", name)
	}
	env.attach = attachTarget{name: env.prog.AttachTo, proto: proto, first: 1}
	return nil
}

// trustedArgs reports whether pointers among the arguments are valid for certain
// (prog_args_trusted).
func (env *env) trustedArgs() bool {
	switch env.prog.Type {
	case spec.ProgTracing:
		return env.prog.Attach == spec.AttachTraceRawTP || env.prog.Attach == spec.AttachTraceIter
	case spec.ProgLSM:
		return !untrustedLSM[env.attach.name]
	}
	return false
}

// untrustedLSM are hooks that run when an object is half made or half gone
// (kernel/bpf/bpf_lsm.c, untrusted_lsm_hooks).
var untrustedLSM = map[string]bool{
	"bpf_lsm_bpf_map_free": true, "bpf_lsm_bpf_prog_free": true, "bpf_lsm_file_alloc_security": true,
	"bpf_lsm_file_free_security": true, "bpf_lsm_sk_alloc_security": true, "bpf_lsm_sk_free_security": true,
	"bpf_lsm_task_free": true,
}

// argSlots is how many eight-byte slots of the context an argument takes.
func argSlots(t btf.Type) int {
	if n, err := btf.Sizeof(t); err == nil && n > 8 {
		return (n + 7) / 8
	}
	return 1
}

// argAt returns the number of the argument at a slot of the context; the number of
// arguments for the slot after the last one, and one more beyond (get_ctx_arg_idx).
func argAt(params []btf.FuncParam, slot int) int {
	at := 0
	for i, p := range params {
		at += argSlots(p.Type)
		if slot < at {
			return i
		}
	}
	if slot == at {
		return len(params)
	}
	return len(params) + 1
}

// checkArgCtx checks a load of an argument and tells what it gives.
func (env *env) checkArgCtx(off, size int) (RegState, bool) {
	a := &env.attach
	no := func(format string, args ...any) (RegState, bool) {
		env.log.printf(format, args...)
		return RegState{}, false
	}
	name := a.name
	if off%8 != 0 {
		return no("func '%s' offset %d is not multiple of 8\n", name, off)
	}
	params := a.proto.Params[min(a.first, len(a.proto.Params)):]
	i := argAt(params, off/8)
	if i > len(params) {
		return no("func '%s' doesn't have %d-th argument\n", name, i+1)
	}
	var t btf.Type
	switch {
	case i < len(params):
		t = params[i].Type
	case env.prog.Attach == spec.AttachLSMMAC, env.prog.Attach == spec.AttachLSMCgroup, env.prog.Attach == spec.AttachTraceFexit:
		t = a.proto.Return
	default:
		return no("func '%s' doesn't have %d-th argument\n", name, i+1)
	}
	t = bare(t)
	if _, ok := t.(*btf.Int); ok || isScalarType(t) || isStruct(t) {
		return unknownScalar(), true
	}
	p, ok := t.(*btf.Pointer)
	if !ok {
		return no("func '%s' arg%d '%s' has type %s. Only pointer access is allowed\n", name, i, typeName(t), kindName(t))
	}
	if size != 8 {
		return no("func '%s' size %d must be 8\n", name, size)
	}
	param := ""
	if i < len(params) {
		param = params[i].Name
	}
	if iter, ok := iterArgs[name][param]; ok {
		var r RegState
		if iter.base() == PtrToBuf {
			r.setPointer(iter)
		} else {
			r.setBTF(iter, bare(p.Target), false)
		}
		return r, true
	}
	target := bare(p.Target)
	switch target.(type) {
	case *btf.Void, *btf.Int:
		return unknownScalar(), true
	}
	flags := PtrToBTFID
	if env.trustedArgs() {
		flags |= Trusted
	}
	if strings.HasSuffix(param, "__nullable") {
		flags |= MaybeNull
	}
	null, isErr := tracepointNull(env.prog, i)
	if null {
		flags |= MaybeNull
	}
	flags |= flagOfTag(typeTag(p)) & (MemUser | MemPerCPU)
	if !isStruct(target) {
		return no("func '%s' arg%d type %s is not a struct\n", name, i, kindName(target))
	}
	env.log.printf("func '%s' arg%d has btf_id %d type %s '%s'\n", name, i, env.typeID(target), kindName(target), typeName(target))
	if isErr {
		env.log.printf("marking pointer arg%d as scalar as it may encode error", i)
		return unknownScalar(), true
	}
	var r RegState
	r.setBTF(flags, target, false)
	return r, true
}

// typeID is the number of a kernel type in its BTF.
func (env *env) typeID(t btf.Type) btf.TypeID {
	k, err := env.kernelTypes()
	if err != nil {
		return 0
	}
	id, err := k.TypeID(t)
	if err != nil {
		return 0
	}
	return id
}

// iterArgs are the arguments of iterators of which the kernel says more than their
// prototype: the last call has none, so that they may be NULL (the ctx_arg_info of
// struct bpf_iter_reg: kernel/bpf/*_iter.c, net).
var iterArgs = map[string]map[string]RegType{
	"bpf_iter_task":         {"task": PtrToBTFID | MaybeNull | Trusted},
	"bpf_iter_task_file":    {"task": PtrToBTFID | MaybeNull, "file": PtrToBTFID | MaybeNull},
	"bpf_iter_task_vma":     {"task": PtrToBTFID | MaybeNull, "vma": PtrToBTFID | MaybeNull},
	"bpf_iter_cgroup":       {"cgroup": PtrToBTFID | MaybeNull | Trusted},
	"bpf_iter_bpf_map":      {"map": PtrToBTFID | MaybeNull | Trusted},
	"bpf_iter_bpf_map_elem": {"key": PtrToBuf | MaybeNull | RdOnly, "value": PtrToBuf | MaybeNull},
	"bpf_iter_bpf_prog":     {"prog": PtrToBTFID | MaybeNull},
	"bpf_iter_bpf_link":     {"link": PtrToBTFID | MaybeNull},
	"bpf_iter_ksym":         {"ksym": PtrToBTFID | MaybeNull},
	"bpf_iter_netlink":      {"sk": PtrToBTFID | MaybeNull},
	"bpf_iter_tcp":          {"sk_common": PtrToBTFID | MaybeNull | Trusted},
	"bpf_iter_udp":          {"udp_sk": PtrToBTFID | MaybeNull | Trusted},
	"bpf_iter_unix":         {"unix_sk": PtrToBTFID | MaybeNull},
	"bpf_iter_ipv6_route":   {"rt": PtrToBTFID | MaybeNull},
	"bpf_iter_sockmap":      {"key": PtrToBuf | MaybeNull | RdOnly, "sk": PtrToBTFID | MaybeNull},
	"bpf_iter_bpf_sk_storage_map": {"sk": PtrToBTFID | MaybeNull,
		"value": PtrToBuf | MaybeNull},
	"bpf_iter_kmem_cache": {"s": PtrToBTFID | MaybeNull | Untrusted},
	"bpf_iter_dmabuf":     {"dmabuf": PtrToBTFID | MaybeNull},
}

// lsmRange is what LSM programs may return: an error number, or nothing but 1 where
// the hook has no result (bpf_lsm_get_retval_range).
func (env *env) lsmRange() (lo, hi int64, limited bool) {
	if env.prog.Attach == spec.AttachLSMCgroup {
		if _, void := env.attach.proto.Return.(*btf.Void); void {
			return 1, 1, true
		}
		return 0, 1, true
	}
	switch env.attach.name {
	case "bpf_lsm_inode_xattr_skipcap", "bpf_lsm_audit_rule_known", "bpf_lsm_audit_rule_match":
		return 0, 1, true
	}
	return -maxErrno, 0, true
}
