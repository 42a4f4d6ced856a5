// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Work on the bytes of a packet of at least 1500 bytes.
#include "bench.h"

enum { LEN = 1500 };

// The Internet checksum (RFC 1071), word by word in network byte order.
SEC("xdp")
int checksum(struct xdp_md *ctx)
{
	u8 *p = packet(ctx, LEN);
	u32 sum = 0;

	if (!p)
		return XDP_ABORTED;
	NO_UNROLL
	for (u32 i = 0; i < LEN; i += 2) {
		sum += p[i] << 8 | p[i + 1];
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return ~sum & 0xffff;
}

// CRC-32 bit by bit. The product keeps the loop free of branches: a branch on
// each of 12,000 unknown bits is more than the verifier follows. (The usual mask
// -(crc & 1) & POLYNOMIAL makes some 6.x verifiers crash: they fork a state for
// each such AND.)
SEC("xdp")
int crc32(struct xdp_md *ctx)
{
	u8 *p = packet(ctx, LEN);
	u32 crc = ~0u;

	if (!p)
		return XDP_ABORTED;
	NO_UNROLL
	for (u32 i = 0; i < LEN; i++) {
		crc ^= p[i];
		NO_UNROLL
		for (u32 bit = 0; bit < 8; bit++) {
			u32 low = crc & 1;

			opaque(low);
			crc = crc >> 1 ^ low * 0xedb88320u;
		}
	}
	return ~crc;
}

#define SIPROUND                                        \
	do {                                            \
		v0 += v1;                               \
		v1 = rol64(v1, 13) ^ v0;                \
		v0 = rol64(v0, 32);                     \
		v2 += v3;                               \
		v3 = rol64(v3, 16) ^ v2;                \
		v0 += v3;                               \
		v3 = rol64(v3, 21) ^ v0;                \
		v2 += v1;                               \
		v1 = rol64(v1, 17) ^ v2;                \
		v2 = rol64(v2, 32);                     \
	} while (0)

// SipHash-2-4 with the key 00 01 .. 0f over 1472 bytes: the payload of a full
// Ethernet frame of UDP.
SEC("xdp")
int siphash(struct xdp_md *ctx)
{
	u64 k0 = 0x0706050403020100ull, k1 = 0x0f0e0d0c0b0a0908ull;
	u64 v0 = k0 ^ 0x736f6d6570736575ull, v1 = k1 ^ 0x646f72616e646f6dull;
	u64 v2 = k0 ^ 0x6c7967656e657261ull, v3 = k1 ^ 0x7465646279746573ull;
	u64 *p = packet(ctx, 1472), last = 1472ull << 56;

	if (!p)
		return XDP_ABORTED;
	NO_UNROLL
	for (u32 i = 0; i < 1472 / 8; i++) {
		v3 ^= p[i];
		SIPROUND;
		SIPROUND;
		v0 ^= p[i];
	}
	v3 ^= last;
	SIPROUND;
	SIPROUND;
	v0 ^= last;
	v2 ^= 0xff;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	return fold(v0 ^ v1 ^ v2 ^ v3);
}

// Bubble sort of 32 numbers, 64 bytes, on the stack.
SEC("xdp")
int sort(struct xdp_md *ctx)
{
	u16 *p = packet(ctx, 64), a[32];
	u32 sum = 0;

	if (!p)
		return XDP_ABORTED;
	__builtin_memcpy(a, p, sizeof(a));
	NO_UNROLL
	for (u32 n = 31; n > 0; n--) {
		NO_UNROLL
		for (u32 i = 0; i < n; i++) {
			u16 x = a[i], y = a[i + 1];

			if (x > y) {
				a[i] = y;
				a[i + 1] = x;
			}
		}
	}
	NO_UNROLL
	for (u32 i = 0; i < 32; i++)
		sum = sum * 31 + a[i];
	return sum;
}

LICENSE("Dual MIT/GPL");
