// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Variables in an arena, which programs reach with plain pointers of address space
// 1 (clang 19).
#include "matrix.h"

#define __arena __attribute__((address_space(1)))
enum { BPF_MAP_TYPE_ARENA = 33, BPF_F_MMAPABLE = 1 << 10 };

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 10); // pages
} memory SEC(".maps");

u64 __arena counter = 5;
u64 __arena table[4];
u64 total;

SEC("syscall")
int count(void *ctx)
{
	u64 __arena *p = &table[2];

	counter++;
	*p += counter;
	total = *p;
	return 0;
}

char _license[] SEC("license") = "GPL";
