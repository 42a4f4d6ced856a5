package amd64

import "bpfvm/isa"

// flow is the outcome of the analysis: what is known where control flow meets. In
// between it follows from the instructions.
type flow struct {
	s *source
	// leader numbers the slots where blocks begin, -1: none. Nothing that lives in
	// the registers that eBPF does not see is carried across the beginning of one.
	leader []int32
	slots  []isa.PC // of the leaders
	at     []regs   // by leader
	met    []bool   // a way leads there
	ids    ids
}

// maxLeaders bounds the memory that the analysis takes; in a program with more
// blocks each begins with nothing known.
const maxLeaders = 1 << 13

// widenAfter is how often what is known at a leader may shrink before it is given
// up.
const widenAfter = 4

// newFlow looks at a program. Without passes it only finds the leaders.
func newFlow(s *source, known bool) *flow {
	f := &flow{s: s}
	f.findLeaders()
	f.clear()
	if !known || s.Crossing || len(f.slots) > maxLeaders {
		for i := range f.at {
			f.at[i] = atEntry
		}
		return f
	}
	f.solve()
	f.tighten()
	for i := range f.at {
		if !f.met[i] {
			f.at[i] = atEntry // never gets there, but is translated
		}
	}
	return f
}

func (f *flow) findLeaders() {
	n := len(f.s.Insns)
	f.leader = make([]int32, n)
	for pc := range f.s.Insns.All() {
		if t, ok := f.s.Insns.JumpTarget(pc); ok {
			f.leader[t] = 1
		}
	}
	for i := range f.s.Subprogs {
		f.leader[f.s.Subprogs[i].Start] = 1
	}
	for pc := range f.leader {
		if f.leader[pc] == 0 {
			f.leader[pc] = -1
			continue
		}
		f.leader[pc] = int32(len(f.slots))
		f.slots = append(f.slots, isa.PC(pc))
	}
}

// clear begins anew: functions start with nothing known.
func (f *flow) clear() {
	f.at, f.met = make([]regs, len(f.slots)), make([]bool, len(f.slots))
	for i := range f.s.Subprogs {
		l := f.leader[f.s.Subprogs[i].Start]
		f.at[l], f.met[l] = atEntry, true
	}
}

// solve finds states that hold, from the top down until nothing changes.
func (f *flow) solve() {
	dirty := append([]bool(nil), f.met...)
	visits := make([]uint8, len(f.slots))
	for again := true; again; {
		again = false
		for l := range dirty {
			if !dirty[l] {
				continue
			}
			dirty[l] = false
			f.block(l, &f.at[l], func(to int32, s *regs) {
				changed := false
				if !f.met[to] {
					f.at[to], f.met[to], changed = s.values(), true, true
				} else {
					changed = f.at[to].join(s, visits[to] >= widenAfter)
				}
				if changed {
					visits[to] = min(visits[to]+1, widenAfter)
					dirty[to], again = true, true
				}
			})
		}
	}
}

// tighten takes back what widening has given away in vain. What it arrives at must
// again follow from itself, or else it is not taken.
func (f *flow) tighten() {
	for range 2 {
		tight := f.apply()
		next := tight.apply()
		for l := range next.at {
			if next.met[l] && (!tight.met[l] || tight.at[l].join(&next.at[l], false)) {
				return
			}
		}
		f.at, f.met = tight.at, tight.met
	}
}

// apply is what follows from the states in one step.
func (f *flow) apply() *flow {
	out := &flow{s: f.s, leader: f.leader, slots: f.slots}
	out.clear()
	for l := range f.at {
		if !f.met[l] {
			continue
		}
		f.block(l, &f.at[l], func(to int32, s *regs) {
			if !out.met[to] {
				out.at[to], out.met[to] = s.values(), true
				return
			}
			out.at[to].join(s, false)
		})
	}
	return out
}

// values is s without what ties registers to each other.
func (s *regs) values() (out regs) {
	for r := range s {
		out[r] = s[r].value()
	}
	return out
}

// join makes s hold what does in both, and reports whether that is less than before.
func (s *regs) join(o *regs, widen bool) (changed bool) {
	for r := range s {
		a := s[r].value()
		b := a.join(o[r])
		if a != b {
			changed = true
			if widen {
				b = known{}
			}
		}
		s[r] = b
	}
	return changed
}

// block follows the instructions from a leader on and hands on what holds at the
// leaders that come next.
func (f *flow) block(l int, at *regs, to func(leader int32, s *regs)) {
	s := *at
	for pc := f.slots[l]; int(pc) < len(f.s.Insns); {
		next, goes := f.insn(&s, pc, to)
		if !goes {
			return
		}
		if f.leader[next] >= 0 {
			to(f.leader[next], &s)
			return
		}
		pc = next
	}
}

// insn changes s to what holds behind the instruction at pc and returns where that
// is; goes is false where control does not come there.
func (f *flow) insn(s *regs, pc isa.PC, to func(leader int32, s *regs)) (next isa.PC, goes bool) {
	ins := f.s.Insns[pc]
	next = pc + 1
	if ins.IsWide() {
		next++
	}
	target, jumps := f.s.Insns.JumpTarget(pc)
	switch {
	case ins.Op == isa.OpExit:
		return next, false
	case ins.Op == isa.OpJa || ins.Op == isa.OpJa32:
		to(f.leader[target], s)
		return next, false
	case jumps:
		taken := *s
		if refine(&taken, ins, true) {
			to(f.leader[target], &taken)
		}
		return next, refine(s, ins, false)
	}
	if in, ok := f.s.inline(pc, s); ok {
		f.ids.step(s, f.s.Forms[pc], ins, 0)
		s[isa.R0] = in.result()
		return next, true
	}
	imm, _ := f.s.Insns.Imm64(pc)
	f.ids.step(s, f.s.Forms[pc], ins, imm)
	return next, true
}
