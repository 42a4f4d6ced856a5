// SPDX-License-Identifier: MIT OR GPL-2.0-only
// What bpf-gcc does otherwise than clang: where calls keep their addends, and
// which symbols they name. Compiled with bpf-gcc 12.2 -O2 -gbtf -c.
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define NOINLINE __attribute__((noinline))

struct bpf_map_def {
	u32 type, key_size, value_size, max_entries, map_flags;
};

struct bpf_map_def SEC("maps") counts = { 2, 4, 8, 4, 0 };

static u64 total, other = 3;
static u64 table[4] = { 1, 2, 3, 4 };
u64 limit = 7;

NOINLINE static u64 half(u64 v)
{
	return (v + total) >> 1;
}

NOINLINE static u64 third(u64 v)
{
	return half(v) + other;
}

NOINLINE u64 global(u64 v)
{
	return v * 3 + total;
}

NOINLINE static long callback(u32 i, void *ctx)
{
	total += table[i & 3];
	return 0;
}

// Helpers are functions with an attribute here.
static void *lookup(void *map, const void *key) __attribute__((kernel_helper(1)));
static long bpf_loop(u32 n, void *fn, void *ctx, u64 flags) __attribute__((kernel_helper(181)));

SEC("xdp") int count(void *ctx)
{
	u32 key = 0;
	u64 *v = lookup(&counts, &key);

	if (!v)
		return 1;
	return half(*v) + third(4) + global(limit);
}

SEC("xdp") int loop(void *ctx)
{
	return bpf_loop(4, callback, 0, 0) + global(table[2]);
}

char _license[] SEC("license") = "GPL";
