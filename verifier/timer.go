package verifier

import (
	"bpfvm/isa"
)

// timerArg checks a timer in a map's value (process_timer_func).
func (env *env) timerArg(meta *callMeta, regno isa.Register, r *RegState) error {
	reject := func(format string, args ...any) error { return env.reject(CodeArgType, format, args...) }
	name := mapLogName(r.Map)
	switch {
	case !r.VarOff.IsConst():
		return reject("R%d doesn't have constant offset. bpf_timer has to be at the constant offset\n", regno)
	case r.Map.ValueTypeID == 0 || len(env.opts.BTF) == 0:
		return reject("map '%s' has to have BTF in order to use bpf_timer\n", name)
	}
	f := env.mapRecord(r.Map).first(fieldTimer)
	if f == nil {
		return reject("map '%s' has no valid bpf_timer\n", name)
	}
	if off := int64(r.VarOff.Value) + int64(r.Off); off != int64(f.off) {
		return reject("off %d doesn't point to 'struct bpf_timer' that is at %d\n", off, f.off)
	}
	meta.m, meta.mapUID = r.Map, r.MapUID
	return nil
}

// taskWorkArgs: map, key and value of a task work
// (set_task_work_schedule_callback_state).
func taskWorkArgs(meta *kfuncMeta) callbackArgs {
	return func(_, callee *FuncState) error {
		for i, t := range [...]RegType{ConstPtrToMap, PtrToMapKey, PtrToMapValue} {
			r := &callee.Regs[isa.R1+isa.Register(i)]
			r.setPointer(t)
			r.Map, r.MapUID = meta.m, meta.mapUID
		}
		callee.retMin, callee.retMax = -1<<31, 1<<31-1
		return nil
	}
}
