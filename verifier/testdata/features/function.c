/* Functions that are verified on their own, callbacks, timers, exceptions. */
#include "features.h"

struct timed { struct bpf_timer timer; int n; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct timed);
} timers SEC(".maps");

__noinline int pid_of(struct task_struct *t __arg("trusted")) { return t->pid; }
__noinline int pid_or(struct task_struct *t __arg("trusted") __arg("nullable")) { return t ? t->pid : 0; }
__noinline int first(int *p __arg("nonnull")) { return *p; }
__noinline int first_or(int *p) { return p ? *p : 0; }
__noinline int unchecked(int *p) { return *p; }
__noinline int untrusted(struct task_struct *t __arg("untrusted")) { return t->pid; }

SEC("tp_btf/task_newtask") int passes_task(u64 *ctx)
{
	struct task_struct *t = (void *)ctx[0];

	return pid_of(t) + pid_or(NULL) + untrusted(t->real_parent);
}

SEC("tp_btf/task_newtask") int passes_null(u64 *ctx) { return pid_of(NULL); }

SEC("tc") int passes_stack(void *ctx)
{
	int n = 1;

	return first(&n) + first_or(NULL);
}

SEC("tc") int passes_unchecked(void *ctx)
{
	int n = 1;

	return unchecked(&n);
}

static int fired(void *map, u32 *key, struct timed *v)
{
	v->n++;
	return 0;
}

static int fired_one(void *map, u32 *key, struct timed *v) { return 1; }

SEC("tc") int timer(void *ctx)
{
	u32 zero = 0;
	struct timed *v = bpf_map_lookup_elem(&timers, &zero);

	if (!v)
		return 0;
	timer_init(&v->timer, &timers, 1);
	timer_set_callback(&v->timer, fired);
	return 0;
}

SEC("tc") int timer_result(void *ctx)
{
	u32 zero = 0;
	struct timed *v = bpf_map_lookup_elem(&timers, &zero);

	if (!v)
		return 0;
	timer_init(&v->timer, &timers, 1);
	timer_set_callback(&v->timer, fired_one);
	return 0;
}

static long add(u32 i, u64 *sum)
{
	*sum += i;
	return 0;
}

static long throwing(u32 i, u64 *sum)
{
	bpf_throw(1);
	return 0;
}

SEC("tc") int looped(void *ctx)
{
	u64 sum = 0;

	loop(100, add, &sum, 0);
	return sum;
}

SEC("tc") int thrown(struct __sk_buff *ctx)
{
	if (ctx->len > 100)
		bpf_throw(0);
	return 1;
}

SEC("tc") int thrown_in_callback(struct __sk_buff *ctx)
{
	u64 sum = 0;

	loop(100, throwing, &sum, 0);
	return 0;
}

LICENSE("GPL");
