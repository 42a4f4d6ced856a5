// SPDX-License-Identifier: MIT OR GPL-2.0-only
// A classifier for tc: marks packets and rewrites the type-of-service byte of
// IPv4, with its checksum, through helpers instead of packet pointers.
#include "net.h"

enum { IP = sizeof(struct ethhdr) };

SEC("tc")
int set_tos(struct __sk_buff *skb)
{
	u8 old, new = 0x10;
	u16 proto;

	if (bpf_skb_load_bytes(skb, 12, &proto, sizeof(proto)) || proto != be16(ETH_P_IP))
		return TC_ACT_OK;
	if (bpf_skb_load_bytes(skb, IP + 1, &old, sizeof(old)))
		return TC_ACT_SHOT;
	if (old == new)
		return TC_ACT_OK;
	bpf_l3_csum_replace(skb, IP + 10, be16(old), be16(new), 2);
	if (bpf_skb_store_bytes(skb, IP + 1, &new, sizeof(new), 0))
		return TC_ACT_SHOT;
	skb->mark = old;
	skb->cb[0] = skb->len;
	return TC_ACT_OK;
}

// The same packet through direct access.
SEC("tc")
int drop_fragments(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end || eth->h_proto != be16(ETH_P_IP))
		return TC_ACT_OK;
	return ip->frag_off & be16(0x3fff) ? TC_ACT_SHOT : TC_ACT_OK;
}

LICENSE("Dual MIT/GPL");
