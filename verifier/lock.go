package verifier

import (
	"slices"

	"bpfvm/isa"
	"bpfvm/spec"
)

// Sections: spin locks, RCU read sections, disabled preemption and interrupts. Each
// must be left by the way it was entered, and forbids some calls inside.

// spinLock is what one call does to a spin lock.
type spinLock struct {
	lock, res, irq bool
}

func (l spinLock) name() string {
	if l.res {
		return "bpf_res_spin"
	}
	return "bpf_spin"
}

func (l spinLock) kind() refKind {
	switch {
	case l.irq:
		return refResLockIRQ
	case l.res:
		return refResLock
	}
	return refLock
}

// lockOwner is what holds the lock: two registers point to the same lock if it and
// their id are the same.
func lockOwner(r *RegState) any {
	if r.Type.base() == PtrToMapValue {
		return r.Map
	}
	return localTypes{}
}

// localTypes stands for the types of the program, which all its objects are of.
type localTypes struct{}

// spinLock checks bpf_spin_lock and bpf_spin_unlock (process_spin_lock).
func (env *env) spinLock(regno isa.Register, l spinLock) error {
	r := env.reg(regno)
	s := env.cur
	reject := func(format string, args ...any) error { return env.reject(CodeLock, format, args...) }
	if !r.VarOff.IsConst() {
		return reject("R%d doesn't have constant offset. %s_lock has to be at the constant offset\n", regno, l.name())
	}
	what, name := "local", "kptr"
	if r.Type.base() == PtrToMapValue {
		what, name = "map", mapLogName(r.Map)
		if r.Map.ValueTypeID == 0 || len(env.opts.BTF) == 0 {
			return reject("map '%s' has to have BTF in order to use %s_lock\n", name, l.name())
		}
	}
	kind := fieldSpinLock
	if l.res {
		kind = fieldResSpinLock
	}
	f := env.regRecord(r).first(kind)
	if f == nil {
		return reject("%s '%s' has no valid %s_lock\n", what, name, l.name())
	}
	if off := int64(r.VarOff.Value) + int64(r.Off); off != int64(f.off) {
		return reject("off %d doesn't point to 'struct %s_lock' that is at %d\n", off, l.name(), f.off)
	}
	owner := lockOwner(r)
	if l.lock {
		for _, h := range s.refs {
			if !l.res && h.kind == refLock {
				return reject("Locking two bpf_spin_locks are not allowed\n")
			}
			if l.res && (h.kind == refResLock || h.kind == refResLockIRQ) && h.id == r.ID && h.lock == owner {
				return reject("Acquiring the same lock again, AA deadlock detected\n")
			}
		}
		s.refs = append(s.refs, reference{kind: l.kind(), id: r.ID, insn: env.insnIdx, lock: owner})
		s.activeLocks++
		s.lockID, s.lockOf = r.ID, owner
		return nil
	}
	if s.activeLocks == 0 {
		return reject("%s_unlock without taking a lock\n", l.name())
	}
	at := slices.IndexFunc(s.refs, func(h reference) bool { return h.kind == l.kind() && h.id == r.ID && h.lock == owner })
	if at < 0 {
		return reject("%s_unlock of different lock\n", l.name())
	}
	if r.ID != s.lockID || owner != s.lockOf {
		return reject("%s_unlock cannot be out of order\n", l.name())
	}
	s.refs = slices.Delete(s.refs, at, at+1)
	s.activeLocks--
	s.lockID, s.lockOf = 0, nil
	for _, h := range s.refs {
		if h.kind == refLock || h.kind == refResLock || h.kind == refResLockIRQ {
			s.lockID, s.lockOf = h.id, h.lock
		}
	}
	// What is in a list or tree may be taken out of it by others now.
	s.regs(func(_ *FuncState, r *RegState) {
		if r.Type&NonOwnRef != 0 && r.Type&MemAlloc != 0 {
			*r = unknownScalar()
		}
	})
	return nil
}

// holdsLockOf reports whether the lock that the program holds lies in the same
// object as the register's (check_reg_allocation_locked); it says when not the same.
func (env *env) holdsLockOf(r *RegState) bool {
	s := env.cur
	if s.activeLocks == 0 {
		return false
	}
	owner := lockOwner(r)
	for _, h := range s.refs {
		if (h.kind == refLock || h.kind == refResLock || h.kind == refResLockIRQ) && h.id == r.ID && h.lock == owner {
			return true
		}
	}
	env.say("held lock and object are not in the same allocation\n")
	return false
}

// leaveSections refuses to leave the program, or to start another one, within a
// section (the second half of check_resource_leak).
func (env *env) leaveSections(what string) error {
	s := env.cur
	in := func(region string) error {
		return env.reject(CodeSection, "%s cannot be used inside %s-ed region\n", what, region)
	}
	switch {
	case s.activeLocks > 0:
		return in("bpf_spin_lock")
	case s.irqID != 0:
		return in("bpf_local_irq_save")
	case s.rcuLocks > 0:
		return in("bpf_rcu_read_lock")
	case s.preemptLocks > 0:
		return in("bpf_preempt_disable")
	}
	return nil
}

// callInSection refuses calls that a section does not allow; kfunc is the name of a
// kernel function, "" for a helper (do_check).
func (env *env) callInSection(ins isa.Instruction, kfunc string) error {
	if env.cur.activeLocks == 0 {
		return nil
	}
	if kfunc == "" && ins.IsHelperCall() && spec.HelperID(ins.Imm) == helperSpinUnlock || lockedKfuncs[kfunc] {
		return nil
	}
	return env.reject(CodeLock, "function calls are not allowed while holding a lock\n")
}

// lockedKfuncs may be called with a lock held (kfunc_spin_allowed).
var lockedKfuncs = map[string]bool{
	"bpf_list_push_front_impl": true, "bpf_list_push_back_impl": true, "bpf_list_pop_front": true,
	"bpf_list_pop_back": true, "bpf_list_front": true, "bpf_list_back": true,
	"bpf_rbtree_add_impl": true, "bpf_rbtree_remove": true, "bpf_rbtree_first": true,
	"bpf_rbtree_root": true, "bpf_rbtree_left": true, "bpf_rbtree_right": true,
	"bpf_refcount_acquire_impl": true,
	"bpf_iter_num_new":          true, "bpf_iter_num_next": true, "bpf_iter_num_destroy": true,
	"bpf_res_spin_lock": true, "bpf_res_spin_unlock": true, "bpf_res_spin_lock_irqsave": true, "bpf_res_spin_unlock_irqrestore": true,
}

// sleepInSection refuses what may sleep where that is not possible.
func (env *env) sleepInSection(what func(region string) error) error {
	switch s := env.cur; {
	case s.rcuLocks > 0:
		return what("rcu_read_lock region")
	case s.preemptLocks > 0:
		return what("non-preemptible region")
	case s.irqID != 0:
		return what("IRQ-disabled region")
	}
	return nil
}

// rcuUnlock ends a read section: what lived only in it can no longer be trusted.
func (env *env) rcuUnlock() {
	env.cur.rcuLocks = 0
	drop := func(r *RegState) {
		if r.Type&MemRCU != 0 {
			r.Type = r.Type&^(MemRCU|MaybeNull) | Untrusted
		}
	}
	for _, f := range env.cur.Frames {
		for i := range f.Regs {
			drop(&f.Regs[i])
		}
		for i := range f.Stack {
			if s := &f.Stack[i]; s.isSpilled() || s.Type[regSize-1] == SlotIter {
				drop(&s.Spilled)
			}
		}
	}
}
