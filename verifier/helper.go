package verifier

import (
	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// Helpers that the verifier treats on their own (include/uapi/linux/bpf.h).
const (
	helperMapLookup      spec.HelperID = 1
	helperMapUpdate      spec.HelperID = 2
	helperMapDelete      spec.HelperID = 3
	helperSmpID          spec.HelperID = 8
	helperTailCall       spec.HelperID = 12
	helperWriteUser      spec.HelperID = 36
	helperReadStr        spec.HelperID = 45
	helperOverrideReturn spec.HelperID = 58
	helperGetStack       spec.HelperID = 67
	helperSKRelease      spec.HelperID = 86
	helperMapPush        spec.HelperID = 87
	helperMapPop         spec.HelperID = 88
	helperMapPeek        spec.HelperID = 89
	helperSKFullsock     spec.HelperID = 95
	helperTCPSock        spec.HelperID = 96
	helperReadUserStr    spec.HelperID = 114
	helperReadKernelStr  spec.HelperID = 115
	helperGetTaskStack   spec.HelperID = 141
	helperSnprintf       spec.HelperID = 165
	helperForEach        spec.HelperID = 164
	helperTimerCallback  spec.HelperID = 170
	helperFindVMA        spec.HelperID = 180
	helperLoop           spec.HelperID = 181
	helperGetStorage     spec.HelperID = 81
	helperDrain          spec.HelperID = 209
	helperStorageSK      spec.HelperID = 107
	helperSpinLock       spec.HelperID = 93
	helperSpinUnlock     spec.HelperID = 94
	helperSKCToTCP6      spec.HelperID = 136
	helperSKCToTCP       spec.HelperID = 137
	helperSKCToTCPTW     spec.HelperID = 138
	helperSKCToTCPReq    spec.HelperID = 139
	helperSKCToUDP6      spec.HelperID = 140
	helperDPath          spec.HelperID = 147
	helperPerCPUPtr      spec.HelperID = 153
	helperThisCPUPtr     spec.HelperID = 154
	helperCurrentTaskBTF spec.HelperID = 158
	helperTaskPtRegs     spec.HelperID = 175
	helperKptrXchg       spec.HelperID = 194
	helperSKCToMPTCP     spec.HelperID = 196
	helperDynptrFromMem  spec.HelperID = 197
	helperReserveDynptr  spec.HelperID = 198
	helperSubmitDynptr   spec.HelperID = 199
	helperDiscardDynptr  spec.HelperID = 200
	helperDynptrWrite    spec.HelperID = 202
	helperDynptrData     spec.HelperID = 203
)

// syncCallback and asyncCallback: helpers that call a function of the program,
// while they run or later (is_sync_callback_calling_function).
func syncCallback(id spec.HelperID) bool {
	switch id {
	case helperForEach, helperFindVMA, helperLoop, helperDrain:
		return true
	}
	return false
}

func asyncCallback(id spec.HelperID) bool { return id == helperTimerCallback }

// callMeta gathers what the arguments of one call say (struct
// bpf_call_arg_meta).
type callMeta struct {
	helper  *spec.HelperProto
	m       *spec.MapSpec
	mapUID  uint32
	raw     rawMem
	release isa.Register // the register that is given back, 0 for none
	ref     uint32
	memSize uint64
	sizeMax uint64
	subprog int
	// key is the map key where it is known.
	key      uint64
	keyKnown bool
	// kptr is the place that bpf_kptr_xchg exchanges.
	kptr *specialField
	// perCPU is the type of a per-CPU variable; perCPUAlloc says that it is an object
	// of the program's.
	perCPU      btf.Type
	perCPUAlloc bool
	dynptrID    uint32
	drops       bool // moves the packet
}

// checkHelperCall checks a call of a helper and what it leaves behind
// (check_helper_call).
func (env *env) checkHelperCall(ins isa.Instruction) error {
	id := spec.HelperID(ins.Imm)
	h := spec.HelperByID(id)
	if h == nil {
		return env.reject(CodeBadHelper, "invalid func unknown#%d\n", ins.Imm)
	}
	if !env.helperAllowed(id) {
		return env.reject(CodeHelperType, "program of this type cannot use helper %s#%d\n", h.Name, id)
	}
	if h.GPLOnly && !env.gpl {
		return env.reject(CodeGPL, "cannot call GPL-restricted function from non-GPL compatible program\n")
	}
	if env.helperRefused(h) {
		return env.reject(CodeHelperType, "helper call is not allowed in probe\n")
	}
	if h.MightSleep {
		if !env.inSleepable() {
			return env.reject(CodeSleep, "helper call might sleep in a non-sleepable prog\n")
		}
		if err := env.sleepInSection(func(region string) error {
			return env.reject(CodeSection, "sleepable helper %s#%d in %s\n", h.Name, id, region)
		}); err != nil {
			return err
		}
	}
	if id == helperWriteUser || id == helperOverrideReturn {
		// Lockdown, or a kernel built without it, refuses these.
		return notModelled("%s, which depends on the kernel's configuration", h.Name)
	}
	meta := &callMeta{helper: h}
	for i, kind := range h.Args {
		if kind == spec.ArgNone {
			break
		}
		if err := env.checkArg(meta, i, kind); err != nil {
			return err
		}
	}
	if err := env.recordMap(meta, id); err != nil {
		return err
	}
	// Memory that the helper fills is stored byte by byte.
	for i := int64(0); i < meta.raw.size; i++ {
		if err := env.access(meta.raw.reg, int(i), 1, spec.Write, -1, false, false); err != nil {
			return err
		}
	}
	if meta.release != 0 {
		if err := env.releaseArg(meta, id); err != nil {
			return err
		}
	}
	if err := env.helperEffects(meta, ins, id); err != nil {
		return err
	}
	f := env.cur.cur()
	for r := range isa.Register(callerSaved) {
		f.Regs[r] = notInitReg()
		env.scratchReg(r)
	}
	if err := env.helperResult(meta, h, id); err != nil {
		return err
	}
	if err := env.mapFits(meta.m, id); err != nil {
		return err
	}
	switch {
	case id == helperTailCall:
		return env.tailCall()
	case h.ChangesPacket || meta.drops:
		env.dropPackets()
	}
	return nil
}

// helperAllowed reports whether the program may call the helper at all
// (bpf_verifier_ops.get_func_proto).
func (env *env) helperAllowed(id spec.HelperID) bool {
	switch {
	case !spec.HelperAllowedAt(env.prog.Type, env.prog.Attach, id):
		return false
	case env.prog.Type != spec.ProgTracing:
		return true
	case id == helperSetSockopt || id == helperGetSockopt:
		return env.iterSockopt()
	}
	return env.helperForTracing(id)
}

// flagSleepable is BPF_F_SLEEPABLE of include/uapi/linux/bpf.h.
const flagSleepable = 1 << 4

// releaseArg gives back what the call was given.
func (env *env) releaseArg(meta *callMeta, id spec.HelperID) error {
	r := env.reg(meta.release)
	switch {
	case id == helperSubmitDynptr || id == helperDiscardDynptr:
		return env.releaseDynptr(meta.release)
	case id == helperKptrXchg && meta.ref != 0:
		return env.releaseKptr(meta, id)
	}
	if meta.ref != 0 && env.releaseAll(meta.ref) || meta.ref == 0 && r.isNull() {
		return nil
	}
	return env.reject(CodeRefNotHeld, "func %s#%d reference has not been acquired before\n", meta.helper.Name, id)
}

// helperEffects is what single helpers ask for beyond their prototype.
func (env *env) helperEffects(meta *callMeta, ins isa.Instruction, id spec.HelperID) error {
	switch id {
	case helperTailCall:
		// A constant index is a fact that the code is made for (record_func_key).
		if r := env.reg(isa.R3); r.Type == Scalar && r.VarOff.IsConst() && meta.m != nil && r.VarOff.Value < uint64(meta.m.MaxEntries) {
			if err := env.markPrecise(int(isa.R3)); err != nil {
				return err
			}
		}
		return env.checkLeaks(true, true, "tail_call")
	case helperGetStorage:
		if !env.reg(isa.R2).isNull() {
			return env.reject(CodeArgType, "get_local_storage() doesn't support non-zero flags\n")
		}
	case helperForEach:
		return env.pushCallback(meta.subprog, env.forEachArgs(meta))
	case helperLoop:
		if err := env.loopInline(meta.subprog); err != nil {
			return err
		}
		if err := env.markPrecise(int(isa.R1)); err != nil {
			return err
		}
		f := env.cur.cur()
		if uint64(f.callbackDepth) < f.Regs[isa.R1].UMax {
			return env.pushCallback(meta.subprog, loopArgs)
		}
		f.callbackDepth = 0
		env.debugf("frame%d bpf_loop iteration limit reached\n", env.cur.curFrame())
	case helperSnprintf:
		return env.checkFormat(meta)
	case helperTimerCallback:
		return env.pushCallback(meta.subprog, timerArgs)
	case helperFindVMA:
		return env.pushCallback(meta.subprog, env.vmaArgs)
	case helperDrain:
		return env.pushCallback(meta.subprog, env.drainArgs)
	case helperDynptrFromMem:
		if t := env.reg(isa.R1).Type; t != PtrToMapValue {
			return env.reject(CodeArgType, "Unsupported reg type %s for bpf_dynptr_from_mem data\n", t)
		}
	case helperDynptrData:
		d := env.dynptrState(env.reg(isa.R1))
		if d == nil {
			return bug("bpf_dynptr_data without a dynptr")
		}
		meta.dynptrID, meta.ref = d.ID, d.RefObjID
	case helperDynptrWrite:
		d := env.dynptrState(env.reg(isa.R1))
		if d == nil {
			return bug("bpf_dynptr_write without a dynptr")
		}
		// The packet may move, and slices of it with it.
		meta.drops = d.Dynptr == DynptrOfSKB || d.Dynptr == DynptrOfSKBMeta
	case helperPerCPUPtr, helperThisCPUPtr:
		meta.perCPUAlloc = env.reg(isa.R1).Type&MemRCU != 0
	}
	return nil
}

// helperResult sets R0 by the prototype (the second half of check_helper_call).
func (env *env) helperResult(meta *callMeta, h *spec.HelperProto, id spec.HelperID) error {
	r0 := env.reg(isa.R0)
	pointer := func(t RegType) {
		r0.setPointer(t)
		if t.maybeNull() {
			r0.ID = env.newID()
		}
	}
	switch h.Ret {
	case spec.RetInteger:
		r0.setUnknown()
		env.refineResult(meta, id, r0)
	case spec.RetVoid:
		*r0 = notInitReg()
	case spec.RetMapValue, spec.RetMapValueOrNull:
		if meta.m == nil {
			return notModelled("result of %s", h.Name)
		}
		t := PtrToMapValue
		if h.Ret == spec.RetMapValueOrNull && !(id == helperMapLookup && meta.keyKnown && meta.key < uint64(meta.m.MaxEntries)) {
			t |= MaybeNull
		}
		pointer(t)
		r0.Map, r0.MapUID = meta.m, meta.mapUID
		if !t.maybeNull() && env.mayHoldLock(r0) {
			r0.ID = env.newID()
		}
	case spec.RetSocketOrNull:
		pointer(PtrToSocket | MaybeNull)
	case spec.RetSockCommonOrNull:
		pointer(PtrToSockCommon | MaybeNull)
	case spec.RetTCPSockOrNull:
		pointer(PtrToTCPSock | MaybeNull)
	case spec.RetBTFID, spec.RetBTFIDOrNull:
		if err := env.btfResult(meta, h, r0, h.Ret == spec.RetBTFIDOrNull); err != nil {
			return err
		}
	case spec.RetMemOrBTFID, spec.RetMemOrBTFIDOrNull:
		if err := env.perCPUResult(meta, r0, h.Ret == spec.RetMemOrBTFIDOrNull); err != nil {
			return err
		}
	case spec.RetDynptrMemOrNull:
		pointer(PtrToMem | MaybeNull)
		r0.MemSize, r0.DynptrID = uint32(meta.memSize), meta.dynptrID
		r0.RefObjID = meta.ref
	case spec.RetMemOrNull:
		if !h.Acquires {
			return notModelled("result of %s", h.Name)
		}
		pointer(PtrToMem | MaybeNull | FromRingBuf)
		r0.MemSize = uint32(meta.memSize)
	default:
		return notModelled("result of %s", h.Name)
	}
	acquires := h.Acquires
	if id == helperMapLookup && meta.m != nil && (meta.m.Type == spec.MapSockmap || meta.m.Type == spec.MapSockhash) {
		acquires = true
	}
	if r0.Type.maybeNull() && r0.ID == 0 {
		r0.ID = env.newID()
	}
	switch {
	case castsPointer(id):
		r0.RefObjID = meta.ref // the same socket, seen otherwise
	case acquires:
		ref := env.acquire()
		r0.ID, r0.RefObjID = ref, ref
	}
	return nil
}

// maxErrno bounds negative results (MAX_ERRNO, include/linux/err.h).
const maxErrno = 4095

// refineResult bounds results that are sizes (do_refine_retval_range).
func (env *env) refineResult(meta *callMeta, id spec.HelperID, r *RegState) {
	switch id {
	case helperGetStack, helperGetTaskStack, helperReadStr, helperReadKernelStr, helperReadUserStr:
		r.SMax, r.S32Max = int64(meta.sizeMax), int32(meta.sizeMax)
		r.SMin, r.S32Min = -maxErrno, -maxErrno
		r.sync()
	case helperSmpID:
		last := maxCPUs - 1
		if env.opts.CPUs > 0 {
			last = min(last, env.opts.CPUs-1)
		}
		r.UMax, r.U32Max, r.SMax, r.S32Max = uint64(last), uint32(last), int64(last), int32(last)
		r.SMin, r.S32Min = 0, 0
		r.sync()
	}
	if !r.consistent() {
		r.Bounds = unboundedBounds()
	}
}

// maxCPUs is CONFIG_NR_CPUS of the largest x86-64 kernels (arch/x86/Kconfig,
// NR_CPUS_RANGE_END).
const maxCPUs = 8192

// recordMap refuses to change maps that programs may only read
// (record_func_map).
func (env *env) recordMap(meta *callMeta, id spec.HelperID) error {
	if meta.m == nil || meta.m.Flags&spec.MapRdOnlyProg == 0 {
		return nil
	}
	switch id {
	case helperMapDelete, helperMapUpdate, helperMapPush, helperMapPop:
		return env.reject(CodeReadOnly, "write into map forbidden\n")
	}
	return nil
}

// castsPointer reports helpers that return the same socket as another structure
// (is_ptr_cast_function).
func castsPointer(id spec.HelperID) bool {
	switch id {
	case helperTCPSock, helperSKFullsock, helperSKCToTCP, helperSKCToTCP6, helperSKCToTCPTW, helperSKCToTCPReq,
		helperSKCToUDP6, helperSKCToMPTCP:
		return true
	}
	return false
}

// releaseKptr gives a reference to a map value: pointers to per-CPU objects stay
// good while RCU protects them, others do not.
func (env *env) releaseKptr(meta *callMeta, id spec.HelperID) error {
	if !env.cur.release(meta.ref) {
		return env.reject(CodeRefNotHeld, "func %s#%d reference has not been acquired before\n", meta.helper.Name, id)
	}
	rcu := env.inRCU()
	env.cur.regs(func(_ *FuncState, r *RegState) {
		switch {
		case r.RefObjID != meta.ref:
		case rcu && r.Type&(MemAlloc|MemPerCPU) == MemAlloc|MemPerCPU:
			r.RefObjID = 0
			r.Type = r.Type&^MemAlloc | MemRCU
		default:
			*r = unknownScalar()
		}
	})
	return nil
}

// tailCall: in a function of the program a tail call that works returns to its
// caller, with whatever the other program left in R0; that path is followed first.
func (env *env) tailCall() error {
	if env.cur.curFrame() == 0 {
		return nil
	}
	if _, err := env.push(env.insnIdx+1, env.insnIdx); err != nil {
		return err
	}
	env.scratchReg(isa.R0)
	env.dropPackets()
	env.reg(isa.R0).setUnknown()
	if err := env.returnToCaller(); err != nil {
		return err
	}
	env.insnIdx--
	return nil
}

// loopInline notes whether the call of bpf_loop can be made a plain loop: always the
// same callback, and no flags, which is a decision (update_loop_inline_state).
func (env *env) loopInline(sub int) error {
	aux := &env.aux[env.insnIdx]
	if aux.loopSeen && !aux.loopInline {
		return nil
	}
	flags := env.reg(isa.R4).isNull()
	if flags {
		if err := env.markPrecise(int(isa.R4)); err != nil {
			return err
		}
	}
	if !aux.loopSeen {
		aux.loopSeen, aux.loopInline, aux.loopSub = true, flags, sub
		return nil
	}
	aux.loopInline = flags && aux.loopSub == sub
	return nil
}
