// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Which programs are started? In the classic form: legacy map definitions, a
// perf event array as the way out, no BTF.
#include "trace.h"

struct bpf_map_def SEC("maps") execs = {
	.type = BPF_MAP_TYPE_PERF_EVENT_ARRAY,
	.key_size = sizeof(u32),
	.value_size = sizeof(u32),
	.max_entries = 64, // at least the number of CPUs
};

struct exec_event {
	u32 pid, uid;
	char comm[16];
	char filename[64];
};

SEC("tracepoint/syscalls/sys_enter_execve")
int on_execve(struct sys_enter_execve *ctx)
{
	struct exec_event ev = {
		.pid = bpf_get_current_pid_tgid() >> 32,
		.uid = bpf_get_current_uid_gid(),
	};

	bpf_get_current_comm(ev.comm, sizeof(ev.comm));
	bpf_probe_read_user_str(ev.filename, sizeof(ev.filename), ctx->filename);
	bpf_perf_event_output(ctx, &execs, BPF_F_CURRENT_CPU, &ev, sizeof(ev));
	return 0;
}

LICENSE("Dual MIT/GPL");
u32 _version SEC("version") = 6 << 16 | 18 << 8;
