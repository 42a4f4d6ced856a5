/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What an eBPF program written in C needs to know of Linux, and no more: the
 * integer types, the map types, section and map macros, and the helpers, which
 * are nothing but numbers (include/uapi/linux/bpf.h, enum bpf_func_id). A call
 * through one of the constant pointers below becomes one `call N` instruction.
 */
#ifndef BPFVM_BPF_H
#define BPFVM_BPF_H

typedef signed char s8;
typedef unsigned char u8;
typedef short s16;
typedef unsigned short u16;
typedef int s32;
typedef unsigned int u32;
typedef long long s64;
typedef unsigned long long u64;

#define NULL ((void *)0)

#define SEC(name) __attribute__((section(name), used))
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))

/* The members of a map definition in the .maps section are pointer types that
 * carry a number or a type into BTF; the bytes of the section stay zero. */
#define __uint(name, val) int (*name)[val]
#define __type(name, val) __typeof__(val) *name
#define __array(name, val) __typeof__(val) *name[]

/* Keeps the compiler from knowing more about a value than its type. */
#define opaque(var) asm volatile("" : "+r"(var))

#define LICENSE(text) char _license[] SEC("license") = text

/* enum bpf_map_type */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};

/* Flags of bpf_map_update_elem. */
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };

/* Flag of bpf_perf_event_output: the ring of the CPU that runs the program. */
#define BPF_F_CURRENT_CPU 0xffffffffULL

/* A map definition as the samples of Linux 4.x had it in the "maps" section: 28
 * bytes. Loaders took the size from the section and the number of symbols in
 * it, so that shorter and longer definitions occur too. */
struct bpf_map_def {
	u32 type;
	u32 key_size;
	u32 value_size;
	u32 max_entries;
	u32 map_flags;
	u32 inner_map_idx;
	u32 numa_node;
};

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value,
					 u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static long (*const bpf_trace_printk)(const char *fmt, u32 size, ...) = (void *)6;
static u32 (*const bpf_get_prandom_u32)(void) = (void *)7;
static u32 (*const bpf_get_smp_processor_id)(void) = (void *)8;
static long (*const bpf_skb_store_bytes)(void *skb, u32 off, const void *from, u32 len,
					 u64 flags) = (void *)9;
static long (*const bpf_l3_csum_replace)(void *skb, u32 off, u64 from, u64 to,
					 u64 flags) = (void *)10;
static long (*const bpf_tail_call)(void *ctx, void *prog_array, u32 index) = (void *)12;
static u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static u64 (*const bpf_get_current_uid_gid)(void) = (void *)15;
static long (*const bpf_get_current_comm)(void *buf, u32 size) = (void *)16;
static long (*const bpf_perf_event_output)(void *ctx, void *map, u64 flags, void *data,
					   u64 size) = (void *)25;
static long (*const bpf_skb_load_bytes)(const void *skb, u32 off, void *to,
					u32 len) = (void *)26;
static u64 (*const bpf_get_current_task)(void) = (void *)35;
static long (*const bpf_xdp_adjust_head)(void *ctx, int delta) = (void *)44;
static long (*const bpf_xdp_adjust_tail)(void *ctx, int delta) = (void *)65;
static long (*const bpf_probe_read_kernel)(void *dst, u32 size, const void *src) = (void *)113;
static long (*const bpf_probe_read_user_str)(void *dst, u32 size, const void *src) = (void *)114;
static long (*const bpf_probe_read_kernel_str)(void *dst, u32 size,
					       const void *src) = (void *)115;
static long (*const bpf_ringbuf_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;
static void *(*const bpf_ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
static void (*const bpf_ringbuf_discard)(void *data, u64 flags) = (void *)133;

/* Prints a constant text with at most three numbers into the trace pipe. The
 * text is in .rodata, which loaders turn into a frozen array map. */
#define bpf_printk(text, args...)                                       \
	({                                                              \
		static const char _fmt[] = text;                        \
		bpf_trace_printk(_fmt, sizeof(_fmt), ##args);           \
	})

#endif
