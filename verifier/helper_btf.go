package verifier

import (
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// Helpers that take or return structures of the kernel: which one, the C prototype
// tells.

// structIn returns the name behind "struct" in a piece of C, or "".
func structIn(c string) string {
	_, rest, ok := strings.Cut(c, "struct ")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, " ")
	return name
}

// voidArgs are the structures of arguments that the prototype gives as void *.
var voidArgs = map[string]string{
	"bpf_skb_output": "sk_buff", "bpf_xdp_output": "xdp_buff", "bpf_tcp_send_ack": "tcp_sock",
	"bpf_inode_storage_get": "inode", "bpf_inode_storage_delete": "inode", "bpf_xdp_get_buff_len": "xdp_buff",
	"bpf_sk_storage_get": "sock_common", "bpf_sk_storage_delete": "sock_common",
}

// helperStruct is the structure that an argument of a helper points to.
func helperStruct(h *spec.HelperProto, arg int) string {
	_, params, ok := strings.Cut(h.Signature, "(")
	if ok {
		if list := strings.Split(params, ","); arg < len(list) {
			if s := structIn(list[arg]); s != "" {
				return s
			}
		}
	}
	return voidArgs[h.Name]
}

// checkBTFArg checks the structure behind a typed pointer (the second half of
// check_reg_type).
func (env *env) checkBTFArg(meta *callMeta, i int, kind spec.ArgKind, regno isa.Register, r *RegState, null, release bool) error {
	h := meta.helper
	switch kind {
	case spec.ArgMem, spec.ArgMemOrNull, spec.ArgUninitMem, spec.ArgMapKey, spec.ArgMapValue, spec.ArgMapValueOrNull,
		spec.ArgUninitMapValue, spec.ArgFixedMem, spec.ArgLong, spec.ArgInt:
		if h.ArgWrites[i] {
			return env.reject(CodeArgType, "%s() may write into memory pointed by R%d type=%s\n", h.Name, regno, r.Type)
		}
		return nil
	}
	switch t := r.Type &^ MaybeNull; t {
	case PtrToBTFID, PtrToBTFID | Trusted, PtrToBTFID | MemRCU:
		if r.Type.maybeNull() && (!null || release) {
			return env.reject(CodeArgType, "Possibly NULL pointer passed to helper arg%d\n", regno)
		}
		if h.ID == helperKptrXchg {
			if meta.kptr == nil {
				return bug("bpf_kptr_xchg without a place")
			}
			return env.matchKptr(meta.kptr, r, regno)
		}
		want := "sock_common"
		if kind != spec.ArgSocket && kind != spec.ArgSockOrNull {
			want = helperStruct(h, i)
		}
		w := env.kernelStruct(want)
		if w == nil {
			return notModelled("argument %d of %s, whose structure is not in the kernel's BTF", i+1, h.Name)
		}
		strict := release && h.ID != helperSKRelease
		if !env.sameStruct(r.BTF, int(r.Off), w, strict, r.Type&MemAlloc == 0) {
			return env.reject(CodeArgType, "R%d is of type %s but %s is expected\n", regno, typeName(r.BTF), want)
		}
	case PtrToBTFID | MemAlloc, PtrToBTFID | MemAlloc | MemPerCPU:
		if h.ID == helperKptrXchg && regno == isa.R2 {
			return env.matchKptr(meta.kptr, r, regno)
		}
	}
	return nil
}

// btfResult sets R0 to the structure that a helper returns.
func (env *env) btfResult(meta *callMeta, h *spec.HelperProto, r0 *RegState, null bool) error {
	t := PtrToBTFID
	if null {
		t |= MaybeNull
	}
	if h.ID == helperKptrXchg {
		f := meta.kptr
		if f.local {
			t |= MemAlloc
			if f.kind == fieldKptrPerCPU {
				t |= MemPerCPU
			}
		}
		r0.setBTF(t, f.target, f.local)
		return nil
	}
	name := structIn(strings.SplitN(h.Signature, "(", 2)[0])
	if h.ID == helperTaskPtRegs {
		name = "pt_regs"
	}
	s := env.kernelStruct(name)
	if s == nil {
		return notModelled("result of %s", h.Name)
	}
	if h.ID == helperCurrentTaskBTF {
		t |= Trusted
	}
	r0.setBTF(t, s, false)
	return nil
}

// perCPUResult sets R0 to one CPU's copy of a variable or object.
func (env *env) perCPUResult(meta *callMeta, r0 *RegState, null bool) error {
	var t RegType
	if null {
		t |= MaybeNull
	}
	target := bare(meta.perCPU)
	if !isStruct(target) {
		n, err := btf.Sizeof(target)
		if err != nil {
			return env.reject(CodeArgType, "unable to resolve the size of type '%s': %d\n", typeName(target), -int(eInval))
		}
		r0.setPointer(PtrToMem | RdOnly | t)
		r0.MemSize = uint32(n)
		return nil
	}
	if meta.perCPUAlloc {
		r0.setBTF(PtrToBTFID|MemAlloc|MemRCU|t, target, true)
		return nil
	}
	r0.setBTF(PtrToBTFID|t, target, false)
	return nil
}

// helperRefused names what a helper asks of its callers beyond their type
// (bpf_func_proto.allowed).
func (env *env) helperRefused(h *spec.HelperProto) bool {
	if h.ID != helperDPath || env.prog.Type != spec.ProgTracing || env.prog.Attach == spec.AttachTraceIter {
		return false
	}
	return !dPathFuncs[env.attach.name]
}

// dPathFuncs are functions in which bpf_d_path cannot deadlock
// (kernel/trace/bpf_trace.c, btf_allowlist_d_path).
var dPathFuncs = map[string]bool{
	"security_file_permission": true, "security_inode_getattr": true, "security_file_open": true,
	"security_path_truncate": true, "vfs_truncate": true, "vfs_fallocate": true, "dentry_open": true,
	"vfs_getattr": true, "filp_close": true,
}

// Helpers that some tracing programs have only.
const (
	helperSetSockopt  spec.HelperID = 49
	helperGetSockopt  spec.HelperID = 57
	helperSeqPrintf   spec.HelperID = 126
	helperSeqWrite    spec.HelperID = 127
	helperSeqBTF      spec.HelperID = 150
	helperGetFuncIP   spec.HelperID = 173
	helperGetCookie   spec.HelperID = 174
	helperGetFuncArg  spec.HelperID = 183
	helperGetFuncRet  spec.HelperID = 184
	helperGetFuncArgs spec.HelperID = 185
)

// helperForTracing is what the attach type adds to a tracing program's helpers
// (tracing_prog_func_proto).
func (env *env) helperForTracing(id spec.HelperID) bool {
	a := env.prog.Attach
	trampoline := a == spec.AttachTraceFentry || a == spec.AttachTraceFexit || a == spec.AttachModifyReturn
	switch id {
	case helperSeqPrintf, helperSeqWrite, helperSeqBTF:
		return a == spec.AttachTraceIter
	case helperGetFuncArg, helperGetFuncArgs, helperGetFuncIP:
		return trampoline
	case helperGetCookie:
		return trampoline || a == spec.AttachTraceRawTP
	case helperGetFuncRet:
		return a == spec.AttachTraceFexit || a == spec.AttachModifyReturn
	}
	return true
}

// iterSockopt: iterators over sockets hold the lock that socket options need
// (bpf_iter_reg.get_func_proto).
func (env *env) iterSockopt() bool {
	switch env.attach.name {
	case "bpf_iter_tcp", "bpf_iter_udp", "bpf_iter_unix":
		return true
	}
	return false
}
