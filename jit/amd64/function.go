package amd64

import (
	"slices"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// source is code that has been found runnable, with what both images need.
type source struct {
	*vm.Prepared
	funcs []function // one for each of Subprogs
	opt   Options
	facts *spec.Facts
	flow  *flow
	live  liveness
	// inlines are the helper calls that machine code does itself.
	inlines map[isa.PC]inlined
	// rotations are the places where one is put together, leftOut the shifts that
	// are not done for them, and unshifted the registers that hold the value as it
	// was before, in between.
	rotations map[isa.PC]rotation
	leftOut   map[isa.PC]bool
	unshifted map[isa.PC]uint16
	callees   []*vm.Helper // by slot, of helper calls that Go serves
}

// function is what the compiler knows of a function beyond its [vm.Subprog].
type function struct {
	*vm.Subprog
	// saved are those of R6 to R9 that the function writes: it gives them back to
	// its caller.
	saved []isa.Register
	// mayGoto says that the function keeps a counter for may_goto.
	mayGoto bool
	// frames is the deepest chain of calls from here, itself included; 0 means
	// that it is not bounded.
	frames int
}

// prepare checks the code and looks at its functions. When control crosses from one
// into another by a jump or by running on, all get what any of them could need.
func prepare(code *vm.Code, opt Options) (*source, error) {
	p, err := vm.Prepare(code)
	if err != nil {
		return nil, err
	}
	s := &source{Prepared: p, opt: opt, funcs: make([]function, len(p.Subprogs))}
	if opt.on(PassProven) {
		s.facts = code.Facts
	}
	for i := range s.funcs {
		f := &s.funcs[i]
		f.Subprog = &p.Subprogs[i]
		if p.Crossing {
			f.mayGoto, f.saved = true, []isa.Register{isa.R6, isa.R7, isa.R8, isa.R9}
			continue
		}
		s.describe(f)
	}
	if !p.Crossing {
		s.findFrames()
	}
	s.flow = newFlow(s, opt.on(PassKnown))
	s.findInlined()
	s.findRotations()
	s.findLive()
	s.callees = make([]*vm.Helper, len(code.Insns))
	for pc, ins := range code.Insns.All() {
		if ins.IsHelperCall() || ins.IsKfuncCall() {
			s.callees[pc] = code.Callee(ins)
		}
	}
	return s, nil
}

// describe looks at what one function does by itself.
func (s *source) describe(f *function) {
	for pc := f.Start; pc < f.End; pc++ {
		form, ins := s.Forms[pc], s.Insns[pc]
		if form == nil {
			continue
		}
		if r := form.Dst.Rule; r == isa.RuleWrite || r == isa.RuleReadWrite {
			f.save(ins.Dst())
		}
		if r := form.Src.Rule; r == isa.RuleWrite || r == isa.RuleReadWrite {
			f.save(ins.Src())
		}
		f.mayGoto = f.mayGoto || ins.Op == isa.OpMayGoto
	}
	slices.Sort(f.saved)
}

func (f *function) save(r isa.Register) {
	if r >= isa.R6 && r <= isa.R9 && !slices.Contains(f.saved, r) {
		f.saved = append(f.saved, r)
	}
}

// findFrames bounds the depth of calls: the longest path in the graph of calls, no
// bound where it has a cycle.
func (s *source) findFrames() {
	callees := make([][]int, len(s.funcs))
	for pc, ins := range s.Insns.All() {
		if ins.IsPseudoCall() {
			t, _ := s.Insns.CallTarget(pc)
			caller := s.SubprogAt(pc)
			callees[caller] = append(callees[caller], s.SubprogAt(t))
		}
	}
	// Each round finds the functions whose callees are all known; those left over
	// are on a cycle or lead to one. Deeper than MaxFrames is as good as unbounded.
	for range vm.MaxFrames {
		var found []int
		for i := range s.funcs {
			if s.funcs[i].frames == 0 && !slices.ContainsFunc(callees[i], func(c int) bool { return s.funcs[c].frames == 0 }) {
				found = append(found, i)
			}
		}
		for _, i := range found {
			deepest := 0
			for _, c := range callees[i] {
				deepest = max(deepest, s.funcs[c].frames)
			}
			s.funcs[i].frames = deepest + 1
		}
	}
}

// funcAt returns the function that a slot belongs to.
func (s *source) funcAt(pc isa.PC) *function { return &s.funcs[s.SubprogAt(pc)] }
