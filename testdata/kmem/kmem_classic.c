// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Who allocated this kernel object, and how long did it live?
//
// In the form that eBPF programs for Linux 4.x had: no BTF, maps as fixed-size
// definitions in the section "maps", the attach point in the section name, and
// format strings on the stack.
#include "trace.h"

struct origin {
	u64 time; // bpf_ktime_get_ns at the allocation
	u64 ip;   // where the allocation returned to
};

struct bpf_map_def SEC("maps") objects = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = sizeof(u64), // address of the object
	.value_size = sizeof(struct origin),
	.max_entries = 1024,
};

enum { ALLOCATED, FREED, UNKNOWN, NUM_COUNTS };

struct bpf_map_def SEC("maps") counts = {
	.type = BPF_MAP_TYPE_ARRAY,
	.key_size = sizeof(u32),
	.value_size = sizeof(u64),
	.max_entries = NUM_COUNTS,
};

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
		char fmt[] = "obj 0x%lx freed, unknown";

		bpf_trace_printk(fmt, sizeof(fmt), obj);
		count(UNKNOWN);
		return 1;
	}

	char fmt[] = "obj 0x%lx from 0x%lx freed after %lu ns";

	bpf_trace_printk(fmt, sizeof(fmt), obj, from->ip, bpf_ktime_get_ns() - from->time);
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

// Kernels before 5.0 wanted to hear their own version from a kprobe program:
// major << 16 | minor << 8 | patch, here 6.18.0.
u32 _version SEC("version") = 6 << 16 | 18 << 8;
