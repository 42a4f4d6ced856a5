package difftest

import (
	"bpfvm/isa"
	"bpfvm/spec"
)

// without returns the program without the slots for which drop says so: jumps,
// calls, functions and references keep leading where they led, or to what follows a
// dropped target. It returns nil where that cannot be: a function without slots, a
// jump that is too far or leaves its place.
func without(p *spec.ProgramSpec, drop []bool) *spec.ProgramSpec {
	n := len(p.Insns)
	at := make([]int, n+1) // new slots
	q := *p
	q.Insns, q.Refs, q.Funcs, q.Lines, q.Core = nil, nil, nil, nil, nil
	for pc, ins := range p.Insns {
		at[pc] = len(q.Insns)
		if !drop[pc] {
			q.Insns = append(q.Insns, ins)
		}
	}
	at[n] = len(q.Insns)
	for pc := range p.Insns.All() {
		if drop[pc] {
			continue
		}
		to := &q.Insns[at[pc]]
		if target, ok := p.Insns.JumpTarget(pc); ok {
			if target < 0 || int(target) > n {
				return nil
			}
			d := at[target] - at[pc] - 1
			if int(int16(d)) != d {
				return nil
			}
			setDistance(to, d)
		} else if target, ok := p.Insns.CallTarget(pc); ok {
			if target < 0 || int(target) > n {
				return nil
			}
			to.Imm = int32(at[target] - at[pc] - 1)
		}
	}
	for i, f := range p.Funcs {
		if i > 0 && !called(p, drop, f.PC) {
			continue // what is left of it belongs to the function before
		}
		f.PC = isa.PC(at[f.PC])
		if int(f.PC) == len(q.Insns) || i > 0 && !ends(q.Insns, f.PC) {
			return nil
		}
		q.Funcs = append(q.Funcs, f)
	}
	for _, r := range p.Refs {
		if !drop[r.PC] {
			r.PC = isa.PC(at[r.PC])
			q.Refs = append(q.Refs, r)
		}
	}
	return &q
}

// called reports whether a slot that stays refers to the function at pc.
func called(p *spec.ProgramSpec, drop []bool, fn isa.PC) bool {
	for pc := range p.Insns.All() {
		if target, ok := p.Insns.CallTarget(pc); ok && !drop[pc] && target == fn {
			return true
		}
	}
	return false
}

// ends reports whether control cannot run into the function at pc from above.
func ends(p isa.Program, pc isa.PC) bool {
	if pc == 0 {
		return false
	}
	switch p[pc-1].Op {
	case isa.OpExit, isa.OpJa, isa.OpJa32:
		return true
	}
	return false
}

// replace returns the program with another instruction at a slot, which must be as
// long.
func replace(p *spec.ProgramSpec, pc isa.PC, ins ...isa.Instruction) *spec.ProgramSpec {
	q := *p
	q.Insns = append(isa.Program(nil), p.Insns...)
	copy(q.Insns[pc:], ins)
	return &q
}
