package debug

import (
	"context"
	"slices"

	"bpfvm/vm"
)

// Marks are the steps of a run that a timeline points out, each in order.
type Marks struct {
	Writes []uint64 // steps that write an element of a map
	Breaks []uint64 // steps at which breakpoints stop
	Calls  []uint64 // first steps of functions
}

// Marks finds the remarkable steps of a run. It plays the run, and does not move.
// Breakpoints that count hits are left out.
func (s *Session) Marks(ctx context.Context, run *Run) (Marks, error) {
	var out Marks
	m := s.newMatcher()
	m.breaks = slices.DeleteFunc(slices.Clone(m.breaks), func(b *Breakpoint) bool {
		return b.every|b.nth|b.from != 0 || b.log != nil
	})
	frame := 0
	err := s.scan(ctx, run.First, run.End()-1, func(p *Point) {
		if p.st == nil || p.Run != run.Index {
			return
		}
		if m.look(p) != nil {
			out.Breaks = append(out.Breaks, p.Step)
		}
		if p.Frame > frame {
			out.Calls = append(out.Calls, p.Step)
		}
		frame = p.Frame
		if writesAnyMap(p) {
			out.Writes = append(out.Writes, p.Step)
		}
	})
	return out, err
}

// writesAnyMap says whether the step at the point writes to a map.
func writesAnyMap(p *Point) bool {
	code := p.st.Code()
	ins := code.Insns[p.st.PC()]
	if ins.IsHelperCall() {
		if h := code.Helpers[ins.Imm]; h != nil && h.Proto != nil && writesMap(h.Proto) {
			return true
		}
	}
	for _, a := range accesses(p) {
		if r := p.e.world.Memory.Find(a.addr); a.write && r != nil && r.Kind == vm.RegionMapValue {
			return true
		}
	}
	return false
}
