// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Who allocated this kernel object, and how long did it live?
//
// The same program as kmem_classic.c in the form of today: maps as types in the
// section ".maps", BTF for their keys and values, format strings in .rodata.
#include "trace.h"

struct origin {
	u64 time; // bpf_ktime_get_ns at the allocation
	u64 ip;   // where the allocation returned to
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u64); // address of the object
	__type(value, struct origin);
} objects SEC(".maps");

enum { ALLOCATED, FREED, UNKNOWN, NUM_COUNTS };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NUM_COUNTS);
	__type(key, u32);
	__type(value, u64);
} counts SEC(".maps");

static __always_inline void count(u32 what)
{
	u64 *n = bpf_map_lookup_elem(&counts, &what);

	if (n)
		__sync_fetch_and_add(n, 1);
}

// void kmem_cache_free(struct kmem_cache *s, void *objp)
//
// Returns 1, so that perf keeps the event, where nobody has seen the allocation.
SEC("kprobe/kmem_cache_free")
int on_free(struct pt_regs *ctx)
{
	u64 obj = ctx->si;
	struct origin *from = bpf_map_lookup_elem(&objects, &obj);

	if (!from) {
		bpf_printk("obj 0x%lx freed, unknown", obj);
		count(UNKNOWN);
		return 1;
	}
	bpf_printk("obj 0x%lx from 0x%lx freed after %lu ns", obj, from->ip,
		   bpf_ktime_get_ns() - from->time);
	bpf_map_delete_elem(&objects, &obj);
	count(FREED);
	return 0;
}

// void *kmem_cache_alloc_node(struct kmem_cache *s, gfp_t flags, int node)
SEC("kretprobe/kmem_cache_alloc_node")
int on_alloc(struct pt_regs *ctx)
{
	u64 obj = ctx->ax;
	struct origin from = {};

	if (!obj) // out of memory
		return 0;
	from.time = bpf_ktime_get_ns();
	from.ip = ctx->ip;
	bpf_map_update_elem(&objects, &obj, &from, BPF_ANY);
	count(ALLOCATED);
	return 0;
}

LICENSE("Dual MIT/GPL");
