/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Contexts of the tracing programs, for x86-64. */
#ifndef BPFVM_TRACE_H
#define BPFVM_TRACE_H

#include "bpf.h"

/* The registers as the probe found them (arch/x86/include/asm/ptrace.h). A
 * function's arguments are in di, si, dx, cx, r8, r9; its result is in ax. */
struct pt_regs {
	u64 r15, r14, r13, r12, bp, bx;
	u64 r11, r10, r9, r8;
	u64 ax, cx, dx, si, di;
	u64 orig_ax, ip, cs, flags, sp, ss;
};

/* What precedes the fields of every tracepoint. */
struct trace_entry {
	u16 type;
	u8 flags;
	u8 preempt_count;
	s32 pid;
};

/* tracefs: events/syscalls/sys_enter_openat/format */
struct sys_enter_openat {
	struct trace_entry ent;
	s32 nr;
	s64 dfd;
	const char *filename;
	s64 flags;
	s64 mode;
};

/* tracefs: events/syscalls/sys_enter_execve/format */
struct sys_enter_execve {
	struct trace_entry ent;
	s32 nr;
	const char *filename;
	const char *const *argv;
	const char *const *envp;
};

struct bpf_raw_tracepoint_args {
	u64 args[0];
};

#endif
