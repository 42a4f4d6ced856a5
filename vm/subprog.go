package vm

import (
	"slices"

	"bpfvm/isa"
)

// Subprog is one function of a program: the slots from its first one to the next
// function's (include/linux/bpf_verifier.h, struct bpf_subprog_info).
type Subprog struct {
	Start, End isa.PC
	// Reach is the number of bytes below R10 that the function can touch through
	// it, at most StackSize. Engines clear so many when it begins.
	Reach int
	// Called says that the program calls it, besides what helpers call back.
	Called bool
}

// SubprogAt returns the index in Subprogs of the function that a slot belongs to.
func (p *Prepared) SubprogAt(pc isa.PC) int { return int(p.subprogOf[pc]) }

// ReachAt is how much of its frame an engine clears when control begins at a slot:
// all of it where no function is known to begin, as callbacks may.
func (p *Prepared) ReachAt(pc isa.PC) int {
	if s := &p.Subprogs[p.subprogOf[pc]]; s.Start == pc {
		return s.Reach
	}
	return StackSize
}

// findSubprogs cuts the program at slot 0, at the targets of calls and where the
// code says that functions begin. Where functions are not separate, each of them
// can reach its whole frame.
func (p *Prepared) findSubprogs() {
	called := make(map[isa.PC]bool)
	for pc, ins := range p.Insns.All() {
		if ins.IsPseudoCall() {
			target, _ := p.Insns.CallTarget(pc)
			called[target] = true
		}
	}
	starts := []isa.PC{0}
	for pc := range called {
		starts = append(starts, pc)
	}
	for _, f := range p.Funcs {
		if p.IsInsn(f.PC) {
			starts = append(starts, f.PC)
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	p.Subprogs = make([]Subprog, len(starts))
	p.subprogOf = make([]int32, len(p.Insns))
	for i, start := range starts {
		end := isa.PC(len(p.Insns))
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		s := &p.Subprogs[i]
		*s = Subprog{Start: start, End: end, Called: called[start]}
		for pc := start; pc < end; pc++ {
			p.subprogOf[pc] = int32(i)
		}
		p.measure(s)
	}
	if p.Crossing {
		for i := range p.Subprogs {
			p.Subprogs[i].Reach = StackSize
		}
	}
}

// measure finds a function's reach and whether control leaves its slots.
func (p *Prepared) measure(s *Subprog) {
	for pc := s.Start; pc < s.End; pc++ {
		if p.Forms[pc] == nil {
			continue
		}
		s.Reach = max(s.Reach, insnReach(p.Forms[pc], p.Insns[pc]))
		if t, ok := p.Insns.JumpTarget(pc); ok && (t < s.Start || t >= s.End) {
			p.Crossing = true
		}
	}
	if !endsLine(p.Insns[s.End-1].Op) {
		p.Crossing = true
	}
}

// insnReach is the reach of one instruction: as far as the offset of a load or
// store, or the whole frame once R10 is copied, stored or computed with.
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
		return min(max(-int(ins.Off), 0), StackSize)
	}
	return StackSize
}

// InFrame reports whether an access of size bytes through R10 stays in the frame,
// which can always be read and written.
func InFrame(base isa.Register, off int16, size int) bool {
	return base == isa.FP && off >= -StackSize && int(off)+size <= 0
}
