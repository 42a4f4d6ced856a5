/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the benchmark programs share. Each is an XDP program whose r0 depends on
 * all of its work and on bytes of the packet, so that neither the compiler nor
 * an engine can leave any of it out. Loops have constant bounds: the verifier
 * walks through every pass, which keeps each program below 1,000,000
 * instructions.
 */
#ifndef BPFVM_BENCH_H
#define BPFVM_BENCH_H

#include "../include/net.h"

#define NO_UNROLL _Pragma("clang loop unroll(disable)")

static __always_inline u32 fold(u64 v)
{
	return v ^ v >> 32;
}

/* The packet, if it has at least len bytes. */
static __always_inline void *packet(struct xdp_md *ctx, u32 len)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	return data + len > end ? NULL : data;
}

static __always_inline u32 rol32(u32 v, int n)
{
	return v << n | v >> (32 - n);
}

static __always_inline u64 rol64(u64 v, int n)
{
	return v << n | v >> (64 - n);
}

#endif
