package verifier

import (
	"strconv"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// checkFuncCall enters a function of the program (check_func_call): the walk
// goes on in it, with a frame of its own, as if it stood in line.
func (env *env) checkFuncCall(isa.Instruction) error {
	t, _ := env.insns.CallTarget(isa.PC(env.insnIdx))
	sub := env.subprogAt(int(t))
	if env.subprogs[sub].global {
		return env.callGlobal(sub)
	}
	env.noteStaticArgs(sub)
	callee, err := env.enterFunc(env.cur, sub, env.insnIdx)
	if err != nil {
		return err
	}
	caller := env.cur.Frames[env.cur.curFrame()-1]
	for r := isa.R1; r <= isa.R5; r++ {
		callee.Regs[r] = caller.Regs[r]
	}
	for r := range isa.Register(callerSaved) {
		caller.Regs[r] = notInitReg()
	}
	env.scratchAll()
	// The next slot is the callee's first.
	env.insnIdx = env.subprogs[sub].start - 1
	if env.log.wantInsns() {
		env.log.printf("caller:\n%s", env.stateString(env.cur, env.cur.curFrame()-1, true))
		env.log.printf("callee:\n%s", env.stateString(env.cur, env.cur.curFrame(), true))
	}
	return nil
}

// enterFunc adds a frame to the state (setup_func_entry).
func (env *env) enterFunc(s *State, sub, callSite int) (*FuncState, error) {
	if s.curFrame()+1 >= maxFrames {
		return nil, env.reject(CodeCallDepth, "the call stack of %d frames is too deep\n", s.curFrame()+2)
	}
	callee := newFuncState(callSite, s.curFrame()+1, sub)
	env.scratchAll()
	s.Frames = append(s.Frames, callee)
	return callee, nil
}

// returnToCaller leaves a function: R0 is the caller's result, or a callback's
// answer to the helper that called it (prepare_func_exit).
func (env *env) returnToCaller() error {
	s := env.cur
	callee := s.cur()
	caller := s.Frames[s.curFrame()-1]
	r0 := &callee.Regs[isa.R0]
	if r0.Type == PtrToStack {
		return env.reject(CodeReturnsStack, "cannot return stack pointer to the caller\n")
	}
	if callee.inCallback {
		if r0.Type != Scalar {
			return env.reject(CodeCallbackReturn, "R0 not a scalar value\n")
		}
		if err := env.markPrecise(int(isa.R0)); err != nil {
			return err
		}
		if int64(callee.retMin) > r0.SMin || r0.SMax > int64(callee.retMax) {
			env.sayInvalidScalar(r0, int64(callee.retMin), int64(callee.retMax), "At callback return", "R0")
			return &rejection{code: CodeCallbackReturn}
		}
	} else {
		caller.Regs[isa.R0] = *r0
	}
	to := callee.CallSite
	if !callee.inCallback {
		to++
	}
	if env.log.wantInsns() {
		env.log.printf("returning from callee:\n%s", env.stateString(s, s.curFrame(), true))
		env.log.printf("to caller at %d:\n%s", to, env.stateString(s, s.curFrame()-1, true))
	}
	s.Frames = s.Frames[:s.curFrame()]
	env.insnIdx = to
	if callee.inCallback {
		// The helper may call again: what changed in one round may be anything.
		if prev := env.findPrevEntry(s, to); prev != nil {
			env.widenImprecise(prev, s)
		}
	}
	return nil
}

// sayInvalidScalar says what a returned value is and what it should be
// (verbose_invalid_scalar).
func (env *env) sayInvalidScalar(r *RegState, lo, hi int64, when, reg string) {
	env.say("%s the register %s has", when, reg)
	known := false
	if r.SMin > -1<<63 {
		env.say(" smin=%d", r.SMin)
		known = true
	}
	if r.SMax < 1<<63-1 {
		env.say(" smax=%d", r.SMax)
		known = true
	}
	if !known {
		env.say(" unknown scalar value")
	}
	env.say(" should have been in [%d, %d]\n", lo, hi)
}

// checkReturn checks the program's result (check_return_code).
func (env *env) checkReturn(regno isa.Register) error {
	name := "R" + strconv.Itoa(int(regno))
	if env.prog.Type == spec.ProgLSM && env.prog.Attach != spec.AttachLSMCgroup && env.cur.Frames[0].Subprog == 0 && env.attach.proto != nil {
		if _, void := env.attach.proto.Return.(*btf.Void); void {
			return nil
		}
	}
	if err := env.readReg(regno); err != nil {
		return err
	}
	r := env.reg(regno)
	f := env.cur.Frames[0]
	if f.inAsync {
		return env.checkRange(r, regno, int64(f.retMin), int64(f.retMax), "At async callback return", name)
	}
	if f.Subprog > 0 && !f.inException {
		if r.Type != Scalar {
			return env.reject(CodeReturnValue, "At subprogram exit the register R%d is not a scalar value (%s)\n", regno, r.Type)
		}
		return nil
	}
	lo, hi, limited := env.returnRange()
	if !limited {
		return nil
	}
	return env.checkRange(r, regno, lo, hi, "At program exit", name)
}

// checkRange demands a number between two others.
func (env *env) checkRange(r *RegState, regno isa.Register, lo, hi int64, when, name string) error {
	if r.Type != Scalar {
		return env.reject(CodeReturnValue, "%s the register R%d is not a known value (%s)\n", when, regno, r.Type)
	}
	if err := env.markPrecise(int(regno)); err != nil {
		return err
	}
	if r.SMin < lo || r.SMax > hi {
		env.sayInvalidScalar(r, lo, hi, when, name)
		return &rejection{code: CodeReturnValue}
	}
	return nil
}

// returnRange is what programs of the type may return; false for anything.
func (env *env) returnRange() (lo, hi int64, limited bool) {
	switch env.prog.Type {
	case spec.ProgCgroupSockAddr:
		switch env.prog.Attach {
		case spec.AttachCgroupUDP4Recvmsg, spec.AttachCgroupUDP6Recvmsg, spec.AttachCgroupUnixRecvmsg,
			spec.AttachCgroupInet4Getpeername, spec.AttachCgroupInet6Getpeername, spec.AttachCgroupUnixGetpeername,
			spec.AttachCgroupInet4Getsockname, spec.AttachCgroupInet6Getsockname, spec.AttachCgroupUnixGetsockname:
			return 1, 1, true
		case spec.AttachCgroupInet4Bind, spec.AttachCgroupInet6Bind:
			return 0, 3, true
		}
		return 0, 1, true
	case spec.ProgCgroupSKB:
		if env.prog.Attach == spec.AttachCgroupInetEgress {
			return 0, 3, true
		}
		return 0, 1, true
	case spec.ProgCgroupSock, spec.ProgSockOps, spec.ProgCgroupDevice, spec.ProgCgroupSysctl,
		spec.ProgCgroupSockopt, spec.ProgSKLookup, spec.ProgNetfilter:
		return 0, 1, true
	case spec.ProgTracing:
		switch env.prog.Attach {
		case spec.AttachTraceFentry, spec.AttachTraceFexit:
			return 0, 0, true
		case spec.AttachTraceIter:
			return 0, 1, true
		}
	case spec.ProgLSM:
		return env.lsmRange()
	case spec.ProgKprobe:
		if env.prog.Attach == spec.AttachTraceKprobeSession || env.prog.Attach == spec.AttachTraceUprobeSession {
			return 0, 1, true
		}
	}
	return 0, 0, false
}

// checkLdAbs checks the old packet loads, which end the program when the packet
// is too short (check_ld_abs).
func (env *env) checkLdAbs(ins isa.Instruction) error {
	switch env.prog.Type { // may_access_skb
	case spec.ProgSocketFilter, spec.ProgSchedCls, spec.ProgSchedAct:
	default:
		return env.reject(CodeLdAbs, "BPF_LD_[ABS|IND] instructions not allowed for this program type\n")
	}
	if ins.Dst() != 0 || ins.Off != 0 || ins.Op.Size() == isa.SizeDW || ins.Op.Mode() == isa.ModeABS && ins.Src() != 0 {
		return env.reject(CodeReserved, "BPF_LD_[ABS|IND] uses reserved fields\n")
	}
	if err := env.readReg(isa.R6); err != nil {
		return err
	}
	if err := env.checkLeaks(true, true, "BPF_LD_[ABS|IND]"); err != nil {
		return err
	}
	if env.reg(isa.R6).Type != PtrToCtx {
		return env.reject(CodeLdAbs, "at the time of BPF_LD_ABS|IND R6 != pointer to skb\n")
	}
	if ins.Op.Mode() == isa.ModeIND {
		if err := env.readReg(ins.Src()); err != nil {
			return err
		}
	}
	if err := env.checkFixedOffset(env.reg(isa.R6), isa.R6, false); err != nil {
		return err
	}
	f := env.cur.cur()
	for r := range isa.Register(callerSaved) {
		f.Regs[r] = notInitReg()
		env.scratchReg(r)
	}
	f.Regs[isa.R0].setUnknown()
	if env.cur.curFrame() == 0 {
		return nil
	}
	// Beyond the packet's end the function returns 0 at once (bpf_gen_ld_abs).
	if _, err := env.push(env.insnIdx+1, env.insnIdx); err != nil {
		return err
	}
	f.Regs[isa.R0].setConst(0)
	if err := env.returnToCaller(); err != nil {
		return err
	}
	env.insnIdx--
	return nil
}
