// SPDX-License-Identifier: MIT OR GPL-2.0-only
// What every compiler can make: maps with initial values, data in sections of all
// kinds, subprograms that are static, global, weak and taken by address. Compiled
// by matrix_test.go with each compiler of the machine, at each of its levels.
#include "matrix.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, u32);
	__type(value, struct pair);
} pairs SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, u32);
	__array(values, struct inner);
} nested SEC(".maps") = {
	.values = { [1] = &first, [3] = &second },
};

int tail_one(void *ctx);
int tail_two(void *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 8);
	__uint(key_size, 4);
	__array(values, int(void *ctx));
} jumps SEC(".maps") = {
	.values = { [2] = (void *)&tail_one, [5] = (void *)&tail_two },
};

volatile u32 limit = 7;               // .data
u64 total;                            // .bss
static u64 hidden = 3;                // .data
u32 custom SEC(".data.custom") = 11;  // sections of their own
const u32 table[4] SEC(".rodata.table") = { 1, 2, 3, 4 };
u64 weak_value __attribute__((weak)) = 5;

NOINLINE static u64 half(u64 v)
{
	barrier(v);
	return v >> 1;
}

NOINLINE u64 global_add(u64 a, u64 b)
{
	barrier(a);
	return half(a) + b;
}

__attribute__((weak)) NOINLINE u64 weak_add(u64 a)
{
	barrier(a);
	return a + weak_value;
}

NOINLINE static long each(u32 i, void *ctx)
{
	total += table[i & 3];
	return 0;
}

SEC("xdp")
int entry(void *ctx)
{
	u32 key = limit;
	struct pair p = { 1, 2 }, *old;

	map_update_elem(&pairs, &key, &p, 0);
	old = map_lookup_elem(&pairs, &key);
	if (old)
		total += global_add(old->a, old->b);
	total += weak_add(hidden++) + custom;
	loop(4, each, 0, 0);
	tail_call(ctx, &jumps, 2);
	return 2;
}

SEC("xdp")
int tail_one(void *ctx)
{
	u32 key = 3;
	void *m = map_lookup_elem(&nested, &key);

	if (m && map_lookup_elem(m, &key))
		total++;
	return 1;
}

SEC("xdp")
int tail_two(void *ctx)
{
	static const char text[] = "a string that is merged";

	trace_printk(text, sizeof(text));
	return half(total);
}

char _license[] SEC("license") = "Dual MIT/GPL";
