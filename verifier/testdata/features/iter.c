/* Open-coded iterators: made, advanced, destroyed; loops over them converge. */
#include "features.h"

int sums[8];

SEC("raw_tp/sys_enter") int sum(void *ctx)
{
	struct bpf_iter_num it;
	int *v, n = 0;

	bpf_iter_num_new(&it, 0, 1000);
	while ((v = bpf_iter_num_next(&it)))
		n += *v;
	bpf_iter_num_destroy(&it);
	return n;
}

SEC("raw_tp/sys_enter") int index_bounded(void *ctx)
{
	struct bpf_iter_num it;
	int *v;

	bpf_iter_num_new(&it, 0, 8);
	while ((v = bpf_iter_num_next(&it))) {
		u32 i = *v;
		if (i < 8)
			sums[i]++;
	}
	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("raw_tp/sys_enter") int index_unbounded(void *ctx)
{
	struct bpf_iter_num it;
	int *v;

	bpf_iter_num_new(&it, 0, 8);
	while ((v = bpf_iter_num_next(&it)))
		sums[(u32)*v]++;
	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("raw_tp/sys_enter") int not_destroyed(void *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 8);
	return bpf_iter_num_next(&it) != NULL;
}

SEC("raw_tp/sys_enter") int not_made(void *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("raw_tp/sys_enter") int made_twice(void *ctx)
{
	struct bpf_iter_num it;

	bpf_iter_num_new(&it, 0, 8);
	bpf_iter_num_new(&it, 0, 8);
	bpf_iter_num_destroy(&it);
	return 0;
}

SEC("raw_tp/sys_enter") int may_be_null(void *ctx)
{
	struct bpf_iter_num it;
	int n;

	bpf_iter_num_new(&it, 0, 8);
	n = *bpf_iter_num_next(&it);
	bpf_iter_num_destroy(&it);
	return n;
}

LICENSE("GPL");
