package verifier

import (
	"bpfvm/isa"
	"bpfvm/spec"
)

// A dynptr is memory of a size that is known at run time only, held in two slots of
// the stack that only helpers touch. Slices of it are memory of a known size; they
// end with the dynptr.

// DynptrKind is what a dynptr's memory is (enum bpf_dynptr_type).
type DynptrKind uint8

// Kinds of dynptrs.
const (
	DynptrNone DynptrKind = iota
	DynptrOfLocal
	DynptrOfRingBuf
	DynptrOfSKB
	DynptrOfXDP
	DynptrOfSKBMeta
)

var dynptrNames = [...]string{"<invalid>", "local", "ringbuf", "skb", "xdp", "skb_meta"}

// String is the name that the log uses (dynptr_type_str).
func (k DynptrKind) String() string { return dynptrNames[k] }

// counted reports whether the dynptr must be given back.
func (k DynptrKind) counted() bool { return k == DynptrOfRingBuf }

// sliceFlag marks slices of packets, which end when the packet moves
// (get_dynptr_type_flag).
func (k DynptrKind) sliceFlag() RegType {
	switch k {
	case DynptrOfSKB, DynptrOfSKBMeta:
		return DynptrSKB
	case DynptrOfXDP:
		return DynptrXDP
	}
	return 0
}

// dynptrSlots is how many slots a dynptr takes (BPF_DYNPTR_NR_SLOTS).
const dynptrSlots = 2

// objectAt returns the slot that a pointer to an object of n slots means, the one
// of its lowest address; -1 with a text said if it means none, -2 if the frame does
// not reach there yet (stack_slot_obj_get_spi).
func (env *env) objectAt(r *RegState, what string, n int) int {
	if !r.VarOff.IsConst() {
		env.say("%s has to be at a constant offset\n", what)
		return -1
	}
	off := int(r.Off) + int(int64(r.VarOff.Value))
	if off%regSize != 0 {
		env.say("cannot pass in %s at an offset=%d\n", what, off)
		return -1
	}
	spi := (-off - 1) / regSize
	// For R10 itself the kernel's division gives the slot below it, so that 6.18 takes
	// fp+0 for fp-8 where the object is one slot large; the function would then be
	// given memory outside of the frame, so this is refused here.
	if off >= 0 || spi+1 < n {
		env.say("cannot pass in %s at an offset=%d\n", what, off)
		return -1
	}
	if spi >= len(env.cur.Frames[r.Frame].Stack) {
		return -2
	}
	return spi
}

func (env *env) dynptrAt(r *RegState) int { return env.objectAt(r, "dynptr", dynptrSlots) }

// dynptrState is the state behind a register that points to a dynptr, or is one;
// nil if there is none.
func (env *env) dynptrState(r *RegState) *RegState {
	if r.Type == PtrToDynptr {
		return r
	}
	if r.Type != PtrToStack {
		return nil
	}
	spi := env.dynptrAt(r)
	if spi < 0 {
		return nil
	}
	stack := env.cur.Frames[r.Frame].Stack
	first := &stack[spi]
	if !first.Spilled.First || first.Type != ([regSize]SlotType{SlotDynptr, SlotDynptr, SlotDynptr, SlotDynptr, SlotDynptr, SlotDynptr, SlotDynptr, SlotDynptr}) ||
		stack[spi-1].Type != first.Type {
		return nil
	}
	return &first.Spilled
}

// setDynptr makes r the state of one slot of a dynptr.
func (r *RegState) setDynptr(k DynptrKind, first bool, id uint32) {
	r.setPointer(PtrToDynptr)
	r.ID, r.Dynptr, r.First = id, k, first
}

// makeDynptr builds a dynptr in two slots (the uninit part of process_dynptr_func,
// mark_stack_slots_dynptr). ref is the reference that it shares with the dynptr that
// it is a copy of, 0 for none.
func (env *env) makeDynptr(regno isa.Register, k DynptrKind, ref uint32) error {
	r := env.reg(regno)
	if r.Type == PtrToDynptr || env.dynptrAt(r) == -1 {
		return env.reject(CodeDynptr, "Dynptr has to be an uninitialized dynptr\n")
	}
	for i := range dynptrSlots {
		if err := env.access(regno, i*regSize, regSize, spec.Write, -1, false, false); err != nil {
			return err
		}
	}
	f := env.cur.Frames[r.Frame]
	spi := env.dynptrAt(r)
	if spi < 0 {
		return &rejection{code: CodeDynptr}
	}
	for _, i := range [...]int{spi, spi - 1} {
		if err := env.destroyDynptr(f, i); err != nil {
			return err
		}
	}
	id := env.newID()
	for i := range dynptrSlots {
		s := &f.Stack[spi-i]
		for j := range s.Type {
			s.Type[j] = SlotDynptr
		}
		s.Spilled.setDynptr(k, i == 0, id)
	}
	if k.counted() {
		if ref == 0 {
			ref = env.acquire()
		}
		f.Stack[spi].Spilled.RefObjID, f.Stack[spi-1].Spilled.RefObjID = ref, ref
	}
	return nil
}

// useDynptr checks a dynptr that is there already (the rest of
// process_dynptr_func). mutates says that the callee may change it.
func (env *env) useDynptr(regno isa.Register, mutates bool, want DynptrKind) (*RegState, error) {
	r := env.reg(regno)
	if r.Type == PtrToDynptr && mutates {
		return nil, env.reject(CodeDynptr, "cannot pass pointer to const bpf_dynptr, the helper mutates it\n")
	}
	d := env.dynptrState(r)
	if d == nil {
		return nil, env.reject(CodeDynptr, "Expected an initialized dynptr as arg #%d\n", regno-1)
	}
	if want != DynptrNone && d.Dynptr != want {
		return nil, env.reject(CodeDynptr, "Expected a dynptr of type %s as arg #%d\n", want, regno-1)
	}
	if r.Type == PtrToStack {
		spi := env.dynptrAt(r)
		env.markStackRead(int(r.Frame), spi)
		env.markStackRead(int(r.Frame), spi-1)
		env.scratchSlot(spi)
		env.scratchSlot(spi - 1)
	}
	return d, nil
}

// dynptrArg checks the register as one that leads to a dynptr.
func (env *env) dynptrArg(regno isa.Register) error {
	if t := env.reg(regno).Type; t != PtrToStack && t != PtrToDynptr {
		return env.reject(CodeDynptr, "arg#%d expected pointer to stack or const struct bpf_dynptr\n", regno-1)
	}
	return nil
}

// clearDynptr makes both slots free.
func (env *env) clearDynptr(f *FuncState, spi int) {
	for i := range dynptrSlots {
		f.Stack[spi-i] = StackSlot{Spilled: notInitReg()}
		env.scratchSlot(spi - i)
		env.markStackWrite(f.FrameNo, spi-i)
	}
}

// destroyDynptr ends the dynptr that a slot is part of, because it is overwritten
// (destroy_if_dynptr_stack_slot).
func (env *env) destroyDynptr(f *FuncState, spi int) error {
	s := &f.Stack[spi]
	if s.Type[0] != SlotDynptr {
		return nil
	}
	if !s.Spilled.First {
		spi++
	}
	d := f.Stack[spi].Spilled
	if d.Dynptr.counted() {
		return env.reject(CodeDynptr, "cannot overwrite referenced dynptr\n")
	}
	env.clearDynptr(f, spi)
	env.cur.regs(func(_ *FuncState, r *RegState) {
		if r.Type&^MaybeNull == PtrToMem && r.DynptrID == d.ID {
			*r = unknownScalar()
		}
	})
	return nil
}

// releaseDynptr gives the dynptr's memory back: its copies and slices end with it
// (unmark_stack_slots_dynptr).
func (env *env) releaseDynptr(regno isa.Register) error {
	r := env.reg(regno)
	spi := env.dynptrAt(r)
	if spi < 0 {
		return &rejection{code: CodeDynptr}
	}
	f := env.cur.Frames[r.Frame]
	d := f.Stack[spi].Spilled
	if !d.Dynptr.counted() {
		env.clearDynptr(f, spi)
		return nil
	}
	ref := d.RefObjID
	env.releaseAll(ref)
	for i := 1; i < len(f.Stack); i++ {
		if s := &f.Stack[i]; s.Type[0] == SlotDynptr && s.Spilled.RefObjID == ref && s.Spilled.First {
			env.clearDynptr(f, i)
		}
	}
	return nil
}
