package verifier

import (
	"bpfvm/isa"
)

// Kernel pointers in map values: loads give a pointer that is alive while RCU says
// so or that nobody trusts; those that own a reference change by bpf_kptr_xchg only.

func (k fieldKind) pointerName() string {
	if k == fieldUptr {
		return "uptr"
	}
	return "kptr"
}

// kptrAt returns the kernel pointer that an access to a map's value hits, or nil.
func (env *env) kptrAt(r *RegState, off int) *specialField {
	if !r.VarOff.IsConst() {
		return nil
	}
	return env.mapRecord(r.Map).find(off+int(int64(r.VarOff.Value)), fieldKptrUnref, fieldKptrRef, fieldKptrPerCPU, fieldUptr)
}

// accessKptr checks a load or store of a kernel pointer; value is the register
// (check_map_kptr_access).
func (env *env) accessKptr(f *specialField, value int) error {
	ins := env.insns[env.insnIdx]
	reject := func(format string, args ...any) error { return env.reject(CodeKptr, format, args...) }
	class := ins.Op.Class()
	if ins.Op.Mode() != isa.ModeMEM {
		return reject("kptr in map can only be accessed using BPF_MEM instruction mode\n")
	}
	if class != isa.ClassLDX {
		switch f.kind {
		case fieldKptrRef, fieldKptrPerCPU:
			return reject("store to referenced kptr disallowed\n")
		case fieldUptr:
			return reject("store to uptr disallowed\n")
		}
	}
	switch class {
	case isa.ClassLDX:
		d := env.reg(isa.Register(value))
		if f.kind == fieldUptr {
			size := uint32(0)
			if _, n, ok := members(f.target); ok {
				size = n
			}
			d.setPointer(PtrToMem | MaybeNull)
			d.MemSize, d.ID = size, env.newID()
			return nil
		}
		d.setBTF(PtrToBTFID|env.kptrFlags(f), f.target, f.local)
		d.ID = env.newID()
	case isa.ClassSTX:
		v := env.reg(isa.Register(value))
		if v.isNull() {
			return env.markPrecise(value)
		}
		return env.matchKptr(f, v, isa.Register(value))
	default:
		if ins.Imm != 0 {
			return reject("BPF_ST imm must be 0 when storing to kptr at off=%d\n", f.off)
		}
	}
	return nil
}

// rcuTypes are structures of which the kernel frees objects after an RCU grace
// period (rcu_protected_types).
var rcuTypes = map[string]bool{
	"prog_test_ref_kfunc": true, "cgroup": true, "bpf_cpumask": true, "task_struct": true, "bpf_crypto_ctx": true,
}

// kptrFlags are the flags of a loaded kernel pointer (btf_ld_kptr_type).
func (env *env) kptrFlags(f *specialField) RegType {
	safe := f.kind == fieldKptrPerCPU || f.kind == fieldKptrRef && (f.local || rcuTypes[typeName(f.target)])
	if !safe || !env.inRCU() {
		return MaybeNull | Untrusted
	}
	t := MaybeNull | MemRCU
	switch {
	case f.kind == fieldKptrPerCPU:
		t |= MemPerCPU
	case f.local:
		t |= MemAlloc
	}
	if f.local && env.recordOf(f.target).has(fieldListNode, fieldRBNode) {
		t |= NonOwnRef
	}
	return t
}

// matchKptr checks that a register may be stored into the field
// (map_kptr_match_type).
func (env *env) matchKptr(f *specialField, r *RegState, regno isa.Register) error {
	name := ""
	ok := r.Type.base() == PtrToBTFID
	if ok {
		var perm RegType
		if !r.Local {
			perm = MaybeNull | Trusted | MemRCU
			if f.kind == fieldKptrUnref {
				perm |= Untrusted
			}
		} else {
			perm = MaybeNull | MemAlloc
			if f.kind == fieldKptrPerCPU {
				perm |= MemPerCPU
			}
		}
		ok = r.Type&^(baseMask|perm) == 0
	}
	if ok {
		name = typeName(r.BTF)
		if err := env.checkFixedOffset(r, regno, true); err != nil {
			return err
		}
		ok = env.sameStruct(r.BTF, int(r.Off), f.target, f.kind != fieldKptrUnref, r.Type&MemAlloc == 0)
	}
	if ok {
		return nil
	}
	env.say("invalid kptr access, R%d type=%s%s expected=%s%s", regno, r.Type, name, PtrToBTFID, typeName(f.target))
	if f.kind == fieldKptrUnref {
		env.say(" or %s%s", PtrToBTFID|Untrusted, typeName(f.target))
	}
	env.say("\n")
	return &rejection{code: CodeKptr}
}

// xchgTarget checks the place that bpf_kptr_xchg exchanges (process_kptr_func).
func (env *env) xchgTarget(meta *callMeta, r *RegState, regno isa.Register) error {
	reject := func(format string, args ...any) error { return env.reject(CodeKptr, format, args...) }
	if r.Type.base() == PtrToMapValue {
		if r.Map.ValueTypeID == 0 || len(env.opts.BTF) == 0 {
			return reject("map '%s' has to have BTF in order to use bpf_kptr_xchg\n", mapLogName(r.Map))
		}
		meta.m = r.Map
	}
	rec := env.regRecord(r)
	if !r.VarOff.IsConst() {
		return reject("R%d doesn't have constant offset. kptr has to be at the constant offset\n", regno)
	}
	kinds := []fieldKind{fieldKptrUnref, fieldKptrRef, fieldKptrPerCPU}
	if !rec.has(kinds...) {
		return reject("R%d has no valid kptr\n", regno)
	}
	off := int(r.Off) + int(int64(r.VarOff.Value))
	f := rec.find(off, kinds...)
	if f == nil {
		return reject("off=%d doesn't point to kptr\n", off)
	}
	if f.kind == fieldKptrUnref {
		return reject("off=%d kptr isn't referenced kptr\n", off)
	}
	meta.kptr = f
	return nil
}

// mayHoldLock reports whether the object behind the register has a spin lock, so
// that it must be told apart from others (reg_may_point_to_spin_lock).
func (env *env) mayHoldLock(r *RegState) bool {
	return env.regRecord(r).has(fieldSpinLock, fieldResSpinLock)
}
