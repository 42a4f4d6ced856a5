package verifier

import (
	"math"

	"bpfvm/isa"
)

// Closed states. The kernel prunes a path when its registers match an older
// state's only because they are imprecise there, so the explored states do not
// hold all values that occur:
//
//	   r6 = 1
//	   if r0 == 0 goto j
//	   r6 = 2
//	j: r0 = r6            the log shows r6 = 2 only, yet 1 comes here as well
//
// Here bounds of all registers are computed anew, as a fixpoint over the control
// flow: the state before a slot is the join over all ways to it, so no value is
// missing. Pointers count as numbers of which nothing is known. Functions are
// entered with the join of all their callers' arguments. What is stored in the
// stack through R10 is followed too (see closed_stack.go).

// closedRegs are the bounds of R0 to R9.
type closedRegs [isa.R10]Bounds

// closedState is what is known before a slot.
type closedState struct {
	regs  closedRegs
	stack []StackFact // shared between states: a change makes a new one
}

// widenAfter is the number of joins at one slot after which bounds that still
// grow are given up, so that loops come to an end.
const widenAfter = 12

type closer struct {
	env    *env
	before []*closedState
	joins  []int
	work   []int
	queued []bool
	// ret holds, by function, the join of R0 over its exits, and who waits for
	// it.
	ret     []*Bounds
	callers [][]int
	escapes []bool // by function: it has pointers into its stack besides R10
}

// closeStates returns the closed state before each slot, nil where none comes.
func (env *env) closeStates() []*closedState {
	n := len(env.insns)
	c := &closer{
		env: env, before: make([]*closedState, n), joins: make([]int, n), queued: make([]bool, n),
		ret: make([]*Bounds, len(env.subprogs)), callers: make([][]int, len(env.subprogs)),
		escapes: env.escapes(),
	}
	top := closedState{regs: topRegs()}
	c.flow(0, &top)
	for i := range env.subprogs {
		if i > 0 && (env.subprogs[i].isCallback || env.subprogs[i].asyncCB || env.subprogs[i].global) {
			c.flow(env.subprogs[i].start, &top) // the kernel calls it with anything
		}
	}
	for len(c.work) > 0 {
		pc := c.work[len(c.work)-1]
		c.work = c.work[:len(c.work)-1]
		c.queued[pc] = false
		c.step(pc)
	}
	return c.before
}

func topRegs() closedRegs {
	var r closedRegs
	for i := range r {
		r[i] = unboundedBounds()
	}
	return r
}

// flow joins a state into the one before pc.
func (c *closer) flow(pc int, now *closedState) {
	if pc < 0 || pc >= len(c.before) {
		return
	}
	old := c.before[pc]
	if old == nil {
		s := *now
		c.before[pc] = &s
		c.enqueue(pc)
		return
	}
	changed := false
	for i := range old.regs {
		o := &old.regs[i]
		j := o.join(&now.regs[i])
		if j == *o {
			continue
		}
		if c.joins[pc] >= widenAfter {
			j = widen(o, &j)
		}
		*o = j
		changed = true
	}
	if stack, differs := joinStack(old.stack, now.stack, c.joins[pc] >= widenAfter); differs {
		old.stack, changed = stack, true
	}
	if changed {
		c.joins[pc]++
		c.enqueue(pc)
	}
}

func (c *closer) enqueue(pc int) {
	if !c.queued[pc] {
		c.queued[pc] = true
		c.work = append(c.work, pc)
	}
}

// widen gives up each end of an interval that has moved.
func widen(old, now *Bounds) Bounds {
	w := *now
	if now.SMin < old.SMin {
		w.SMin = math.MinInt64
	}
	if now.SMax > old.SMax {
		w.SMax = math.MaxInt64
	}
	if now.UMin < old.UMin {
		w.UMin = 0
	}
	if now.UMax > old.UMax {
		w.UMax = math.MaxUint64
	}
	if now.S32Min < old.S32Min {
		w.S32Min = math.MinInt32
	}
	if now.S32Max > old.S32Max {
		w.S32Max = math.MaxInt32
	}
	if now.U32Min < old.U32Min {
		w.U32Min = 0
	}
	if now.U32Max > old.U32Max {
		w.U32Max = math.MaxUint32
	}
	return w
}

// step computes what one instruction makes of the state before it.
func (c *closer) step(pc int) {
	s := *c.before[pc]
	r := &s.regs
	ins := c.env.insns[pc]
	next := pc + 1
	c.stackEffect(pc, ins, &s)
	switch class := ins.Op.Class(); class {
	case isa.ClassALU, isa.ClassALU64:
		closedALU(r, ins)
	case isa.ClassLDX:
		r[ins.Dst()] = s.filled(ins)
	case isa.ClassST:
	case isa.ClassSTX:
		if ins.Op.Mode() == isa.ModeATOMIC {
			switch op := isa.AtomicOp(ins.Imm); {
			case op == isa.AtomicCmpXchg:
				r[isa.R0] = loaded(ins)
			case op == isa.AtomicLoadAcq:
				r[ins.Dst()] = loaded(ins)
			case op == isa.AtomicStoreRel:
			case op&isa.AtomicFetch != 0 && ins.Src() < isa.R10:
				r[ins.Src()] = loaded(ins)
			}
		}
	case isa.ClassLD:
		if ins.IsWide() {
			r[ins.Dst()] = unboundedBounds()
			if v, ok := c.env.insns.Imm64(isa.PC(pc)); ok && isa.Pseudo(ins.Src()) == isa.PseudoImm64 {
				r[ins.Dst()] = constBounds(v)
			}
			next++
		} else {
			clobber(r)
		}
	default:
		c.jump(pc, ins, &s)
		return
	}
	c.flow(next, &s)
}

// loaded is what a load of that size can give.
func loaded(ins isa.Instruction) Bounds {
	b := unboundedBounds()
	size := ins.Op.Size().Bytes()
	if ins.Op.Mode() == isa.ModeMEMSX {
		b.signExtend64(size)
		b.sync()
	} else {
		b.truncate(size)
	}
	return b
}

func clobber(r *closedRegs) {
	for i := range callerSaved {
		r[i] = unboundedBounds()
	}
}

func (c *closer) jump(pc int, ins isa.Instruction, from *closedState) {
	env, r := c.env, &from.regs
	switch ins.Op.Code() {
	case isa.CodeExit:
		sub := env.subprogAt(pc)
		b := r[isa.R0]
		if old := c.ret[sub]; old != nil {
			b = old.join(&b)
			if b == *old {
				return
			}
			b = widen(old, &b)
		}
		c.ret[sub] = &b
		for _, call := range c.callers[sub] {
			c.enqueue(call)
		}
		return
	case isa.CodeCall:
		if !ins.IsPseudoCall() {
			clobber(r)
			c.flow(pc+1, from)
			return
		}
		t, _ := env.insns.CallTarget(isa.PC(pc))
		sub := env.subprogAt(int(t))
		callee := closedState{regs: topRegs()}
		copy(callee.regs[isa.R1:isa.R6], r[isa.R1:isa.R6])
		known := false
		for _, p := range c.callers[sub] {
			known = known || p == pc
		}
		if !known {
			c.callers[sub] = append(c.callers[sub], pc)
		}
		c.flow(int(t), &callee)
		if ret := c.ret[sub]; ret != nil {
			clobber(r)
			r[isa.R0] = *ret
			c.flow(pc+1, from)
		}
		return
	case isa.CodeJa:
		t, _ := env.insns.JumpTarget(isa.PC(pc))
		c.flow(int(t), from)
		return
	case isa.CodeJcond:
		c.flow(pc+1, from)
		c.flow(pc+1+int(ins.Off), from)
		return
	}
	low := ins.Op.Class() == isa.ClassJMP32
	side := func(code isa.Code, to int) {
		s := *from
		a := unboundedBounds()
		if ins.Dst() < isa.R10 {
			a = s.regs[ins.Dst()]
		}
		b := constBounds(uint64(int64(ins.Imm)))
		if ins.Op.Source() == isa.SrcX {
			b = unboundedBounds()
			if ins.Src() < isa.R10 {
				b = s.regs[ins.Src()]
			}
		}
		if decided := scalarTaken(&a, &b, ins.Op.Code(), low); decided == alwaysTaken && code != ins.Op.Code() ||
			decided == neverTaken && code == ins.Op.Code() {
			return
		}
		refine(&a, &b, code, low)
		a.sync()
		b.sync()
		if !a.consistent() || !b.consistent() {
			return // no value goes this way
		}
		if ins.Op.Source() == isa.SrcX && ins.Src() < isa.R10 {
			s.regs[ins.Src()] = b
		}
		if ins.Dst() < isa.R10 && !(ins.Op.Source() == isa.SrcX && ins.Src() == ins.Dst()) {
			s.regs[ins.Dst()] = a
		} else if ins.Dst() < isa.R10 {
			s.regs[ins.Dst()] = r[ins.Dst()] // compared with itself: nothing is learnt
		}
		c.flow(to, &s)
	}
	side(negate(ins.Op.Code()), pc+1)
	side(ins.Op.Code(), pc+1+int(ins.Off))
}

// closedALU computes an arithmetic instruction over bounds, pointers being
// numbers of which nothing is known.
func closedALU(r *closedRegs, ins isa.Instruction) {
	code, is64 := ins.Op.Code(), ins.Op.Class() == isa.ClassALU64
	d := &r[ins.Dst()]
	src := constBounds(uint64(int64(ins.Imm)))
	if ins.Op.Source() == isa.SrcX && code != isa.CodeEnd {
		src = unboundedBounds()
		if ins.Src() < isa.R10 {
			src = r[ins.Src()]
		}
	}
	switch code {
	case isa.CodeMov:
		v := src
		switch {
		case is64 && ins.Off != 0 && ins.Off != 1:
			v.signExtend64(int(ins.Off) / 8)
		case ins.Off == 1:
			v = unboundedBounds() // between address spaces
		case !is64:
			if ins.Off != 0 {
				v.signExtend32(int(ins.Off) / 8)
			}
			v.zext32()
		}
		*d = v
	case isa.CodeNeg:
		v := constBounds(0)
		v.sub(d)
		v.VarOff = d.VarOff.neg()
		if !is64 {
			v.zext32()
		}
		v.sync()
		*d = v
	case isa.CodeEnd:
		s := RegState{Type: Scalar, Bounds: *d}
		s.swap(int(ins.Imm)/8, is64 || ins.Op.Source() == isa.SrcX)
		*d = s.Bounds
	case isa.CodeDiv, isa.CodeMod:
		*d = unboundedBounds()
		if !is64 {
			d.truncate(4)
		}
	case isa.CodeLsh, isa.CodeRsh, isa.CodeArsh:
		limit := uint64(64)
		if !is64 {
			limit = 32
		}
		if !src.IsConst() || src.UMax >= limit {
			*d = unboundedBounds()
			if !is64 {
				d.truncate(4)
			}
			break
		}
		d.apply(code, &src, is64)
	default:
		d.apply(code, &src, is64)
	}
	if !d.consistent() {
		*d = unboundedBounds()
	}
}
