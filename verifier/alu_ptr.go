package verifier

import (
	"math"
	"math/bits"

	"bpfvm/isa"
)

// saneOffset refuses offsets with which later sums could overflow
// (check_reg_sane_offset).
func (env *env) saneOffset(r *RegState, t RegType) error {
	v := int64(r.VarOff.Value)
	switch {
	case r.VarOff.IsConst() && (v >= maxVarOff || v <= -maxVarOff):
		return env.reject(CodePtrOffset, "math between %s pointer and %d is not allowed\n", t, v)
	case r.Off >= maxVarOff || r.Off <= -maxVarOff:
		return env.reject(CodePtrOffset, "%s pointer offset %d is not allowed\n", t, r.Off)
	case r.SMin == math.MinInt64:
		return env.reject(CodePtrUnbounded, "math between %s pointer and register with unbounded min value is not allowed\n", t)
	case r.SMin >= maxVarOff || r.SMin <= -maxVarOff:
		return env.reject(CodePtrOffset, "value %d makes %s pointer be out of bounds\n", r.SMin, t)
	}
	return nil
}

// adjustPointer computes pointer ± number into d, which was the pointer itself
// when dstIsPtr (adjust_ptr_min_max_vals). A known number goes into the fixed
// part of the offset, any other into the variable part.
func (env *env) adjustPointer(ins isa.Instruction, d, ptr, off *RegState, dstIsPtr bool) error {
	code := ins.Op.Code()
	known := off.VarOff.IsConst()
	if known && (off.SMin != off.SMax || off.UMin != off.UMax) || off.SMin > off.SMax || off.UMin > off.UMax {
		d.setUnknown() // the bounds contradict each other: no value comes here
		return nil
	}
	if ins.Op.Class() != isa.ClassALU64 {
		if code == isa.CodeSub {
			d.setUnknown() // half of a pointer is a number
			return nil
		}
		return env.reject(CodePtr32, "R%d 32-bit pointer arithmetic prohibited\n", ins.Dst())
	}
	if ptr.Type.maybeNull() {
		return env.reject(CodePtrOrNullArith, "R%d pointer arithmetic on %s prohibited, null-check it first\n", ins.Dst(), ptr.Type)
	}
	if ptr.Type.base() == PtrToMem && ptr.Type&Untrusted != 0 {
		return nil // loads through it cannot fault, wherever it points
	}
	allowed := true
	switch ptr.Type.base() {
	case PtrToCtx, PtrToMapValue, PtrToMapKey, PtrToStack, PtrToPacketMeta, PtrToPacket,
		PtrToTPBuffer, PtrToBTFID, PtrToMem, PtrToBuf, PtrToFunc, PtrToDynptr:
	case PtrToFlowKeys:
		allowed = known
	case ConstPtrToMap:
		// Added zero stays the map; clang makes such code.
		allowed = known && off.SMin == 0 && code == isa.CodeAdd
	default:
		allowed = false
	}
	if !allowed {
		return env.reject(CodePtrArith, "R%d pointer arithmetic on %s prohibited\n", ins.Dst(), ptr.Type)
	}
	if !dstIsPtr {
		d.Type, d.ID = ptr.Type, ptr.ID
		d.RefObjID, d.Frame, d.Range = 0, 0, 0
		d.MemSize, d.Subprog, d.Map, d.MapUID, d.BTF, d.Local = 0, 0, nil, 0, nil, false
		d.Precise = false
		raw(d, ptr)
		d.RefObjID = ptr.RefObjID
	}
	if err := env.saneOffset(off, ptr.Type); err != nil {
		return err
	}
	if err := env.saneOffset(ptr, ptr.Type); err != nil {
		return err
	}
	d.unbound32()
	switch code {
	case isa.CodeAdd:
		if sum := int64(ptr.Off) + off.SMin; known && sum == int64(int32(sum)) {
			set64(d, &ptr.Bounds)
			d.Off = int32(sum)
			raw(d, ptr)
			break
		}
		b := ptr.Bounds
		b.add(&off.Bounds)
		// Unlike for numbers the interval is lost as soon as an end overflows.
		if _, c := bits.Add64(ptr.UMax, off.UMax, 0); c != 0 {
			b.UMin, b.UMax = 0, math.MaxUint64
		}
		set64(d, &b)
		d.VarOff = ptr.VarOff.add(off.VarOff)
		d.Off = ptr.Off
		raw(d, ptr)
		if ptr.Type.isPkt() {
			// The variable part is new, so nothing is proven of it.
			d.ID = env.newID()
			d.Range = 0
		}
	case isa.CodeSub:
		if !dstIsPtr {
			return env.reject(CodePtrArith, "R%d tried to subtract pointer from scalar\n", ins.Dst())
		}
		if ptr.Type == PtrToStack {
			return env.reject(CodePtrArith, "R%d subtraction from stack pointer prohibited\n", ins.Dst())
		}
		if diff := int64(ptr.Off) - off.SMin; known && diff == int64(int32(diff)) {
			set64(d, &ptr.Bounds)
			d.ID = ptr.ID
			d.Off = int32(diff)
			raw(d, ptr)
			break
		}
		b := ptr.Bounds
		b.sub(&off.Bounds)
		if ptr.UMin < off.UMax {
			b.UMin, b.UMax = 0, math.MaxUint64
		}
		set64(d, &b)
		d.VarOff = ptr.VarOff.sub(off.VarOff)
		d.Off = ptr.Off
		raw(d, ptr)
		if ptr.Type.isPkt() {
			d.ID = env.newID()
			if off.SMin < 0 {
				d.Range = 0 // something was added
			}
		}
	case isa.CodeAnd, isa.CodeOr, isa.CodeXor:
		return env.reject(CodePtrArith, "R%d bitwise operator %s on pointer prohibited\n", ins.Dst(), aluSymbol(code))
	default:
		return env.reject(CodePtrArith, "R%d pointer arithmetic with %s operator prohibited\n", ins.Dst(), aluSymbol(code))
	}
	if err := env.saneOffset(d, ptr.Type); err != nil {
		return err
	}
	d.sync()
	return nil
}

// set64 takes over the 64-bit intervals and the bits; the 32-bit intervals of a
// pointer's offset are found anew.
func set64(d *RegState, b *Bounds) {
	d.SMin, d.SMax, d.UMin, d.UMax, d.VarOff = b.SMin, b.SMax, b.UMin, b.UMax, b.VarOff
}

// raw takes over what belongs to the pointer's type (the union in struct
// bpf_reg_state).
func raw(d, ptr *RegState) {
	d.Range, d.MemSize, d.Subprog, d.Map, d.MapUID, d.Frame = ptr.Range, ptr.MemSize, ptr.Subprog, ptr.Map, ptr.MapUID, ptr.Frame
	d.BTF, d.Local, d.First, d.Dynptr, d.DynptrID = ptr.BTF, ptr.Local, ptr.First, ptr.Dynptr, ptr.DynptrID
}
