// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Tail calls: a dispatcher jumps through a prog array and never comes back. The
// object itself fills slots 0 to 2; slot 3 is empty, so that jump falls through.
// A last program jumps to itself until the kernel's limit of 33 stops it.
#include "trace.h"

int on_read(struct pt_regs *ctx);
int on_write(struct pt_regs *ctx);
int on_self(struct pt_regs *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(u32));
	__array(values, int(struct pt_regs *));
} targets SEC(".maps") = {
	.values = { [0] = (void *)&on_read, [1] = (void *)&on_write, [2] = (void *)&on_self },
};

u64 jumps; // how often on_self began

SEC("kprobe/vfs_read")
int on_read(struct pt_regs *ctx)
{
	return 10;
}

SEC("kprobe/vfs_write")
int on_write(struct pt_regs *ctx)
{
	return 11;
}

SEC("kprobe/vfs_fsync")
int on_self(struct pt_regs *ctx)
{
	jumps++;
	bpf_tail_call(ctx, &targets, 2);
	return 12;
}

SEC("kprobe/vfs_open")
int dispatch(struct pt_regs *ctx)
{
	bpf_tail_call(ctx, &targets, (u32)ctx->di);
	return 99; // no program in that slot, or no such slot
}

LICENSE("Dual MIT/GPL");
