package verifier

import (
	"bpfvm/isa"
	"bpfvm/spec"
)

// States of a slot in the walk of checkCFG.
const (
	discovered  = 0x10
	explored    = 0x20
	fallThrough = 1
	branchEdge  = 2
)

// checkCFG walks the program depth first without looking at what instructions
// do: no jump may leave it and every slot must be reachable. It also marks where
// states are to be compared (check_cfg). Loops are allowed: whether they end is
// for the walk over states to find out.
func (env *env) checkCFG() error {
	state := make([]uint8, len(env.insns))
	stack := []int{0}
	state[0] = discovered
	// edge returns true when the walk goes on at w first.
	edge := func(from, w int, e uint8) (bool, error) {
		if state[from] >= discovered|e {
			return false, nil
		}
		if w < 0 || w >= len(env.insns) {
			env.insnIdx = from
			env.printLine(from, sprintPC(from))
			return false, env.reject(CodeJumpRange, "jump out of range from insn %d to %d\n", from, w)
		}
		if e == branchEdge {
			env.markJump(w)
		}
		switch {
		case state[w] == 0:
			state[from] = discovered | e
			state[w] = discovered
			stack = append(stack, w)
			return true, nil
		case state[w]&0xf0 == discovered:
			return false, nil // a loop
		}
		state[from] = discovered | e
		return false, nil
	}
	for again := true; again; {
		for len(stack) > 0 {
			t := stack[len(stack)-1]
			more, err := env.visit(t, edge)
			if err != nil {
				return err
			}
			if !more {
				state[t] = explored
				stack = stack[:len(stack)-1]
			}
		}
		again = false
		if cb := env.exceptionCB; cb > 0 && state[env.subprogs[cb].start] == 0 {
			// Nothing but the kernel leads to the exception callback.
			start := env.subprogs[cb].start
			state[start], again = discovered, true
			stack = append(stack, start)
		}
	}
	for pc := 0; pc < len(env.insns); pc++ {
		if state[pc] != explored {
			env.insnIdx = pc
			return env.reject(CodeUnreachable, "unreachable insn %d\n", pc)
		}
		if env.insns[pc].IsWide() {
			if pc+1 < len(state) && state[pc+1] != 0 {
				env.insnIdx = pc
				return env.reject(CodeMiddleOfWide, "jump into the middle of ldimm64 insn %d\n", pc)
			}
			pc++
		}
	}
	env.insnIdx = -1
	return nil
}

func (env *env) markPrune(pc int) { env.aux[pc].prune = true }
func (env *env) markJump(pc int)  { env.aux[pc].prune, env.aux[pc].jumpPoint = true, true }

// visit follows the edges out of a slot (visit_insn).
func (env *env) visit(t int, edge func(from, to int, e uint8) (bool, error)) (bool, error) {
	ins := env.insns[t]
	next := t + 1
	if ins.IsWide() {
		next = t + 2
	}
	call := func(callee bool) (bool, error) {
		more, err := edge(t, next, fallThrough)
		if more || err != nil {
			return more, err
		}
		env.markJump(next)
		if callee {
			env.markPrune(t)
			target, _ := env.insns.CallTarget(isa.PC(t))
			env.mergeCallee(t, int(target))
			return edge(t, int(target), branchEdge)
		}
		return false, nil
	}
	if ins.IsWide() && isa.Pseudo(ins.Src()) == isa.PseudoFunc {
		return call(true)
	}
	if !ins.Op.Class().IsJump() {
		return edge(t, next, fallThrough)
	}
	switch ins.Op.Code() {
	case isa.CodeExit:
		return false, nil
	case isa.CodeCall:
		if ins.IsHelperCall() {
			id := spec.HelperID(ins.Imm)
			switch {
			case asyncCallback(id):
				env.aux[t].async = true
				env.markPrune(t)
			case syncCallback(id):
				env.aux[t].callsBack, env.aux[t].checkpoint = true, true
				env.markJump(t)
			}
			if h := spec.HelperByID(id); h != nil {
				sp := &env.subprogs[env.subprogAt(t)]
				sp.changesPacket = sp.changesPacket || h.ChangesPacket
				sp.mightSleep = sp.mightSleep || h.MightSleep
			}
		}
		if ins.IsKfuncCall() {
			env.visitKfunc(t)
		}
		return call(ins.IsPseudoCall())
	case isa.CodeJa:
		to := next + int(ins.Off)
		if ins.Op == isa.OpJa32 {
			to = next + int(ins.Imm)
		}
		more, err := edge(t, to, fallThrough)
		if more || err != nil {
			return more, err
		}
		env.markJump(to)
		return false, nil
	}
	env.markPrune(t)
	if ins.Op == isa.OpMayGoto {
		env.aux[t].checkpoint = true
	}
	more, err := edge(t, next, fallThrough)
	if more || err != nil {
		return more, err
	}
	return edge(t, next+int(ins.Off), branchEdge)
}

// mergeCallee passes on what a call does to the packet (merge_callee_effects):
// the callee was walked to its end before the call's slot is left for good.
func (env *env) mergeCallee(t, target int) {
	if env.subprogs[env.subprogAt(target)].changesPacket {
		env.subprogs[env.subprogAt(t)].changesPacket = true
	}
	if env.subprogs[env.subprogAt(target)].mightSleep {
		env.subprogs[env.subprogAt(t)].mightSleep = true
	}
}
