package verifier

import (
	"slices"

	"bpfvm/isa"
	"bpfvm/spec"
)

// Interrupts: bpf_local_irq_save and the resilient locks with irqsave keep their
// state in a slot of the stack, and it must be restored in the reverse order.

// resLocks are the kernel functions of resilient spin locks.
var resLocks = map[string]spinLock{
	"bpf_res_spin_lock": {lock: true, res: true}, "bpf_res_spin_unlock": {res: true},
	"bpf_res_spin_lock_irqsave":      {lock: true, res: true, irq: true},
	"bpf_res_spin_unlock_irqrestore": {res: true, irq: true},
}

// resLockArg checks the lock of a resilient lock's functions.
func (env *env) resLockArg(meta *kfuncMeta, i int, regno isa.Register, r *RegState) error {
	if r.Type != PtrToMapValue && r.Type != PtrToBTFID|MemAlloc {
		return env.reject(CodeKfuncArg, "arg#%d doesn't point to map value or allocated object\n", i)
	}
	l, ok := resLocks[meta.name]
	if !ok {
		return notModelled("kernel function %s", meta.name)
	}
	return env.spinLock(regno, l)
}

// forkResLock puts the path aside on which a resilient lock is not taken.
func (env *env) forkResLock(name string) error {
	if l, ok := resLocks[name]; !ok || !l.lock {
		return nil
	}
	s, err := env.push(env.insnIdx+1, env.insnIdx)
	if err != nil {
		return err
	}
	f := s.cur()
	for r := range isa.Register(callerSaved) {
		f.Regs[r] = notInitReg()
	}
	r0 := &f.Regs[isa.R0]
	r0.setUnknown()
	r0.S32Min, r0.S32Max = -maxErrno, -1
	r0.sync()
	return nil
}

// resLockResult: where the lock was taken the result is 0.
func (env *env) resLockResult(meta *kfuncMeta, r0 *RegState) error {
	if l, ok := resLocks[meta.name]; ok && l.lock {
		r0.setConst(0)
	}
	return nil
}

// irqClass tells apart what the saved state belongs to.
const (
	irqNative = 1
	irqLock   = 2
)

var irqClassNames = [...]string{irqNative: "native", irqLock: "lock"}

// irqFlagArg checks the slot that interrupts are saved in (process_irq_flag).
func (env *env) irqFlagArg(meta *kfuncMeta, i int, regno isa.Register) error {
	r := env.reg(regno)
	reject := func(format string, args ...any) error { return env.reject(CodeSection, format, args...) }
	if r.Type != PtrToStack {
		return env.reject(CodeKfuncArg, "arg#%d doesn't point to an irq flag on stack\n", i)
	}
	class := uint32(irqNative)
	if _, ok := resLocks[meta.name]; ok {
		class = irqLock
	}
	save := meta.name == "bpf_local_irq_save" || meta.name == "bpf_res_spin_lock_irqsave"
	spi := env.objectAt(r, "irq_flag", 1)
	f := env.cur.Frames[r.Frame]
	isFlag := spi >= 0 && slices.Contains(f.Stack[spi].Type[:], SlotIRQ)
	if save {
		if spi == -1 || isFlag {
			return reject("expected uninitialized irq flag as arg#%d\n", i)
		}
		if err := env.access(regno, 0, regSize, spec.Write, -1, false, false); err != nil {
			return err
		}
		spi = env.objectAt(r, "irq_flag", 1)
		if spi < 0 {
			return &rejection{code: CodeSection}
		}
		id := env.newID()
		env.cur.refs = append(env.cur.refs, reference{kind: refIRQ, id: id, insn: env.insnIdx})
		env.cur.irqID = id
		s := &f.Stack[spi]
		s.Spilled.setPointer(PtrToStack)
		s.Spilled.RefObjID, s.Spilled.DynptrID = id, class
		for j := range s.Type {
			s.Type[j] = SlotIRQ
		}
		env.scratchSlot(spi)
		return nil
	}
	if !isFlag {
		return reject("expected an initialized irq flag as arg#%d\n", i)
	}
	env.markStackRead(int(r.Frame), spi)
	s := &f.Stack[spi]
	if s.Spilled.DynptrID != class {
		return reject("irq flag acquired by %s kfuncs cannot be restored with %s kfuncs\n",
			irqClassNames[s.Spilled.DynptrID], irqClassNames[class])
	}
	if id := s.Spilled.RefObjID; id != env.cur.irqID {
		for _, h := range env.cur.refs {
			if h.kind == refIRQ && h.id == env.cur.irqID {
				return reject("cannot restore irq state out of order, expected id=%d acquired at insn_idx=%d\n", h.id, h.insn)
			}
		}
		return reject("cannot restore irq state out of order\n")
	}
	at := slices.IndexFunc(env.cur.refs, func(h reference) bool { return h.kind == refIRQ && h.id == s.Spilled.RefObjID })
	if at >= 0 {
		env.cur.refs = slices.Delete(env.cur.refs, at, at+1)
	}
	env.cur.irqID = 0
	for _, h := range env.cur.refs {
		if h.kind == refIRQ {
			env.cur.irqID = h.id
		}
	}
	*s = StackSlot{Spilled: notInitReg()}
	env.scratchSlot(spi)
	env.markStackWrite(f.FrameNo, spi)
	return nil
}
