package verifier

import (
	"bpfvm/isa"
	"bpfvm/spec"
)

// callbackArgs sets up the arguments of a callback from its caller's registers.
type callbackArgs func(caller, callee *FuncState) error

// pushCallback puts a path aside that runs the callback once, and goes on with
// the path on which it is not called (again) (push_callback_call).
func (env *env) pushCallback(sub int, args callbackArgs) error {
	env.noteStaticArgs(sub)
	env.subprogs[sub].isCallback = true
	if env.subprogs[sub].global {
		return notModelled("a global function as callback")
	}
	if env.aux[env.insnIdx].async {
		return env.pushAsync(sub, args)
	}
	s, err := env.push(env.subprogs[sub].start, env.insnIdx)
	if err != nil {
		return err
	}
	caller := s.cur()
	callee, err := env.enterFunc(s, sub, env.insnIdx)
	if err != nil {
		return err
	}
	callee.inCallback = true
	callee.retMin, callee.retMax = 0, 1
	if err := args(caller, callee); err != nil {
		return err
	}
	s.callbackUnroll++
	caller.callbackDepth++
	env.cur.cur().callbackDepth = 0
	return nil
}

// loopArgs: the round's number and the context of bpf_loop
// (set_loop_callback_state).
func loopArgs(caller, callee *FuncState) error {
	callee.Regs[isa.R1].setUnknown()
	callee.Regs[isa.R2] = caller.Regs[isa.R3]
	return nil
}

// forEachArgs: map, key, value and context of bpf_for_each_map_elem
// (map_set_for_each_callback_args).
func (env *env) forEachArgs(meta *callMeta) callbackArgs {
	return func(caller, callee *FuncState) error {
		m := meta.m
		switch m.Type {
		case spec.MapHash, spec.MapArray, spec.MapPerCPUHash, spec.MapPerCPUArray, spec.MapLRUHash, spec.MapLRUPerCPUHash:
		default:
			return env.reject(CodeMapHelper, "callback function not allowed for map\n")
		}
		callee.Regs[isa.R1] = caller.Regs[isa.R1]
		set := func(r isa.Register, t RegType) {
			callee.Regs[r].setPointer(t)
			callee.Regs[r].Map = m
			callee.Regs[r].MapUID = meta.mapUID
		}
		set(isa.R2, PtrToMapKey)
		set(isa.R3, PtrToMapValue)
		callee.Regs[isa.R4] = caller.Regs[isa.R3]
		return nil
	}
}

// pushAsync puts a path aside that runs a callback which the kernel will call at
// some time, with a stack of its own (push_async_cb).
func (env *env) pushAsync(sub int, args callbackArgs) error {
	env.subprogs[sub].asyncCB = true
	caller := env.cur.cur()
	f := newFuncState(mainCall, 0, sub)
	f.inAsync = true
	f.asyncEntry = caller.asyncEntry + 1
	f.retMin, f.retMax = 0, 1
	if err := args(caller, f); err != nil {
		return err
	}
	env.scratchAll()
	s := &State{Frames: []*FuncState{f}, branches: 1, firstInsn: env.subprogs[sub].start, lastInsn: -1,
		inSleepable: env.aux[env.insnIdx].asyncSleeps}
	env.pending = append(env.pending, pendingBranch{state: s, pc: env.subprogs[sub].start, prev: env.insnIdx, logLen: env.log.pos()})
	if len(env.pending) > spec.MaxPendingBranches {
		return env.reject(CodeTooManyBranches, "The sequence of %d jumps is too complex for async cb.\n", len(env.pending))
	}
	return nil
}

// timerArgs: map, key and value of a timer or a work queue
// (set_timer_callback_state).
func timerArgs(caller, callee *FuncState) error {
	timer := &caller.Regs[isa.R1]
	for i, t := range [...]RegType{ConstPtrToMap, PtrToMapKey, PtrToMapValue} {
		r := &callee.Regs[isa.R1+isa.Register(i)]
		r.setPointer(t)
		r.Map, r.MapUID = timer.Map, timer.MapUID
	}
	callee.retMin, callee.retMax = 0, 0
	return nil
}

// vmaArgs: task, area of memory and context of bpf_find_vma
// (set_find_vma_callback_state).
func (env *env) vmaArgs(caller, callee *FuncState) error {
	vma := env.kernelStruct("vm_area_struct")
	if vma == nil {
		return notModelled("bpf_find_vma without vm_area_struct in the kernel's BTF")
	}
	callee.Regs[isa.R1] = caller.Regs[isa.R1]
	callee.Regs[isa.R2].setBTF(PtrToBTFID, vma, false)
	callee.Regs[isa.R3] = caller.Regs[isa.R4]
	return nil
}

// drainArgs: dynptr and context of bpf_user_ringbuf_drain
// (set_user_ringbuf_callback_state).
func (env *env) drainArgs(caller, callee *FuncState) error {
	callee.Regs[isa.R1].setDynptr(DynptrOfLocal, true, env.newID())
	callee.Regs[isa.R2] = caller.Regs[isa.R3]
	return nil
}
