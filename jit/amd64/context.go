package amd64

import "bpfvm/vm"

// context is what machine code and Go share about a run. It lies in the last page
// of the run's native stack, so machine code finds it by setting the low bits of
// its stack pointer, without a register.
//
// The offsets below are used by enter_amd64.s and by generated code;
// TestContextOffsets ties them to the fields.
type context struct {
	regs   [11]uint64 // R0 to R10 while Go serves an exit
	budget uint64     // r9
	arena  uint64     // r12: host address of the arena's byte 0
	sp     uint64     // native stack pointer to go on with
	goSP   uint64     // Go's stack pointer inside enter
	goBP   uint64
	insnsi uint64 // address of the first eBPF slot, the second argument of bpf_func

	exit   uint32 // why machine code has left, and the slot
	image  uint32 // id of the image that has left
	entry  uint64 // address of bpf_func
	maxTop uint64 // R10 of the deepest frame
	floor  int64  // where counting code leaves
	cpu    uint32 // vm.Machine.CPU
}

// Offsets in context in bytes.
const (
	ctxRegs   = 0
	ctxBudget = 88
	ctxArena  = 96
	ctxSP     = 104
	ctxGoSP   = 112
	ctxGoBP   = 120
	ctxInsnsi = 128
	ctxExit   = 136
	ctxImage  = 140
	ctxEntry  = 144
	ctxMaxTop = 152
	ctxFloor  = 160
	ctxCPU    = 168
)

// Sizes of the native stack. Each eBPF frame takes at most 7 words of it and a tail
// call in it 5 more; the depth of eBPF frames bounds both, so that 8 KiB are more
// than ever used. It is aligned to its size.
//
//	0        4096                    12288         16384
//	+--------+-----------------------+-------------+
//	| guard  | return addresses, R6-9| context     |
//	+--------+-----------------------+-------------+
const (
	stackBytes = 16 << 10
	stackGuard = 4 << 10
	ctxBytes   = 4 << 10

	// ctxBase is the distance from stack pointer|stackMask to the context.
	stackMask = stackBytes - 1
	ctxBase   = -(ctxBytes - 1)
)

// exitKind says why machine code has left, in the upper byte of context.exit.
type exitKind uint32

const (
	exitDone   exitKind = iota
	exitServe           // the instruction needs Go: helper call, packet load, unaligned atomic
	exitMemory          // access refused
	exitDepth           // one frame too many
	exitSlice           // the slice of the budget is used up; the slot runs next
)

const exitShift = 24

// The slots of the longest program fit below the kind.
const _ = uint(1<<exitShift - 1 - vm.MaxSlots)

func exitCode(k exitKind, slot int) int64 { return int64(uint32(k)<<exitShift | uint32(slot)) }
