package difftest

import (
	"context"

	"bpfvm/isa"
	"bpfvm/spec"
)

// maxTries bounds the programs that one Shrink runs.
const maxTries = 6000

// Shrink makes the program of a case smaller while keep says that what is looked for
// is still there: it leaves instructions out, from halves of the program down to
// single ones (Zeller's delta debugging), then simplifies constants, and repeats
// until nothing gets smaller. The case must run a single program.
func Shrink(ctx context.Context, c *Case, keep func(*Case) bool) (*Case, error) {
	p, err := c.program()
	if err != nil {
		return nil, err
	}
	s := &shrinker{ctx: ctx, best: c, prog: p, keep: keep}
	for {
		before := s.tries
		size := len(s.prog.Insns)
		s.endEarly()
		s.leaveOut()
		s.simplify()
		if len(s.prog.Insns) == size || s.tries == before || s.over() {
			break
		}
	}
	return s.best, ctx.Err()
}

type shrinker struct {
	ctx   context.Context
	best  *Case
	prog  *spec.ProgramSpec
	keep  func(*Case) bool
	tries int
}

func (s *shrinker) over() bool { return s.tries >= maxTries || s.ctx.Err() != nil }

// try takes a candidate if it still shows what is looked for.
func (s *shrinker) try(p *spec.ProgramSpec) bool {
	if p == nil || len(p.Insns) == 0 || s.over() {
		return false
	}
	s.tries++
	c := s.best.with(p)
	if !s.keep(c) {
		return false
	}
	s.best, s.prog = c, p
	return true
}

// endEarly looks for the shortest beginning of the program after which a register
// shows the difference: "r0 = rX; exit" instead of all that follows.
func (s *shrinker) endEarly() {
	end := len(s.prog.Insns)
	if len(s.prog.Funcs) > 1 {
		end = int(s.prog.Funcs[1].PC)
	}
	low, high := 0, end-2 // a difference is seldom gone again, so halves find it
	for low < high && !s.over() {
		mid := low + (high-low)/2
		if s.cutAt(mid) {
			high = mid
		} else {
			low = mid + 1
		}
	}
}

// cutAt tries to end the program's own function at a slot with each register as its
// result. Jumps beyond lead to the end.
func (s *shrinker) cutAt(pc int) bool {
	p := s.prog
	if pc >= len(p.Insns)-2 || pc > 0 && p.Insns[pc-1].IsWide() {
		return false
	}
	end := len(p.Insns)
	if len(p.Funcs) > 1 {
		end = int(p.Funcs[1].PC)
	}
	if pc+2 >= end || p.Insns[pc].IsWide() || p.Insns[pc+1].IsWide() {
		return false
	}
	drop := make([]bool, len(p.Insns))
	for i := pc + 2; i < end; i++ {
		drop[i] = true
	}
	for r := range isa.R10 {
		q := replace(p, isa.PC(pc), movX(isa.R0, r), exit)
		for i := range pc { // what leads beyond the cut leads to the exit's move
			if t, ok := q.Insns.JumpTarget(isa.PC(i)); ok && int(t) > pc && int(t) < end {
				setDistance(&q.Insns[i], pc-i-1)
			}
		}
		refs := q.Refs[:0:0]
		for _, r := range q.Refs {
			if int(r.PC) != pc && int(r.PC) != pc+1 {
				refs = append(refs, r)
			}
		}
		q.Refs = refs
		if s.try(without(q, drop)) {
			return true
		}
	}
	return false
}

// units are the instructions as ranges of slots.
func units(p isa.Program) [][2]int {
	var out [][2]int
	for pc, ins := range p.All() {
		n := 1
		if ins.IsWide() {
			n = 2
		}
		out = append(out, [2]int{int(pc), int(pc) + n})
	}
	return out
}

// leaveOut drops runs of instructions: first long ones, then shorter.
func (s *shrinker) leaveOut() {
	for size := max(1, len(units(s.prog.Insns))/2); ; size /= 2 {
		for from := 0; !s.over(); {
			all := units(s.prog.Insns)
			if from >= len(all) {
				break
			}
			drop := make([]bool, len(s.prog.Insns))
			for _, u := range all[from:min(from+size, len(all))] {
				for i := u[0]; i < u[1]; i++ {
					drop[i] = true
				}
			}
			if !s.try(without(s.prog, drop)) {
				from += size
			}
		}
		if size <= 1 || s.over() {
			return
		}
	}
}

// simplify replaces what computes a value by a constant, and constants by smaller
// ones.
func (s *shrinker) simplify() {
	for pc := 0; pc < len(s.prog.Insns) && !s.over(); pc++ {
		ins := s.prog.Insns[pc]
		if ins.IsWide() {
			if s.prog.RefAt(isa.PC(pc)) == nil && ins.Src() == 0 {
				s.shortConstant(pc, ins)
			}
			pc++
			continue
		}
		class, dst := ins.Op.Class(), ins.Dst()
		constant := class == isa.ClassALU64 && ins.Op.Code() == isa.CodeMov && ins.Op.Source() == isa.SrcK
		switch {
		case ins.Op == isa.OpCall:
			dst = isa.R0
			fallthrough
		case class == isa.ClassLDX, class.IsALU() && !constant:
			if dst != isa.R10 && s.tryEach(pc, movK(dst, 0), movK(dst, 1), movK(dst, -1)) {
				continue
			}
		}
		if (constant || class.IsALU() && ins.Op.Source() == isa.SrcK && ins.Op.Code() != isa.CodeEnd || class == isa.ClassST) && ins.Imm&^1 != 0 {
			var smaller []isa.Instruction
			for _, v := range []int32{0, 1, -1, ins.Imm & 0xff} {
				if v != ins.Imm {
					small := ins
					small.Imm = v
					smaller = append(smaller, small)
				}
			}
			if ins.Imm != -1 {
				s.tryEach(pc, smaller...)
			}
		}
	}
}

// tryEach puts one instruction after the other at a slot until one can stay.
func (s *shrinker) tryEach(pc int, candidates ...isa.Instruction) bool {
	for _, ins := range candidates {
		// The copy drops nothing, but leaves out functions that are not called any more.
		if s.try(without(replace(s.prog, isa.PC(pc), ins), make([]bool, len(s.prog.Insns)))) {
			return true
		}
	}
	return false
}

// shortConstant turns a wide constant into a narrow one.
func (s *shrinker) shortConstant(pc int, ins isa.Instruction) {
	for _, v := range []int32{0, 1, -1, -0x80000000, ins.Imm} {
		q := replace(s.prog, isa.PC(pc), movK(ins.Dst(), v), isa.Instruction{Op: isa.OpJa})
		drop := make([]bool, len(q.Insns))
		drop[pc+1] = true
		if s.try(without(q, drop)) {
			return
		}
	}
}
