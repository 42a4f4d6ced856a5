/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Compile once, run everywhere. The structures below name only the fields that
 * the examples read; offsets here mean nothing. The attribute makes clang write
 * down each access as a relocation in .BTF.ext, and the loader puts the offset
 * of the running kernel in its place.
 */
#ifndef BPFVM_CORE_H
#define BPFVM_CORE_H

#include "bpf.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct mm_struct {
	u64 start_code;
	u64 start_stack;
};

struct task_struct {
	u32 flags;
	int prio;
	struct mm_struct *mm;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	char comm[16];
};

#pragma clang attribute pop

/* enum bpf_field_info_kind (llvm/lib/Target/BPF/BPFCORE.h) */
enum { CORE_FIELD_BYTE_OFFSET = 0, CORE_FIELD_BYTE_SIZE = 1, CORE_FIELD_EXISTS = 2 };

#define core_field_exists(field) __builtin_preserve_field_info(field, CORE_FIELD_EXISTS)
#define core_field_size(field) __builtin_preserve_field_info(field, CORE_FIELD_BYTE_SIZE)

/* Reads one field of a kernel object at address p. */
#define core_read(p, field)                                                          \
	({                                                                           \
		__typeof__((p)->field) _v = 0;                                       \
		bpf_probe_read_kernel(&_v, sizeof(_v),                               \
				      __builtin_preserve_access_index(&(p)->field)); \
		_v;                                                                  \
	})

#endif
