// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Records of two types to user space: one map for each, a ring buffer and a perf
// event array. The object names the types of the records, so that tools can print
// them: clang drops types that only function bodies mention, unless a global
// pointer keeps them.
#include "trace.h"

enum how {
	HOW_READ,
	HOW_WRITE,
};

struct open_event {
	u32 pid;
	enum how how;
	char comm[16];
	char name[32];
};

struct exit_event {
	u32 pid;
	s32 code;
};

const struct open_event *unused_open __attribute__((unused));
const struct exit_event *unused_exit __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} opened SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} exited SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_openat")
int on_open(struct sys_enter_openat *ctx)
{
	struct open_event ev = {};

	ev.pid = bpf_get_current_pid_tgid() >> 32;
	ev.how = ctx->flags & 3 ? HOW_WRITE : HOW_READ;
	bpf_get_current_comm(ev.comm, sizeof(ev.comm));
	bpf_probe_read_user_str(ev.name, sizeof(ev.name), ctx->filename);
	bpf_ringbuf_output(&opened, &ev, sizeof(ev), 0);
	return 0;
}

SEC("kprobe/do_exit")
int on_exit(struct pt_regs *ctx)
{
	struct exit_event ev = {
		.pid = bpf_get_current_pid_tgid() >> 32,
		.code = ctx->di,
	};

	bpf_perf_event_output(ctx, &exited, BPF_F_CURRENT_CPU, &ev, sizeof(ev));
	return 0;
}

LICENSE("Dual MIT/GPL");
