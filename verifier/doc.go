// Package verifier decides, as Linux does before it loads a BPF program, whether
// the program is safe, and explains why it is not.
//
// # What it does
//
// The verifier runs the program without values. It goes down every path and keeps
// for each register and stack slot what can be known of it: its type (a number,
// or a pointer into the stack, the context, the packet, a map value) and, for
// numbers and offsets, which values it can have. An instruction that could do harm
// on some path ends it all: the program is refused.
//
//	0: (61) r2 = *(u32 *)(r1 +0)     R2 is any 32-bit number
//	1: (57) r2 &= 63                 R2 is 0..63
//	2: (bf) r3 = r10                 R3 is the top of the stack
//	3: (07) r3 += -64                R3 is 64 bytes below
//	4: (0f) r3 += r2                 R3 is 64 to 1 bytes below
//	5: (72) *(u8 *)(r3 +0) = 1       fine, for all 64 values
//
// # Numbers
//
// A number is described five times over ([Bounds]): by a [Tnum], which knows
// single bits, and by the least and greatest value as a signed and as an unsigned
// number, of 64 and of the low 32 bits. Each view sees what others do not (bits
// after a mask, ranges after a comparison), and after each change they teach each
// other. A branch makes two paths, and on each of them the operands are bounded by
// what the comparison found.
//
// # Paths
//
// A branch of which both sides are possible is two paths; the taken side is put
// aside and followed later. To come to an end, states are kept at some slots: when
// a path comes to a state that an older one covers, nothing new can follow and the
// path is pruned. What counts in that comparison is decided by three analyses:
//
//   - liveness (liveness.go): what is not read any more does not count;
//   - precision (precision.go): a number counts only if its exact value mattered
//     later, for an address, a size or a decision that was made because of it;
//     that is found by walking back from where it mattered;
//   - loops (loop.go): a state that is still being explored covers others only
//     with care.
//
// # Where things are
//
// The files have the names and the order of kernel/bpf/verifier.c, tnum.c and
// log.c, and functions name the kernel's in their comments, so that who has read
// one can read the other: checkcfg, subprog, liveness before the walk; explore the
// walk; alu, alu_ptr, branch, mem, stack, packet, ctx, helper, call, ref the
// instructions; prune, precision, loop the comparison of states; log the text.
// What programs of today use besides has files of its own: kfunc and kfunc_arg calls
// of kernel functions, attach and btfaccess typed pointers of the kernel, btfwalk the
// way through its structures, btfmap the special fields of values, kptr and graph what
// they hold, iter, dynptr, lock, irq, timer, callback, exception.
// Verdicts and messages are those of Linux 6.18 for a user who may do everything
// (CAP_BPF, CAP_PERFMON); logs are slot for slot the same but for map addresses
// and the kernel's notes on its own liveness marks.
//
// What the kernel has and this package has not is met on a path and named
// ([NotModelled]): it is never accepted in silence.
//
// # Facts
//
// For accepted programs [Report.Facts] tells what holds in every run: where each
// access goes, which branches are decided, what registers can hold. See [Facts]
// for why that cannot be read off the log.
package verifier
