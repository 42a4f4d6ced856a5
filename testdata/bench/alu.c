// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Arithmetic in registers.
#include "bench.h"

// The cost of entering and leaving.
SEC("xdp")
int empty(struct xdp_md *ctx)
{
	return XDP_PASS;
}

// Each operation waits for the one before: measures latency.
SEC("xdp")
int chain64(struct xdp_md *ctx)
{
	u64 *p = packet(ctx, 64), x;

	if (!p)
		return XDP_ABORTED;
	x = p[0];
	NO_UNROLL
	for (u64 i = 0; i < 80000; i++) {
		x = x * 0x5851f42d + i;
		x ^= x >> 29;
		x += 0x14057b7e;
	}
	return fold(x);
}

// Four chains that do not wait for each other: measures throughput.
SEC("xdp")
int chains4(struct xdp_md *ctx)
{
	u64 *p = packet(ctx, 64), a, b, c, d;

	if (!p)
		return XDP_ABORTED;
	a = p[0];
	b = p[1];
	c = p[2];
	d = p[3];
	NO_UNROLL
	for (u64 i = 0; i < 26000; i++) {
		a *= 0x5851f42d;
		b *= 0x4c957f2d;
		c *= 0x14057b7f;
		d *= 0x2545f491;
		a ^= i;
		b += i;
		c ^= i;
		d += i;
		a += 0x1111;
		b ^= 0x2222;
		c += 0x3333;
		d ^= 0x4444;
		a <<= 1;
		b += c;
		c -= d;
		d ^= a;
	}
	return fold(a ^ b ^ c ^ d);
}

// A 32-bit mixing function: multiply and rotate, as hash functions do.
SEC("xdp")
int mix32(struct xdp_md *ctx)
{
	u32 *p = packet(ctx, 64), h, k;

	if (!p)
		return XDP_ABORTED;
	h = p[0];
	k = p[1];
	NO_UNROLL
	for (u32 i = 0; i < 40000; i++) {
		k = rol32(k * 0xcc9e2d51u, 15) + i;
		h = rol32(h ^ k, 13) * 5 + 0xe6546b64u;
	}
	return h;
}

LICENSE("Dual MIT/GPL");
