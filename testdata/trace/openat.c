// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Which files are opened, and by whom? Every open becomes a record in a ring
// buffer; the number of opens is counted by command name.
#include "trace.h"

struct comm {
	char name[16];
};

struct open_event {
	u32 pid;
	u32 uid;
	u64 time;
	s64 flags;
	struct comm comm;
	char filename[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 128);
	__type(key, struct comm);
	__type(value, u64);
} opens SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_openat")
int on_openat(struct sys_enter_openat *ctx)
{
	struct open_event *ev;
	struct comm comm = {};
	u64 one = 1, *n;

	bpf_get_current_comm(&comm, sizeof(comm));
	n = bpf_map_lookup_elem(&opens, &comm);
	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&opens, &comm, &one, BPF_NOEXIST);

	ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);
	if (!ev)
		return 0;
	ev->pid = bpf_get_current_pid_tgid() >> 32;
	ev->uid = bpf_get_current_uid_gid();
	ev->time = bpf_ktime_get_ns();
	ev->flags = ctx->flags;
	ev->comm = comm;
	if (bpf_probe_read_user_str(ev->filename, sizeof(ev->filename), ctx->filename) < 0) {
		bpf_ringbuf_discard(ev, 0); // the name is not in memory
		return 0;
	}
	bpf_ringbuf_submit(ev, 0);
	return 0;
}

LICENSE("Dual MIT/GPL");
