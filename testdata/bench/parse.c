// SPDX-License-Identifier: MIT OR GPL-2.0-only
// The work of a real packet program: VLAN tags, IPv4 with options, TCP and its
// options. Returns a value made of the ports and of the options found.
#include "bench.h"

enum { OPT_END, OPT_NOP, OPT_MSS, OPT_WSCALE, OPT_SACK_OK, OPT_SACK, OPT_TIMESTAMP = 8 };

static __always_inline u32 be32_at(const u8 *p)
{
	return (u32)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static __always_inline u16 be16_at(const u8 *p)
{
	return p[0] << 8 | p[1];
}

SEC("xdp")
int parse(struct xdp_md *ctx)
{
	u8 *pos = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	u32 found = 0, left, off = 0;
	u16 proto;

	if (pos + 14 > end)
		return XDP_ABORTED;
	proto = be16_at(pos + 12);
	pos += 14;
	NO_UNROLL
	for (int i = 0; i < 2; i++) {
		if (proto != ETH_P_8021Q && proto != ETH_P_8021AD)
			break;
		if (pos + 4 > end)
			return XDP_ABORTED;
		found += be16_at(pos) & 0xfff;
		proto = be16_at(pos + 2);
		pos += 4;
	}
	if (proto != ETH_P_IP)
		return XDP_PASS;
	if (pos + 20 > end || pos[0] >> 4 != 4 || (pos[0] & 15) < 5 || pos[9] != IPPROTO_TCP)
		return XDP_PASS;
	found ^= be32_at(pos + 12) ^ be32_at(pos + 16);
	pos += (pos[0] & 15) * 4;
	if (pos + 20 > end || pos[12] >> 4 < 5)
		return XDP_PASS;
	found += be16_at(pos) * 3 + be16_at(pos + 2);
	left = (pos[12] >> 4) * 4 - 20;
	pos += 20;
	NO_UNROLL
	for (int i = 0; i < 8; i++) {
		u32 kind, len;
		u8 *opt;

		if (off >= left)
			break;
		opt = pos + (off & 63); // says again to the verifier what it has forgotten
		if (opt + 1 > end)
			return XDP_ABORTED;
		kind = opt[0];
		if (kind == OPT_END)
			break;
		if (kind == OPT_NOP) {
			off++;
			continue;
		}
		if (opt + 2 > end)
			return XDP_ABORTED;
		len = opt[1];
		if (len < 2)
			return XDP_ABORTED;
		if (kind == OPT_MSS && len == 4 && opt + 4 <= end)
			found += be16_at(opt + 2);
		else if (kind == OPT_WSCALE && len == 3 && opt + 3 <= end)
			found += opt[2] << 16;
		else if (kind == OPT_TIMESTAMP && len == 10 && opt + 10 <= end)
			found ^= be32_at(opt + 2) ^ be32_at(opt + 6);
		off += len;
	}
	return found;
}

LICENSE("Dual MIT/GPL");
