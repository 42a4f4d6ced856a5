package verifier

import (
	"bpfvm/isa"
	"bpfvm/spec"
)

// Helpers that the verifier treats on their own (include/uapi/linux/bpf.h).
const (
	helperMapLookup     spec.HelperID = 1
	helperMapUpdate     spec.HelperID = 2
	helperMapDelete     spec.HelperID = 3
	helperSmpID         spec.HelperID = 8
	helperTailCall      spec.HelperID = 12
	helperReadStr       spec.HelperID = 45
	helperGetStack      spec.HelperID = 67
	helperSKRelease     spec.HelperID = 86
	helperMapPush       spec.HelperID = 87
	helperMapPop        spec.HelperID = 88
	helperMapPeek       spec.HelperID = 89
	helperSKFullsock    spec.HelperID = 95
	helperTCPSock       spec.HelperID = 96
	helperReadUserStr   spec.HelperID = 114
	helperReadKernelStr spec.HelperID = 115
	helperGetTaskStack  spec.HelperID = 141
	helperSnprintf      spec.HelperID = 165
	helperForEach       spec.HelperID = 164
	helperTimerCallback spec.HelperID = 170
	helperFindVMA       spec.HelperID = 180
	helperLoop          spec.HelperID = 181
	helperBind          spec.HelperID = 64
	helperGetStorage    spec.HelperID = 81
	helperGetRetval     spec.HelperID = 186
	helperSetRetval     spec.HelperID = 187
	helperDrain         spec.HelperID = 209
	helperStorageSK     spec.HelperID = 107
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
}

// checkHelperCall checks a call of a helper and what it leaves behind
// (check_helper_call).
func (env *env) checkHelperCall(ins isa.Instruction) error {
	id := spec.HelperID(ins.Imm)
	h := spec.HelperByID(id)
	if h == nil {
		return env.reject(CodeBadHelper, "invalid func unknown#%d\n", ins.Imm)
	}
	if !spec.HelperAllowed(env.prog.Type, id) || !env.helperForAttach(id) {
		return env.reject(CodeHelperType, "program of this type cannot use helper %s#%d\n", h.Name, id)
	}
	if h.GPLOnly && !env.gpl {
		return env.reject(CodeGPL, "cannot call GPL-restricted function from non-GPL compatible program\n")
	}
	if h.MightSleep && env.prog.Flags&flagSleepable == 0 {
		return env.reject(CodeSleep, "helper call might sleep in a non-sleepable prog\n")
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
	if h.ChangesPacket {
		env.dropPackets()
	}
	return nil
}

// flagSleepable is BPF_F_SLEEPABLE of include/uapi/linux/bpf.h.
const flagSleepable = 1 << 4

// helperForAttach is what the attach type adds to a type's helpers.
func (env *env) helperForAttach(id spec.HelperID) bool {
	a := env.prog.Attach
	switch id {
	case helperBind:
		return env.prog.Type != spec.ProgCgroupSockAddr || a == spec.AttachCgroupInet4Connect || a == spec.AttachCgroupInet6Connect
	case helperGetRetval, helperSetRetval: // cgroup_common_func_proto
		switch a {
		case spec.AttachCgroupInetIngress, spec.AttachCgroupInetEgress, spec.AttachCgroupSockOps,
			spec.AttachCgroupUDP4Recvmsg, spec.AttachCgroupUDP6Recvmsg, spec.AttachCgroupUnixRecvmsg,
			spec.AttachCgroupInet4Getpeername, spec.AttachCgroupInet6Getpeername, spec.AttachCgroupUnixGetpeername,
			spec.AttachCgroupInet4Getsockname, spec.AttachCgroupInet6Getsockname, spec.AttachCgroupUnixGetsockname:
			switch env.prog.Type {
			case spec.ProgCgroupSock, spec.ProgCgroupDevice, spec.ProgCgroupSockAddr, spec.ProgCgroupSysctl, spec.ProgCgroupSockopt:
				return false
			}
		}
	}
	return true
}

// Types that fit an argument, in the order in which the kernel lists them when
// none does (compatible_reg_types).
var (
	memTypes = []RegType{PtrToStack, PtrToPacket, PtrToPacketMeta, PtrToMapKey, PtrToMapValue, PtrToMem,
		PtrToMem | FromRingBuf, PtrToBuf, PtrToBTFID | Trusted}
	sockTypes   = []RegType{PtrToSockCommon, PtrToSocket, PtrToTCPSock, PtrToXDPSock, PtrToBTFID, PtrToBTFID | Trusted}
	scalarTypes = []RegType{Scalar}
)

// argTypes returns the register types that fit, and whether NULL does.
func argTypes(kind spec.ArgKind) (types []RegType, null bool) {
	switch kind {
	case spec.ArgMapKey, spec.ArgMapValue, spec.ArgUninitMapValue, spec.ArgMem, spec.ArgUninitMem,
		spec.ArgLong, spec.ArgInt, spec.ArgFixedMem:
		return memTypes, false
	case spec.ArgMemOrNull, spec.ArgMapValueOrNull:
		return memTypes, true
	case spec.ArgSize, spec.ArgSizeOrZero, spec.ArgAllocSize:
		return scalarTypes, false
	case spec.ArgConstMapPtr:
		return []RegType{ConstPtrToMap}, false
	case spec.ArgCtx:
		return []RegType{PtrToCtx}, false
	case spec.ArgSocket:
		return sockTypes, false
	case spec.ArgSockOrNull:
		return sockTypes, true
	case spec.ArgRingBufMem:
		return []RegType{PtrToMem | FromRingBuf}, false
	case spec.ArgFunc:
		return []RegType{PtrToFunc}, false
	case spec.ArgStackOrNull:
		return []RegType{PtrToStack}, true
	case spec.ArgConstStr:
		return []RegType{PtrToMapValue}, false
	}
	return nil, false
}

// checkArg checks one argument (check_func_arg).
func (env *env) checkArg(meta *callMeta, i int, kind spec.ArgKind) error {
	regno := isa.R1 + isa.Register(i)
	if err := env.readReg(regno); err != nil {
		return err
	}
	if kind == spec.ArgAnything {
		return nil
	}
	r := env.reg(regno)
	if r.Type.isPkt() && !env.packetAllowed(meta.helper, spec.Read) {
		return env.reject(CodePacketArg, "helper access to the packet is not allowed\n")
	}
	if kind == spec.ArgCtx && env.socketFirst(meta.helper.Name) {
		return notModelled("%s in %v programs", meta.helper.Name, env.prog.Type)
	}
	types, null := argTypes(kind)
	if meta.helper.Name == "bpf_sk_assign" && kind == spec.ArgSocket {
		null = true
	}
	if types == nil {
		return notModelled("argument %d of %s", i+1, meta.helper.Name)
	}
	if meta.m != nil && (kind == spec.ArgMapValue || kind == spec.ArgUninitMapValue || kind == spec.ArgMapValueOrNull) {
		switch meta.m.Type {
		case spec.MapSockmap, spec.MapSockhash:
			return notModelled("sockets as values of a %v", meta.m.Type)
		case spec.MapBloomFilter:
			return notModelled("bloom filters")
		}
	}
	if null && r.isNull() {
		if err := env.markPrecise(int(regno)); err != nil {
			return err
		}
	} else {
		if err := env.checkArgType(meta, regno, r, types, null); err != nil {
			return err
		}
	}
	release := meta.helper.Releases && i == 0
	if release {
		if r.RefObjID == 0 && !r.isNull() {
			return env.reject(CodeRefNotHeld, "R%d must be referenced when passed to release function\n", regno)
		}
		meta.release = regno
	}
	if r.RefObjID != 0 {
		if meta.ref != 0 {
			return notModelled("two arguments with references in one call")
		}
		meta.ref = r.RefObjID
	}
	return env.checkArgUse(meta, i, kind, regno, r)
}

// socketFirst reports helpers that take a socket in this program type where they
// take the context in others.
func (env *env) socketFirst(name string) bool {
	switch name {
	case "bpf_setsockopt", "bpf_getsockopt":
		return env.prog.Type != spec.ProgCgroupSockAddr && env.prog.Type != spec.ProgSockOps
	case "bpf_get_socket_cookie":
		return env.prog.Type == spec.ProgSKReuseport
	}
	return false
}

// checkArgType checks the register's type and offset (check_reg_type,
// check_func_arg_reg_off).
func (env *env) checkArgType(meta *callMeta, regno isa.Register, r *RegState, types []RegType, null bool) error {
	t := r.Type
	if null {
		t &^= MaybeNull
	}
	found := false
	for _, want := range types {
		found = found || t == want
	}
	if !found {
		env.say("R%d type=%s expected=", regno, r.Type)
		for i, want := range types {
			if i > 0 {
				env.say(", ")
			}
			env.say("%s", want)
		}
		env.say("\n")
		return &rejection{CodeArgType}
	}
	switch {
	case meta.helper.Releases && regno == isa.R1:
		if r.Off != 0 {
			return env.reject(CodeModifiedPtr, "R%d must have zero offset when passed to release func or trusted arg to kfunc\n", regno)
		}
		return env.checkFixedOffset(r, regno, false)
	case t == PtrToStack, t.isPkt(), t == PtrToMapKey, t == PtrToMapValue, t.base() == PtrToMem, t == PtrToBuf, t == Scalar:
		return nil
	case t.base() == PtrToBTFID:
		return notModelled("a typed kernel pointer as argument of %s", meta.helper.Name)
	}
	return env.checkFixedOffset(r, regno, false)
}

// checkArgUse does with the argument what its kind asks for (the second half of
// check_func_arg).
func (env *env) checkArgUse(meta *callMeta, i int, kind spec.ArgKind, regno isa.Register, r *RegState) error {
	needMap := func(what string) error {
		if meta.m == nil {
			return env.reject(CodeArgType, "invalid map_ptr to access map->%s\n", what)
		}
		return nil
	}
	switch kind {
	case spec.ArgConstMapPtr:
		meta.m, meta.mapUID = r.Map, r.MapUID
		return env.plainMap(r.Map)
	case spec.ArgMapKey:
		if err := needMap("key"); err != nil {
			return err
		}
		if err := env.checkHelperMem(regno, int64(meta.m.KeySize), spec.Read, false, nil); err != nil {
			return err
		}
		return env.constKey(meta, r)
	case spec.ArgMapValue, spec.ArgUninitMapValue, spec.ArgMapValueOrNull:
		if kind == spec.ArgMapValueOrNull && r.isNull() {
			return nil
		}
		if err := needMap("value"); err != nil {
			return err
		}
		if kind == spec.ArgUninitMapValue {
			return env.checkHelperMem(regno, int64(meta.m.ValueSize), spec.Write, false, &meta.raw)
		}
		return env.checkHelperMem(regno, int64(meta.m.ValueSize), spec.Read, false, nil)
	case spec.ArgFunc:
		meta.subprog = int(r.Subprog)
	case spec.ArgFixedMem:
		return env.checkHelperMem(regno, int64(meta.helper.ArgSizes[i]), spec.Read, false, nil)
	case spec.ArgLong, spec.ArgInt:
		size := 8
		if kind == spec.ArgInt {
			size = 4
		}
		raw := &meta.raw
		if err := env.checkHelperMem(regno, int64(size), spec.Write, false, raw); err != nil {
			return err
		}
		return env.checkAligned(r, 0, size, true)
	case spec.ArgSize, spec.ArgSizeOrZero:
		return env.checkSizeArg(meta, i, regno, r, kind == spec.ArgSizeOrZero)
	case spec.ArgAllocSize:
		if !r.VarOff.IsConst() {
			return env.reject(CodeArgType, "R%d is not a known constant'\n", regno)
		}
		meta.memSize = r.VarOff.Value
		return env.markPrecise(int(regno))
	case spec.ArgConstStr:
		return env.checkConstStr(regno, r)
	}
	return nil
}

// constKey notes a key that is a known number on the stack: the element of an
// array is then there for certain (get_constant_map_key).
func (env *env) constKey(meta *callMeta, r *RegState) error {
	if meta.m.Type != spec.MapArray && meta.m.Type != spec.MapPerCPUArray || r.Type != PtrToStack || !r.VarOff.IsConst() {
		return nil
	}
	f := env.cur.Frames[r.Frame]
	slot := -(int(r.Off) + int(int64(r.VarOff.Value))) - 1
	s := &f.Stack[slot/regSize]
	count := func(t SlotType) (n int) {
		for i := slot % regSize; i >= 0 && s.Type[i] == t; i-- {
			n++
		}
		return n
	}
	size := int(meta.m.KeySize)
	if count(SlotZero) >= size {
		meta.key, meta.keyKnown = 0, true
		return nil
	}
	if !s.isSpilledScalar() || count(SlotSpill) != size || !s.Spilled.VarOff.IsConst() {
		return nil
	}
	meta.key, meta.keyKnown = s.Spilled.VarOff.Value, true
	return env.markSlotPrecise(int(r.Frame), slot/regSize)
}

// writesMem are the helpers that write memory which they may read as well
// (ARG_PTR_TO_MEM | MEM_WRITE).
var writesMem = map[string]bool{
	"bpf_fib_lookup": true, "bpf_sysctl_get_name": true, "bpf_read_branch_records": true, "bpf_d_path": true,
	"bpf_snprintf_btf": true, "bpf_snprintf": true, "bpf_load_hdr_opt": true,
}

// checkSizeArg checks the size argument and with it the memory before it
// (check_mem_size_reg).
func (env *env) checkSizeArg(meta *callMeta, i int, regno isa.Register, r *RegState, zeroOK bool) error {
	meta.sizeMax = r.UMax
	var raw *rawMem
	t := spec.Read
	if meta.helper.Args[i-1] == spec.ArgUninitMem {
		t = spec.Write
		if r.VarOff.IsConst() {
			raw = &meta.raw
		}
	} else if writesMem[meta.helper.Name] {
		t = spec.Write
	}
	switch {
	case r.SMin < 0:
		return env.reject(CodeSizeArg, "R%d min value is negative, either use unsigned or 'var &= const'\n", regno)
	case r.UMin == 0 && !zeroOK:
		return env.reject(CodeZeroSize, "R%d invalid zero-sized read: u64=[%d,%d]\n", regno, int64(r.UMin), int64(r.UMax))
	case r.UMax >= spec.MaxVarSize:
		return env.reject(CodeSizeArg, "R%d unbounded memory access, use 'var &= const' or 'if (var < const)'\n", regno)
	}
	if err := env.checkHelperMem(regno-1, int64(r.UMax), t, zeroOK, raw); err != nil {
		return err
	}
	return env.markPrecise(int(regno))
}

// checkHelperMem checks memory that a helper reads or writes
// (check_helper_mem_access).
func (env *env) checkHelperMem(regno isa.Register, size int64, t spec.Access, zeroOK bool, raw *rawMem) error {
	r := env.reg(regno)
	n := int(size)
	switch base := r.Type.base(); {
	case r.Type.isPkt():
		return env.checkPacket(regno, int(r.Off), n, zeroOK)
	case base == PtrToMapKey:
		if t == spec.Write {
			return env.reject(CodeReadOnly, "R%d cannot write into %s\n", regno, r.Type)
		}
		return env.checkRegion(regno, int(r.Off), n, int64(r.Map.KeySize), false)
	case base == PtrToMapValue:
		if err := env.checkMapFlags(r, int(r.Off), n, t); err != nil {
			return err
		}
		return env.checkMapValue(regno, int(r.Off), n, zeroOK)
	case base == PtrToMem:
		if r.Type&RdOnly != 0 && t == spec.Write {
			return env.reject(CodeReadOnly, "R%d cannot write into %s\n", regno, r.Type)
		}
		return env.checkRegion(regno, int(r.Off), n, int64(r.MemSize), zeroOK)
	case base == PtrToStack:
		return env.checkStackRange(regno, int64(r.Off), size, zeroOK, t == spec.Write, raw)
	case base == PtrToBuf, base == PtrToBTFID:
		return notModelled("%v as memory for a helper", r.Type)
	case base == PtrToCtx && env.prog.Type == spec.ProgSyscall:
		return notModelled("the context as memory for a helper")
	}
	if zeroOK && size == 0 && r.isNull() {
		return nil
	}
	return env.reject(CodeArgType, "R%d type=%s expected=%s\n", regno, r.Type, PtrToStack)
}

// checkConstStr checks that an argument is a text in memory that cannot change
// (check_reg_const_str).
func (env *env) checkConstStr(regno isa.Register, r *RegState) error {
	b, ok := constMapBytes(r.Map)
	switch {
	case !ok:
		return env.reject(CodeArgType, "R%d does not point to a readonly map'\n", regno)
	case !r.VarOff.IsConst():
		return env.reject(CodeArgType, "R%d is not a constant address'\n", regno)
	}
	if err := env.checkMapValue(regno, int(r.Off), int(r.Map.ValueSize)-int(r.Off), false); err != nil {
		return err
	}
	at := int(r.Off) + int(int64(r.VarOff.Value))
	for i := at; i < int(r.Map.ValueSize); i++ {
		if i < 0 || i >= len(b) || b[i] == 0 {
			return nil
		}
	}
	return env.reject(CodeArgType, "string is not zero-terminated\n")
}

// releaseArg gives back what the call was given.
func (env *env) releaseArg(meta *callMeta, id spec.HelperID) error {
	r := env.reg(meta.release)
	if meta.ref != 0 && env.releaseAll(meta.ref) || meta.ref == 0 && r.isNull() {
		return nil
	}
	return env.reject(CodeRefNotHeld, "func %s#%d reference has not been acquired before\n", meta.helper.Name, id)
}

// helperEffects is what single helpers ask for beyond their prototype.
func (env *env) helperEffects(meta *callMeta, ins isa.Instruction, id spec.HelperID) error {
	switch id {
	case helperTailCall:
		if err := env.checkLeaks(true, "tail_call"); err != nil {
			return err
		}
		// A constant index is a fact that the code is made for.
		if r := env.reg(isa.R3); r.Type == Scalar && r.VarOff.IsConst() && meta.m != nil && r.VarOff.Value < uint64(meta.m.MaxEntries) {
			return env.markPrecise(int(isa.R3))
		}
	case helperGetStorage:
		if !env.reg(isa.R2).isNull() {
			return env.reject(CodeArgType, "get_local_storage() doesn't support non-zero flags\n")
		}
		return env.markPrecise(int(isa.R2))
	case helperForEach:
		return env.pushCallback(meta.subprog, env.forEachArgs(meta))
	case helperLoop:
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
	case helperTimerCallback, helperFindVMA, helperDrain:
		return notModelled("callbacks of %s", meta.helper.Name)
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
	case spec.RetSocketOrNull:
		pointer(PtrToSocket | MaybeNull)
	case spec.RetSockCommonOrNull:
		pointer(PtrToSockCommon | MaybeNull)
	case spec.RetTCPSockOrNull:
		pointer(PtrToTCPSock | MaybeNull)
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
	switch {
	case id == helperTCPSock || id == helperSKFullsock:
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
		// Which CPUs there are is the machine's; ours has at most
		// maxCPUs.
		r.UMax, r.U32Max, r.SMax, r.S32Max = maxCPUs-1, maxCPUs-1, maxCPUs-1, maxCPUs-1
		r.SMin, r.S32Min = 0, 0
		r.sync()
	}
	if !r.consistent() {
		r.Bounds = unboundedBounds()
	}
}

// maxCPUs bounds the result of bpf_get_smp_processor_id: CONFIG_NR_CPUS of the
// largest x86-64 kernels (arch/x86/Kconfig, NR_CPUS_RANGE_END). A kernel knows
// how many it has and bounds more tightly.
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
