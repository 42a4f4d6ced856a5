package verifier

import (
	"errors"
	"slices"

	"bpfvm/isa"
)

// Global functions are verified on their own, for all arguments that their BTF
// prototype allows; a call checks only that its arguments are such, and takes the
// result for any number.

// checkGlobals verifies the global functions that are called, from the program or
// from each other (do_check_subprogs).
func (env *env) checkGlobals() error {
	for again := true; again; {
		again = false
		for i := 1; i < len(env.subprogs); i++ {
			sp := &env.subprogs[i]
			if !sp.global || !sp.called || sp.verified {
				continue
			}
			if err := env.checkFunction(i); err != nil {
				return err
			}
			if env.log.wantInsns() {
				env.log.printf("Func#%d ('%s') is safe for any args that match its prototype\n", i, sp.name)
			}
			sp.verified, again = true, true
		}
	}
	return nil
}

// globalArgs sets the registers that a global function begins with.
func (env *env) globalArgs(sub int, f *FuncState) error {
	if env.log.wantInsns() {
		env.log.printf("Validating %s() func#%d...\n", env.subprogs[sub].name, sub)
	}
	env.insnIdx = env.subprogs[sub].start
	args, err := env.prototype(sub)
	if err != nil {
		return err
	}
	if f.inException && (len(args) != 1 || args[0].kind != globalNumber) {
		return env.reject(CodeGlobalProto, "exception cb only supports single integer argument\n")
	}
	for i, a := range args {
		r := &f.Regs[isa.R1+isa.Register(i)]
		switch a.kind {
		case globalCtx:
			r.setPointer(PtrToCtx)
		case globalMem:
			r.setPointer(PtrToMem | a.flags)
			r.MemSize = a.size
			r.ID = env.newID()
		case globalBTF:
			r.setBTF(PtrToBTFID|a.flags, a.btf, false)
			r.ID = env.newID()
		case globalDynptr:
			r.setDynptr(DynptrOfLocal, true, env.newID())
		default: // numbers, and what may point into the arena
			r.setUnknown()
		}
	}
	return nil
}

// callGlobal checks the arguments of a call and goes on behind it (the global
// part of check_func_call, btf_check_func_arg_match).
func (env *env) callGlobal(sub int) error {
	sp := &env.subprogs[sub]
	if env.cur.activeLocks > 0 {
		return env.reject(CodeLock, "global function calls are not allowed while holding a lock,\nuse static function instead\n")
	}
	if s := env.cur; sp.mightSleep && (s.rcuLocks > 0 || s.preemptLocks > 0 || s.irqID != 0 || !env.inSleepable()) {
		return env.reject(CodeSleep, "global functions that may sleep are not allowed in non-sleepable context,\n"+
			"i.e., in a RCU/IRQ/preempt-disabled section, or in\na non-sleepable BPF program context\n")
	}
	args, err := env.prototype(sub)
	for i := 0; i < len(args) && err == nil; i++ {
		err = env.checkGlobalArg(i, args[i])
	}
	if err != nil {
		if _, ok := errors.AsType[*rejection](err); ok {
			env.say("Caller passes invalid args into func#%d ('%s')\n", sub, sp.name)
		}
		return err
	}
	if env.log.wantInsns() {
		env.log.printf("Func#%d ('%s') is global and assumed valid.\n", sub, sp.name)
	}
	if sp.changesPacket {
		env.dropPackets()
	}
	sp.called = true
	f := env.cur.cur()
	for r := range isa.Register(callerSaved) {
		f.Regs[r] = notInitReg()
		env.scratchReg(r)
	}
	f.Regs[isa.R0].setUnknown()
	return nil
}

// checkGlobalArg checks one argument of a call (btf_check_func_arg_match).
func (env *env) checkGlobalArg(i int, a globalArg) error {
	regno := isa.R1 + isa.Register(i)
	r := env.reg(regno)
	reject := func(format string, args ...any) error { return env.reject(CodeGlobalArg, format, args...) }
	switch a.kind {
	case globalCtx:
		if err := env.argOffset(r, regno, false); err != nil {
			return err
		}
		if r.Type != PtrToCtx {
			return reject("arg#%d expects pointer to ctx\n", i)
		}
	case globalMem:
		if a.flags&Untrusted != 0 {
			return nil // loads through it are made safe
		}
		if err := env.argOffset(r, regno, false); err != nil {
			return err
		}
		if err := env.memArg(regno, int64(a.size)); err != nil {
			return err
		}
		if a.flags&MaybeNull == 0 && r.Type.maybeNull() {
			return reject("arg#%d is expected to be non-NULL\n", i)
		}
	case globalArena:
		if r.Type != PtrToArena && r.Type != Scalar {
			return reject("R%d is not a pointer to arena or scalar.\n", regno)
		}
	case globalDynptr:
		if r.Type != PtrToStack {
			if err := env.argOffset(r, regno, false); err != nil {
				return err
			}
		}
		if err := env.dynptrArg(regno); err != nil {
			return err
		}
		_, err := env.useDynptr(regno, false, DynptrNone)
		return err
	case globalBTF:
		return env.checkGlobalBTF(a, regno, r)
	default:
		if r.Type != Scalar {
			return reject("R%d is not a scalar\n", regno)
		}
	}
	return nil
}

// checkGlobalBTF checks an argument that must be a pointer to a structure of the
// kernel.
func (env *env) checkGlobalBTF(a globalArg, regno isa.Register, r *RegState) error {
	null := a.flags&MaybeNull != 0
	if a.flags&Untrusted != 0 || null && r.isNull() {
		return nil
	}
	t := r.Type
	if null {
		t &^= MaybeNull
	}
	if !slices.Contains(btfTypes, t) {
		return env.wrongType(regno, r, btfTypes)
	}
	switch {
	case r.Type.maybeNull() && !null:
		return env.reject(CodeGlobalArg, "Possibly NULL pointer passed to helper arg%d\n", regno)
	case !env.sameStruct(r.BTF, int(r.Off), a.btf, false, true):
		return env.reject(CodeGlobalArg, "R%d is of type %s but %s is expected\n", regno, typeName(r.BTF), typeName(a.btf))
	}
	return env.argOffset(r, regno, false)
}

// noteMainArgs writes what the program's own prototype has that a global function's
// could not have, as the kernel does before it ignores it (do_check_common).
func (env *env) noteMainArgs() {
	f := env.prog.FuncAt(0)
	if env.log.level == 0 || f == nil || f.TypeID == 0 || len(env.opts.BTF) == 0 {
		return
	}
	env.subprogs[0].name = f.Name
	if _, err := env.prototype(0); err != nil {
		env.log.msg = env.log.msg[:0]
	}
}

// noteStaticArgs writes which argument of a static function is not as its
// prototype has it. Static functions are verified with what they are given, so that
// is no reason to refuse the call; it is said once (btf_check_subprog_call).
func (env *env) noteStaticArgs(sub int) {
	sp := &env.subprogs[sub]
	if sp.argsNoted || env.log.level == 0 || sp.global {
		return
	}
	f := env.prog.FuncAt(isa.PC(sp.start))
	if f == nil || f.TypeID == 0 || len(env.opts.BTF) == 0 || env.loadTypes() != nil {
		return
	}
	args, ok := env.staticArgs(f)
	if !ok {
		sp.argsNoted = true
		return
	}
	said := len(env.log.msg)
	for i, a := range args {
		if env.checkGlobalArg(i, a) != nil {
			sp.argsNoted = true
			break
		}
	}
	env.log.msg = env.log.msg[:said]
}
