package verifier

import (
	"fmt"
	"slices"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// Kernel functions are called by their id in the kernel's BTF. What their arguments
// may be is told by the types and names of the parameters, and by the flags that
// they are registered with (check_kfunc_call).

// Flags that more than one file asks for.
const (
	kfIterNew      = spec.KfuncIterNew
	kfIterNext     = spec.KfuncIterNext
	kfIterDestroy  = spec.KfuncIterDestroy
	kfRCUProtected = spec.KfuncRCUProtected
)

// kfuncMeta gathers what the arguments of one call say (struct
// bpf_kfunc_call_arg_meta).
type kfuncMeta struct {
	k     *spec.Kfunc
	name  string
	id    btf.TypeID
	flags spec.KfuncFlags
	proto *btf.FuncProto
	env   *env

	ref       uint32       // the reference among the arguments
	release   isa.Register // the register that is given back, 0 for none
	value     uint64       // of the constant argument
	hasValue  bool
	retSize   uint64 // of the memory that is returned
	retRdOnly bool
	subprog   int
	obj       btf.Type // structure of the object that an argument points to
	objLocal  bool
	owning    bool          // of bpf_refcount_acquire: the argument owns its object
	root      *specialField // list head or tree root
	dynptr    struct {
		kind DynptrKind
		id   uint32
		ref  uint32
	}
	m      *spec.MapSpec
	mapUID uint32

	iterFrame, iterSlot int
}

func (m *kfuncMeta) has(f spec.KfuncFlags) bool { return m.flags&f != 0 }

// structOf is the structure that a parameter points to.
func (m *kfuncMeta) structOf(arg int) btf.Type {
	if m.proto == nil || arg >= len(m.proto.Params) {
		return nil
	}
	p, ok := bare(m.proto.Params[arg].Type).(*btf.Pointer)
	if !ok {
		return nil
	}
	return bare(p.Target)
}

// kfuncAt returns the kernel function that a slot calls, nil for one that this
// kernel does not have.
func (env *env) kfuncAt(pc int) *spec.Kfunc {
	if ref := env.aux[pc].ref; ref != nil {
		return spec.KfuncByName(ref.Name)
	}
	return nil
}

// asyncKfuncs set callbacks that the kernel calls later
// (is_async_callback_calling_kfunc).
func asyncKfunc(name string) bool {
	return name == "bpf_wq_set_callback_impl" || name == "bpf_task_work_schedule_signal" || name == "bpf_task_work_schedule_resume" ||
		name == "bpf_task_work_schedule_signal_impl" || name == "bpf_task_work_schedule_resume_impl"
}

// visitKfunc notes what a call does to the walk (the kfunc part of visit_insn).
func (env *env) visitKfunc(pc int) {
	k := env.kfuncAt(pc)
	if k == nil {
		return
	}
	aux := &env.aux[pc]
	switch {
	case k.Flags&kfIterNext != 0:
		aux.iterNext, aux.checkpoint = true, true
		env.markPrune(pc)
	case k.Name == "bpf_rbtree_add_impl":
		aux.callsBack, aux.checkpoint = true, true
		env.markJump(pc)
	case asyncKfunc(k.Name):
		aux.async, aux.asyncSleeps = true, true
		env.markPrune(pc)
	}
	if k.Name == "bpf_xdp_pull_data" {
		env.subprogs[env.subprogAt(pc)].changesPacket = true
	}
	if k.Flags&spec.KfuncSleepable != 0 {
		env.subprogs[env.subprogAt(pc)].mightSleep = true
	}
}

// prepareKfuncs checks what does not depend on paths: that the program may call
// kernel functions at all (add_kfunc_call).
func (env *env) prepareKfuncs() error {
	for pc := 0; pc < len(env.insns); pc++ {
		ins := env.insns[pc]
		if ins.IsWide() {
			pc++
			continue
		}
		if !ins.IsKfuncCall() {
			continue
		}
		env.insnIdx = pc
		k := env.kfuncAt(pc)
		ref := env.aux[pc].ref
		if k == nil {
			if ref != nil && ref.Weak {
				continue
			}
			return notModelled("kernel function %s", env.kfuncLabel(pc))
		}
		if !env.gpl {
			return env.reject(CodeGPL, "cannot call kernel function from non-GPL compatible program\n")
		}
		if strings.HasPrefix(k.Name, "bpf_xdp_metadata_rx_") && env.prog.Flags&flagDevBound == 0 {
			return env.reject(CodeKfunc, "metadata kfuncs require device-bound program\n")
		}
	}
	env.insnIdx = -1
	return nil
}

// flagDevBound is BPF_F_XDP_DEV_BOUND_ONLY of include/uapi/linux/bpf.h.
const flagDevBound = 1 << 6

func (env *env) kfuncLabel(pc int) string {
	if ref := env.aux[pc].ref; ref != nil {
		return ref.Name
	}
	return fmt.Sprintf("#%d", env.insns[pc].Imm)
}

// poisonedKfunc is the helper number by which libbpf replaces the call of a weak
// function that is not there (libbpf.c, POISON_CALL_KFUNC_BASE).
const poisonedKfunc = 2002000000

// checkKfuncCall checks a call of a kernel function and what it leaves behind
// (check_kfunc_call).
func (env *env) checkKfuncCall(isa.Instruction) error {
	k := env.kfuncAt(env.insnIdx)
	if k == nil {
		return env.reject(CodeBadHelper, "invalid func unknown#%d\n", poisonedKfunc)
	}
	f := env.kernelFunc(k.Name)
	if f == nil {
		return notModelled("kernel function %s, which is not in the kernel's BTF", k.Name)
	}
	proto, ok := f.Type.(*btf.FuncProto)
	if !ok {
		return notModelled("kernel function %s without prototype", k.Name)
	}
	if len(proto.Params) != len(k.Args) {
		return notModelled("kernel function %s, which has %d parameters in this kernel's BTF", k.Name, len(proto.Params))
	}
	if !k.Allowed(env.prog.Type, env.prog.Attach) {
		return env.reject(CodeKfunc, "calling kernel function %s is not allowed\n", k.Name)
	}
	meta := &kfuncMeta{k: k, name: k.Name, id: env.typeID(f), flags: k.Flags, proto: proto, env: env}
	sleepable := meta.has(spec.KfuncSleepable)
	if sleepable && !env.inSleepable() {
		return env.reject(CodeSleep, "program must be sleepable to call sleepable kfunc %s\n", k.Name)
	}
	if err := env.forkResLock(k.Name); err != nil {
		return err
	}
	if err := env.kfuncArgs(meta); err != nil {
		return err
	}
	if err := env.kfuncCallbacks(meta); err != nil {
		return err
	}
	if err := env.kfuncSections(meta, sleepable); err != nil {
		return err
	}
	if meta.release != 0 && !env.releaseAll(env.reg(meta.release).RefObjID) {
		return env.reject(CodeRefNotHeld, "kfunc %s#%d reference has not been acquired before\n", k.Name, meta.id)
	}
	if insertsNode(k.Name) {
		if err := env.giveToGraph(meta); err != nil {
			return err
		}
	}
	if k.Name == "bpf_throw" && env.exceptionCB < 0 {
		// The default callback makes the cookie the program's result.
		if err := env.checkReturn(isa.R1); err != nil {
			return err
		}
	}
	for r := range isa.Register(callerSaved) {
		env.cur.cur().Regs[r] = notInitReg()
		env.scratchReg(r)
	}
	if err := env.kfuncResult(meta); err != nil {
		return err
	}
	if k.Name == "bpf_xdp_pull_data" {
		env.dropPackets()
	}
	if meta.has(kfIterNext) {
		return env.iterNext(meta)
	}
	return nil
}

// kfuncCallbacks puts the paths aside that callbacks make.
func (env *env) kfuncCallbacks(meta *kfuncMeta) error {
	switch name := meta.name; {
	case name == "bpf_rbtree_add_impl":
		return env.pushCallback(meta.subprog, env.lessArgs(meta))
	case asyncKfunc(name):
		if strings.HasPrefix(name, "bpf_task_work") {
			return env.pushCallback(meta.subprog, taskWorkArgs(meta))
		}
		return env.pushCallback(meta.subprog, timerArgs)
	case name == "bpf_session_cookie":
		meta.retSize = 8
	}
	return nil
}

// kfuncSections enters and leaves RCU read sections and sections without
// preemption.
func (env *env) kfuncSections(meta *kfuncMeta, sleepable bool) error {
	s := env.cur
	name := meta.name
	reject := func(format string, args ...any) error { return env.reject(CodeSection, format, args...) }
	lock, unlock := name == "bpf_rcu_read_lock", name == "bpf_rcu_read_unlock"
	switch {
	case s.rcuLocks > 0 && env.inLessCallback() && (lock || unlock):
		return reject("Calling bpf_rcu_read_{lock,unlock} in unnecessary rbtree callback\n")
	case s.rcuLocks > 0 && lock:
		return reject("nested rcu read lock (kernel function %s)\n", name)
	case s.rcuLocks > 0 && unlock:
		env.rcuUnlock()
	case s.rcuLocks > 0 && sleepable:
		return reject("kernel func %s is sleepable within rcu_read_lock region\n", name)
	case lock:
		s.rcuLocks++
	case unlock && s.rcuLocks == 0:
		return reject("unmatched rcu read unlock (kernel function %s)\n", name)
	}
	switch {
	case name == "bpf_preempt_disable":
		s.preemptLocks++
	case name == "bpf_preempt_enable" && s.preemptLocks > 0:
		s.preemptLocks--
	case name == "bpf_preempt_enable":
		return reject("unmatched attempt to enable preemption (kernel function %s)\n", name)
	case s.preemptLocks > 0 && sleepable:
		return reject("kernel func %s is sleepable within non-preemptible region\n", name)
	}
	if s.irqID != 0 && sleepable {
		return reject("kernel func %s is sleepable within IRQ-disabled region\n", name)
	}
	if meta.has(kfRCUProtected) && !env.inRCU() {
		return reject("kernel func %s requires RCU critical section protection\n", name)
	}
	return nil
}

// kfuncResult sets R0 by the prototype (the end of check_kfunc_call).
func (env *env) kfuncResult(meta *kfuncMeta) error {
	r0 := env.reg(isa.R0)
	switch t := bare(meta.proto.Return).(type) {
	case *btf.Int, *btf.Enum:
		r0.setUnknown()
		if size, _ := btf.Sizeof(t); meta.flags&spec.KfuncArenaRet == 0 && size == 4 {
			return env.resLockResult(meta, r0)
		}
		return nil
	case *btf.Void:
		*r0 = notInitReg()
		return nil
	case *btf.Pointer:
		if meta.has(spec.KfuncArenaRet) {
			r0.setPointer(PtrToArena)
			return nil
		}
		if err := env.kfuncPointer(meta, r0, bare(t.Target)); err != nil {
			return err
		}
		if r0.Type == Scalar {
			return nil
		}
	default:
		return notModelled("result of kernel function %s", meta.name)
	}
	retNull := meta.has(spec.KfuncRetNull) && !(meta.name == "bpf_refcount_acquire_impl" && meta.owning)
	if retNull {
		r0.Type |= MaybeNull
		r0.ID = env.newID()
	}
	switch {
	case meta.has(spec.KfuncAcquire):
		ref := env.acquire()
		if retNull {
			r0.ID = ref
		}
		r0.RefObjID = ref
	case slices.Contains(peekKfuncs, meta.name):
		env.setNonOwning(r0)
	}
	if r0.ID == 0 && env.mayHoldLock(r0) {
		r0.ID = env.newID()
	}
	return nil
}

// kfuncPointer sets R0 to the pointer that is returned.
func (env *env) kfuncPointer(meta *kfuncMeta, r0 *RegState, target btf.Type) error {
	reject := func(format string, args ...any) error { return env.reject(CodeKfunc, format, args...) }
	switch meta.name {
	case "bpf_obj_new_impl", "bpf_percpu_obj_new_impl":
		return env.newObject(meta, r0)
	case "bpf_refcount_acquire_impl":
		r0.setBTF(PtrToBTFID|MemAlloc, meta.obj, true)
		return nil
	case "bpf_list_pop_front", "bpf_list_pop_back", "bpf_list_front", "bpf_list_back",
		"bpf_rbtree_remove", "bpf_rbtree_first", "bpf_rbtree_root", "bpf_rbtree_left", "bpf_rbtree_right":
		if meta.root == nil {
			return bug("%s without a root", meta.name)
		}
		r0.setGraphNode(meta.root)
		return nil
	case "bpf_cast_to_kern_ctx":
		s := env.kernelCtx()
		if s == nil {
			return notModelled("the kernel's context of %v programs", env.prog.Type)
		}
		r0.setBTF(PtrToBTFID|Trusted, s, false)
		return nil
	case "bpf_rdonly_cast":
		return env.rdonlyCast(meta, r0)
	case "bpf_dynptr_slice", "bpf_dynptr_slice_rdwr":
		r0.setPointer(PtrToMem | meta.dynptr.kind.sliceFlag())
		r0.MemSize, r0.DynptrID = uint32(meta.value), meta.dynptr.id
		if meta.name == "bpf_dynptr_slice" {
			r0.Type |= RdOnly
		} else if !env.packetAllowed(nil, spec.Write) {
			return reject("the prog does not allow writes to packet data\n")
		}
		return nil
	}
	if _, void := target.(*btf.Void); void {
		r0.setUnknown()
		return nil
	}
	if isStruct(target) {
		r0.setBTF(PtrToBTFID, target, false)
		if meta.has(kfIterNext) {
			if it := &env.cur.Frames[meta.iterFrame].Stack[meta.iterSlot].Spilled; it.Type&MemRCU != 0 {
				r0.Type |= MemRCU
			} else {
				r0.Type |= Trusted
			}
		}
		return nil
	}
	if meta.retSize == 0 {
		if n, err := btf.Sizeof(target); err == nil && n > 0 {
			meta.retSize, meta.retRdOnly = uint64(n), true
		}
	}
	if meta.retSize == 0 {
		return reject("kernel function %s returns pointer type %s %s is not supported\n", meta.name, kindName(target), typeName(target))
	}
	r0.setPointer(PtrToMem)
	r0.MemSize = uint32(meta.retSize)
	if meta.retRdOnly {
		r0.Type |= RdOnly
	}
	r0.RefObjID = meta.ref
	return nil
}

// newObject is bpf_obj_new and bpf_percpu_obj_new: the argument is the number of a
// structure in the program's BTF.
func (env *env) newObject(meta *kfuncMeta, r0 *RegState) error {
	reject := func(format string, args ...any) error { return env.reject(CodeKfunc, format, args...) }
	percpu := meta.name == "bpf_percpu_obj_new_impl"
	switch {
	case meta.value > 1<<32-1:
		return reject("local type ID argument must be in range [0, U32_MAX]\n")
	case len(env.opts.BTF) == 0 || env.loadTypes() != nil:
		return reject("bpf_obj_new/bpf_percpu_obj_new requires prog BTF\n")
	}
	t, err := env.types.TypeByID(btf.TypeID(meta.value))
	s, ok := t.(*btf.Struct)
	if err != nil || !ok {
		return reject("bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct\n")
	}
	r0.setBTF(PtrToBTFID|MemAlloc, s, true)
	if !percpu {
		return nil
	}
	const most = 512 // BPF_GLOBAL_PERCPU_MA_MAX_SIZE
	switch {
	case s.Size > most:
		return reject("bpf_percpu_obj_new type size (%d) is greater than %d\n", s.Size, most)
	case !scalarStruct(s, 0):
		return reject("bpf_percpu_obj_new type ID argument must be of a struct of scalars\n")
	case env.recordOf(s) != nil:
		return reject("bpf_percpu_obj_new type ID argument must not contain special fields\n")
	}
	r0.Type |= MemPerCPU
	return nil
}

// rdonlyCast is bpf_rdonly_cast: the argument is the number of a structure in the
// kernel's BTF, or 0 for bytes.
func (env *env) rdonlyCast(meta *kfuncMeta, r0 *RegState) error {
	if meta.value == 0 {
		r0.setPointer(PtrToMem | RdOnly | Untrusted)
		return nil
	}
	k, err := env.kernelTypes()
	if err != nil {
		return notModelled("bpf_rdonly_cast without the kernel's BTF")
	}
	t, err := k.TypeByID(btf.TypeID(meta.value))
	if err != nil || !isStruct(t) {
		if p, ok := t.(*btf.Void); !ok || p == nil {
			return env.reject(CodeKfunc, "kfunc bpf_rdonly_cast type ID argument must be of a struct or void\n")
		}
	}
	r0.setBTF(PtrToBTFID|Untrusted, t, false)
	return nil
}

// kernelCtx is what the context of the program's type is in the kernel
// (get_kern_ctx_btf_id, include/linux/bpf_types.h).
func (env *env) kernelCtx() btf.Type {
	switch env.prog.Type {
	case spec.ProgSocketFilter, spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgCgroupSKB, spec.ProgLWTIn,
		spec.ProgLWTOut, spec.ProgLWTXmit, spec.ProgLWTSeg6Local, spec.ProgSKSKB:
		return env.kernelStruct("sk_buff")
	case spec.ProgXDP:
		return env.kernelStruct("xdp_buff")
	case spec.ProgPerfEvent:
		return env.kernelStruct("bpf_perf_event_data_kern")
	case spec.ProgCgroupSock:
		return env.kernelStruct("sock")
	case spec.ProgCgroupSockAddr:
		return env.kernelStruct("bpf_sock_addr_kern")
	case spec.ProgSockOps:
		return env.kernelStruct("bpf_sock_ops_kern")
	case spec.ProgSKMsg:
		return env.kernelStruct("sk_msg")
	case spec.ProgFlowDissector:
		return env.kernelStruct("bpf_flow_dissector")
	case spec.ProgCgroupSysctl:
		return env.kernelStruct("bpf_sysctl_kern")
	case spec.ProgCgroupSockopt:
		return env.kernelStruct("bpf_sockopt_kern")
	case spec.ProgSKReuseport:
		return env.kernelStruct("sk_reuseport_kern")
	case spec.ProgSKLookup:
		return env.kernelStruct("bpf_sk_lookup_kern")
	case spec.ProgNetfilter:
		return env.kernelStruct("bpf_nf_ctx")
	case spec.ProgKprobe:
		return env.kernelStruct("pt_regs")
	}
	return nil
}
