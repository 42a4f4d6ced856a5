package spec

import "strings"

// KfuncFlags are the properties under which the kernel registers a kfunc, with
// the kernel's own bits (include/linux/btf.h, KF_*).
type KfuncFlags uint32

// Properties of kfuncs.
const (
	KfuncAcquire      KfuncFlags = 1 << 0  // the result is a reference that must be released
	KfuncRelease      KfuncFlags = 1 << 1  // ends the reference in its first argument that is one
	KfuncRetNull      KfuncFlags = 1 << 2  // the result may be NULL
	KfuncTrustedArgs  KfuncFlags = 1 << 4  // pointers must be trusted or owned, and not NULL
	KfuncSleepable    KfuncFlags = 1 << 5  // may sleep: sleepable programs only
	KfuncDestructive  KfuncFlags = 1 << 6  // can stop the machine: needs CAP_SYS_BOOT
	KfuncRCU          KfuncFlags = 1 << 7  // pointers may also be protected by RCU only
	KfuncIterNew      KfuncFlags = 1 << 8  // makes an open-coded iterator
	KfuncIterNext     KfuncFlags = 1 << 9  // advances an open-coded iterator
	KfuncIterDestroy  KfuncFlags = 1 << 10 // ends an open-coded iterator
	KfuncRCUProtected KfuncFlags = 1 << 11 // inside an RCU read section only
	KfuncFastcall     KfuncFlags = 1 << 12 // follows the bpf_fastcall contract: keeps R1 to R5
	KfuncArenaRet     KfuncFlags = 1 << 13 // the result points into the arena
	KfuncArenaArg1    KfuncFlags = 1 << 14 // the first argument points into the arena
	KfuncArenaArg2    KfuncFlags = 1 << 15 // the second argument points into the arena
)

var kfuncFlagNames = [...]string{
	0: "acquire", 1: "release", 2: "ret_null", 4: "trusted_args", 5: "sleepable", 6: "destructive", 7: "rcu",
	8: "iter_new", 9: "iter_next", 10: "iter_destroy", 11: "rcu_protected", 12: "fastcall",
	13: "arena_ret", 14: "arena_arg1", 15: "arena_arg2",
}

// Has reports whether all the given flags are set.
func (f KfuncFlags) Has(want KfuncFlags) bool { return f&want == want }

// String returns the names of the flags in lower case, joined by spaces.
func (f KfuncFlags) String() string {
	var names []string
	for i, name := range kfuncFlagNames {
		if f&(1<<i) != 0 && name != "" {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// KfuncArgKind says how the verifier takes an argument of a kfunc, as far as the
// prototype alone decides it (kernel/bpf/verifier.c, get_kfunc_ptr_arg_type and
// check_kfunc_args). The name's ending comes first, then the type.
type KfuncArgKind uint8

// Kinds of kfunc arguments.
const (
	KfuncScalar      KfuncArgKind = iota // a number
	KfuncConst                           // a number that the verifier knows (__k)
	KfuncSize                            // bytes of the memory in the argument before it (__sz)
	KfuncConstSize                       // the same, and known (__szk)
	KfuncIgnore                          // not looked at (__ign)
	KfuncMap                             // a map (__map)
	KfuncString                          // a NUL-terminated string in read-only map memory (__str)
	KfuncCtx                             // the program's context
	KfuncAllocated                       // an object of the program's own BTF, owned (__alloc)
	KfuncRefcounted                      // an object with a bpf_refcount (__refcounted_kptr)
	KfuncDynptr                          // a bpf_dynptr on the stack
	KfuncIter                            // an open-coded iterator on the stack (struct bpf_iter_*)
	KfuncListHead                        // a bpf_list_head
	KfuncListNode                        // a bpf_list_node
	KfuncRBRoot                          // a bpf_rb_root
	KfuncRBNode                          // a bpf_rb_node
	KfuncWorkqueue                       // a bpf_wq in a map value
	KfuncTaskWork                        // a bpf_task_work in a map value
	KfuncResSpinLock                     // a bpf_res_spin_lock
	KfuncIRQFlag                         // 8 bytes of the stack for the interrupts' state (__irq_flag)
	KfuncCallback                        // a function of the program
	KfuncAux                             // filled in by the verifier, not passed by programs (__prog)
	KfuncStruct                          // a kernel structure by BTF id; or, where it holds numbers only, memory of its size
	KfuncMem                             // memory: of the size in the next argument, else of the type pointed to
	KfuncPointer                         // void *, for the function to check (bpf_cast_to_kern_ctx)
)

var kfuncArgKindTexts = [...]string{
	KfuncScalar: "number", KfuncConst: "known number", KfuncSize: "size of the memory before it",
	KfuncConstSize: "known size of the memory before it", KfuncIgnore: "anything", KfuncMap: "map",
	KfuncString: "constant string", KfuncCtx: "context", KfuncAllocated: "owned object", KfuncRefcounted: "object with a refcount",
	KfuncDynptr: "dynptr", KfuncIter: "iterator on the stack", KfuncListHead: "list head", KfuncListNode: "list node",
	KfuncRBRoot: "tree root", KfuncRBNode: "tree node", KfuncWorkqueue: "work queue item", KfuncTaskWork: "task work item",
	KfuncResSpinLock: "resilient spin lock", KfuncIRQFlag: "slot for the interrupts' state", KfuncCallback: "callback",
	KfuncAux: "filled in by the verifier", KfuncStruct: "kernel structure", KfuncMem: "memory", KfuncPointer: "pointer",
}

// String returns the kind in words.
func (k KfuncArgKind) String() string {
	if int(k) < len(kfuncArgKindTexts) {
		return kfuncArgKindTexts[k]
	}
	return "unknown"
}

// KfuncArg is one parameter of a kfunc.
type KfuncArg struct {
	Name  string // as in the kernel's BTF, ending included: "dst__sz"
	CType string // "struct bpf_dynptr *"
	Kind  KfuncArgKind
	// Struct is the name of the struct or union that it points to, without
	// "struct": "task_struct"; empty for other types.
	Struct   string
	Sized    bool // a KfuncMem or KfuncStruct whose size is the next argument
	Uninit   bool // the kfunc makes what it points to (__uninit)
	Nullable bool // may be NULL (__nullable)
	Optional bool // the memory may be NULL whatever its size says (__opt)
	ReadOnly bool // the target is const
}

// Kfunc is the contract of one kernel function that programs may call.
type Kfunc struct {
	Name      string // "bpf_task_acquire"
	Signature string // C prototype
	Ret       string // C type of the result: "struct task_struct *", "void"
	Args      []KfuncArg
	Flags     KfuncFlags
	// Hooks names the sets under which it is registered; see KfuncHook. Empty for
	// functions that are tagged as kfuncs but only stand to be attached to.
	Hooks []string
	// OnlyTypes and OnlyAttach are what the set's filter lets pass; nil for all.
	OnlyTypes  []ProgType
	OnlyAttach []AttachType
	Doc        string
}

// RetStruct returns the name of the struct that the result points to, or "".
func (k *Kfunc) RetStruct() string { return pointedStruct(k.Ret) }

// Iter returns the name of the iterator that the kfunc belongs to ("num" for
// bpf_iter_num_new, whose state is a struct bpf_iter_num), or "".
func (k *Kfunc) Iter() string {
	if k.Flags&(KfuncIterNew|KfuncIterNext|KfuncIterDestroy) == 0 || len(k.Args) == 0 {
		return ""
	}
	name, _ := strings.CutPrefix(k.Args[0].Struct, "bpf_iter_")
	return name
}

// pointedStruct returns "x" for "const struct x *" or "union x *".
func pointedStruct(ctype string) string {
	t, ok := strings.CutSuffix(strings.TrimPrefix(ctype, "const "), " *")
	if !ok {
		return ""
	}
	if name, ok := strings.CutPrefix(t, "struct "); ok {
		return name
	}
	name, _ := strings.CutPrefix(t, "union ")
	if name == t {
		return ""
	}
	return name
}
