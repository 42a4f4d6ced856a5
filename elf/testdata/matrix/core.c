// SPDX-License-Identifier: MIT OR GPL-2.0-only
// All kinds of CO-RE relocations, against types of every Linux: members through
// pointers, arrays and unnamed unions, bitfields, flavours, whole types, their
// ids, enumerators of 32 and 64 bits, and what no kernel has.
#include "matrix.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct mm_struct {
	u64 start_code;
};

struct task_struct {
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct mm_struct *mm;
	char comm[16];
	unsigned sched_reset_on_fork : 1;
	unsigned in_execve : 1;
};

struct task_struct___old { // a flavour: the same type of another kernel
	int state;
	long __state;
};

struct task_struct___new {
	unsigned __state;
};

struct no_such_type {
	int a, b;
};

union thread_union {
	struct task_struct task;
};

#pragma clang attribute pop

enum bpf_cmd {
	BPF_MAP_CREATE = 77, // the kernel says 0
	BPF_NO_SUCH_CMD = 5,
};

#if __clang_major__ >= 15
enum bpf_map_lookup_flags___big {
	BIG = 0x100000000ULL,
};
#endif

typedef u64 sector_t;

#define FIELD(p, f, kind) __builtin_preserve_field_info((p)->f, kind)
#define OFF(p, f) __builtin_preserve_access_index(&(p)->f)
enum { OFFSET, SIZE, EXISTS, SIGNED, LSHIFT, RSHIFT };

u64 out[64];

SEC("raw_tp/sched_switch")
int members(struct task_struct *t)
{
	int pid;
	struct task_struct *parent;

	probe_read_kernel(&pid, sizeof(pid), OFF(t, pid));
	probe_read_kernel(&parent, sizeof(parent), OFF(t, real_parent));
	probe_read_kernel(&out[1], 1, OFF(t, comm[5]));
	probe_read_kernel(&out[2], 8, OFF(parent, mm));
	out[0] = pid;
	out[3] = FIELD(t, comm, SIZE);
	out[4] = FIELD(t, pid, SIGNED);
	out[5] = FIELD(t, in_execve, OFFSET);
	out[6] = FIELD(t, in_execve, SIZE);
	out[7] = FIELD(t, in_execve, LSHIFT);
	out[8] = FIELD(t, in_execve, RSHIFT);
	out[9] = FIELD(t, in_execve, SIGNED);
	return 0;
}

SEC("raw_tp/sched_switch")
int flavours(void *t)
{
	struct task_struct___old *old = t;
	struct task_struct___new *new = t;

	out[0] = FIELD(old, state, EXISTS);
	out[1] = FIELD(new, __state, EXISTS);
	out[2] = FIELD(new, __state, SIZE);
	if (FIELD(old, state, EXISTS))
		probe_read_kernel(&out[3], 4, OFF(old, state)); // poisoned today
	return 0;
}

// Loads themselves are relocated where the program may read directly.
SEC("tp_btf/sched_switch")
int direct(u64 *ctx)
{
	struct task_struct *t = (void *)ctx[1];

	return t->pid + t->tgid + (t->mm != 0);
}

SEC("raw_tp/sched_switch")
int types(void *ctx)
{
	out[0] = __builtin_preserve_type_info(*(struct task_struct *)0, 0); // exists
	out[1] = __builtin_preserve_type_info(*(struct task_struct *)0, 1); // size
	out[2] = __builtin_preserve_type_info(*(struct no_such_type *)0, 0);
	out[3] = __builtin_preserve_type_info(*(struct no_such_type *)0, 1);
	out[4] = __builtin_preserve_type_info(*(sector_t *)0, 1);
	out[5] = __builtin_btf_type_id(*(struct pair *)0, 0);        // of this object
	out[6] = __builtin_btf_type_id(*(struct task_struct *)0, 1); // of the kernel
	out[7] = __builtin_btf_type_id(*(struct no_such_type *)0, 1);
#if __clang_major__ >= 15
	out[8] = __builtin_preserve_type_info(*(struct mm_struct *)0, 2); // matches
	out[9] = __builtin_preserve_type_info(*(struct no_such_type *)0, 2);
	out[10] = __builtin_preserve_type_info(*(struct task_struct___old *)0, 2);
#endif
	return 0;
}

SEC("raw_tp/sched_switch")
int enumerators(void *ctx)
{
	out[0] = __builtin_preserve_enum_value(*(enum bpf_cmd *)BPF_MAP_CREATE, 0);
	out[1] = __builtin_preserve_enum_value(*(enum bpf_cmd *)BPF_MAP_CREATE, 1);
	out[2] = __builtin_preserve_enum_value(*(enum bpf_cmd *)BPF_NO_SUCH_CMD, 0);
	if (out[2])
		out[3] = __builtin_preserve_enum_value(*(enum bpf_cmd *)BPF_NO_SUCH_CMD, 1);
#if __clang_major__ >= 15
	out[4] = __builtin_preserve_enum_value(*(enum bpf_map_lookup_flags___big *)BIG, 0);
	out[5] = __builtin_preserve_enum_value(*(enum bpf_map_lookup_flags___big *)BIG, 1);
#endif
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
