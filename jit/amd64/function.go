package amd64

import (
	"slices"
	"sort"

	"bpfvm/isa"
	"bpfvm/vm"
)

// function is the slots from its first one to the next function's.
type function struct {
	start, end isa.PC
	// reach is the number of bytes below R10 that the function can touch through
	// it; so many are cleared when it begins.
	reach int
	// saved are those of R6 to R9 that the function writes: it gives them back to
	// its caller.
	saved []isa.Register
	// mayGoto says that the function keeps a counter for may_goto.
	mayGoto bool
	// frames is the deepest chain of calls from here, itself included; 0 means
	// that it is not bounded.
	frames int
}

// findFunctions cuts the program at slot 0, at the targets of calls and where the
// code says that functions begin. When control crosses such a border by a jump or
// by running on, all functions get what any of them could need.
func (s *source) findFunctions() {
	insns := s.code.Insns
	starts := []isa.PC{0}
	for pc := range insns {
		if s.isTarget[pc] {
			starts = append(starts, isa.PC(pc))
		}
	}
	for _, f := range s.code.Funcs {
		if f.PC >= 0 && int(f.PC) < len(insns) && s.form[f.PC] != nil {
			starts = append(starts, f.PC)
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	s.funcs = make([]function, len(starts))
	s.funcOf = make([]int32, len(insns))
	separate := true
	for i, start := range starts {
		end := isa.PC(len(insns))
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		s.funcs[i] = function{start: start, end: end}
		if !s.describe(&s.funcs[i], int32(i)) {
			separate = false
		}
	}
	if separate {
		s.findFrames()
		return
	}
	for i := range s.funcs {
		f := &s.funcs[i]
		f.reach, f.mayGoto, f.frames = vm.StackSize, true, 0
		f.saved = []isa.Register{isa.R6, isa.R7, isa.R8, isa.R9}
	}
}

// describe looks at one function by itself and reports whether control stays in
// it.
func (s *source) describe(f *function, index int32) (separate bool) {
	insns := s.code.Insns
	separate = true
	for pc := f.start; pc < f.end; pc++ {
		s.funcOf[pc] = index
		form, ins := s.form[pc], insns[pc]
		if form == nil {
			continue
		}
		f.reach = max(f.reach, insnReach(form, ins))
		if r := form.Dst.Rule; r == isa.RuleWrite || r == isa.RuleReadWrite {
			f.save(ins.Dst())
		}
		if r := form.Src.Rule; r == isa.RuleWrite || r == isa.RuleReadWrite {
			f.save(ins.Src())
		}
		f.mayGoto = f.mayGoto || ins.Op == isa.OpMayGoto
		if t, ok := insns.JumpTarget(pc); ok && (t < f.start || t >= f.end) {
			separate = false
		}
	}
	slices.Sort(f.saved)
	switch insns[f.end-1].Op {
	case isa.OpExit, isa.OpJa, isa.OpJa32:
	default:
		separate = false
	}
	return separate
}

func (f *function) save(r isa.Register) {
	if r >= isa.R6 && r <= isa.R9 && !slices.Contains(f.saved, r) {
		f.saved = append(f.saved, r)
	}
}

// insnReach is the reach of one instruction. All of the frame is in reach once R10
// is copied, stored or computed with.
func insnReach(form *isa.Op, ins isa.Instruction) int {
	usesDst := form.Dst.Rule.IsReg() && ins.Dst() == isa.FP
	usesSrc := form.Src.Rule.IsReg() && ins.Src() == isa.FP
	if !usesDst && !usesSrc {
		return 0
	}
	class := ins.Op.Class()
	load := class == isa.ClassLDX || class == isa.ClassSTX && isa.AtomicOp(ins.Imm) == isa.AtomicLoadAcq && ins.Op.Mode() == isa.ModeATOMIC
	store := class == isa.ClassST || class == isa.ClassSTX && !load
	if load && usesSrc && !usesDst || store && usesDst && !usesSrc {
		return min(max(-int(ins.Off), 0), vm.StackSize)
	}
	return vm.StackSize
}

// findFrames bounds the depth of calls: the longest path in the graph of calls, no
// bound where it has a cycle.
func (s *source) findFrames() {
	callees := make([][]int32, len(s.funcs))
	for pc, ins := range s.code.Insns.All() {
		if ins.IsPseudoCall() {
			t, _ := s.code.Insns.CallTarget(pc)
			callees[s.funcOf[pc]] = append(callees[s.funcOf[pc]], s.funcOf[t])
		}
	}
	// Each round finds the functions whose callees are all known; those left over
	// are on a cycle or lead to one. Deeper than MaxFrames is as good as unbounded.
	for range vm.MaxFrames {
		var found []int
		for i := range s.funcs {
			if s.funcs[i].frames == 0 && !slices.ContainsFunc(callees[i], func(c int32) bool { return s.funcs[c].frames == 0 }) {
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
func (s *source) funcAt(pc isa.PC) *function { return &s.funcs[s.funcOf[pc]] }

// reachOf is what must be cleared when control begins at a slot: callbacks may
// begin where no function is known to.
func (s *source) reachOf(pc isa.PC) int {
	i := sort.Search(len(s.funcs), func(i int) bool { return s.funcs[i].start >= pc })
	if i < len(s.funcs) && s.funcs[i].start == pc {
		return s.funcs[i].reach
	}
	return vm.StackSize
}
