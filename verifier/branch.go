package verifier

import (
	"math/bits"

	"bpfvm/isa"
	"bpfvm/spec"
)

// jsetNot is the condition "no common bit", which no instruction has; it is what
// holds where a jset is not taken.
const jsetNot = isa.CodeJset | 1

// flip turns a op b around: b op' a (flip_opcode).
func flip(c isa.Code) isa.Code {
	switch c {
	case isa.CodeJge:
		return isa.CodeJle
	case isa.CodeJgt:
		return isa.CodeJlt
	case isa.CodeJle:
		return isa.CodeJge
	case isa.CodeJlt:
		return isa.CodeJgt
	case isa.CodeJsge:
		return isa.CodeJsle
	case isa.CodeJsgt:
		return isa.CodeJslt
	case isa.CodeJsle:
		return isa.CodeJsge
	case isa.CodeJslt:
		return isa.CodeJsgt
	}
	return c
}

// negate is the condition that holds when c does not (rev_opcode).
func negate(c isa.Code) isa.Code {
	switch c {
	case isa.CodeJeq:
		return isa.CodeJne
	case isa.CodeJne:
		return isa.CodeJeq
	case isa.CodeJset:
		return jsetNot
	case jsetNot:
		return isa.CodeJset
	case isa.CodeJge:
		return isa.CodeJlt
	case isa.CodeJgt:
		return isa.CodeJle
	case isa.CodeJle:
		return isa.CodeJgt
	case isa.CodeJlt:
		return isa.CodeJge
	case isa.CodeJsge:
		return isa.CodeJslt
	case isa.CodeJsgt:
		return isa.CodeJsle
	case isa.CodeJsle:
		return isa.CodeJsgt
	}
	return isa.CodeJsge // of jslt
}

// Answers of branchTaken.
const (
	unknownBranch = -1
	neverTaken    = 0
	alwaysTaken   = 1
)

func taken(b bool) int {
	if b {
		return alwaysTaken
	}
	return neverTaken
}

// isConst reports whether the value, or its low half, is known.
func (b *Bounds) isConst(low bool) bool {
	if low {
		return b.VarOff.isConstSubreg()
	}
	return b.VarOff.IsConst()
}

func (b *Bounds) constVal(low bool) uint64 {
	if low {
		return uint64(uint32(b.VarOff.Value))
	}
	return b.VarOff.Value
}

// scalarTaken decides a comparison of numbers where the bounds suffice
// (is_scalar_branch_taken).
func scalarTaken(a, b *Bounds, c isa.Code, low bool) int {
	t1, t2 := a.VarOff, b.VarOff
	umin1, umax1, smin1, smax1 := a.UMin, a.UMax, a.SMin, a.SMax
	umin2, umax2, smin2, smax2 := b.UMin, b.UMax, b.SMin, b.SMax
	if low {
		t1, t2 = t1.subreg(), t2.subreg()
		umin1, umax1, smin1, smax1 = uint64(a.U32Min), uint64(a.U32Max), int64(a.S32Min), int64(a.S32Max)
		umin2, umax2, smin2, smax2 = uint64(b.U32Min), uint64(b.U32Max), int64(b.S32Min), int64(b.S32Max)
	}
	order := func(yes, no bool) int {
		switch {
		case yes:
			return alwaysTaken
		case no:
			return neverTaken
		}
		return unknownBranch
	}
	switch c {
	case isa.CodeJeq, isa.CodeJne:
		eq := unknownBranch
		switch {
		case t1.IsConst() && t2.IsConst():
			eq = taken(t1.Value == t2.Value)
		case !t1.overlap(t2), umin1 > umax2, umax1 < umin2, smin1 > smax2, smax1 < smin2:
			eq = neverTaken
		case !low && (a.U32Min > b.U32Max || a.U32Max < b.U32Min || a.S32Min > b.S32Max || a.S32Max < b.S32Min):
			eq = neverTaken
		}
		if eq != unknownBranch && c == isa.CodeJne {
			return 1 - eq
		}
		return eq
	case isa.CodeJset:
		if !b.isConst(low) {
			a, b = b, a
			t1, t2 = t2, t1
		}
		if !b.isConst(low) {
			return unknownBranch
		}
		return order(t1.Value&t2.Value != 0, (t1.Mask|t1.Value)&t2.Value == 0)
	case isa.CodeJgt:
		return order(umin1 > umax2, umax1 <= umin2)
	case isa.CodeJsgt:
		return order(smin1 > smax2, smax1 <= smin2)
	case isa.CodeJlt:
		return order(umax1 < umin2, umin1 >= umax2)
	case isa.CodeJslt:
		return order(smax1 < smin2, smin1 >= smax2)
	case isa.CodeJge:
		return order(umin1 >= umax2, umax1 < umin2)
	case isa.CodeJsge:
		return order(smin1 >= smax2, smax1 < smin2)
	case isa.CodeJle:
		return order(umax1 <= umin2, umin1 > umax2)
	case isa.CodeJsle:
		return order(smax1 <= smin2, smin1 > smax2)
	}
	return unknownBranch
}

// branchTaken decides a comparison before it is made (is_branch_taken).
func branchTaken(a, b *RegState, c isa.Code, low bool) int {
	if a.Type.isPktAny() && b.Type.isPktAny() && !low {
		return pktTaken(a, b, c)
	}
	if a.Type != Scalar || b.Type != Scalar {
		if low {
			return unknownBranch
		}
		// Known pointers are not NULL. Of two pointers nothing is known.
		if !b.VarOff.IsConst() || b.Type != Scalar {
			c = flip(c)
			a, b = b, a
		}
		if b.Type != Scalar || !b.VarOff.IsConst() || b.VarOff.Value != 0 || !a.notNull() {
			return unknownBranch
		}
		switch c {
		case isa.CodeJeq:
			return neverTaken
		case isa.CodeJne:
			return alwaysTaken
		}
		return unknownBranch
	}
	return scalarTaken(&a.Bounds, &b.Bounds, c, low)
}

// refine makes a and b what they are where "a c b" holds (regs_refine_cond_op).
func refine(a, b *Bounds, c isa.Code, low bool) {
	switch c {
	case isa.CodeJge, isa.CodeJgt, isa.CodeJsge, isa.CodeJsgt:
		c = flip(c)
		a, b = b, a
	}
	switch c {
	case isa.CodeJeq:
		if low {
			a.U32Min, a.U32Max = max(a.U32Min, b.U32Min), min(a.U32Max, b.U32Max)
			a.S32Min, a.S32Max = max(a.S32Min, b.S32Min), min(a.S32Max, b.S32Max)
			b.U32Min, b.U32Max, b.S32Min, b.S32Max = a.U32Min, a.U32Max, a.S32Min, a.S32Max
			t := a.VarOff.subreg().intersect(b.VarOff.subreg())
			a.VarOff, b.VarOff = a.VarOff.withSubreg(t), b.VarOff.withSubreg(t)
			return
		}
		a.UMin, a.UMax = max(a.UMin, b.UMin), min(a.UMax, b.UMax)
		a.SMin, a.SMax = max(a.SMin, b.SMin), min(a.SMax, b.SMax)
		b.UMin, b.UMax, b.SMin, b.SMax = a.UMin, a.UMax, a.SMin, a.SMax
		a.VarOff = a.VarOff.intersect(b.VarOff)
		b.VarOff = a.VarOff
	case isa.CodeJne:
		if !b.isConst(low) {
			a, b = b, a
		}
		if !b.isConst(low) {
			return
		}
		// The value can only be cut off at an end of an interval.
		v := b.constVal(low)
		if low {
			if a.U32Min == uint32(v) {
				a.U32Min++
			}
			if a.U32Max == uint32(v) {
				a.U32Max--
			}
			if a.S32Min == int32(v) {
				a.S32Min++
			}
			if a.S32Max == int32(v) {
				a.S32Max--
			}
			return
		}
		if a.UMin == v {
			a.UMin++
		}
		if a.UMax == v {
			a.UMax--
		}
		if a.SMin == int64(v) {
			a.SMin++
		}
		if a.SMax == int64(v) {
			a.SMax--
		}
	case isa.CodeJset:
		if !b.isConst(low) {
			a, b = b, a
		}
		if !b.isConst(low) {
			return
		}
		// One of the bits is set: with a single bit we know which.
		v := b.constVal(low)
		if bits.OnesCount64(v) != 1 {
			return
		}
		if low {
			a.VarOff = a.VarOff.withSubreg(a.VarOff.subreg().or(tnumConst(v)))
		} else {
			a.VarOff = a.VarOff.or(tnumConst(v))
		}
	case jsetNot:
		if !b.isConst(low) {
			a, b = b, a
		}
		if !b.isConst(low) {
			return
		}
		v := b.constVal(low)
		t := a.VarOff
		*a = unboundedBounds()
		a.VarOff = t
		if low {
			a.VarOff = t.withSubreg(t.subreg().and(tnumConst(^v)))
		} else {
			a.VarOff = t.and(tnumConst(^v))
		}
	case isa.CodeJle:
		if low {
			a.U32Max = min(a.U32Max, b.U32Max)
			b.U32Min = max(a.U32Min, b.U32Min)
		} else {
			a.UMax = min(a.UMax, b.UMax)
			b.UMin = max(a.UMin, b.UMin)
		}
	case isa.CodeJlt:
		if low {
			a.U32Max = min(a.U32Max, b.U32Max-1)
			b.U32Min = max(a.U32Min+1, b.U32Min)
		} else {
			a.UMax = min(a.UMax, b.UMax-1)
			b.UMin = max(a.UMin+1, b.UMin)
		}
	case isa.CodeJsle:
		if low {
			a.S32Max = min(a.S32Max, b.S32Max)
			b.S32Min = max(a.S32Min, b.S32Min)
		} else {
			a.SMax = min(a.SMax, b.SMax)
			b.SMin = max(a.SMin, b.SMin)
		}
	case isa.CodeJslt:
		if low {
			a.S32Max = min(a.S32Max, b.S32Max-1)
			b.S32Min = max(a.S32Min+1, b.S32Min)
		} else {
			a.SMax = min(a.SMax, b.SMax-1)
			b.SMin = max(a.SMin+1, b.SMin)
		}
	}
}

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
				es.markNotNull()
			}
			if s.notNull() && d.Type.maybeNull() {
				ed.markNotNull()
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
			r.Map, r.MemSize, r.Range, r.MapUID = nil, 0, 0, 0
			return
		}
		r.markNotNull()
		if !mayHaveLock(r) {
			r.ID = 0
		}
	})
}

// mayHaveLock reports whether the map value may contain a spin lock, so that its
// id tells elements apart (reg_may_point_to_spin_lock). Maps with locks are not
// modelled.
func mayHaveLock(*RegState) bool { return false }

// checkMayGoto is the jump that is taken after some time, decided by the kernel:
// both ways are possible at any moment.
func (env *env) checkMayGoto(ins isa.Instruction) error {
	if ins.Op != isa.OpMayGoto || ins.Src() != 0 || ins.Dst() != 0 || ins.Imm != 0 || ins.Off == 0 {
		return env.reject(CodeReserved, "invalid may_goto off %d imm %d\n", ins.Off, ins.Imm)
	}
	// The state before was kept right here; the one wanted is a round older.
	var prev *State
	if p := env.cur.parent; p != nil {
		prev = findPrevEntry(p.parent, env.cur, env.insnIdx)
	}
	queued, err := env.push(env.insnIdx+1, env.insnIdx)
	if err != nil {
		return err
	}
	queued.mayGotoDepth++
	if prev != nil {
		widenImprecise(prev, queued)
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
