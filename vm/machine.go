package vm

import (
	"fmt"
	"sync/atomic"
)

// Sizes of a run's stack.
const (
	// StackSize is the stack of one frame in bytes (include/linux/filter.h,
	// MAX_BPF_STACK).
	StackSize = 512
	// MaxFrames is the deepest chain of bpf-to-bpf calls, callbacks included
	// (include/linux/bpf_verifier.h, MAX_CALL_FRAMES).
	MaxFrames = 8
	// MaxTailCalls is the number of tail calls after which the next one fails
	// (include/linux/bpf.h, MAX_TAIL_CALL_CNT).
	MaxTailCalls = 33
	// DefaultBudget is the number of instructions that a run may execute when
	// nothing else is said.
	DefaultBudget = 100_000_000

	// Poison marks registers that a call has destroyed: after one, R1 to R5 hold
	// Poison plus their number in every engine, so that a program which relies on
	// their old values goes wrong the same way everywhere.
	Poison uint64 = 0xdead_beef_0000_0000

	frameGuard  = 512
	frameStride = frameGuard + StackSize
)

// Machine is the state of one virtual CPU's run. Between runs it can be used
// again; it must not run two programs at the same time.
type Machine struct {
	Mem *Memory
	CPU int // number of the virtual CPU, as bpf_get_smp_processor_id gives it

	// Budget is the number of instructions that may still be executed. Engines
	// count it down and trap at zero. [Machine.Reset] sets it to Limit.
	Budget uint64
	Limit  uint64

	// TailCalls counts the tail calls of this run. The helper counts, before it
	// returns [ErrTailCall]; engines only follow.
	TailCalls int
	// Tail is the program that a helper wants to continue with; the helper
	// returns [ErrTailCall] and the engine takes it from here.
	Tail Runner

	// PktData and PktEnd bound the packet that LD_ABS and LD_IND read: addresses
	// of the first byte and of the first byte after it. Both 0: no packet.
	PktData, PktEnd uint64

	// Ctx is the address given to the program in R1.
	Ctx uint64
	// Depth is the number of frames in use: the running one has index Depth-1.
	Depth int
	// Env is the environment that helpers act on; it belongs to the runtime.
	Env any

	// Stop, when it is set and true, ends the run with a trap of kind [TrapStopped].
	// Engines look at it at least once in [Slice] instructions. Nil: nobody stops
	// the machine from outside.
	Stop *atomic.Bool

	// Caller is set by the running engine; helpers reach it by [Machine.Call].
	Caller Caller

	stack *Region
}

// Caller runs a function of a compiled program on behalf of a helper.
type Caller interface {
	// CallFunc calls fn in a new frame and returns its R0.
	CallFunc(m *Machine, fn *Func, args [5]uint64) (uint64, error)
}

// Func is what the handle of a RegionFunc stands for: a function that may be
// called back.
type Func struct {
	Name   string
	PC     int // its first slot in Target's code
	Target Runner
}

// NewMachine makes a machine on the arena and allocates its stack there.
func NewMachine(mem *Memory) (*Machine, error) {
	stack, err := mem.Alloc(Spec{Kind: RegionStack, Size: MaxFrames * frameStride})
	if err != nil {
		return nil, fmt.Errorf("stack: %w", err)
	}
	m := &Machine{Mem: mem, Limit: DefaultBudget, stack: stack}
	for i := range MaxFrames {
		mem.Protect(m.FrameTop(i)-StackSize, StackSize, PermRW)
	}
	m.Reset()
	return m, nil
}

// Slice is the number of instructions that an engine may execute without looking
// whether the run is to be stopped: a few milliseconds at most.
const Slice = 1 << 19

// Stopped reports whether somebody wants the run to end.
func (m *Machine) Stopped() bool {
	if m.Stop == nil {
		return false
	}
	yield()
	return m.Stop.Load()
}

// Reset prepares the machine for a new run: full budget, no tail calls.
func (m *Machine) Reset() {
	m.Budget = m.Limit
	m.TailCalls = 0
	m.Tail = nil
	m.Depth = 0
}

// FrameTop returns the value of R10 in frame i: the address just above its stack.
func (m *Machine) FrameTop(i int) uint64 {
	return m.stack.Base + uint64(i)*frameStride + frameStride
}

// Frame returns the stack of frame i, lowest address first. The slice is valid
// until something is allocated.
func (m *Machine) Frame(i int) []byte {
	return m.Mem.Raw(m.FrameTop(i)-StackSize, StackSize)
}

// Call runs the function behind a callback handle. The error is a *Trap of the
// callback, or a *Fault when the address is no function.
func (m *Machine) Call(addr uint64, args [5]uint64) (uint64, error) {
	fn, err := m.Func(addr)
	if err != nil {
		return 0, err
	}
	return m.Caller.CallFunc(m, fn, args)
}

// Func returns the function behind a callback handle.
func (m *Machine) Func(addr uint64) (*Func, error) {
	if r := m.Mem.Find(addr); r != nil && r.Base == addr {
		if fn, ok := r.Owner.(*Func); ok {
			return fn, nil
		}
	}
	return nil, &Fault{Addr: addr, Size: 8, Where: m.Mem.Symbolize(addr), Why: "not a function of the program"}
}

// ReadAny fills dst from an address of the arena or of foreign memory, as the
// kernel's probe_read does, and reports whether all of it was there.
func (m *Machine) ReadAny(dst []byte, addr uint64) bool {
	if len(dst) == 0 {
		return true
	}
	if m.Mem.Has(addr, len(dst), PermRead) {
		copy(dst, m.Mem.Raw(addr, uint64(len(dst))))
		return true
	}
	return m.Mem.Foreign.Read(dst, addr) == len(dst)
}
