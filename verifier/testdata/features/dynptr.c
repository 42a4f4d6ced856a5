/* Dynptrs on the stack, their slices, and who must give them back. */
#include "features.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

SEC("raw_tp/sys_enter") int discarded(void *ctx)
{
	struct bpf_dynptr p;
	u32 *v;

	ringbuf_reserve_dynptr(&ring, 64, 0, &p);
	v = dynptr_data(&p, 0, 8);
	if (v)
		v[1] = 1;
	ringbuf_discard_dynptr(&p, 0);
	return 0;
}

SEC("raw_tp/sys_enter") int kept(void *ctx)
{
	struct bpf_dynptr p;

	ringbuf_reserve_dynptr(&ring, 64, 0, &p);
	return 0;
}

SEC("raw_tp/sys_enter") int slice_after(void *ctx)
{
	struct bpf_dynptr p;
	u32 *v;

	ringbuf_reserve_dynptr(&ring, 64, 0, &p);
	v = dynptr_data(&p, 0, 8);
	ringbuf_discard_dynptr(&p, 0);
	return v ? *v : 0;
}

SEC("raw_tp/sys_enter") int slice_beyond(void *ctx)
{
	struct bpf_dynptr p;
	u32 *v;

	ringbuf_reserve_dynptr(&ring, 64, 0, &p);
	v = dynptr_data(&p, 0, 8);
	if (v)
		v[2] = 1;
	ringbuf_discard_dynptr(&p, 0);
	return 0;
}

SEC("raw_tp/sys_enter") int not_made(void *ctx)
{
	struct bpf_dynptr p;
	int v = 0;

	return dynptr_write(&p, 0, &v, 4, 0);
}

SEC("raw_tp/sys_enter") int overwritten(void *ctx)
{
	struct bpf_dynptr p;

	ringbuf_reserve_dynptr(&ring, 64, 0, &p);
	*(volatile u64 *)&p = 0;
	ringbuf_discard_dynptr(&p, 0);
	return 0;
}

SEC("tc") int packet(struct __sk_buff *ctx)
{
	struct bpf_dynptr p;
	char room[14];
	u8 *eth;

	bpf_dynptr_from_skb(ctx, 0, &p);
	eth = bpf_dynptr_slice(&p, 0, room, sizeof(room));
	return eth ? eth[12] : 0;
}

SEC("tc") int packet_written(struct __sk_buff *ctx)
{
	struct bpf_dynptr p;
	char room[14];
	u8 *eth;

	bpf_dynptr_from_skb(ctx, 0, &p);
	eth = bpf_dynptr_slice(&p, 0, room, sizeof(room));
	if (eth)
		eth[12] = 1;
	return 0;
}

LICENSE("GPL");
