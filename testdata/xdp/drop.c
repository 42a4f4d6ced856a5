// SPDX-License-Identifier: MIT OR GPL-2.0-only
#include "net.h"
struct __attribute__((packed)) eth { u8 dst[6], src[6]; u16 h_proto; };
// Drops ARP. The verifier refuses it: twelve bytes are proven, fourteen are read.
SEC("xdp") int drop_arp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct eth *eth = data;
	if (data + 12 > end)
		return XDP_PASS;
	if (eth->h_proto == 0x0608)
		return XDP_DROP;
	return XDP_PASS;
}
LICENSE("Dual MIT/GPL");
