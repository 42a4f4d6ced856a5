// SPDX-License-Identifier: MIT OR GPL-2.0-only
#ifndef MATRIX_H
#define MATRIX_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define NOINLINE __attribute__((noinline))
#define barrier(v) __asm__ volatile("" : "+r"(v))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) __typeof__(val) *name
#define __array(name, val) __typeof__(val) *name[]

enum { BPF_MAP_TYPE_HASH = 1, BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PROG_ARRAY = 3,
       BPF_MAP_TYPE_ARRAY_OF_MAPS = 12 };

struct pair {
	u32 a, b;
};

// A helper is a number. Without optimisation clang keeps it only where the
// constant is written in place; gcc wants a declaration.
#ifdef __clang__
#define map_lookup_elem ((void *(*)(void *, const void *))1)
#define map_update_elem ((long (*)(void *, const void *, const void *, u64))2)
#define trace_printk ((long (*)(const char *, u32, ...))6)
#define tail_call ((long (*)(void *, void *, u32))12)
#define loop ((long (*)(u32, void *, void *, u64))181)
#define probe_read_kernel ((long (*)(void *, u32, const void *))113)
#else
#define KERNEL_HELPER(n) __attribute__((kernel_helper(n)))
KERNEL_HELPER(1) void *map_lookup_elem(void *, const void *);
KERNEL_HELPER(2) long map_update_elem(void *, const void *, const void *, u64);
KERNEL_HELPER(6) long trace_printk(const char *, u32, ...);
KERNEL_HELPER(12) long tail_call(void *, void *, u32);
KERNEL_HELPER(181) long loop(u32, void *, void *, u64);
#endif

#endif
