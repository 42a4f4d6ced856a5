package verifier

import (
	"fmt"
	"slices"

	"bpfvm/isa"
)

// stateEntry is a state that is kept to compare later ones with.
type stateEntry struct {
	state        *State
	hits, misses int
}

// exactness says how states are compared (enum exact_level).
type exactness uint8

const (
	notExact    exactness = iota // imprecise scalars do not matter
	exact                        // all must be the same
	rangeWithin                  // all must lie within
)

// idPair and idmap: ids differ between states that are alike; what counts is
// that they tie together the same registers.
type idPair struct{ old, cur uint32 }

type idmap struct {
	pairs []idPair
	gen   uint32 // ids made up for scalars that have none
}

// match reports whether the ids can stand for each other (check_ids).
func (m *idmap) match(old, cur uint32) bool {
	if (old != 0) != (cur != 0) {
		return false
	}
	if old == 0 {
		return true
	}
	for _, p := range m.pairs {
		if p.old == old {
			return p.cur == cur
		}
		if p.cur == cur {
			return false
		}
	}
	m.pairs = append(m.pairs, idPair{old, cur})
	return true
}

// matchScalar is match for scalars: one that is tied to nothing has an id of its
// own, so that old's ties bind cur, but not the other way (check_scalar_ids).
func (m *idmap) matchScalar(old, cur uint32) bool {
	if old == 0 {
		m.gen++
		old = m.gen
	}
	if cur == 0 {
		m.gen++
		cur = m.gen
	}
	return m.match(old, cur)
}

// bucket of a slot and call site, as the kernel hashes them (explored_state):
// the statistics count all states of a bucket.
func (env *env) bucket(pc int) *[]*stateEntry {
	h := uint32(pc) ^ uint32(int32(env.cur.cur().CallSite))
	return &env.buckets[h%uint32(len(env.insns))]
}

// sameCallSites reports whether two states came along the same calls.
func sameCallSites(a, b *State) bool {
	if len(a.Frames) != len(b.Frames) {
		return false
	}
	for i := range a.Frames {
		if a.Frames[i].CallSite != b.Frames[i].CallSite {
			return false
		}
	}
	return true
}

// visited compares the current state with those seen at this slot. It returns
// true when one of them covers it, so that nothing new can follow; otherwise it
// may keep the state for later comparisons (is_state_visited).
func (env *env) visited(pc int) (bool, error) {
	cur := env.cur
	aux := &env.aux[pc]
	force := aux.checkpoint || len(cur.history) > 40
	// Keeping a state costs memory and time; it pays after some distance.
	add := force || env.jumps-env.prevJumps >= 2 && env.processed-env.prevProcessed >= 8
	bucket := env.bucket(pc)
	for _, e := range *bucket {
		if s := e.state; s.branches == 0 && s.insnIdx == pc && !s.cleaned && sameCallSites(s, cur) && !env.incomplete(s) {
			env.clean(s)
		}
	}
	states := 0
	var drop []*stateEntry
	for _, e := range *bucket {
		states++
		old := e.state
		if old.insnIdx != pc {
			continue
		}
		hit, loop, infinite := false, false, false
		if old.branches > 0 {
			skip := false
			f := old.cur()
			switch {
			case f.inAsync && f.asyncEntry != cur.cur().asyncEntry:
				skip = true // another call of the same callback is no loop
			case aux.iterNext:
				hit = env.statesEqual(old, cur, rangeWithin) && env.iterActive(cur)
				loop, skip = hit, true
			case aux.callsBack:
				hit = env.statesEqual(old, cur, rangeWithin)
				loop, skip = hit, true
			case env.insns[pc].Op == isa.OpMayGoto && old.mayGotoDepth != cur.mayGotoDepth:
				hit = env.statesEqual(old, cur, rangeWithin)
				loop = hit
			}
			if !hit && !skip {
				infinite = maybeLooping(old, cur) && !iterDepthsDiffer(old, cur) && old.mayGotoDepth == cur.mayGotoDepth &&
					old.callbackUnroll == cur.callbackUnroll && env.statesEqual(old, cur, exact)
			}
			if infinite {
				env.printLine(pc, "; ")
				env.say("infinite loop detected at insn %d\n", pc)
				env.say("cur state:%s", env.stateString(cur, cur.curFrame(), true))
				env.say("old state:%s", env.stateString(old, cur.curFrame(), true))
				return false, &rejection{code: CodeInfiniteLoop}
			}
			// A loop that goes on needs no state in each round.
			if !hit && !force && env.jumps-env.prevJumps < 20 && env.processed-env.prevProcessed < 100 {
				add = false
			}
		} else {
			loop = env.incomplete(old)
			level := notExact
			if loop {
				level = rangeWithin
			}
			hit = env.statesEqual(old, cur, level)
		}
		if hit {
			e.hits++
			if env.opts.Observer != nil {
				env.opts.Observer.Pruned(isa.PC(pc), old, cur)
			}
			if aux.jumpPoint {
				env.pushHistory(jump{})
			}
			if _, err := env.propagatePrecision(old, cur); err != nil {
				return false, err
			}
			if loop {
				env.addBackedge(old, cur)
			}
			env.dropEntries(bucket, drop)
			return true, nil
		}
		if env.opts.Observer != nil {
			env.opts.Observer.Compared(isa.PC(pc), old, cur, env.whyNot(old, cur))
		}
		if add {
			e.misses++
		}
		n := 3
		if aux.checkpoint && old.branches > 0 {
			n = 64
		}
		if e.misses > e.hits*n+n {
			drop = append(drop, e) // of no use
		}
	}
	env.dropEntries(bucket, drop)
	env.maxStatesPerPC = max(env.maxStatesPerPC, states)
	if !add {
		return false, nil
	}
	env.totalStates++
	env.exploredStates++
	env.countPeak()
	env.prevJumps, env.prevProcessed = env.jumps, env.processed
	// From here on scalars count as imprecise until they are used exactly; the
	// states before keep what they know (mark_all_scalars_imprecise).
	cur.scalars(func(_ int, _ string, r *RegState) { r.Precise = false })
	s := cur.clone()
	s.insnIdx = pc
	env.enterLoop(s)
	cur.parent = s
	cur.firstInsn = pc
	cur.dfsDepth = s.dfsDepth + 1
	cur.history = nil
	env.curHist = nil
	*bucket = slices.Insert(*bucket, 0, &stateEntry{state: s})
	return false, nil
}

// countPeak notes how many states are kept at once (update_peak_states).
func (env *env) countPeak() {
	env.peakStates = max(env.peakStates, env.exploredStates+env.freeStates+env.backedges)
}

func (env *env) dropEntries(bucket *[]*stateEntry, drop []*stateEntry) {
	if len(drop) == 0 {
		return
	}
	*bucket = slices.DeleteFunc(*bucket, func(e *stateEntry) bool { return slices.Contains(drop, e) })
	env.exploredStates -= len(drop)
	for _, e := range drop {
		if e.state.branches > 0 {
			e.state.dropped = true // kept for the paths that lead from it
			env.freeStates++
		}
	}
}

// maybeLooping is a quick test before states are compared exactly
// (states_maybe_looping).
func maybeLooping(old, cur *State) bool {
	if len(old.Frames) != len(cur.Frames) {
		return false
	}
	a, b := old.cur(), cur.cur()
	for i := range a.Regs {
		x, y := a.Regs[i], b.Regs[i]
		if x.Type != y.Type || x.Off != y.Off || x.Range != y.Range || x.Bounds != y.Bounds || x.MemSize != y.MemSize || x.Map != y.Map {
			return false
		}
	}
	return true
}

// statesEqual reports whether cur is covered by old (states_equal).
func (env *env) statesEqual(old, cur *State, level exactness) bool {
	return env.differ(old, cur, level) == ""
}

// refsDiffer compares what is held and the sections that the states are in
// (refsafe).
func (env *env) refsDiffer(old, cur *State) string {
	m := &env.idmap
	if len(old.refs) != len(cur.refs) {
		return "other references are held"
	}
	if old.activeLocks != cur.activeLocks || old.preemptLocks != cur.preemptLocks || old.rcuLocks != cur.rcuLocks ||
		!m.match(old.irqID, cur.irqID) || !m.match(old.lockID, cur.lockID) || old.lockOf != cur.lockOf {
		return "another section"
	}
	for i := range old.refs {
		a, b := &old.refs[i], &cur.refs[i]
		if a.kind != b.kind || !m.match(a.id, b.id) || a.lock != b.lock {
			return "other references are held"
		}
	}
	return ""
}

// whyNot tells why old does not cover cur.
func (env *env) whyNot(old, cur *State) string {
	if old.branches > 0 {
		return "the paths from the older state are not done"
	}
	return env.differ(old, cur, notExact)
}

// differ returns "" when cur is covered by old, else the first difference.
func (env *env) differ(old, cur *State, level exactness) string {
	if len(old.Frames) != len(cur.Frames) {
		return "another depth of calls"
	}
	m := &env.idmap
	m.pairs = m.pairs[:0]
	m.gen = env.idGen
	if old.inSleepable != cur.inSleepable {
		return "one may sleep, the other may not"
	}
	if why := env.refsDiffer(old, cur); why != "" {
		return why
	}
	for i, f := range old.Frames {
		g := cur.Frames[i]
		if f.CallSite != g.CallSite {
			return "another caller"
		}
		if f.callbackDepth > g.callbackDepth {
			return "fewer rounds of a callback"
		}
		live := env.live.regs[old.frameInsn(i)]
		for r := range f.Regs {
			if live>>r&1 != 0 && !env.regSafe(&f.Regs[r], &g.Regs[r], level) {
				return diffText(fmt.Sprintf("R%d", r), &f.Regs[r], &g.Regs[r])
			}
		}
		if spi := env.stackDiffers(f, g, level); spi >= 0 {
			return fmt.Sprintf("the stack differs at fp%d", -(spi+1)*regSize)
		}
	}
	return ""
}

func diffText(name string, old, cur *RegState) string {
	return fmt.Sprintf("%s is %s, was %s", name, regString(cur, cur.Frame), regString(old, old.Frame))
}

// sameReg compares all that a register is but its ids and precision.
func sameReg(a, b *RegState) bool {
	return a.Type == b.Type && a.Off == b.Off && a.Bounds == b.Bounds && a.Range == b.Range &&
		a.MemSize == b.MemSize && a.Subprog == b.Subprog && a.Map == b.Map && a.MapUID == b.MapUID &&
		a.BTF == b.BTF && a.First == b.First && a.Dynptr == b.Dynptr && a.Iter == b.Iter && a.DynptrID == b.DynptrID
}

// regSafe reports whether a register as in cur may do all that one as in old may
// (regsafe).
func (env *env) regSafe(old, cur *RegState, level exactness) bool {
	m := &env.idmap
	same := func() bool {
		return sameReg(old, cur) && m.match(old.ID, cur.ID) && m.match(old.RefObjID, cur.RefObjID)
	}
	if level == exact {
		return same()
	}
	if old.Type == NotInit && (level == notExact || cur.Type == NotInit) {
		return true // it was not read
	}
	if old.Type != cur.Type {
		return false
	}
	within := func() bool { return cur.within(&old.Bounds) && old.VarOff.In(cur.VarOff) }
	switch old.Type.base() {
	case Scalar:
		if !old.Precise && level == notExact {
			return true
		}
		if old.ID != 0 && (old.ID^cur.ID)&addConst != 0 || old.ID&addConst != 0 && old.Off != cur.Off {
			return false
		}
		return m.matchScalar(old.ID&^addConst, cur.ID&^addConst) && within()
	case PtrToMapKey, PtrToMapValue, PtrToMem, PtrToBuf, PtrToTPBuffer:
		return old.Off == cur.Off && old.Map == cur.Map && old.MapUID == cur.MapUID && old.MemSize == cur.MemSize &&
			within() && m.match(old.ID, cur.ID) && m.match(old.RefObjID, cur.RefObjID)
	case PtrToPacket, PtrToPacketMeta:
		// Fewer proven bytes would not do; markers of the end must be the same.
		if old.Range < 0 || cur.Range < 0 {
			if old.Range != cur.Range {
				return false
			}
		} else if old.Range > cur.Range {
			return false
		}
		return old.Off == cur.Off && m.match(old.ID, cur.ID) && within()
	case PtrToStack:
		return same() && old.Frame == cur.Frame
	}
	return same()
}

// unknownSpill stands for a slot of bytes of which nothing is known
// (unbound_reg).
var unknownSpill = unknownScalar()

// asScalar is the scalar that eight bytes of stack read as, if they are one
// (scalar_reg_for_stack).
func (s *StackSlot) asScalar() *RegState {
	if s.isSpilled() && s.Type[0] == SlotSpill && s.Spilled.Type == Scalar {
		return &s.Spilled
	}
	for _, t := range s.Type {
		if t != SlotMisc && t != SlotInvalid {
			return nil
		}
	}
	return &unknownSpill
}

// stackDiffers returns the first slot in which cur's stack is not covered by
// old's, or -1 (stacksafe).
func (env *env) stackDiffers(old, cur *FuncState, level exactness) int {
	for spi := range old.Stack {
		a := &old.Stack[spi]
		var b *StackSlot
		if spi < len(cur.Stack) {
			b = &cur.Stack[spi]
		}
		if level != notExact && (b == nil || a.Type != b.Type) {
			return spi
		}
		if a.Type == [regSize]SlotType{} {
			continue // was not used
		}
		misc := true // bytes that were numbers may be anything
		for _, t := range a.Type {
			misc = misc && (t == SlotInvalid || t == SlotMisc)
		}
		if misc {
			continue
		}
		if b == nil {
			return spi
		}
		if why := env.objectSlotDiffers(a, b); why >= 0 {
			if why > 0 {
				return spi
			}
			continue
		}
		if x, y := a.asScalar(), b.asScalar(); x != nil && y != nil {
			if !env.regSafe(x, y, level) {
				return spi
			}
			continue
		}
		for i, t := range a.Type {
			if t != SlotInvalid && t != SlotMisc && t != b.Type[i] {
				return spi
			}
		}
		if a.isSpilled() && !env.regSafe(&a.Spilled, &b.Spilled, level) {
			return spi
		}
	}
	return -1
}

// objectSlotDiffers compares slots of dynptrs, iterators and saved interrupt flags:
// 0 for equal, 1 for not, -1 where a holds nothing of the kind.
func (env *env) objectSlotDiffers(a, b *StackSlot) int {
	last := a.Type[regSize-1]
	switch last {
	case SlotDynptr, SlotIter, SlotIRQ:
	default:
		return -1
	}
	x, y := &a.Spilled, &b.Spilled
	m := &env.idmap
	ok := a.Type == b.Type
	switch last {
	case SlotDynptr:
		ok = ok && x.Dynptr == y.Dynptr && x.First == y.First && m.match(x.RefObjID, y.RefObjID)
	case SlotIter:
		// How often it went round does not matter.
		ok = ok && x.Type == y.Type && x.BTF == y.BTF && x.Iter == y.Iter && m.match(x.RefObjID, y.RefObjID)
	case SlotIRQ:
		ok = ok && m.match(x.RefObjID, y.RefObjID)
	}
	if ok {
		return 0
	}
	return 1
}

// iterActive reports whether the iterator in R1 is not at its end.
func (env *env) iterActive(s *State) bool {
	r := &s.cur().Regs[isa.R1]
	if r.Type != PtrToStack || !r.VarOff.IsConst() {
		return false
	}
	spi := (-(int(r.Off) + int(int64(r.VarOff.Value))) - 1) / regSize
	stack := s.Frames[r.Frame].Stack
	return spi >= 0 && spi < len(stack) && stack[spi].Spilled.Iter == IterActive
}
