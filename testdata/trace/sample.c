// SPDX-License-Identifier: MIT OR GPL-2.0-only
// A profiler in miniature: at each sample of a perf event, where was the CPU?
#include "trace.h"

// struct bpf_perf_event_data (include/uapi/linux/bpf_perf_event.h)
struct bpf_perf_event_data {
	struct pt_regs regs;
	u64 sample_period;
	u64 addr;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 64);
	__type(key, u64); // instruction pointer
	__type(value, u64);
} hits SEC(".maps");

struct sample {
	u64 ip, sp, period;
	u32 pid, cpu;
};

SEC("perf_event")
int on_sample(struct bpf_perf_event_data *ctx)
{
	struct sample s = {
		.ip = ctx->regs.ip,
		.sp = ctx->regs.sp,
		.period = ctx->sample_period,
		.pid = bpf_get_current_pid_tgid(),
		.cpu = bpf_get_smp_processor_id(),
	};
	u64 one = 1, *n = bpf_map_lookup_elem(&hits, &s.ip);

	if (n)
		__sync_fetch_and_add(n, 1);
	else
		bpf_map_update_elem(&hits, &s.ip, &one, BPF_NOEXIST);
	bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &s, sizeof(s));
	return 0;
}

LICENSE("Dual MIT/GPL");
