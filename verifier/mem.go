package verifier

import (
	"bpfvm/isa"
	"bpfvm/spec"
)

// checkLoad checks dst = *(size *)(src + off) (check_load_mem).
func (env *env) checkLoad(ins isa.Instruction) error {
	sx := ins.Op.Mode() == isa.ModeMEMSX
	if ins.Op.Mode() != isa.ModeMEM && !sx || ins.Imm != 0 || sx && ins.Op.Size() == isa.SizeDW {
		return env.reject(CodeReserved, "BPF_LDX uses reserved fields\n")
	}
	if err := env.readReg(ins.Src()); err != nil {
		return err
	}
	if err := env.writeReg(ins.Dst()); err != nil {
		return err
	}
	t := env.reg(ins.Src()).Type
	if err := env.access(ins.Src(), int(ins.Off), ins.Op.Size().Bytes(), spec.Read, int(ins.Dst()), false, sx); err != nil {
		return err
	}
	if d := env.reg(ins.Dst()); d.Type == Scalar && !d.consistent() {
		d.Bounds = unboundedBounds()
	}
	return env.samePointer(t, true)
}

// checkStore checks *(size *)(dst + off) = src (check_store_reg).
func (env *env) checkStore(ins isa.Instruction) error {
	if err := env.readReg(ins.Src()); err != nil {
		return err
	}
	if err := env.readReg(ins.Dst()); err != nil {
		return err
	}
	t := env.reg(ins.Dst()).Type
	if err := env.access(ins.Dst(), int(ins.Off), ins.Op.Size().Bytes(), spec.Write, int(ins.Src()), false, false); err != nil {
		return err
	}
	return env.samePointer(t, false)
}

func (env *env) checkStoreImm(ins isa.Instruction) error {
	if err := env.readReg(ins.Dst()); err != nil {
		return err
	}
	t := env.reg(ins.Dst()).Type
	if err := env.access(ins.Dst(), int(ins.Off), ins.Op.Size().Bytes(), spec.Write, -1, false, false); err != nil {
		return err
	}
	return env.samePointer(t, false)
}

// rewritten reports whether the kernel rewrites accesses through the pointer,
// so that the instruction cannot serve another kind (reg_type_mismatch_ok).
func rewritten(t RegType) bool {
	switch t.base() {
	case PtrToCtx, PtrToSocket, PtrToSockCommon, PtrToTCPSock, PtrToXDPSock, PtrToBTFID, PtrToArena:
		return true
	case PtrToMem:
		return t&(RdOnly|Untrusted) == RdOnly|Untrusted
	}
	return false
}

// probed reports whether loads through the pointer may be made safe against faults.
func probed(t RegType) bool {
	return t.base() == PtrToBTFID || t.base() == PtrToMem && t&(RdOnly|Untrusted) == RdOnly|Untrusted
}

// samePointer refuses an instruction that goes through different kinds of
// pointers on different paths (save_aux_ptr_type).
// Loads may have pointers of more and of less trust: then all count as untrusted.
func (env *env) samePointer(t RegType, load bool) error {
	aux := &env.aux[env.insnIdx]
	if aux.ptrType == NotInit {
		aux.ptrType = t
	} else if old := aux.ptrType; t != old && load && probed(t) && probed(old) {
		aux.ptrType = PtrToBTFID
		if t.base() == PtrToMem || old.base() == PtrToMem {
			aux.ptrType = PtrToMem
		}
		aux.ptrType |= (t | old) & (Untrusted | RdOnly)
	} else if t != aux.ptrType && (rewritten(t) || rewritten(aux.ptrType)) {
		return env.reject(CodeMixedPointers, "same insn cannot be used with different pointers\n")
	}
	return nil
}

// checkAligned demands natural alignment of stack accesses, and of all others in
// a program that asked for it (check_ptr_alignment).
func (env *env) checkAligned(r *RegState, off, size int, strict bool) error {
	const strictFlag = 1 << 0 // BPF_F_STRICT_ALIGNMENT
	strict = strict || env.prog.Flags&strictFlag != 0
	what := ""
	switch r.Type {
	case PtrToPacket, PtrToPacketMeta:
		// The headers before are two bytes off (NET_IP_ALIGN).
		const ipAlign = 2
		if strict && size > 1 && !r.VarOff.add(tnumConst(uint64(int64(ipAlign)+int64(r.Off)+int64(off)))).aligned(uint64(size)) {
			return env.reject(CodeMisaligned, "misaligned packet access off %d+%s+%d+%d size %d\n", ipAlign, r.VarOff, r.Off, off, size)
		}
		return nil
	case PtrToFlowKeys:
		what = "flow keys "
	case PtrToMapKey:
		what = "key "
	case PtrToMapValue:
		what = "value "
	case PtrToCtx:
		what = "context "
	case PtrToStack:
		what, strict = "stack ", true
	case PtrToSocket:
		what = "sock "
	case PtrToSockCommon:
		what = "sock_common "
	case PtrToTCPSock:
		what = "tcp_sock "
	case PtrToXDPSock:
		what = "xdp_sock "
	}
	if strict && size > 1 && !r.VarOff.add(tnumConst(uint64(int64(r.Off)+int64(off)))).aligned(uint64(size)) {
		return env.reject(CodeMisaligned, "misaligned %saccess off %s+%d+%d size %d\n", what, r.VarOff, r.Off, off, size)
	}
	return nil
}

// access checks a load or store of size bytes at regno+off. value is the
// register that is loaded or stored, -1 for none (check_mem_access).
func (env *env) access(regno isa.Register, off, size int, t spec.Access, value int, strict, sx bool) error {
	r := env.reg(regno)
	if err := env.checkAligned(r, off, size, strict); err != nil {
		return err
	}
	off += int(r.Off)
	env.noteAccess(r, off, size)
	load := t == spec.Read && value >= 0
	unknown := func() {
		if load {
			env.reg(isa.Register(value)).setUnknown()
		}
	}
	var err error
	switch base := r.Type.base(); {
	case r.Type == PtrToMapKey:
		if t == spec.Write {
			return env.reject(CodeReadOnly, "write to change key R%d not allowed\n", regno)
		}
		if err := env.checkRegion(regno, off, size, int64(r.Map.KeySize), false); err != nil {
			return err
		}
		unknown()
	case r.Type == PtrToMapValue:
		if err := env.checkMapFlags(r, off, size, t); err != nil {
			return err
		}
		if err := env.checkMapValue(regno, off, size, false, false); err != nil {
			return err
		}
		if f := env.kptrAt(r, off); f != nil {
			if err := env.accessKptr(f, value); err != nil {
				return err
			}
			break
		}
		if load {
			// Values that can never change are known now.
			if v, ok := constMapValue(r, off, size, sx); ok {
				env.reg(isa.Register(value)).setConst(v)
				return nil
			}
			unknown()
		}
	case base == PtrToMem:
		if r.Type.maybeNull() {
			return env.reject(codeOfPointer(r.Type), "R%d invalid mem access '%s'\n", regno, r.Type)
		}
		if t == spec.Write && r.Type&RdOnly != 0 {
			return env.reject(CodeReadOnly, "R%d cannot write into %s\n", regno, r.Type)
		}
		if r.Type&(RdOnly|Untrusted) != RdOnly|Untrusted { // else a fault reads as zero
			if err := env.checkRegion(regno, off, size, int64(r.MemSize), false); err != nil {
				return err
			}
		}
		unknown()
	case r.Type == PtrToCtx:
		if err := env.checkFixedOffset(r, regno, env.prog.Type == spec.ProgSyscall); err != nil {
			return err
		}
		reg, err := env.checkCtx(regno, off, size, t, sx)
		if err != nil {
			env.printLine(env.insnIdx, "; ")
			return err
		}
		if load {
			if reg.Type.maybeNull() && reg.ID == 0 {
				reg.ID = env.newID()
			}
			*env.reg(isa.Register(value)) = reg
		}
	case r.Type == PtrToStack:
		what := " read from"
		if t == spec.Write {
			what = " write to"
		}
		if err := env.checkStackBounds(regno, int64(off), int64(size), what); err != nil {
			return err
		}
		if t == spec.Read {
			err = env.loadStack(regno, off, size, value)
		} else {
			err = env.storeStack(regno, off, size, value)
		}
		if err != nil {
			return err
		}
	case r.Type.isPkt():
		if t == spec.Write && !env.packetAllowed(nil, spec.Write) {
			return env.reject(CodePacketWrite, "cannot write into packet\n")
		}
		if err := env.checkPacket(regno, off, size, false); err != nil {
			return err
		}
		unknown()
	case r.Type == PtrToFlowKeys:
		if off < 0 || off+size > flowKeysSize {
			return env.reject(CodeMemBounds, "invalid access to flow keys off=%d size=%d\n", off, size)
		}
		unknown()
	case r.Type.isSock() && !r.Type.maybeNull():
		if t == spec.Write {
			return env.reject(CodeReadOnly, "R%d cannot write into %s\n", regno, r.Type)
		}
		if err := env.checkSock(regno, off, size); err != nil {
			return err
		}
		unknown()
	case r.Type == PtrToTPBuffer:
		if err := env.checkBuffer(regno, off, size); err != nil {
			return err
		}
		unknown()
	case base == PtrToBTFID && !r.Type.maybeNull():
		if err := env.checkBTFAccess(regno, off, size, t, value); err != nil {
			return err
		}
	case r.Type == ConstPtrToMap:
		if err := env.checkMapFields(regno, off, size, t, value); err != nil {
			return err
		}
	case base == PtrToBuf && !r.Type.maybeNull():
		if r.Type&RdOnly != 0 && t == spec.Write {
			return env.reject(CodeReadOnly, "R%d cannot write into %s\n", regno, r.Type)
		}
		if err := env.checkBuffer(regno, off, size); err != nil {
			return err
		}
		unknown()
	case r.Type == PtrToArena:
		unknown()
	default:
		return env.reject(codeOfPointer(r.Type), "R%d invalid mem access '%s'\n", regno, r.Type)
	}
	if load && size < regSize {
		if d := env.reg(isa.Register(value)); d.Type == Scalar {
			if sx {
				d.signExtend64(size)
			} else {
				d.truncate(size)
			}
		}
	}
	return nil
}

// flowKeysSize is the size of struct bpf_flow_keys (include/uapi/linux/bpf.h).
const flowKeysSize = 56

// codeOfPointer tells apart why memory cannot be reached through a register.
func codeOfPointer(t RegType) Code {
	if t.maybeNull() {
		return CodeOrNullAccess
	}
	return CodeBadPointer
}

// inRegion reports whether an access lies within size bytes, and says how it
// does not (__check_mem_access).
func (env *env) inRegion(regno isa.Register, off int64, size int, mem int64, zeroOK bool) error {
	if off >= 0 && (size > 0 || size == 0 && zeroOK) && off+int64(size) <= mem {
		return nil
	}
	r := env.reg(regno)
	switch {
	case r.Type == PtrToMapKey:
		return env.reject(CodeMapBounds, "invalid access to map key, key_size=%d off=%d size=%d\n", mem, int32(off), size)
	case r.Type == PtrToMapValue:
		return env.reject(CodeMapBounds, "invalid access to map value, value_size=%d off=%d size=%d\n", mem, int32(off), size)
	case r.Type.isPktAny():
		return env.reject(CodePacketBounds, "invalid access to packet, off=%d size=%d, R%d(id=%d,off=%d,r=%d)\n",
			int32(off), size, regno, r.ID, int32(off), mem)
	}
	return env.reject(CodeMemBounds, "invalid access to memory, mem_size=%d off=%d size=%d\n", uint32(mem), int32(off), size)
}

// checkRegion checks an access at a variable offset: both ends must lie within
// (check_mem_region_access).
func (env *env) checkRegion(regno isa.Register, off, size int, mem int64, zeroOK bool) error {
	r := env.reg(regno)
	lo := int64(off) + r.SMin
	if r.SMin < 0 && (r.SMin == -1<<63 || lo != int64(int32(lo)) || lo < 0) {
		return env.reject(CodeNegativeIndex,
			"R%d min value is negative, either use unsigned index or do a if (index >=0) check.\n", regno)
	}
	if err := env.inRegion(regno, int64(int32(lo)), size, mem, zeroOK); err != nil {
		env.say("R%d min value is outside of the allowed memory range\n", regno)
		return err
	}
	if r.UMax >= maxVarOff {
		return env.reject(CodeUnbounded, "R%d unbounded memory access, make sure to bounds check any such access\n", regno)
	}
	if err := env.inRegion(regno, int64(int32(int64(r.UMax)+int64(off))), size, mem, zeroOK); err != nil {
		env.say("R%d max value is outside of the allowed memory range\n", regno)
		return err
	}
	return nil
}

// checkBuffer checks an access to a buffer of which only the kernel knows the size,
// and compares it when the program is attached (__check_buffer_access).
func (env *env) checkBuffer(regno isa.Register, off, size int) error {
	r := env.reg(regno)
	what := "rdwr"
	if r.Type == PtrToTPBuffer {
		what = "tracepoint"
	} else if r.Type&RdOnly != 0 {
		what = "rdonly"
	}
	if off < 0 {
		return env.reject(CodeMemBounds, "R%d invalid %s buffer access: off=%d, size=%d\n", regno, what, off, size)
	}
	if !r.VarOff.IsConst() || r.VarOff.Value != 0 {
		return env.reject(CodeMemBounds, "R%d invalid variable buffer offset: off=%d, var_off=%s\n", regno, off, r.VarOff)
	}
	return nil
}

// checkMapValue checks an access to a map's value, by an instruction or by a
// helper: within its size, and not to what belongs to the kernel
// (check_map_access).
func (env *env) checkMapValue(regno isa.Register, off, size int, zeroOK, helper bool) error {
	r := env.reg(regno)
	if err := env.checkRegion(regno, off, size, int64(r.Map.ValueSize), zeroOK); err != nil {
		return err
	}
	rec := env.mapRecord(r.Map)
	if rec == nil {
		return nil
	}
	for i := range rec.fields {
		f := &rec.fields[i]
		if r.SMin+int64(off) >= int64(f.off+f.size) || uint64(f.off) >= r.UMax+uint64(int64(off+size)) {
			continue
		}
		switch at := int64(off) + int64(r.VarOff.Value); {
		case !f.kind.isKptr():
			return env.reject(CodeSpecialField, "%s cannot be accessed directly by load/store\n", f.kind)
		case helper:
			return env.reject(CodeKptr, "%s cannot be accessed indirectly by helper\n", f.kind.pointerName())
		case !r.VarOff.IsConst():
			return env.reject(CodeKptr, "%s access cannot have variable offset\n", f.kind.pointerName())
		case at != int64(f.off):
			return env.reject(CodeKptr, "%s access misaligned expected=%d off=%d\n", f.kind.pointerName(), f.off, uint64(at))
		case size != regSize:
			return env.reject(CodeKptr, "%s access size must be BPF_DW\n", f.kind.pointerName())
		}
	}
	return nil
}

// checkMapFlags refuses what the map's flags forbid (check_map_access_type).
func (env *env) checkMapFlags(r *RegState, off, size int, t spec.Access) error {
	if t == spec.Write && r.Map.Flags&spec.MapRdOnlyProg != 0 {
		return env.reject(CodeReadOnly, "write into map forbidden, value_size=%d off=%d size=%d\n", r.Map.ValueSize, off, size)
	}
	if t == spec.Read && r.Map.Flags&spec.MapWrOnlyProg != 0 {
		return env.reject(CodeReadOnly, "read from map forbidden, value_size=%d off=%d size=%d\n", r.Map.ValueSize, off, size)
	}
	return nil
}

// constMapValue reads from a map that neither programs nor user space can change
// any more (bpf_map_direct_read).
func constMapValue(r *RegState, off, size int, sx bool) (uint64, bool) {
	b, ok := constMapBytes(r.Map)
	if !ok || !r.VarOff.IsConst() {
		return 0, false
	}
	at := off + int(int64(r.VarOff.Value))
	if at < 0 || at+size > int(r.Map.ValueSize) {
		return 0, false
	}
	var v uint64
	for i := size - 1; i >= 0; i-- {
		v <<= 8
		if at+i < len(b) {
			v |= uint64(b[at+i])
		}
	}
	if sx && size < 8 {
		n := 64 - 8*size
		v = uint64(int64(v<<n) >> n)
	}
	return v, true
}

// constMapBytes is the content of a map that is read-only and frozen
// (bpf_map_is_rdonly), which only arrays of one element tell.
func constMapBytes(m *spec.MapSpec) ([]byte, bool) {
	if m.Flags&spec.MapRdOnlyProg == 0 || !m.Frozen || m.Type != spec.MapArray || m.MaxEntries != 1 {
		return nil, false
	}
	for _, kv := range m.Contents {
		return kv.Value, true
	}
	return nil, true // never written: zero
}

// checkFixedOffset demands that a pointer was not changed, but for a constant
// where that is fine (__check_ptr_off_reg).
func (env *env) checkFixedOffset(r *RegState, regno isa.Register, fixedOK bool) error {
	switch {
	case r.Off < 0:
		return env.reject(CodeModifiedPtr, "negative offset %s ptr R%d off=%d disallowed\n", r.Type, regno, r.Off)
	case !fixedOK && r.Off != 0:
		return env.reject(CodeModifiedPtr, "dereference of modified %s ptr R%d off=%d disallowed\n", r.Type, regno, r.Off)
	case !r.VarOff.IsConst() || r.VarOff.Value != 0:
		return env.reject(CodeModifiedPtr, "variable %s access var_off=%s disallowed\n", r.Type, r.VarOff)
	}
	return nil
}

// checkAtomic checks read-modify-write instructions, load-acquire and
// store-release (check_atomic).
func (env *env) checkAtomic(ins isa.Instruction) error {
	op := isa.AtomicOp(ins.Imm)
	switch op {
	case isa.AtomicLoadAcq:
		return env.checkLoadAcquire(ins)
	case isa.AtomicStoreRel:
		return env.checkStoreRelease(ins)
	}
	switch op &^ isa.AtomicFetch {
	case isa.AtomicAdd, isa.AtomicOr, isa.AtomicAnd, isa.AtomicXor:
	default:
		if op != isa.AtomicXchg && op != isa.AtomicCmpXchg {
			return env.reject(CodeBadOpcode, "BPF_ATOMIC uses invalid atomic opcode %02x\n", uint32(ins.Imm))
		}
	}
	if ins.Op.Size() != isa.SizeW && ins.Op.Size() != isa.SizeDW {
		return env.reject(CodeBadOpcode, "invalid atomic operand size\n")
	}
	if err := env.readReg(ins.Src()); err != nil {
		return err
	}
	if err := env.readReg(ins.Dst()); err != nil {
		return err
	}
	if op == isa.AtomicCmpXchg {
		if err := env.readReg(isa.R0); err != nil {
			return err
		}
	}
	if err := env.atomicTarget(ins.Dst()); err != nil {
		return err
	}
	size := ins.Op.Size().Bytes()
	t := env.reg(ins.Dst()).Type
	load := -1
	if op&isa.AtomicFetch != 0 {
		load = int(ins.Src())
		if op == isa.AtomicCmpXchg {
			load = int(isa.R0)
		}
		if err := env.defineReg(isa.Register(load)); err != nil {
			return err
		}
	}
	// Reading, then (when the old value is wanted) reading it, then writing.
	if err := env.access(ins.Dst(), int(ins.Off), size, spec.Read, -1, true, false); err != nil {
		return err
	}
	if load >= 0 {
		if err := env.access(ins.Dst(), int(ins.Off), size, spec.Read, load, true, false); err != nil {
			return err
		}
	}
	if err := env.samePointer(t, false); err != nil {
		return err
	}
	return env.access(ins.Dst(), int(ins.Off), size, spec.Write, -1, true, false)
}

// atomicTarget refuses memory that atomics cannot reach (atomic_ptr_type_ok).
func (env *env) atomicTarget(regno isa.Register) error {
	switch t := env.reg(regno).Type; {
	case t.base() == PtrToCtx, t.isPkt(), t.base() == PtrToFlowKeys, t.isSock():
		return env.reject(CodeAtomicTarget, "BPF_ATOMIC stores into R%d %s is not allowed\n", regno, t)
	}
	return nil
}

func (env *env) checkLoadAcquire(ins isa.Instruction) error {
	if err := env.readReg(ins.Src()); err != nil {
		return err
	}
	if err := env.writeReg(ins.Dst()); err != nil {
		return err
	}
	switch t := env.reg(ins.Src()).Type; {
	case t.base() == PtrToCtx, t.isPkt(), t.base() == PtrToFlowKeys, t.isSock():
		return env.reject(CodeAtomicTarget, "BPF_ATOMIC loads from R%d %s is not allowed\n", ins.Src(), t)
	}
	t := env.reg(ins.Src()).Type
	if err := env.access(ins.Src(), int(ins.Off), ins.Op.Size().Bytes(), spec.Read, int(ins.Dst()), true, false); err != nil {
		return err
	}
	return env.samePointer(t, false)
}

func (env *env) checkStoreRelease(ins isa.Instruction) error {
	if err := env.readReg(ins.Src()); err != nil {
		return err
	}
	if err := env.readReg(ins.Dst()); err != nil {
		return err
	}
	if err := env.atomicTarget(ins.Dst()); err != nil {
		return err
	}
	t := env.reg(ins.Dst()).Type
	if err := env.access(ins.Dst(), int(ins.Off), ins.Op.Size().Bytes(), spec.Write, int(ins.Src()), true, false); err != nil {
		return err
	}
	return env.samePointer(t, false)
}
