package verifier

import (
	"errors"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// Open-coded iterators: a state in slots of the stack that three kernel functions
// make, advance and destroy. A loop over one ends, since next() comes to an end at
// some time, so the verifier looks at a round again only as long as the states
// differ (process_iter_next_call).

// IterState is how far an iterator is (enum bpf_iter_state).
type IterState uint8

// States of an iterator.
const (
	IterNone    IterState = iota
	IterActive            // there may be more
	IterDrained           // next() returned NULL
)

var iterStateNames = [...]string{"<invalid>", "active", "drained"}

// String is the name that the log uses (iter_state_str).
func (s IterState) String() string { return iterStateNames[s] }

// iterName is the iterator's kind: "num" of struct bpf_iter_num (iter_type_str).
func iterName(t btf.Type) string { return strings.TrimPrefix(typeName(t), "bpf_iter_") }

var iterSlotType = [regSize]SlotType{SlotIter, SlotIter, SlotIter, SlotIter, SlotIter, SlotIter, SlotIter, SlotIter}

// iterArg checks the iterator that a kernel function is given (process_iter_arg).
func (env *env) iterArg(meta *kfuncMeta, regno isa.Register) error {
	r := env.reg(regno)
	arg := int(regno) - 1
	if r.Type != PtrToStack {
		return env.reject(CodeIter, "arg#%d expected pointer to an iterator on stack\n", arg)
	}
	t := meta.structOf(arg)
	_, size, ok := members(t)
	if !ok || size == 0 || size%regSize != 0 || !strings.HasPrefix(typeName(t), "bpf_iter_") {
		return env.reject(CodeIter, "expected valid iter pointer as arg #%d\n", arg)
	}
	n := int(size) / regSize
	if meta.flags&kfIterNew != 0 {
		return env.makeIter(meta, regno, t, n)
	}
	spi, err := env.iterValid(r, t, n)
	switch {
	case errors.Is(err, errIterUntrusted):
		return env.reject(CodeIter, "expected an RCU CS when using %s\n", meta.name)
	case err != nil:
		return env.reject(CodeIter, "expected an initialized iter_%s as arg #%d\n", iterName(t), arg)
	}
	for i := range n {
		env.markStackRead(int(r.Frame), spi-i)
		env.scratchSlot(spi - i)
	}
	f := env.cur.Frames[r.Frame]
	meta.iterFrame, meta.iterSlot = int(r.Frame), spi
	meta.ref = f.Stack[spi].Spilled.RefObjID
	if meta.flags&kfIterDestroy != 0 {
		env.releaseAll(meta.ref)
		for i := range n {
			f.Stack[spi-i] = StackSlot{Spilled: notInitReg()}
			env.markStackWrite(f.FrameNo, spi-i)
		}
	}
	return nil
}

var (
	errIterInvalid   = errors.New("no iterator")
	errIterUntrusted = errors.New("an iterator that is not protected any more")
)

// iterValid finds the iterator that a pointer means (is_iter_reg_valid_init).
func (env *env) iterValid(r *RegState, t btf.Type, n int) (int, error) {
	spi := env.objectAt(r, "iter", n)
	if spi < 0 {
		return 0, errIterInvalid
	}
	stack := env.cur.Frames[r.Frame].Stack
	for i := range n {
		s := &stack[spi-i]
		switch {
		case s.Spilled.Type&Untrusted != 0 && s.Type == iterSlotType:
			return 0, errIterUntrusted
		case (i == 0) != (s.Spilled.RefObjID != 0), s.Spilled.BTF != t, s.Type != iterSlotType:
			return 0, errIterInvalid
		}
	}
	return spi, nil
}

// makeIter builds an iterator (mark_stack_slots_iter).
func (env *env) makeIter(meta *kfuncMeta, regno isa.Register, t btf.Type, n int) error {
	r := env.reg(regno)
	spi := env.objectAt(r, "iter", n)
	bad := spi == -1
	if spi >= 0 {
		for i := range n {
			for _, st := range env.cur.Frames[r.Frame].Stack[spi-i].Type {
				bad = bad || st == SlotIter
			}
		}
	}
	if bad {
		return env.reject(CodeIter, "expected uninitialized iter_%s as arg #%d\n", iterName(t), regno-1)
	}
	for i := range n {
		if err := env.access(regno, i*regSize, regSize, spec.Write, -1, false, false); err != nil {
			return err
		}
	}
	f := env.cur.Frames[r.Frame]
	if spi = env.objectAt(r, "iter", n); spi < 0 {
		return &rejection{code: CodeIter}
	}
	ref := env.acquire()
	for i := range n {
		s := &f.Stack[spi-i]
		s.Type = iterSlotType
		s.Spilled.setPointer(PtrToStack)
		if meta.flags&kfRCUProtected != 0 {
			if env.inRCU() {
				s.Spilled.Type |= MemRCU
			} else {
				s.Spilled.Type |= Untrusted
			}
		}
		s.Spilled.BTF, s.Spilled.Iter = t, IterActive
		if i == 0 {
			s.Spilled.RefObjID = ref
		}
		env.scratchSlot(spi - i)
	}
	return nil
}

// iterNext forks: the path goes on with an iterator that has come to its end, and
// one with another element is put aside (process_iter_next_call).
func (env *env) iterNext(meta *kfuncMeta) error {
	s := env.cur
	it := &s.Frames[meta.iterFrame].Stack[meta.iterSlot].Spilled
	if it.Iter == IterActive {
		var prev *State
		if p := s.parent; p == nil || p.insnIdx != env.insnIdx || !sameCallSites(p, s) {
			return bug("no state was kept at the call of %s", meta.name)
		} else {
			prev = env.findPrevEntry(p, env.insnIdx)
		}
		queued, err := env.push(env.insnIdx+1, env.insnIdx)
		if err != nil {
			return err
		}
		q := &queued.Frames[meta.iterFrame].Stack[meta.iterSlot].Spilled
		q.Iter = IterActive
		q.Depth++
		if prev != nil {
			env.widenImprecise(prev, queued)
		}
		env.markNotNull(&queued.cur().Regs[isa.R0])
	}
	it.Iter = IterDrained
	r0 := env.reg(isa.R0)
	r0.setConst(0)
	return nil
}

// iterDepthsDiffer reports whether an active iterator has gone further since the
// older state, so that a loop which looks the same is none that never ends
// (iter_active_depths_differ).
func iterDepthsDiffer(old, cur *State) bool {
	for fr, f := range old.Frames {
		for i := range f.Stack {
			s := &f.Stack[i]
			if s.Type[0] != SlotIter || s.Spilled.Iter != IterActive {
				continue
			}
			if fr >= len(cur.Frames) || i >= len(cur.Frames[fr].Stack) {
				continue
			}
			if c := &cur.Frames[fr].Stack[i].Spilled; c.Depth != s.Spilled.Depth {
				return true
			}
		}
	}
	return false
}
