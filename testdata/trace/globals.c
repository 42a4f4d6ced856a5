// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Global variables in every kind of section, subprograms in .text that several
// programs share, and two programs in one section.
#include "trace.h"

const volatile u32 target_pid = 42; // .rodata: the loader may set it before loading
u64 seen;                           // .bss
u64 limit = 3;                      // .data
u32 histogram[8] SEC(".data.histogram");
const char names[2][8] SEC(".rodata.names") = { "enter", "leave" };
static u64 last[2]; // .bss, without a symbol of its own to outside

struct state {
	u64 calls;
	u32 pid;
	char name[8];
} state = { .name = "none" };

static __noinline u32 bucket(u64 v)
{
	u32 b = 0;

	for (int i = 0; i < 7 && v > 1; i++, v >>= 1)
		b++;
	return b;
}

// A global function: the verifier checks it on its own, with any argument.
__noinline int record(u32 which, u64 value)
{
	u32 b = bucket(value);

	histogram[b & 7]++;
	last[which & 1] = value;
	return b;
}

static __always_inline int wanted(u32 which)
{
	u32 pid = bpf_get_current_pid_tgid() >> 32;

	if (pid != target_pid || seen >= limit)
		return 0;
	seen++;
	state.calls++;
	state.pid = pid;
	opaque(which); // or the name would be folded into the code
	__builtin_memcpy(state.name, names[which & 1], sizeof(state.name));
	return 1;
}

SEC("kprobe/vfs_read")
int enter(struct pt_regs *ctx)
{
	if (!wanted(0))
		return 0;
	return record(0, ctx->dx);
}

SEC("kprobe/vfs_read")
int enter_again(struct pt_regs *ctx)
{
	return record(1, last[0] + 1);
}

SEC("kretprobe/vfs_read")
int leave(struct pt_regs *ctx)
{
	if (!wanted(1))
		return 0;
	return record(1, ctx->ax);
}

LICENSE("Dual MIT/GPL");
