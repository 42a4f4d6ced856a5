package verifier

import "bpfvm/isa"

const (
	maxFrames   = 8   // MAX_CALL_FRAMES, include/linux/bpf_verifier.h
	maxStack    = 512 // MAX_BPF_STACK, include/linux/filter.h
	regSize     = 8   // BPF_REG_SIZE
	maxVarOff   = 1 << 29
	mainCall    = -1 // callsite of a function that nobody called (BPF_MAIN_FUNC)
	frameRegs   = 11
	firstSaved  = 6 // R6-R9 survive a call
	callerSaved = 6 // R0-R5 do not
)

// SlotType says what one byte of the stack holds (enum bpf_stack_slot_type).
type SlotType uint8

// Slot types, with the letter that the log prints.
const (
	SlotInvalid SlotType = iota // '?': never written
	SlotSpill                   // 'r': part of a spilled register
	SlotMisc                    // 'm': some number
	SlotZero                    // '0': the number 0
	SlotDynptr                  // 'd': part of a dynptr
	SlotIter                    // 'i': part of an open-coded iterator
	SlotIRQ                     // 'f': what bpf_local_irq_save saved
)

// StackSlot is eight bytes of stack. Type[0] is the byte at the lowest address
// of the eight counted downwards as the kernel does: Type[7] belongs to the
// address of the slot, Type[0] to the byte before the next one.
type StackSlot struct {
	Spilled RegState
	Type    [regSize]SlotType
}

// isSpecial reports whether the slot holds a register or an object of the kernel's
// (is_stack_slot_special).
func (s *StackSlot) isSpecial() bool {
	switch s.Type[regSize-1] {
	case SlotSpill, SlotDynptr, SlotIter, SlotIRQ:
		return true
	}
	return false
}

// isSpilled reports whether the slot holds a register; narrow spills cover the
// upper types only (is_spilled_reg).
func (s *StackSlot) isSpilled() bool { return s.Type[regSize-1] == SlotSpill }

func (s *StackSlot) isSpilledScalar() bool {
	return s.isSpilled() && s.Spilled.Type == Scalar
}

// scrub turns the bytes of a spill into ordinary numbers (scrub_spilled_slot).
func (s *StackSlot) scrub() {
	for i := range s.Type {
		if s.Type[i] != SlotInvalid {
			s.Type[i] = SlotMisc
		}
	}
}

// FuncState is one frame of the call chain (struct bpf_func_state).
type FuncState struct {
	Regs     [frameRegs]RegState
	CallSite int // slot of the call, or mainCall
	FrameNo  int
	Subprog  int
	Stack    []StackSlot // Stack[i] is fp-8*(i+1)

	inCallback    bool
	inAsync       bool
	callbackDepth int
	asyncEntry    int // how many asynchronous callbacks led here
	// inException says that the frame is the program's exception callback.
	inException bool
	// retMin and retMax are what a callback may return.
	retMin, retMax int32
}

func newFuncState(callSite, frameNo, subprog int) *FuncState {
	f := &FuncState{CallSite: callSite, FrameNo: frameNo, Subprog: subprog}
	for i := range f.Regs {
		f.Regs[i] = notInitReg()
	}
	f.Regs[isa.R10].setPointer(PtrToStack)
	f.Regs[isa.R10].Frame = int32(frameNo)
	f.retMin, f.retMax = -1<<31, 1<<31-1
	return f
}

// grow makes sure that the frame has slots for that many bytes below its top.
func (f *FuncState) grow(env *env, bytes int) {
	n := (bytes + regSize - 1) / regSize
	for len(f.Stack) < n {
		f.Stack = append(f.Stack, StackSlot{Spilled: RegState{}})
	}
	// The stack of a function is as deep as its lowest access.
	sp := &env.subprogs[f.Subprog]
	sp.stackDepth = max(sp.stackDepth, n*regSize)
}

func (f *FuncState) clone() *FuncState {
	c := *f
	c.Stack = append([]StackSlot(nil), f.Stack...)
	return &c
}

// refKind tells apart what a program can hold (enum ref_state_type).
type refKind uint8

const (
	refPointer refKind = iota
	refLock
	refResLock
	refResLockIRQ
	refIRQ
)

// reference is a resource that the program holds and must give back.
type reference struct {
	kind refKind
	id   uint32
	insn int // slot that acquired it
	lock any // of a lock: the map or the program's types that it is in
}

// jump is one entry of the history that precision tracking walks back: how the
// path came to slot idx, and what that instruction did that its encoding does
// not tell (struct bpf_jmp_history_entry).
type jump struct {
	idx, prev int32
	// stack says that the instruction moved a register to or from the slot spi
	// of that frame.
	stack      bool
	frame, spi int8
	srcFP      bool // the compare's source is a stack pointer
	dstFP      bool
	linked     []linkedReg
}

// linkedReg names a register or a spilled one that shares its id with others
// that a branch refined together.
type linkedReg struct {
	frame int8
	isReg bool
	no    int8 // register or slot
}

// State is everything known at one point of one path (struct
// bpf_verifier_state).
type State struct {
	Frames []*FuncState
	refs   []reference

	parent    *State
	branches  int // paths that lead from here and are not done
	insnIdx   int
	firstInsn int // first slot of the stretch since parent
	lastInsn  int // last slot of that stretch
	history   []jump

	// Sections that the program is in: spin locks that it holds, RCU, preemption and
	// interrupts.
	activeLocks, rcuLocks, preemptLocks int
	lockID, irqID                       uint32
	lockOf                              any
	inSleepable                         bool // an asynchronous callback that may sleep

	dfsDepth       int
	mayGotoDepth   int
	callbackUnroll int
	cleaned        bool
	dropped        bool // not compared with any more
}

func (s *State) cur() *FuncState { return s.Frames[len(s.Frames)-1] }
func (s *State) curFrame() int   { return len(s.Frames) - 1 }

// clone copies the state with its frames; history and references too.
func (s *State) clone() *State {
	c := *s
	c.Frames = make([]*FuncState, len(s.Frames))
	for i, f := range s.Frames {
		c.Frames[i] = f.clone()
	}
	c.refs = append([]reference(nil), s.refs...)
	c.history = append([]jump(nil), s.history...)
	return &c
}

// regs calls f with every register and every spilled register of the state.
func (s *State) regs(f func(frame *FuncState, r *RegState)) {
	for _, fr := range s.Frames {
		for i := range fr.Regs {
			f(fr, &fr.Regs[i])
		}
		for i := range fr.Stack {
			if fr.Stack[i].isSpilled() {
				f(fr, &fr.Stack[i].Spilled)
			}
		}
	}
}
