// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Leaving the program: to subprograms, to helpers, to maps.
#include "bench.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, u32);
	__type(value, u64);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u64);
} table SEC(".maps");

static __noinline u64 step(u64 x, u64 i)
{
	x = x * 0x5851f42d + i;
	return x ^ x >> 17;
}

SEC("xdp")
int subprogs(struct xdp_md *ctx)
{
	u64 *p = packet(ctx, 64), x;

	if (!p)
		return XDP_ABORTED;
	x = p[0];
	NO_UNROLL
	for (u64 i = 0; i < 5000; i++)
		x = step(x, i);
	return fold(x);
}

// The random numbers are thrown away: r0 is the number of calls.
SEC("xdp")
int helpers(struct xdp_md *ctx)
{
	u32 n = 0;

	NO_UNROLL
	for (u32 i = 0; i < 5000; i++) {
		u32 r = bpf_get_prandom_u32();

		opaque(r);
		n++;
		opaque(n);
	}
	return n;
}

SEC("xdp")
int array_map(struct xdp_md *ctx)
{
	u64 sum = 0;

	NO_UNROLL
	for (u32 i = 0; i < 1000; i++) {
		u32 key = i & 63;
		u64 *v = bpf_map_lookup_elem(&slots, &key);

		if (!v)
			return XDP_ABORTED;
		*v += i;
		sum += *v;
	}
	return fold(sum);
}

SEC("xdp")
int hash_map(struct xdp_md *ctx)
{
	u64 sum = 0;

	NO_UNROLL
	for (u32 i = 0; i < 1000; i++) {
		u32 key = i * 7 & 511;
		u64 *v = bpf_map_lookup_elem(&table, &key), next = v ? *v + 1 : 1;

		if (bpf_map_update_elem(&table, &key, &next, BPF_ANY))
			return XDP_ABORTED;
		sum += next;
	}
	return fold(sum);
}

LICENSE("Dual MIT/GPL");
