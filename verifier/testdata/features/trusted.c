/* Pointers to structures of the kernel, and how far each is trusted. */
#include "features.h"

SEC("tp_btf/task_newtask") int walk(u64 *ctx)
{
	struct task_struct *t = (void *)ctx[0];

	return t->pid + t->real_parent->prio + (t->mm != NULL);
}

SEC("tp_btf/task_newtask") int acquire(u64 *ctx)
{
	struct task_struct *t = bpf_task_acquire((void *)ctx[0]);

	if (t)
		bpf_task_release(t);
	return 0;
}

SEC("tp_btf/task_newtask") int acquire_parent(u64 *ctx)
{
	struct task_struct *t = (void *)ctx[0];

	t = bpf_task_acquire(t->real_parent);
	if (t)
		bpf_task_release(t);
	return 0;
}

SEC("tp_btf/task_newtask") int not_released(u64 *ctx)
{
	struct task_struct *t = bpf_task_acquire((void *)ctx[0]);

	return t != NULL;
}

SEC("tp_btf/task_newtask") int released_twice(u64 *ctx)
{
	struct task_struct *t = bpf_task_acquire((void *)ctx[0]);

	if (t) {
		bpf_task_release(t);
		bpf_task_release(t);
	}
	return 0;
}

SEC("tp_btf/task_newtask") int not_checked(u64 *ctx)
{
	struct task_struct *t = bpf_task_from_pid(1);

	bpf_task_release(t);
	return 0;
}

SEC("tp_btf/task_newtask") int write_field(u64 *ctx)
{
	struct task_struct *t = (void *)ctx[0];

	t->prio = 1;
	return 0;
}

SEC("tp_btf/task_newtask") int wrong_type(u64 *ctx)
{
	struct task_struct *t = (void *)ctx[0];

	bpf_task_release((void *)t->cgroups);
	return 0;
}

SEC("tp_btf/task_newtask") int beyond(u64 *ctx)
{
	char *t = (void *)ctx[0];

	return t[1 << 20];
}

SEC("tp_btf/kfree_skb") int argument_beyond(u64 *ctx) { return ctx[11]; }

SEC("kprobe/do_nanosleep") int not_here(void *ctx)
{
	bpf_task_release(bpf_task_from_pid(1));
	return 0;
}

SEC("iter/task") int iterator(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;

	return t && t->pid == 1;
}

SEC("iter/task") int iterator_end(struct bpf_iter__task *ctx) { return ctx->task->pid == 1; }

SEC("iter/task") int iterator_result(struct bpf_iter__task *ctx) { return 2; }

SEC("netfilter") int packet(struct bpf_nf_ctx *ctx) { return ctx->skb->len > 100 && ctx->state->hook; }

SEC("tc") int kernel_ctx(struct __sk_buff *ctx)
{
	struct sk_buff *skb = bpf_cast_to_kern_ctx(ctx);

	return skb->len == 1;
}

SEC("raw_tp/sys_enter") int current(void *ctx) { return get_current_task_btf()->pid; }

LICENSE("GPL");
