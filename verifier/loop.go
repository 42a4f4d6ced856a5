package verifier

import (
	"fmt"
	"slices"
	"strings"
)

// Loops that states may go round while they are still being explored: those made
// by callbacks and may_goto. A state in such a loop is complete only when the
// loop's first state is done, since a later round may yet mark scalars as
// precise; until then it covers others by range only, and the rounds that were
// cut short are remembered so that precision can flow back along them
// (verifier.c of 6.17, bpf_scc_visit).

// loopKey names a round of a strongly connected component: the calls that led to
// it and its number.
type loopKey struct {
	calls [maxFrames]int32
	scc   int
}

// String prints the calls and the number, as the log has them (format_callchain).
func (k loopKey) String() string {
	var sb strings.Builder
	sb.WriteByte('(')
	for _, c := range k.calls {
		if c <= 1 {
			break // the kernel takes slot 0 for the end
		}
		fmt.Fprintf(&sb, "%d,", c-1)
	}
	fmt.Fprintf(&sb, "%d)", k.scc)
	return sb.String()
}

type loopVisit struct {
	entry     *State
	backedges []backedge
}

type backedge struct{ state, equal *State }

// loopKeyOf finds the outermost component that the state is in.
func (env *env) loopKeyOf(s *State) (loopKey, bool) {
	var k loopKey
	for i := range s.Frames {
		pc := s.frameInsn(i)
		if n := env.aux[pc].scc; n > 0 {
			k.scc = n
			return k, true
		}
		if i < s.curFrame() {
			k.calls[i] = int32(pc) + 1
		}
	}
	return k, false
}

// enterLoop makes s the first state of a component's round if there is none.
func (env *env) enterLoop(s *State) {
	k, ok := env.loopKeyOf(s)
	if !ok {
		return
	}
	if env.loops == nil {
		env.loops = map[loopKey]*loopVisit{}
	}
	v := env.loops[k]
	if v == nil {
		v = &loopVisit{}
		env.loops[k] = v
	}
	if v.entry == nil {
		v.entry = s
		env.debugf("SCC enter %s\n", k)
	}
}

// incomplete reports whether rounds from s were cut short and are not settled.
func (env *env) incomplete(s *State) bool {
	k, ok := env.loopKeyOf(s)
	if !ok {
		return false
	}
	v := env.loops[k]
	return v != nil && len(v.backedges) > 0
}

// addBackedge remembers a round that ended in a state seen before.
func (env *env) addBackedge(equal, cur *State) {
	k, ok := env.loopKeyOf(equal)
	if !ok || env.loops[k] == nil {
		return
	}
	s := cur.clone()
	s.insnIdx = equal.insnIdx
	v := env.loops[k]
	env.debugf("SCC backedge %s\n", k)
	env.backedges++
	env.countPeak()
	v.backedges = append(v.backedges, backedge{state: s, equal: equal})
}

// exitLoop settles a component when its first state is done: precision flows
// along the rounds until nothing changes.
func (env *env) exitLoop(s *State) error {
	k, ok := env.loopKeyOf(s)
	if !ok {
		return nil
	}
	v := env.loops[k]
	if v == nil || v.entry != s {
		return nil
	}
	v.entry = nil
	env.debugf("SCC exit %s\n", k)
	for round, changed := 0, true; changed; round++ {
		changed = false
		for _, b := range slices.Backward(v.backedges) {
			c, err := env.propagatePrecision(b.equal, b.state)
			if err != nil {
				return err
			}
			changed = changed || c
		}
		if round > 64 {
			// Rather all than never the end (MAX_BACKEDGE_ITERS).
			for _, b := range v.backedges {
				env.allPrecise(b.state)
			}
			break
		}
	}
	env.backedges -= len(v.backedges)
	v.backedges = nil
	return nil
}

// findLoops numbers the strongly connected components of the control flow, by
// Tarjan's algorithm without recursion (compute_scc). A slot alone is one only if
// it leads to itself.
func (env *env) findLoops() {
	n := len(env.insns)
	index := make([]int, n)
	low := make([]int, n)
	onStack := make([]bool, n)
	var stack []int
	type visit struct{ pc, next int }
	count, components := 0, 0
	for root := range n {
		if index[root] != 0 || env.insns[root].Op == 0 {
			continue
		}
		work := []visit{{pc: root}}
		for len(work) > 0 {
			v := &work[len(work)-1]
			if v.next == 0 {
				count++
				index[v.pc], low[v.pc] = count, count
				stack = append(stack, v.pc)
				onStack[v.pc] = true
			}
			to, k := env.successors(v.pc)
			if v.next < k {
				w := to[v.next]
				v.next++
				if index[w] == 0 {
					work = append(work, visit{pc: w})
				} else if onStack[w] {
					low[v.pc] = min(low[v.pc], index[w])
				}
				continue
			}
			pc := v.pc
			work = work[:len(work)-1]
			if len(work) > 0 {
				p := work[len(work)-1].pc
				low[p] = min(low[p], low[pc])
			}
			if low[pc] != index[pc] {
				continue
			}
			first := len(stack) - 1
			for stack[first] != pc {
				first--
			}
			members := stack[first:]
			loop := len(members) > 1
			for _, t := range to[:k] {
				loop = loop || t == pc
			}
			if loop {
				components++
			}
			for _, m := range members {
				onStack[m] = false
				if loop {
					env.aux[m].scc = components
				}
			}
			stack = stack[:first]
		}
	}
}

// findPrevEntry finds the newest state that was kept when a path which is still
// open was at that slot, older than cur (find_prev_entry).
func (env *env) findPrevEntry(cur *State, pc int) *State {
	for _, e := range *env.bucket(pc) {
		if s := e.state; s.insnIdx == pc && s.branches > 0 && sameCallSites(s, cur) && s.dfsDepth < cur.dfsDepth {
			return s
		}
	}
	return nil
}

// widenImprecise forgets those scalars that changed since the last round and that
// nothing has needed exactly, so that the loop comes to an end
// (widen_imprecise_scalars).
func (env *env) widenImprecise(old, cur *State) {
	m := &env.idmap
	m.pairs, m.gen = m.pairs[:0], env.idGen
	widen := func(o, c *RegState) {
		if o.Type != Scalar || c.Type != Scalar || o.Precise || c.Precise {
			return
		}
		if sameReg(o, c) && m.match(o.ID, c.ID) && m.match(o.RefObjID, c.RefObjID) {
			return
		}
		c.setUnknown()
	}
	for fr := len(old.Frames) - 1; fr >= 0; fr-- {
		if fr >= len(cur.Frames) {
			continue
		}
		f, g := old.Frames[fr], cur.Frames[fr]
		for i := range f.Regs {
			widen(&f.Regs[i], &g.Regs[i])
		}
		for i := range min(len(f.Stack), len(g.Stack)) {
			if f.Stack[i].isSpilled() && g.Stack[i].isSpilled() {
				widen(&f.Stack[i].Spilled, &g.Stack[i].Spilled)
			}
		}
	}
}
