package verifier

import (
	"math/bits"

	"bpfvm/isa"
)

// regWidth is the number of bits that the value may need (get_reg_width).
func regWidth(r *RegState) int { return bits.Len64(r.UMax) }

// assignIDBeforeCopy gives a scalar an id that its copy will share, so that a
// branch on one refines the other (assign_scalar_id_before_mov).
func (env *env) assignIDBeforeCopy(r *RegState) {
	if r.Type != Scalar {
		return
	}
	if r.ID&addConst != 0 {
		// The copy would be the same constant away from others; the kernel
		// starts anew instead.
		r.clearID()
	}
	if r.ID == 0 && !r.VarOff.IsConst() {
		r.ID = env.newID()
	}
}

// checkStackBounds makes sure that an access lies within the frame's 512 bytes
// and that the frame has slots for it (check_stack_access_within_bounds).
func (env *env) checkStackBounds(regno isa.Register, off int64, size int64, what string) error {
	r := env.reg(regno)
	f := env.cur.Frames[r.Frame]
	var lo, hi int64
	if r.VarOff.IsConst() {
		lo = int64(r.VarOff.Value) + off
		hi = lo + size
	} else {
		if r.SMax >= maxVarOff || r.SMin <= -maxVarOff {
			return env.reject(CodeStackBounds, "invalid unbounded variable-offset%s stack R%d\n", what, regno)
		}
		lo = r.SMin + off
		hi = r.SMax + off + size
	}
	if lo < -maxStack || lo > -1 || hi > 0 || size < 0 {
		if r.VarOff.IsConst() {
			env.say("invalid%s stack R%d off=%d size=%d\n", what, regno, off, size)
		} else {
			env.say("invalid variable-offset%s stack R%d var_off=%s off=%d size=%d\n", what, regno, r.VarOff, off, size)
		}
		if lo >= -maxStack && lo <= -1 {
			return &rejection{code: CodeStackBounds, errno: eInval} // only its end is outside
		}
		return &rejection{code: CodeStackBounds}
	}
	f.grow(env, int(-lo))
	return nil
}

// storeStack is a store through a stack pointer; value is -1 for an immediate
// (check_stack_write).
func (env *env) storeStack(regno isa.Register, off, size int, value int) error {
	r := env.reg(regno)
	f := env.cur.Frames[r.Frame]
	if !r.VarOff.IsConst() {
		return env.storeStackVar(f, r, off, size, value)
	}
	return env.storeStackFixed(f, off+int(int64(r.VarOff.Value)), size, value)
}

func (env *env) storeStackFixed(f *FuncState, off, size int, value int) error {
	slot := -off - 1
	spi := slot / regSize
	s := &f.Stack[spi]
	ins := env.insns[env.insnIdx]
	immStore := ins.Op.Class() == isa.ClassST && ins.Op.Mode() == isa.ModeMEM
	cur := env.cur.cur()
	var reg *RegState
	if value >= 0 {
		reg = &cur.Regs[value]
	}
	if err := env.destroyDynptr(f, spi); err != nil {
		return err
	}
	env.scratchSlot(spi)
	if size == regSize {
		env.markStackWrite(f.FrameNo, spi)
	}
	save := func(r *RegState) {
		s.Spilled = *r
		for i := range s.Type {
			switch {
			case i >= regSize-size:
				s.Type[i] = SlotSpill
			case s.Type[i] != SlotInvalid && s.Type[i] != SlotZero:
				// The rest of a spilled register is a number now; what was
				// zero or never written stays so (mark_stack_slot_misc).
				s.Type[i] = SlotMisc
			}
		}
	}
	switch {
	case reg != nil && off%regSize == 0 && reg.Type == Scalar:
		fits := regWidth(reg) <= 8*size
		if fits {
			env.assignIDBeforeCopy(reg)
		}
		save(reg)
		if !fits {
			s.Spilled.ID = 0
		}
	case reg == nil && off%regSize == 0 && immStore:
		r := constScalar(uint64(int64(ins.Imm)))
		save(&r)
	case reg != nil && reg.Type.spillable():
		if size != regSize {
			env.printLine(env.insnIdx, "; ")
			return env.reject(CodePartialSpill, "invalid size of register spill\n")
		}
		if f != cur && reg.Type == PtrToStack {
			return env.reject(CodeStackOfCaller, "cannot spill pointers to stack into stack frame of the caller\n")
		}
		save(reg)
	default:
		t := SlotMisc
		s.Spilled.Type = NotInit
		// A slot that held a register becomes numbers, but not those bytes that
		// were never written.
		if s.isSpecial() {
			for i := range s.Type {
				if s.Type[i] != SlotInvalid {
					s.Type[i] = SlotMisc
				}
			}
		}
		if reg != nil && reg.isNull() || reg == nil && immStore && ins.Imm == 0 {
			// Zero bytes are compared exactly, so what made them matters.
			if err := env.markPrecise(value); err != nil {
				return err
			}
			t = SlotZero
		}
		for i := range size {
			s.Type[(slot-i)%regSize] = t
		}
		return nil
	}
	env.pushHistory(jump{stack: true, frame: int8(f.FrameNo), spi: int8(spi)})
	return nil
}

// storeStackVar is a store at an offset of which only bounds are known: every
// byte within them may have been written (check_stack_write_var_off).
func (env *env) storeStackVar(f *FuncState, ptr *RegState, off, size int, value int) error {
	lo, hi := int(ptr.SMin)+off, int(ptr.SMax)+off+size
	ins := env.insns[env.insnIdx]
	var reg *RegState
	if value >= 0 {
		reg = &env.cur.cur().Regs[value]
	}
	for i := lo; i < hi; i++ {
		if err := env.destroyDynptr(f, (-i-1)/regSize); err != nil {
			return err
		}
	}
	zero := reg != nil && reg.isNull() || reg == nil && ins.Op.Class() == isa.ClassST && ins.Imm == 0
	zeroUsed := false
	for i := lo; i < hi; i++ {
		slot := -i - 1
		spi := slot / regSize
		s := &f.Stack[spi]
		env.scratchSlot(spi)
		t := &s.Type[slot%regSize]
		if zero && *t == SlotSpill && s.isSpilledScalar() && s.Spilled.VarOff == tnumZero {
			zeroUsed = true
			continue
		}
		spilled := s.isSpilled()
		s.Spilled.Type = NotInit
		if spilled {
			for j := range s.Type {
				if s.Type[j] == SlotSpill {
					s.Type[j] = SlotMisc
				}
			}
		}
		if zero && *t == SlotZero {
			zeroUsed = true
			continue
		}
		*t = SlotMisc
	}
	if zeroUsed {
		return env.markPrecise(value)
	}
	return nil
}

// loadStack is a load through a stack pointer; dst is -1 when only the access
// counts (check_stack_read).
func (env *env) loadStack(regno isa.Register, off, size int, dst int) error {
	r := env.reg(regno)
	f := env.cur.Frames[r.Frame]
	if r.VarOff.IsConst() {
		return env.loadStackFixed(f, off+int(int64(r.VarOff.Value)), size, dst)
	}
	if dst < 0 {
		return env.reject(CodeStackBounds, "variable offset stack pointer cannot be passed into helper function; var_off=%s off=%d size=%d\n",
			r.VarOff, off, size)
	}
	lo, hi := int(r.SMin)+off, int(r.SMax)+off+size
	if err := env.checkStackRange(regno, int64(off), int64(size), false, false, nil); err != nil {
		return err
	}
	env.fillFromBytes(f, lo, hi, dst)
	return nil
}

// fillFromBytes makes dst zero when all bytes are, else unknown
// (mark_reg_stack_read).
func (env *env) fillFromBytes(f *FuncState, lo, hi, dst int) {
	zeros := 0
	for i := lo; i < hi; i++ {
		slot := -i - 1
		env.scratchSlot(slot / regSize)
		if f.Stack[slot/regSize].Type[slot%regSize] != SlotZero {
			break
		}
		zeros++
	}
	d := env.reg(isa.Register(dst))
	if zeros == hi-lo {
		// Zero bytes are compared exactly when states are, so the zero is as
		// precise as if it had been (__mark_reg_const_zero).
		d.setConst(0)
		d.Precise = false
	} else {
		d.setUnknown()
	}
}

func (env *env) loadStackFixed(f *FuncState, off, size int, dst int) error {
	slot := -off - 1
	spi := slot / regSize
	s := &f.Stack[spi]
	env.scratchSlot(spi)
	env.markStackRead(f.FrameNo, spi)
	spilledRead := true
	if !s.isSpilled() {
		for i := range size {
			switch s.Type[((slot-i)%regSize+regSize)%regSize] {
			case SlotDynptr, SlotIter, SlotIRQ:
				return env.reject(CodeStackBounds, "invalid read from stack off %d+%d size %d\n", off, i, size)
			}
		}
		// Bytes that were never written may be read with CAP_PERFMON, which every
		// program here is taken to have (env->allow_uninit_stack).
		if dst >= 0 {
			env.fillFromBytes(f, off, off+size, dst)
		}
		return nil
	}
	spillSize := 1
	for i := regSize - 1; i > 0 && s.Type[i-1] == SlotSpill; i-- {
		spillSize++
	}
	if size == regSize && spillSize == regSize {
		if dst >= 0 {
			env.cur.cur().Regs[dst] = s.Spilled
		}
		env.pushHistory(jump{stack: true, frame: int8(f.FrameNo), spi: int8(spi)})
		return nil
	}
	if s.Spilled.Type != Scalar {
		env.printLine(env.insnIdx, "; ")
		return env.reject(CodePartialSpill, "invalid size of register fill\n")
	}
	if dst < 0 {
		return nil
	}
	d := env.reg(isa.Register(dst))
	if size <= spillSize && off%regSize == 0 {
		// The low bytes of the spill (bpf_stack_narrow_access_ok, little endian).
		*d = s.Spilled
		if regWidth(&s.Spilled) > 8*size {
			d.clearID()
		}
	} else {
		spills, zeros := 0, 0
		for i := range size {
			switch s.Type[((slot-i)%regSize+regSize)%regSize] {
			case SlotSpill:
				spills++
			case SlotZero:
				zeros++
			}
		}
		switch {
		case spills == size && s.Spilled.VarOff == tnumZero:
			d.setConst(0)
		case zeros == size:
			d.setConst(0)
			spilledRead = false
		default:
			d.setUnknown()
			spilledRead = false
		}
	}
	if spilledRead {
		env.pushHistory(jump{stack: true, frame: int8(f.FrameNo), spi: int8(spi)})
	}
	return nil
}

// checkStackRange checks memory on the stack that a helper uses, or a load at a
// variable offset (check_stack_range_initialized). With raw set the helper
// overwrites the memory and its content does not matter; the caller then stores
// it byte by byte.
func (env *env) checkStackRange(regno isa.Register, off, size int64, zeroOK, write bool, raw *rawMem) error {
	r := env.reg(regno)
	f := env.cur.Frames[r.Frame]
	if size == 0 && !zeroOK {
		return env.reject(CodeZeroSize, "invalid zero-sized read\n")
	}
	what := " read from"
	if write {
		what = " write to"
	}
	if err := env.checkStackBounds(regno, off, size, what); err != nil {
		return err
	}
	var lo, hi int64
	if r.VarOff.IsConst() {
		lo = int64(r.VarOff.Value) + off
		hi = lo
	} else {
		raw = nil
		lo, hi = r.SMin+off, r.SMax+off
	}
	if raw != nil {
		for i := lo; i < hi+size; i++ {
			if slot := int(-i - 1); slot/regSize < len(f.Stack) && f.Stack[slot/regSize].Type[slot%regSize] == SlotDynptr {
				return env.reject(CodeDynptr, "potential write to dynptr at off=%d disallowed\n", i)
			}
		}
		raw.reg, raw.size = regno, size
		return nil
	}
	for i := lo; i < hi+size; i++ {
		slot := int(-i - 1)
		s := &f.Stack[slot/regSize]
		t := &s.Type[slot%regSize]
		// Of what a helper writes nothing stays known.
		switch {
		case *t == SlotDynptr || *t == SlotIter || *t == SlotIRQ:
			if r.VarOff.IsConst() {
				return env.reject(CodeStackBounds, "invalid read from stack R%d off %d+%d size %d\n", regno, lo, i-lo, size)
			}
			return env.reject(CodeStackBounds, "invalid read from stack R%d var_off %s+%d size %d\n", regno, r.VarOff, i-lo, size)
		case !write || *t == SlotMisc:
		case *t == SlotZero || *t == SlotInvalid:
			*t = SlotMisc
		case s.isSpilled():
			s.Spilled.setUnknown()
			s.scrub()
		}
		env.markStackRead(f.FrameNo, slot/regSize)
	}
	return nil
}

// rawMem is memory on the stack that a helper fills without reading it.
type rawMem struct {
	reg  isa.Register
	size int64
}
