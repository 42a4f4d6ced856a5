package verifier

import (
	"bpfvm/isa"
	"bpfvm/spec"
)

// setMinMax teaches both sides of a branch what the comparison tells
// (reg_set_min_max).
func setMinMax(t1, t2, f1, f2 *RegState, c isa.Code, low bool) {
	if f1.Type != Scalar || f2.Type != Scalar {
		return
	}
	side := func(a, b *RegState, c isa.Code) {
		if a == b {
			// A register compared with itself: the second operand is a copy.
			o := *b
			refine(&a.Bounds, &o.Bounds, c, low)
			a.sync()
		} else {
			refine(&a.Bounds, &b.Bounds, c, low)
			a.sync()
			b.sync()
		}
		for _, r := range [2]*RegState{a, b} {
			if !r.consistent() {
				r.Bounds = unboundedBounds() // no value comes this way
			}
		}
	}
	side(f1, f2, negate(c))
	side(t1, t2, c)
}

// maxLinked bounds how many registers one branch refines together
// (LINKED_REGS_MAX).
const maxLinked = 6

// collectLinked lists the scalars of that id, newest frame first; those that do
// not fit in the list lose their tie (collect_linked_regs).
func (env *env) collectLinked(s *State, id uint32, list []linkedReg) []linkedReg {
	id &^= addConst
	add := func(r *RegState, l linkedReg) {
		if r.Type != Scalar || r.ID&^addConst != id {
			return
		}
		if len(list) < maxLinked {
			list = append(list, l)
		} else {
			r.clearID()
		}
	}
	for i := s.curFrame(); i >= 0; i-- {
		f := s.Frames[i]
		live := env.live.regs[s.frameInsn(i)]
		for j := range isa.R10 {
			if live>>j&1 != 0 { // dead ones need not be kept up
				add(&f.Regs[j], linkedReg{frame: int8(i), isReg: true, no: int8(j)})
			}
		}
		for j := range f.Stack {
			if f.Stack[j].isSpilled() {
				add(&f.Stack[j].Spilled, linkedReg{frame: int8(i), no: int8(j)})
			}
		}
	}
	return list
}

func (l linkedReg) in(s *State) *RegState {
	if l.isReg {
		return &s.Frames[l.frame].Regs[l.no]
	}
	return &s.Frames[l.frame].Stack[l.no].Spilled
}

// syncLinked gives what was learnt of one register to those tied to it
// (sync_linked_regs).
func syncLinked(s *State, known *RegState, list []linkedReg) {
	for _, l := range list {
		r := l.in(s)
		if r.Type != Scalar || r == known || r.ID&^addConst != known.ID&^addConst {
			continue
		}
		if (r.ID^known.ID)&addConst == addConst {
			continue // one was added to in 32 bits, the other in 64
		}
		if r.ID&addConst == 0 && known.ID&addConst == 0 || r.Off == known.Off {
			*r = *known
			continue
		}
		off, id := r.Off, r.ID
		diff := constBounds(uint64(int64(off) - int64(known.Off)))
		low := (id|known.ID)&addConst32 != 0
		*r = *known
		r.Off, r.ID = off, id
		r.add(&diff)
		r.VarOff = r.VarOff.add(diff.VarOff)
		if low {
			r.zext32()
		}
		r.sync()
	}
}

// checkBranch checks a conditional jump and splits the path
// (check_cond_jmp_op). It leaves insnIdx before the slot to go on with.
func (env *env) checkBranch(ins isa.Instruction) error {
	code := ins.Op.Code()
	low := ins.Op.Class() == isa.ClassJMP32
	if code == isa.CodeJcond {
		return env.checkMayGoto(ins)
	}
	if code == isa.CodeJa || code > isa.CodeJcond {
		return env.reject(CodeBadOpcode, "invalid BPF_JMP/JMP32 opcode %x\n", uint8(code))
	}
	if err := env.readReg(ins.Dst()); err != nil {
		return err
	}
	d := env.reg(ins.Dst())
	bySrc := ins.Op.Source() == isa.SrcX
	var imm RegState
	s := &imm
	hist := jump{dstFP: d.Type == PtrToStack}
	if bySrc {
		if ins.Imm != 0 {
			return env.reject(CodeReserved, "BPF_JMP/JMP32 uses reserved fields\n")
		}
		if err := env.readReg(ins.Src()); err != nil {
			return err
		}
		s = env.reg(ins.Src())
		hist.srcFP = s.Type == PtrToStack
	} else {
		if ins.Src() != 0 {
			return env.reject(CodeReserved, "BPF_JMP/JMP32 uses reserved fields\n")
		}
		imm = constScalar(uint64(int64(ins.Imm)))
	}
	if hist.srcFP || hist.dstFP {
		env.pushHistory(hist)
	}
	if pred := branchTaken(d, s, code, low); pred != unknownBranch {
		// The decision rests on these values: they must stay so where another
		// path is compared with this one.
		if d.Type == Scalar {
			if err := env.markPrecise(int(ins.Dst())); err != nil {
				return err
			}
		}
		if bySrc && s.Type == Scalar {
			if err := env.markPrecise(int(ins.Src())); err != nil {
				return err
			}
		}
		if pred == alwaysTaken {
			env.aux[env.insnIdx].taken = true
			if env.log.wantInsns() {
				env.printInsnState()
			}
			env.insnIdx += int(ins.Off)
		} else {
			env.aux[env.insnIdx].fell = true
			if env.log.wantInsns() {
				env.printInsnState()
			}
		}
		return nil
	}
	env.aux[env.insnIdx].taken, env.aux[env.insnIdx].fell = true, true
	var linked []linkedReg
	if bySrc && s.Type == Scalar && s.ID != 0 {
		linked = env.collectLinked(env.cur, s.ID, linked)
	}
	if d.Type == Scalar && d.ID != 0 {
		linked = env.collectLinked(env.cur, d.ID, linked)
	}
	if len(linked) > 1 {
		env.pushHistory(jump{linked: linked})
	}
	other, err := env.push(env.insnIdx+1+int(ins.Off), env.insnIdx)
	if err != nil {
		return err
	}
	od := &other.cur().Regs[ins.Dst()]
	var imm2 RegState
	os := &imm2
	if bySrc {
		os = &other.cur().Regs[ins.Src()]
	} else {
		imm2 = imm
	}
	setMinMax(od, os, d, s, code, low)
	if bySrc && s.Type == Scalar && s.ID != 0 {
		syncLinked(env.cur, s, linked)
		syncLinked(other, os, linked)
	}
	if d.Type == Scalar && d.ID != 0 {
		syncLinked(env.cur, d, linked)
		syncLinked(other, od, linked)
	}
	if !low && bySrc && s.Type != Scalar && d.Type != Scalar &&
		s.Type.base() != PtrToBTFID && d.Type.base() != PtrToBTFID {
		// A pointer that equals one that is not NULL is not NULL.
		ed, es := d, s
		if code == isa.CodeJeq {
			ed, es = od, os
		}
		if code == isa.CodeJeq || code == isa.CodeJne {
			if d.notNull() && s.Type.maybeNull() {
				env.markNotNull(es)
			}
			if s.notNull() && d.Type.maybeNull() {
				env.markNotNull(ed)
			}
		}
	}
	if !low && !bySrc && ins.Imm == 0 && (code == isa.CodeJeq || code == isa.CodeJne) && d.Type.maybeNull() {
		env.markOrNull(env.cur, ins.Dst(), code == isa.CodeJne)
		env.markOrNull(other, ins.Dst(), code == isa.CodeJeq)
	} else {
		src := s
		if !bySrc {
			src = env.reg(ins.Src())
		}
		env.matchPacket(ins, d, src, env.cur, other)
	}
	if env.log.wantInsns() {
		env.printInsnState()
	}
	return nil
}

// markOrNull decides a pointer that may be NULL, and all its copies
// (mark_ptr_or_null_regs).
func (env *env) markOrNull(s *State, regno isa.Register, null bool) {
	r := &s.cur().Regs[regno]
	id, ref := r.ID, r.RefObjID
	if null && ref != 0 && ref == id {
		s.release(id) // nothing was acquired
	}
	s.regs(func(_ *FuncState, r *RegState) {
		if !r.Type.maybeNull() || r.ID != id {
			return
		}
		if null {
			// The pointer was zero with offset zero, so the number is too.
			r.Type = Scalar
			r.ID, r.RefObjID, r.Off = 0, 0, 0
			r.Map, r.MemSize, r.Range, r.MapUID, r.BTF, r.Local = nil, 0, 0, 0, nil, false
			return
		}
		env.markNotNull(r)
		// Of objects with a spin lock each one must be told apart
		// (reg_may_point_to_spin_lock).
		if !env.mayHoldLock(r) {
			r.ID = 0
		}
	})
}

// checkMayGoto is the jump that is taken after some time, decided by the kernel:
// both ways are possible at any moment.
func (env *env) checkMayGoto(ins isa.Instruction) error {
	if ins.Op != isa.OpMayGoto || ins.Src() != 0 || ins.Dst() != 0 || ins.Imm != 0 || ins.Off == 0 {
		return env.reject(CodeReserved, "invalid may_goto off %d imm %d\n", ins.Off, ins.Imm)
	}
	// The state before was kept right here; the one wanted is a round older.
	var prev *State
	if p := env.cur.parent; p != nil {
		prev = env.findPrevEntry(p, env.insnIdx)
	}
	queued, err := env.push(env.insnIdx+1, env.insnIdx)
	if err != nil {
		return err
	}
	queued.mayGotoDepth++
	if prev != nil {
		env.widenImprecise(prev, queued)
	}
	env.insnIdx += int(ins.Off)
	return nil
}

// findGoodPacket records that the bytes up to r.Off are there, for all packet
// pointers with r's variable part (find_good_pkt_pointers). open says that one
// byte more is.
func findGoodPacket(s *State, r RegState, open bool) {
	if r.Off < 0 || r.Off == 0 && open {
		return // nothing was proven
	}
	if r.UMax > spec.MaxPacketOff || r.UMax+uint64(r.Off) > spec.MaxPacketOff {
		return // could have overflowed
	}
	n := r.Off
	if open {
		n++
	}
	s.regs(func(_ *FuncState, q *RegState) {
		if q.Type == r.Type && q.ID == r.ID {
			q.Range = max(q.Range, n)
		}
	})
}
