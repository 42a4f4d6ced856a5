// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Structures of functions that the kernel calls: one map for a link, one of the
// older kind, one that is made on request only.
#include "matrix.h"

struct sock;

u64 calls SEC(".bss.calls"); // a section of its own

struct tcp_congestion_ops {
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	u32 (*undo_cwnd)(struct sock *sk);
	u32 flags;
	char name[16];
};

struct tcp_congestion_ops___small { // a flavour
	u32 (*ssthresh)(struct sock *sk);
};

SEC("struct_ops")
u32 on_ssthresh(u64 *ctx)
{
	calls++;
	return 2;
}

SEC("struct_ops/any_name")
void on_cong_avoid(u64 *ctx)
{
}

SEC("struct_ops.s")
u32 on_undo(u64 *ctx)
{
	return 10;
}

SEC(".struct_ops.link")
struct tcp_congestion_ops linked = {
	.ssthresh = (void *)on_ssthresh,
	.cong_avoid = (void *)on_cong_avoid,
	.undo_cwnd = (void *)on_undo,
	.flags = 2,
	.name = "bpf_linked",
};

SEC(".struct_ops")
struct tcp_congestion_ops older = {
	.ssthresh = (void *)on_ssthresh,
	.name = "bpf_older",
};

SEC("?.struct_ops.link")
struct tcp_congestion_ops___small wanted = {
	.ssthresh = (void *)on_ssthresh,
};

char _license[] SEC("license") = "GPL";
