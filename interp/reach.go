package interp

import (
	"slices"

	"bpfvm/isa"
	"bpfvm/vm"
)

// stackReach finds for each function how much of its frame it can touch through
// R10: as far as the lowest offset of its loads and stores, or all of it once R10
// is copied, stored or computed with. The engines clear that much at entry.
//
// A function is taken to be the slots from its first one to the next function's.
// When a jump crosses such a border, every function gets the whole frame.
func stackReach(p *program) []uint16 {
	starts := functionStarts(p)
	reach := make([]uint16, len(p.form))
	for pc := range reach {
		reach[pc] = vm.StackSize // where no function is known to begin
	}
	for _, s := range starts {
		reach[s] = 0
	}
	for i, start := range starts {
		end := isa.PC(len(p.form))
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		for pc := start; pc < end; pc++ {
			if p.form[pc] == nil {
				continue
			}
			reach[start] = max(reach[start], insnReach(p.form[pc], p.code.Insns[pc]))
			if t, ok := p.code.Insns.JumpTarget(pc); ok && (t < start || t >= end) {
				for _, s := range starts {
					reach[s] = vm.StackSize
				}
				return reach
			}
		}
		switch p.code.Insns[end-1].Op {
		case isa.OpExit, isa.OpJa, isa.OpJa32:
		default: // runs on into the next function
			for _, s := range starts {
				reach[s] = vm.StackSize
			}
			return reach
		}
	}
	return reach
}

// functionStarts lists slot 0, the targets of calls, the functions that the code
// names and those whose address is taken.
func functionStarts(p *program) []isa.PC {
	starts := []isa.PC{0}
	for pc := range p.code.Insns.All() {
		if p.code.Insns[pc].IsPseudoCall() {
			t, _ := p.code.Insns.CallTarget(pc)
			starts = append(starts, t)
		}
	}
	for _, f := range p.code.Funcs {
		if f.PC >= 0 && int(f.PC) < len(p.form) && p.form[f.PC] != nil {
			starts = append(starts, f.PC)
		}
	}
	slices.Sort(starts)
	return slices.Compact(starts)
}

// insnReach is the reach of one instruction.
func insnReach(form *isa.Op, ins isa.Instruction) uint16 {
	usesDst := form.Dst.Rule.IsReg() && ins.Dst() == isa.FP
	usesSrc := form.Src.Rule.IsReg() && ins.Src() == isa.FP
	if !usesDst && !usesSrc {
		return 0
	}
	class := ins.Op.Class()
	load := class == isa.ClassLDX || class == isa.ClassSTX && isa.AtomicOp(ins.Imm) == isa.AtomicLoadAcq && ins.Op.Mode() == isa.ModeATOMIC
	store := class == isa.ClassST || class == isa.ClassSTX && !load
	if load && usesSrc && !usesDst || store && usesDst && !usesSrc {
		return uint16(min(max(-int(ins.Off), 0), vm.StackSize))
	}
	return vm.StackSize
}
