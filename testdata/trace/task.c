// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Fields of task_struct, whose offsets differ from kernel to kernel: each access
// is a CO-RE relocation.
#include "core.h"
#include "trace.h"

struct task_event {
	s32 pid, tgid;
	s32 parent_pid;
	u32 comm_size;
	char comm[16];
	char parent_comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128);
	__type(key, u32); // pid
	__type(value, struct task_event);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} exits SEC(".maps");

static __always_inline void describe(struct task_event *ev, struct task_struct *task)
{
	struct task_struct *parent = core_read(task, real_parent);

	ev->pid = core_read(task, pid);
	ev->tgid = core_read(task, tgid);
	ev->parent_pid = core_read(parent, pid);
	ev->comm_size = core_field_size(task->comm);
	bpf_probe_read_kernel_str(ev->comm, sizeof(ev->comm),
				  __builtin_preserve_access_index(&task->comm));
	bpf_probe_read_kernel_str(ev->parent_comm, sizeof(ev->parent_comm),
				  __builtin_preserve_access_index(&parent->comm));
}

// Returns 1 for a kernel thread: a task without memory of its own.
SEC("kprobe/do_unlinkat")
int on_unlink(struct pt_regs *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_event ev = {};
	u32 key;

	describe(&ev, task);
	key = ev.pid;
	bpf_map_update_elem(&tasks, &key, &ev, BPF_ANY);
	if (!core_field_exists(task->mm))
		return 0;
	return !core_read(task, mm);
}

// TP_PROTO(struct task_struct *p, ...): the task that ends is the first argument.
SEC("raw_tp/sched_process_exit")
int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	struct task_event ev = {};

	describe(&ev, task);
	bpf_ringbuf_output(&exits, &ev, sizeof(ev), 0);
	return 0;
}

LICENSE("Dual MIT/GPL");
