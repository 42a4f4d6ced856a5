package verifier

import (
	"math"
	"slices"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// kfuncArgs checks all arguments of a kernel function (check_kfunc_args).
func (env *env) kfuncArgs(meta *kfuncMeta) error {
	args := meta.k.Args
	if len(args) > spec.MaxHelperArgs {
		return env.reject(CodeKfunc, "Function %s has %d > %d args\n", meta.name, len(args), spec.MaxHelperArgs)
	}
	for i := 0; i < len(args); i++ {
		skip, err := env.kfuncArg(meta, i)
		if err != nil {
			return err
		}
		if skip {
			i++ // the size belongs to the memory before it
		}
	}
	if meta.has(spec.KfuncRelease) && meta.release == 0 {
		return env.reject(CodeRefNotHeld, "release kernel function %s expects refcounted PTR_TO_BTF_ID\n", meta.name)
	}
	return nil
}

// kfuncArg checks one argument; skip says that the next one was checked with it.
func (env *env) kfuncArg(meta *kfuncMeta, i int) (skip bool, err error) {
	a := &meta.k.Args[i]
	regno := isa.R1 + isa.Register(i)
	r := env.reg(regno)
	reject := func(format string, args ...any) (bool, error) {
		return false, env.reject(CodeKfuncArg, format, args...)
	}
	switch a.Kind {
	case spec.KfuncIgnore, spec.KfuncAux:
		return false, nil
	case spec.KfuncScalar, spec.KfuncConst, spec.KfuncSize, spec.KfuncConstSize:
		return false, env.kfuncNumber(meta, a, regno, r)
	}
	trusted := meta.has(spec.KfuncTrustedArgs | spec.KfuncRelease)
	rcu := meta.has(spec.KfuncRCU)
	if (trusted || rcu) && (r.isNull() || r.Type.maybeNull()) && !a.Nullable {
		return false, env.reject(CodeKfuncNull, "Possibly NULL pointer passed to trusted arg%d\n", i)
	}
	if r.RefObjID != 0 {
		if meta.has(spec.KfuncRelease) && meta.ref != 0 {
			return false, bug("%s: two arguments that own references", meta.name)
		}
		meta.ref = r.RefObjID
		if meta.has(spec.KfuncRelease) {
			meta.release = regno
		}
	}
	target := meta.structOf(i)
	kind, err := env.kfuncArgKind(meta, i, r, target)
	if err != nil {
		return false, err
	}
	if kind == argNull {
		return false, nil
	}
	if kind == spec.KfuncMap && meta.m != nil {
		what := ""
		switch rec := env.mapRecord(r.Map); {
		case rec.has(fieldWorkqueue):
			what = "workqueue"
		case rec.has(fieldTaskWork):
			what = "bpf_task_work"
		}
		if what != "" && r.Map != nil && (meta.m != r.Map || meta.mapUID != r.MapUID) {
			return reject("%s pointer in R1 map_uid=%d doesn't match map pointer in R2 map_uid=%d\n", what, meta.mapUID, r.MapUID)
		}
	}
	if kind == spec.KfuncMap {
		if r.Map == nil && r.BTF == nil {
			return reject("pointer in R%d isn't map pointer\n", regno)
		}
		meta.m, meta.mapUID = r.Map, r.MapUID
	}
	if (kind == spec.KfuncMap || kind == spec.KfuncAllocated || kind == spec.KfuncStruct) && (trusted || rcu) && !r.trusted() {
		switch {
		case !rcu:
			return reject("R%d must be referenced or trusted\n", regno)
		case !r.rcu():
			return reject("R%d must be a rcu pointer\n", regno)
		}
	}
	if err := env.argOffset(r, regno, meta.has(spec.KfuncRelease) && r.RefObjID != 0); err != nil {
		return false, err
	}
	return env.kfuncArgUse(meta, i, kind, regno, r, target)
}

// argNull is the kind of an argument that may be NULL and is.
const argNull = spec.KfuncArgKind(255)

// kfuncArgKind decides what the argument is taken for, where the register has a say
// in it (get_kfunc_ptr_arg_type).
func (env *env) kfuncArgKind(meta *kfuncMeta, i int, r *RegState, target btf.Type) (spec.KfuncArgKind, error) {
	a := &meta.k.Args[i]
	if meta.name == "bpf_cast_to_kern_ctx" || env.isKernelCtxArg(target) {
		return spec.KfuncCtx, nil
	}
	if a.Nullable && r.isNull() {
		return argNull, nil
	}
	switch a.Kind {
	case spec.KfuncStruct, spec.KfuncMem, spec.KfuncPointer, spec.KfuncCallback, spec.KfuncCtx:
	default:
		return a.Kind, nil
	}
	switch r.Type.base() {
	case PtrToBTFID, PtrToSocket, PtrToSockCommon, PtrToTCPSock, ConstPtrToMap:
		if !isStruct(target) {
			return 0, env.reject(CodeKfuncArg, "kernel function %s args#%d pointer type %s %s is not supported\n",
				meta.name, i, kindName(target), targetName(target))
		}
		return spec.KfuncStruct, nil
	}
	if a.Kind == spec.KfuncCallback {
		return a.Kind, nil
	}
	sized := false
	if i+1 < len(meta.k.Args) {
		k := meta.k.Args[i+1].Kind
		sized = (k == spec.KfuncSize || k == spec.KfuncConstSize) && env.reg(isa.R1+isa.Register(i+1)).Type == Scalar
	}
	_, void := target.(*btf.Void)
	if !isScalarType(target) && !scalarStruct(target, 0) && !(sized && void) {
		what := ""
		if sized {
			what = "void, "
		}
		return 0, env.reject(CodeKfuncArg, "arg#%d pointer type %s %s must point to %sscalar, or struct with scalar\n",
			i, kindName(target), targetName(target), what)
	}
	return spec.KfuncMem, nil
}

// isKernelCtxArg reports whether a parameter is the program's context by the name
// of its type (btf_is_prog_ctx_type).
func (env *env) isKernelCtxArg(target btf.Type) bool {
	if target == nil || !isStruct(target) {
		return false
	}
	layout := env.prog.Type.Ctx()
	return env.isCtxType(target) || layout != nil && projection(layout.Name, typeName(target))
}

// targetName is the name that a type has by itself; for those without, nothing.
func targetName(t btf.Type) string {
	if t == nil {
		return ""
	}
	return t.TypeName()
}

// scalarStruct reports whether a structure is made of numbers only
// (__btf_type_is_scalar_struct).
func scalarStruct(t btf.Type, depth int) bool {
	list, _, ok := members(t)
	if !ok || depth > 3 {
		return false
	}
	for _, m := range list {
		switch mt := bare(m.Type).(type) {
		case *btf.Struct, *btf.Union:
			if !scalarStruct(mt, depth+1) {
				return false
			}
		case *btf.Array:
			if mt.Nelems == 0 || !isScalarType(bare(mt.Type)) {
				return false
			}
		default:
			if !isScalarType(mt) {
				return false
			}
		}
	}
	return true
}

// kfuncNumber checks an argument that is a number.
func (env *env) kfuncNumber(meta *kfuncMeta, a *spec.KfuncArg, regno isa.Register, r *RegState) error {
	reject := func(format string, args ...any) error { return env.reject(CodeKfuncArg, format, args...) }
	if r.Type != Scalar {
		return reject("R%d is not a scalar\n", regno)
	}
	size := false
	switch {
	case a.Kind == spec.KfuncConst:
		if !r.VarOff.IsConst() {
			return reject("R%d must be a known constant\n", regno)
		}
		if err := env.markPrecise(int(regno)); err != nil {
			return err
		}
		meta.value, meta.hasValue = r.VarOff.Value, true
	case a.Name == "rdonly_buf_size":
		meta.retRdOnly, size = true, true
	case a.Name == "rdwr_buf_size":
		size = true
	}
	if !size {
		return nil
	}
	switch {
	case meta.retSize != 0:
		return reject("2 or more rdonly/rdwr_buf_size parameters for kfunc")
	case !r.VarOff.IsConst():
		return reject("R%d is not a const\n", regno)
	case r.VarOff.Value > math.MaxUint32:
		return reject("R%d rdonly/rdwr_buf_size exceeds u32 max\n", regno)
	}
	meta.retSize = r.VarOff.Value
	return env.markPrecise(int(regno))
}

// argOffset checks how far a pointer may have been moved (check_func_arg_reg_off).
func (env *env) argOffset(r *RegState, regno isa.Register, release bool) error {
	if release {
		if r.Off != 0 {
			return env.reject(CodeModifiedPtr, "R%d must have zero offset when passed to release func or trusted arg to kfunc\n", regno)
		}
		return env.checkFixedOffset(r, regno, false)
	}
	switch r.Type {
	case PtrToStack, PtrToPacket, PtrToPacketMeta, PtrToMapKey, PtrToMapValue, PtrToMem, PtrToMem | RdOnly,
		PtrToMem | FromRingBuf, PtrToBuf, PtrToBuf | RdOnly, PtrToArena, Scalar:
		return nil
	case PtrToBTFID, PtrToBTFID | MemAlloc, PtrToBTFID | Trusted, PtrToBTFID | MemRCU,
		PtrToBTFID | MemAlloc | NonOwnRef, PtrToBTFID | MemAlloc | NonOwnRef | MemRCU:
		return env.checkFixedOffset(r, regno, true)
	}
	return env.checkFixedOffset(r, regno, false)
}

// kfuncArgUse does with the argument what its kind asks for.
func (env *env) kfuncArgUse(meta *kfuncMeta, i int, kind spec.KfuncArgKind, regno isa.Register, r *RegState, target btf.Type) (bool, error) {
	reject := func(format string, args ...any) (bool, error) {
		return false, env.reject(CodeKfuncArg, format, args...)
	}
	owned := PtrToBTFID | MemAlloc
	switch kind {
	case spec.KfuncCtx:
		if r.Type != PtrToCtx {
			return reject("arg#%d expected pointer to ctx, but got %s\n", i, r.Type)
		}
	case spec.KfuncAllocated:
		switch r.Type {
		case owned:
			if meta.name != "bpf_obj_drop_impl" {
				return reject("arg#%d expected for bpf_obj_drop_impl()\n", i)
			}
		case owned | MemPerCPU:
			if meta.name != "bpf_percpu_obj_drop_impl" {
				return reject("arg#%d expected for bpf_percpu_obj_drop_impl()\n", i)
			}
		default:
			return reject("arg#%d expected pointer to allocated object\n", i)
		}
		if r.RefObjID == 0 {
			return reject("allocated object must be referenced\n")
		}
		meta.obj, meta.objLocal = r.BTF, r.Local
	case spec.KfuncDynptr:
		return false, env.kfuncDynptr(meta, i, regno)
	case spec.KfuncIter:
		if meta.name == "bpf_iter_css_task_new" && !env.cssTaskAllowed() {
			return reject("css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs\n")
		}
		return false, env.iterArg(meta, regno)
	case spec.KfuncListHead, spec.KfuncRBRoot:
		if r.Type != PtrToMapValue && r.Type != owned {
			return reject("arg#%d expected pointer to map value or allocated object\n", i)
		}
		if r.Type == owned && r.RefObjID == 0 {
			return reject("allocated object must be referenced\n")
		}
		return false, env.graphRootArg(meta, regno, r, kind == spec.KfuncRBRoot)
	case spec.KfuncListNode, spec.KfuncRBNode:
		return false, env.graphNodeArg(meta, i, regno, r, kind == spec.KfuncRBNode)
	case spec.KfuncMap, spec.KfuncStruct:
		if kind == spec.KfuncMap {
			target = env.kernelStruct("bpf_map")
		}
		base := r.Type.base()
		unsafe := r.Type&^(baseMask|trustFlags) != 0 && !r.rcu()
		if base == PtrToBTFID && unsafe || base != PtrToBTFID && kernelStructOf(r) == "" {
			env.say("arg#%d is %s ", i, r.Type)
			return reject("expected %s or socket\n", base|r.Type&trustFlags)
		}
		return false, env.kfuncStruct(meta, i, r, target)
	case spec.KfuncMem:
		return env.kfuncMem(meta, i, regno, r, target)
	case spec.KfuncCallback:
		if r.Type != PtrToFunc {
			return reject("arg%d expected pointer to func\n", i)
		}
		meta.subprog = int(r.Subprog)
	case spec.KfuncRefcounted:
		if r.Type.base() != PtrToBTFID || r.Type&MemAlloc == 0 {
			return reject("arg#%d is neither owning or non-owning ref\n", i)
		}
		meta.owning = r.Type&NonOwnRef == 0 && r.RefObjID != 0
		if !env.recordOf(r.BTF).has(fieldRefcount) {
			return reject("arg#%d doesn't point to a type with bpf_refcount field\n", i)
		}
		meta.obj, meta.objLocal = r.BTF, r.Local
	case spec.KfuncString:
		if r.Type != PtrToMapValue {
			return reject("arg#%d doesn't point to a const string\n", i)
		}
		return false, env.checkConstStr(regno, r)
	case spec.KfuncWorkqueue:
		return false, env.inMapValue(meta, i, r, fieldWorkqueue)
	case spec.KfuncTaskWork:
		return false, env.inMapValue(meta, i, r, fieldTaskWork)
	case spec.KfuncResSpinLock:
		return false, env.resLockArg(meta, i, regno, r)
	case spec.KfuncIRQFlag:
		return false, env.irqFlagArg(meta, i, regno)
	default:
		return false, notModelled("argument %d of kernel function %s", i+1, meta.name)
	}
	return false, nil
}

// kernelStructOf is the kernel's structure behind a register that is no typed
// pointer but as good as one, "" for none (reg2btf_ids).
func kernelStructOf(r *RegState) string {
	switch r.Type.base() {
	case PtrToSocket:
		return "sock"
	case PtrToSockCommon:
		return "sock_common"
	case PtrToTCPSock:
		return "tcp_sock"
	case ConstPtrToMap:
		return "bpf_map"
	}
	return ""
}

// kfuncStruct checks a pointer to a structure of the kernel
// (process_kf_arg_ptr_to_btf_id).
func (env *env) kfuncStruct(meta *kfuncMeta, i int, r *RegState, want btf.Type) error {
	got := r.BTF
	if r.Type.base() != PtrToBTFID {
		got = env.kernelStruct(kernelStructOf(r))
	}
	got = bare(got)
	strict := meta.has(spec.KfuncRelease) && r.RefObjID != 0 || nocastAlias(typeName(got), typeName(want))
	if projection(typeName(want), typeName(got)) || env.sameStruct(got, int(r.Off), want, strict, r.Type&MemAlloc == 0) {
		return nil
	}
	return env.reject(CodeKfuncArg, "kernel function %s args#%d expected pointer to %s %s but R%d has a pointer to %s %s\n",
		meta.name, i, kindName(want), typeName(want), i+1, kindName(got), typeName(got))
}

// nocastAlias reports types of the same layout that must not stand for each other:
// one has the other's name with ___init behind it (btf_type_ids_nocast_alias).
func nocastAlias(a, b string) bool {
	const suffix = "___init"
	return a == b+suffix || b == a+suffix
}

// projection reports whether the parameter is what programs see of the structure
// (btf_is_projection_of).
func projection(param, reg string) bool {
	return param == "__sk_buff" && reg == "sk_buff" || param == "xdp_md" && reg == "xdp_buff"
}

// kfuncMem checks memory of the type's size, or of the size in the next argument.
func (env *env) kfuncMem(meta *kfuncMeta, i int, regno isa.Register, r *RegState, target btf.Type) (bool, error) {
	next := i + 1
	sized := false
	if next < len(meta.k.Args) {
		k := meta.k.Args[next].Kind
		sized = k == spec.KfuncSize || k == spec.KfuncConstSize
	}
	if !sized {
		n, err := btf.Sizeof(target)
		if err != nil {
			return false, env.reject(CodeKfuncArg, "arg#%d reference type('%s %s') size cannot be determined: %d\n",
				i, kindName(target), typeName(target), -int(eInval))
		}
		return false, env.memArg(regno, int64(n))
	}
	size := env.reg(regno + 1)
	if !r.isNull() || !meta.k.Args[i].Optional {
		if err := env.kfuncSized(regno, size); err != nil {
			if _, ok := err.(*rejection); ok {
				env.say("arg#%d arg#%d memory, len pair leads to invalid memory access\n", i, next)
			}
			return false, err
		}
	}
	if meta.k.Args[next].Kind == spec.KfuncConstSize {
		if !size.VarOff.IsConst() {
			return false, env.reject(CodeKfuncArg, "R%d must be a known constant\n", regno+1)
		}
		meta.value, meta.hasValue = size.VarOff.Value, true
	}
	return true, nil
}

// kfuncSized checks memory of a size in the register after it, for reading and for
// writing (check_kfunc_mem_size_reg).
func (env *env) kfuncSized(regno isa.Register, size *RegState) error {
	saved := *env.reg(regno)
	env.reg(regno).Type &^= MaybeNull
	err := env.checkSized(regno+1, size, spec.Read, true, nil)
	if err == nil {
		err = env.checkSized(regno+1, size, spec.Write, true, nil)
	}
	*env.reg(regno) = saved
	return err
}

// memArg checks memory that a function may read and write (check_mem_reg).
func (env *env) memArg(regno isa.Register, size int64) error {
	r := env.reg(regno)
	if r.isNull() {
		return nil
	}
	saved := *r
	r.Type &^= MaybeNull
	err := env.checkHelperMem(regno, size, spec.Read, true, nil)
	if err == nil {
		err = env.checkHelperMem(regno, size, spec.Write, true, nil)
	}
	*env.reg(regno) = saved
	return err
}

// kfuncDynptr checks a dynptr, or makes one.
func (env *env) kfuncDynptr(meta *kfuncMeta, i int, regno isa.Register) error {
	if err := env.dynptrArg(regno); err != nil {
		return err
	}
	a := &meta.k.Args[i]
	if !a.Uninit {
		d, err := env.useDynptr(regno, false, DynptrNone)
		if err != nil {
			return err
		}
		meta.dynptr.kind, meta.dynptr.id, meta.dynptr.ref = d.Dynptr, d.ID, d.RefObjID
		return nil
	}
	kind, ref := DynptrNone, uint32(0)
	switch meta.name {
	case "bpf_dynptr_from_skb":
		kind = DynptrOfSKB
	case "bpf_dynptr_from_xdp":
		kind = DynptrOfXDP
	case "bpf_dynptr_from_skb_meta":
		kind = DynptrOfSKBMeta
	case "bpf_dynptr_clone":
		kind, ref = meta.dynptr.kind, meta.dynptr.ref
	default:
		return notModelled("the dynptr of kernel function %s", meta.name)
	}
	return env.makeDynptr(regno, kind, ref)
}

// cssTaskAllowed: the iterator takes a lock that others take in odd places
// (check_css_task_iter_allowlist).
func (env *env) cssTaskAllowed() bool {
	return env.prog.Type == spec.ProgLSM ||
		env.prog.Type == spec.ProgTracing && env.prog.Attach == spec.AttachTraceIter || env.inSleepable()
}

// inMapValue checks a work queue or task work in a map's value (process_wq_func).
func (env *env) inMapValue(meta *kfuncMeta, i int, r *RegState, kind fieldKind) error {
	if r.Type != PtrToMapValue {
		return env.reject(CodeKfuncArg, "arg#%d doesn't point to a map value\n", i)
	}
	f := env.mapRecord(r.Map).first(kind)
	if f == nil {
		return env.reject(CodeKfuncArg, "map '%s' has no valid %s\n", mapLogName(r.Map), kind)
	}
	if off := int64(r.VarOff.Value) + int64(r.Off); off != int64(f.off) {
		return env.reject(CodeKfuncArg, "off %d doesn't point to 'struct %s' that is at %d\n", off, kind, f.off)
	}
	meta.m, meta.mapUID = r.Map, r.MapUID
	return nil
}

// insertsNode reports kernel functions that put an object into a list or tree.
func insertsNode(name string) bool {
	return slices.Contains([]string{"bpf_list_push_front_impl", "bpf_list_push_back_impl", "bpf_rbtree_add_impl"}, name)
}
