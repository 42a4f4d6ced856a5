// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Packets that grow and shrink. Both programs stand in the one section "xdp".
#include "net.h"

// Takes the outer VLAN tag off: the addresses move up four bytes and the packet
// then begins there.
SEC("xdp")
int pop_vlan(struct xdp_md *ctx)
{
	u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	u8 addrs[12];

	if (data + sizeof(struct ethhdr) + sizeof(struct vlanhdr) > end)
		return XDP_PASS;
	if (((struct ethhdr *)data)->h_proto != be16(ETH_P_8021Q))
		return XDP_PASS;
	__builtin_memcpy(addrs, data, sizeof(addrs));
	__builtin_memcpy(data + sizeof(struct vlanhdr), addrs, sizeof(addrs));
	if (bpf_xdp_adjust_head(ctx, sizeof(struct vlanhdr)))
		return XDP_ABORTED;
	return XDP_PASS;
}

// Keeps the first 64 bytes.
SEC("xdp")
int truncate(struct xdp_md *ctx)
{
	int len = ctx->data_end - ctx->data;

	if (len <= 64)
		return XDP_PASS;
	if (bpf_xdp_adjust_tail(ctx, 64 - len))
		return XDP_ABORTED;
	return XDP_TX;
}

LICENSE("Dual MIT/GPL");
