package verifier

import (
	"bpfvm/isa"
	"bpfvm/spec"
)

// Facts are what holds in every run of an accepted program, slot by slot, for
// compilers and for checking runs. The log does not tell this: a path that was
// pruned runs with other values than the one that was explored in its place.
//
// What each part rests on:
//
//   - Access: a memory access is checked on every explored path, and a path is
//     pruned only where live pointers lie within those of the older state and the
//     scalars that pointers were made of are compared by range. So what the
//     explored states say about the pointer of an access holds for all.
//   - Branch: a branch that was decided made its operands precise, so it is
//     decided the same way on pruned paths.
//   - Regs and Stack: values come from closed states: an analysis of their own
//     that joins all paths and loses no value (see closed.go).
type Facts struct {
	Slots []SlotFacts // by slot; the second slots of wide instructions are empty
}

// SlotFacts are the facts of one instruction.
type SlotFacts struct {
	// Reached is false for code that no run reaches.
	Reached bool
	// Access is what a load or store touches; nil if it is no access or goes to
	// different kinds of memory.
	Access *Access
	Branch BranchFact
	// Regs are the bounds of R0 to R9 before the instruction; nil if not reached.
	Regs *[isa.R10]Bounds
	// Stack are the bounds of stack slots of the running function before the
	// instruction, as far as something is known of them, in order of offset.
	Stack []StackFact
}

// StackFact tells what the 8 bytes at an offset from R10 hold, read as one number.
type StackFact struct {
	Off int // negative, a multiple of 8
	Bounds
}

// BranchFact tells whether a conditional jump can go both ways.
type BranchFact uint8

// Branch facts.
const (
	BothWays BranchFact = iota
	NeverTaken
	AlwaysTaken
)

// Access is a memory access that is proven to lie within its object.
type Access struct {
	// Kind is PtrToStack, PtrToCtx, PtrToMapValue, PtrToPacket, ...
	Kind RegType
	Size int // bytes
	// MinOff and MaxOff bound where its first byte lies, in bytes: from the top
	// of the frame (negative), the start of the context, of the map value or of
	// the memory object. For packets they bound only what is added to a pointer
	// whose own offset may vary.
	MinOff, MaxOff int64
	// FrameUp is how many frames up the call chain a stack access goes.
	FrameUp int
	Map     *spec.MapSpec // map values
}

// accessNote gathers an instruction's accesses over the explored paths.
type accessNote struct {
	access Access
	seen   bool
	mixed  bool
}

// noteAccess records a checked access of the current instruction.
func (env *env) noteAccess(r *RegState, off, size int) {
	if env.opts.NoFacts {
		return
	}
	if env.notes == nil {
		env.notes = make([]accessNote, len(env.insns))
	}
	lo, hi := int64(off)+r.SMin, int64(off)+r.SMax
	if r.VarOff.IsConst() {
		lo = int64(off) + int64(r.VarOff.Value)
		hi = lo
	}
	a := Access{Kind: r.Type, Size: size, MinOff: lo, MaxOff: hi, Map: r.Map}
	if r.Type == PtrToStack {
		a.FrameUp = env.cur.curFrame() - int(r.Frame)
	}
	n := &env.notes[env.insnIdx]
	if !n.seen {
		n.access, n.seen = a, true
		return
	}
	if n.access.Kind != a.Kind || n.access.Map != a.Map || n.access.FrameUp != a.FrameUp {
		n.mixed = true
	}
	n.access.MinOff, n.access.MaxOff = min(n.access.MinOff, lo), max(n.access.MaxOff, hi)
	n.access.Size = max(n.access.Size, size)
}

// facts puts together what is known of an accepted program.
func (env *env) facts() *Facts {
	closed := env.closeStates()
	f := &Facts{Slots: make([]SlotFacts, len(env.insns))}
	for pc := range f.Slots {
		s := &f.Slots[pc]
		if env.aux[pc].seen == 0 {
			continue
		}
		s.Reached = true
		if env.notes != nil {
			if n := &env.notes[pc]; n.seen && !n.mixed && env.insns[pc].Op.Class().IsMem() {
				a := n.access
				s.Access = &a
			}
		}
		switch aux := &env.aux[pc]; {
		case aux.taken && !aux.fell:
			s.Branch = AlwaysTaken
		case aux.fell && !aux.taken:
			s.Branch = NeverTaken
		}
		if c := closed[pc]; c != nil {
			s.Regs, s.Stack = (*[isa.R10]Bounds)(&c.regs), c.stack
		}
	}
	return f
}
