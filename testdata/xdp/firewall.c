// SPDX-License-Identifier: MIT OR GPL-2.0-only
// A small firewall: Ethernet, up to two VLAN tags, IPv4 and IPv6, TCP and UDP.
//
//	ARP                             dropped
//	UDP to port BLOCKED_PORT        dropped
//	TCP to port REFLECT_PORT        sent back: MAC addresses swapped
//	any other IPv4                  passed on as a router does: TTL one less,
//	                                checksum mended, MAC address of the next hop
//	IPv4 whose TTL runs out         dropped
//	cut-off or malformed headers    aborted
//	everything else                 passed untouched
//
// It counts verdicts per CPU and bytes by IPv4 source address.
#include "net.h"

#define BLOCKED_PORT be16(5353)
#define REFLECT_PORT be16(7)

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XDP_REDIRECT + 1);
	__type(key, u32); // enum xdp_action
	__type(value, u64);
} verdicts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, u32); // IPv4 source address, network byte order
	__type(value, u64);
} bytes_from SEC(".maps");

// What is known of the packet so far. Offsets, not pointers, so that the bounds
// are proven where bytes are read.
struct cursor {
	void *pos, *end;
};

#define take(cur, type)                                              \
	({                                                           \
		type *_p = (cur)->pos;                               \
		(cur)->pos = (void *)(_p + 1) <= (cur)->end ? _p + 1 : NULL; \
		(cur)->pos ? _p : NULL;                              \
	})

static __always_inline void account(u32 saddr, u64 len)
{
	u64 *sum = bpf_map_lookup_elem(&bytes_from, &saddr);

	if (sum)
		__sync_fetch_and_add(sum, len);
	else
		bpf_map_update_elem(&bytes_from, &saddr, &len, BPF_NOEXIST);
}

static __always_inline void swap_mac(struct ethhdr *eth)
{
	u8 tmp[6];

	__builtin_memcpy(tmp, eth->h_source, 6);
	__builtin_memcpy(eth->h_source, eth->h_dest, 6);
	__builtin_memcpy(eth->h_dest, tmp, 6);
}

// The ports are the first four bytes of TCP and of UDP.
static __always_inline int transport(struct cursor *cur, u8 proto, struct ethhdr *eth)
{
	if (proto == IPPROTO_UDP) {
		struct udphdr *udp = take(cur, struct udphdr);

		if (!udp)
			return XDP_ABORTED;
		if (udp->dest == BLOCKED_PORT)
			return XDP_DROP;
	} else if (proto == IPPROTO_TCP) {
		struct tcphdr *tcp = take(cur, struct tcphdr);

		if (!tcp)
			return XDP_ABORTED;
		if (tcp->dest == REFLECT_PORT) {
			swap_mac(eth);
			return XDP_TX;
		}
	}
	return XDP_PASS;
}

// One less for the TTL. The Internet checksum is a sum of 16-bit words, so the
// difference is added to it, with the carry (RFC 1141).
static __always_inline void forward(struct ethhdr *eth, struct iphdr *ip)
{
	static const u8 next_hop[6] = { 0x02, 0, 0, 0, 0, 0xfe };
	u32 sum = (u32)ip->check + be16(0x0100);

	ip->check = sum + (sum >= 0xffff);
	ip->ttl--;
	__builtin_memcpy(eth->h_dest, next_hop, 6);
}

static __always_inline int ipv4(struct cursor *cur, struct ethhdr *eth, u64 len)
{
	struct iphdr *ip = take(cur, struct iphdr);
	int verdict;

	if (!ip || ip->version != 4 || ip->ihl < 5)
		return XDP_ABORTED;
	account(ip->saddr, len);
	cur->pos += (ip->ihl - 5) * 4;
	verdict = transport(cur, ip->protocol, eth);
	if (verdict != XDP_PASS)
		return verdict;
	if (ip->ttl <= 1)
		return XDP_DROP;
	forward(eth, ip);
	return XDP_PASS;
}

static __always_inline int parse(struct xdp_md *ctx)
{
	struct cursor cur = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };
	u64 len = cur.end - cur.pos;
	struct ethhdr *eth = take(&cur, struct ethhdr);
	u16 proto;

	if (!eth)
		return XDP_ABORTED;
	proto = eth->h_proto;
	for (int i = 0; i < 2 && (proto == be16(ETH_P_8021Q) || proto == be16(ETH_P_8021AD)); i++) {
		struct vlanhdr *vlan = take(&cur, struct vlanhdr);

		if (!vlan)
			return XDP_ABORTED;
		proto = vlan->h_proto;
	}
	if (proto == be16(ETH_P_ARP))
		return XDP_DROP;
	if (proto == be16(ETH_P_IP))
		return ipv4(&cur, eth, len);
	if (proto == be16(ETH_P_IPV6)) {
		struct ipv6hdr *ip6 = take(&cur, struct ipv6hdr);

		if (!ip6)
			return XDP_ABORTED;
		return transport(&cur, ip6->nexthdr, eth);
	}
	return XDP_PASS;
}

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
	u32 verdict = parse(ctx);
	u64 *n = bpf_map_lookup_elem(&verdicts, &verdict);

	if (n)
		(*n)++;
	return verdict;
}

LICENSE("Dual MIT/GPL");
