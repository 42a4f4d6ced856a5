// Package amd64 compiles eBPF to x86-64 machine code, puts it into executable
// memory and runs it as bpf_func(ctx, insnsi).
//
// # Registers
//
// eBPF's registers live where the kernel's JIT has them
// (arch/x86/net/bpf_jit_comp.c):
//
//	R0   R1   R2   R3   R4   R5   R6   R7   R8   R9   R10
//	rax  rdi  rsi  rdx  rcx  r8   rbx  r13  r14  r15  rbp
//
// r12 is the host address of the arena's byte 0, r9 what is left of the slice of
// the budget, r10 and r11 are temporaries, rsp is the native stack.
//
// # One instruction
//
// Most instructions are one of x86. An access that nobody has proven is checked
// first, by the permission of its first and of its last byte; permissions lie at a
// constant distance from the bytes ([vm.NativePerm]):
//
//	r0 = *(u32 *)(r1 +4)      lea  r11, [rdi+4]
//	                          cmp  r11, NativeLimit-7
//	                          jae  refused
//	                          test byte ptr [r12+r11+NativePerm], 1
//	                          je   refused
//	                          test byte ptr [r12+r11+NativePerm+3], 1
//	                          je   refused
//	                          mov  eax, [r12+r11]
//
// What the verifier has proven ([vm.Code.Facts]) needs no check, only containment: the
// address is cut to 32 bits.
//
//	r0 = *(u32 *)(r1 +4)      mov  r10d, edi
//	                          mov  eax, [r12+r10+4]
//
// Nor is it cut where machine code itself guarantees that it is small enough
// (known.go): a pointer that was loaded with 4 bytes and moved by a bounded number,
// as packet pointers are. Then an access is one instruction, as in the kernel.
//
// # Passes
//
// Such improvements are passes ([Pass]) that can be left out one by one
// ([Options.Off]), to see what each does.
//
// # Native stack
//
// Machine code runs on a stack of its own (context.go), of which eBPF sees
// nothing: on it lie return addresses and the R6 to R9 of callers. eBPF's own
// frames are in the arena. In the stack's last page is the context that machine
// code and Go share.
//
// Machine code never calls Go. It leaves: it stores all registers and the reason
// in the context and returns to Go, which serves the helper call and resumes. A
// callback is a second entry further down the same stack.
//
//	Go: Run -> enter ====> bpf_func ... leave for a helper ==> Go: Helper.Fn
//	                                                             |
//	    Exit <- leave <=== exit  <=== resume <===================+
//
// # Nothing gets out
//
// Every address is r12 plus a number that was just found to be below 2 GiB, or cut to
// 32 bits, or known to be within the window (mem.go); wrong facts change nothing in
// this. A test proves it of images by their x86 instructions alone. Loops, calls and
// returns count down a slice of the budget and leave when it is used up
// (budget.go), so that the garbage collector never waits long; the budget ends at
// the same instruction as in the interpreter. Frames are counted. Code pages are
// written before they are executable and never both.
//
// # What it is not
//
// Casts between address spaces are refused by name, as in the interpreter. Machine code runs on linux/amd64 only;
// elsewhere programs compile and list, and Run says that it cannot.
package amd64
