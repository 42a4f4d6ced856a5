package verifier

import (
	"bpfvm/isa"
	"bpfvm/spec"
)

// Types that fit an argument, in the order in which the kernel lists them when
// none does (compatible_reg_types).
var (
	memTypes = []RegType{PtrToStack, PtrToPacket, PtrToPacketMeta, PtrToMapKey, PtrToMapValue, PtrToMem,
		PtrToMem | FromRingBuf, PtrToBuf, PtrToBTFID | Trusted}
	sockTypes   = []RegType{PtrToSockCommon, PtrToSocket, PtrToTCPSock, PtrToXDPSock, PtrToBTFID, PtrToBTFID | Trusted}
	scalarTypes = []RegType{Scalar}
	// Sockets that helpers look at without BTF (sock_types).
	plainSockTypes = []RegType{PtrToSockCommon, PtrToSocket, PtrToTCPSock, PtrToXDPSock}
	btfTypes       = []RegType{PtrToBTFID, PtrToBTFID | Trusted, PtrToBTFID | MemRCU}
	perCPUTypes    = []RegType{PtrToBTFID | MemPerCPU, PtrToBTFID | MemPerCPU | MemRCU, PtrToBTFID | MemPerCPU | Trusted}
	allocTypes     = []RegType{PtrToMapValue, PtrToBTFID | MemAlloc}
	dynptrTypes    = []RegType{PtrToStack, PtrToDynptr}
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
	case spec.ArgSockCommon:
		return sockTypes[:4], false
	case spec.ArgFullSockOrNull:
		return []RegType{PtrToSocket}, true
	case spec.ArgCtxOrNull:
		return []RegType{PtrToCtx}, true
	case spec.ArgSockOrNull:
		return sockTypes, true
	case spec.ArgRingBufMem:
		return []RegType{PtrToMem | FromRingBuf}, false
	case spec.ArgFunc:
		return []RegType{PtrToFunc}, false
	case spec.ArgStackOrNull:
		return []RegType{PtrToStack}, true
	case spec.ArgConstStr, spec.ArgTimer:
		return []RegType{PtrToMapValue}, false
	case spec.ArgBTFID:
		return btfTypes, false
	case spec.ArgBTFIDOrNull:
		return btfTypes, true
	case spec.ArgPerCPUBTFID:
		return perCPUTypes, false
	case spec.ArgSpinLock, spec.ArgKptr:
		return allocTypes, false
	case spec.ArgDynptr, spec.ArgUninitDynptr:
		return dynptrTypes, false
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
		kind = spec.ArgSocket
	}
	if meta.m != nil && (kind == spec.ArgMapValue || kind == spec.ArgUninitMapValue || kind == spec.ArgMapValueOrNull) {
		switch meta.m.Type {
		case spec.MapSockmap, spec.MapSockhash:
			if kind != spec.ArgMapValue {
				return env.reject(CodeArgType, "invalid arg_type for sockmap/sockhash\n")
			}
			kind = spec.ArgSocket
		case spec.MapBloomFilter:
			if meta.helper.ID == helperMapPeek {
				kind = spec.ArgMapValue // what to look for, not where to put it
			}
		}
	}
	types, null := argTypes(kind)
	switch meta.helper.Name {
	case "bpf_sk_assign":
		null = null || kind == spec.ArgSocket
	case "bpf_get_netns_cookie":
		null = null || kind == spec.ArgCtx
	case "bpf_sk_fullsock", "bpf_tcp_sock", "bpf_get_listener_sock":
		if kind == spec.ArgSocket {
			types = plainSockTypes
		}
	case "bpf_sk_storage_get", "bpf_sk_storage_delete":
		if meta.helper.Name == "bpf_sk_storage_get" && env.prog.Type == spec.ProgCgroupSock && kind == spec.ArgSocket {
			kind, types, null = spec.ArgCtx, []RegType{PtrToCtx}, false
		}
		if kind == spec.ArgSocket && (env.prog.Type == spec.ProgTracing || env.prog.Type == spec.ProgLSM) {
			kind, types, null = spec.ArgBTFIDOrNull, btfTypes, true
		}
	}
	if types == nil {
		return notModelled("argument %d of %s", i+1, meta.helper.Name)
	}
	release := meta.helper.Releases && i == 0
	if meta.helper.ID == helperKptrXchg {
		release = i == 1
	}
	if !null || !r.isNull() {
		if err := env.checkArgType(meta, i, kind, regno, r, types, null, release); err != nil {
			return err
		}
	}
	if release {
		if kind == spec.ArgDynptr {
			if r.Type != PtrToStack {
				return env.reject(CodeRefNotHeld, "cannot release unowned const bpf_dynptr\n")
			}
			if spi := env.dynptrAt(r); spi < 0 || env.cur.Frames[r.Frame].Stack[spi].Spilled.RefObjID == 0 {
				return env.reject(CodeRefNotHeld, "arg %d is an unacquired reference\n", regno)
			}
		} else if r.RefObjID == 0 && !r.isNull() {
			return env.reject(CodeRefNotHeld, "R%d must be referenced when passed to release function\n", regno)
		}
		meta.release = regno
	}
	if r.RefObjID != 0 && kind != spec.ArgKptr {
		if meta.ref != 0 {
			return env.reject(CodeRefNotHeld, "more than one arg with ref_obj_id R%d %d %d", regno, r.RefObjID, meta.ref)
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
		switch env.prog.Type {
		case spec.ProgSKReuseport, spec.ProgTracing, spec.ProgStructOps:
			return true
		case spec.ProgLSM:
			return env.prog.Attach == spec.AttachLSMCgroup
		}
	}
	return false
}

// checkArgType checks the register's type and offset (check_reg_type,
// check_func_arg_reg_off).
func (env *env) checkArgType(meta *callMeta, i int, kind spec.ArgKind, regno isa.Register, r *RegState, types []RegType, null, release bool) error {
	t := r.Type
	if null {
		t &^= MaybeNull
	}
	switch kind {
	case spec.ArgMem, spec.ArgMemOrNull, spec.ArgFixedMem:
		if !meta.helper.ArgWrites[i] {
			t &^= RdOnly
		}
		t &^= DynptrSKB | DynptrXDP
	case spec.ArgUninitMem:
		t &^= DynptrSKB | DynptrXDP
	}
	if meta.helper.ID == helperKptrXchg && regno == isa.R2 && t&MemAlloc != 0 {
		t &^= MemAlloc | MemPerCPU
	}
	found := false
	for _, want := range types {
		found = found || t == want
	}
	if !found {
		return env.wrongType(regno, r, types)
	}
	if r.Type.base() == PtrToBTFID {
		if err := env.checkBTFArg(meta, i, kind, regno, r, null, release); err != nil {
			return err
		}
	}
	if kind == spec.ArgDynptr && r.Type == PtrToStack {
		return nil
	}
	return env.argOffset(r, regno, release)
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
		if meta.m != nil && (meta.m != r.Map || meta.mapUID != r.MapUID) {
			return env.reject(CodeArgType, "timer pointer in R1 map_uid=%d doesn't match map pointer in R2 map_uid=%d\n", meta.mapUID, r.MapUID)
		}
		meta.m, meta.mapUID = r.Map, r.MapUID
		return nil
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
	case spec.ArgPerCPUBTFID:
		meta.perCPU = r.BTF
	case spec.ArgSpinLock:
		if env.inLessCallback() {
			return env.reject(CodeLock, "can't spin_{lock,unlock} in rbtree cb\n")
		}
		return env.spinLock(regno, spinLock{lock: meta.helper.ID == helperSpinLock})
	case spec.ArgTimer:
		return env.timerArg(meta, regno, r)
	case spec.ArgKptr:
		return env.xchgTarget(meta, r, regno)
	case spec.ArgDynptr:
		if err := env.dynptrArg(regno); err != nil {
			return err
		}
		want := DynptrNone
		mutates := false
		switch meta.helper.ID {
		case helperSubmitDynptr, helperDiscardDynptr:
			want, mutates = DynptrOfRingBuf, true
		}
		_, err := env.useDynptr(regno, mutates, want)
		return err
	case spec.ArgUninitDynptr:
		if err := env.dynptrArg(regno); err != nil {
			return err
		}
		made := DynptrOfLocal
		if meta.helper.ID == helperReserveDynptr {
			made = DynptrOfRingBuf
		}
		return env.makeDynptr(regno, made, 0)
	case spec.ArgFixedMem:
		return env.checkHelperMem(regno, int64(meta.helper.ArgSizes[i]), spec.Read, false, nil)
	case spec.ArgLong, spec.ArgInt:
		size := 8
		if kind == spec.ArgInt {
			size = 4
		}
		raw := &meta.raw
		if meta.helper.Name == "bpf_check_mtu" {
			raw = nil // it reads what it writes
		}
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
	} else if meta.helper.ArgWrites[i-1] {
		t = spec.Write
	}
	return env.checkSized(regno, r, t, zeroOK, raw)
}

// checkSized checks memory whose size is in the register regno, and its address in
// the one before it (check_mem_size_reg).
func (env *env) checkSized(regno isa.Register, r *RegState, t spec.Access, zeroOK bool, raw *rawMem) error {
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
		return env.checkMapValue(regno, int(r.Off), n, zeroOK, true)
	case base == PtrToMem:
		if r.Type&RdOnly != 0 && t == spec.Write {
			return env.reject(CodeReadOnly, "R%d cannot write into %s\n", regno, r.Type)
		}
		return env.checkRegion(regno, int(r.Off), n, int64(r.MemSize), zeroOK)
	case base == PtrToStack:
		return env.checkStackRange(regno, int64(r.Off), size, zeroOK, t == spec.Write, raw)
	case base == PtrToBuf:
		if r.Type&RdOnly != 0 && t == spec.Write {
			return env.reject(CodeReadOnly, "R%d cannot write into %s\n", regno, r.Type)
		}
		return env.checkBuffer(regno, int(r.Off), n)
	case base == PtrToBTFID:
		return env.checkBTFAccess(regno, int(r.Off), n, spec.Read, -1)
	case base == PtrToCtx && !env.ctxRewritten():
		if n == 0 {
			if zeroOK {
				return nil
			}
			return &rejection{code: CodeZeroSize}
		}
		return env.access(regno, n-1, 1, t, -1, false, false)
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
	if err := env.checkMapValue(regno, int(r.Off), int(r.Map.ValueSize)-int(r.Off), false, true); err != nil {
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

// wrongType says what a register is and what it should be.
func (env *env) wrongType(regno isa.Register, r *RegState, types []RegType) error {
	env.say("R%d type=%s expected=", regno, r.Type)
	for i, want := range types {
		if i > 0 {
			env.say(", ")
		}
		env.say("%s", want)
	}
	env.say("\n")
	return &rejection{code: CodeArgType}
}
