// Package interp is the reference engine: it executes BPF instructions one after
// the other, with the semantics of Linux 6.18 (RFC 9669, kernel/bpf/core.c:
// ___bpf_prog_run and what the verifier's fix-ups make of instructions).
//
// It has two loops over the same rules.
//
//   - [Step] is the readable one. It executes straight from the slots, keeps
//     shadow state beside every register and stack byte, and stops at the first
//     thing that no verifier would let pass: a register that was never written, an
//     index past value_size, a packet pointer used after the packet moved. It is a
//     [vm.Stepper], so debuggers drive it.
//   - [Fast] is the dense one. It compiles the slots into records, joins frequent
//     neighbours into one record, and checks region and permission of each access.
//
// Both are engines ([vm.Engine]); for stepping, [StepEngine.Prepare] and
// [Stepping.Start] give a [Stepper].
//
// On a program that does not trap, both give the same R0, the same memory and the
// same number of instructions. A refused access and an exhausted budget trap at the
// same slot after the same number of instructions.
//
// # What the standard leaves open
//
// Program entry: R1 is the context, R10 the frame pointer; the fast loop has zero
// in all others, the step loop calls them never written. A called function finds in
// R6-R9 what the caller had there (as on hardware), but the step loop does not let
// it look.
//
// Calls: afterwards R1 to R5 hold [vm.Poison] plus their number. The same is done
// after LD_ABS and LD_IND, which the kernel implements as calls.
//
// Stack: a function starts with zeroes in every byte of its frame that it can reach
// through R10. When it lets R10 escape into another register, that is the whole
// frame.
//
// may_goto: each function activation owns a counter of 8,388,608 (BPF_MAX_LOOPS,
// include/linux/bpf.h). The instruction jumps when the counter is zero and
// counts down otherwise (verifier.c: do_misc_fixups). Kernels with timed may_goto
// look at the clock instead of counting; a count is the same on every host.
//
// callx: the register holds the number of a helper, as the conformance suite has
// it. No kernel accepts the instruction.
//
// LD_ABS and LD_IND read Machine.PktData to PktEnd in network byte order. Outside
// of it the current function returns with R0 = 0 (net/core/filter.c:
// bpf_gen_ld_abs).
//
// # Not supported
//
// Calls to kernel functions and casts between address spaces: Compile refuses them
// by name with an error that wraps errors.ErrUnsupported.
package interp
