//go:build linux

#include "textflag.h"

// The offsets of context (context.go); TestContextOffsets reads this file.
#define ctxBudget 88
#define ctxArena 96
#define ctxSP 104
#define ctxGoSP 112
#define ctxGoBP 120
#define ctxInsnsi 128
#define ctxExit 136
#define ctxEntry 144
#define stackMask 0x3fff
#define ctxBase -4095

// Machine code runs on a native stack of its own. Between enter and leave the
// runtime sees a goroutine in an assembly function that writes SP: it neither
// preempts it nor walks its stack. Registers need no saving, since all are the
// caller's to save in ABI0, but for SP and BP.

// Jumps to and fro are no CALLs and RETs where these would not match: the
// processor foretells a RET by the last CALL, and pays for each surprise.

// func enter(c *context)
// calls bpf_func(ctx, insnsi) on the native stack, with ctx in DI and insnsi in SI.
TEXT ·enter(SB), NOSPLIT|NOFRAME, $0-8
	MOVQ c+0(FP), R10
	MOVQ BP, ctxGoBP(R10)
	MOVQ SP, ctxGoSP(R10)
	MOVL $0, ctxExit(R10)
	MOVQ 8(R10), DI
	MOVQ ctxInsnsi(R10), SI
	MOVQ ctxBudget(R10), R9
	MOVQ ctxArena(R10), R12
	MOVQ 80(R10), BP
	MOVQ ctxEntry(R10), R11
	MOVQ ctxSP(R10), SP
	CALL R11
	JMP  ·leave(SB)

// func resume(c *context)
// continues at the address on top of the native stack with all registers.
TEXT ·resume(SB), NOSPLIT|NOFRAME, $0-8
	MOVQ c+0(FP), R10
	MOVQ BP, ctxGoBP(R10)
	MOVQ SP, ctxGoSP(R10)
	MOVL $0, ctxExit(R10)
	MOVQ 0(R10), AX
	MOVQ 8(R10), DI
	MOVQ 16(R10), SI
	MOVQ 24(R10), DX
	MOVQ 32(R10), CX
	MOVQ 40(R10), R8
	MOVQ 48(R10), BX
	MOVQ 56(R10), R13
	MOVQ 64(R10), R14
	MOVQ 72(R10), R15
	MOVQ 80(R10), BP
	MOVQ ctxBudget(R10), R9
	MOVQ ctxArena(R10), R12
	MOVQ ctxSP(R10), SP
	MOVQ 0(SP), R11
	LEAQ 8(SP), SP
	JMP  R11

// leave is where the outermost function of an entry returns to: a callback by its
// return address, a program behind the CALL in enter.
TEXT ·leave(SB), NOSPLIT|NOFRAME, $0
	MOVQ SP, R10
	ORQ  $stackMask, R10
	MOVQ BP, (ctxBase+80)(R10)
	MOVQ AX, ctxBase(R10)
	MOVQ R9, (ctxBase+ctxBudget)(R10)
	MOVQ (ctxBase+ctxGoSP)(R10), SP
	MOVQ (ctxBase+ctxGoBP)(R10), BP
	RET

// restore is where a function returns to whose frame a tail call has taken over:
// it gives the caller its R6 to R9 back.
TEXT ·restore(SB), NOSPLIT|NOFRAME, $0
	MOVQ 0(SP), BX
	MOVQ 8(SP), R13
	MOVQ 16(SP), R14
	MOVQ 24(SP), R15
	LEAQ 32(SP), SP
	RET

// func leaveAddr() uintptr
TEXT ·leaveAddr(SB), NOSPLIT, $0-8
	LEAQ ·leave(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func restoreAddr() uintptr
TEXT ·restoreAddr(SB), NOSPLIT, $0-8
	LEAQ ·restore(SB), AX
	MOVQ AX, ret+0(FP)
	RET
