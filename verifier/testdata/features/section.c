/* Spin locks, RCU read sections, preemption and interrupts. */
#include "features.h"

struct value { struct bpf_spin_lock lock; int n; };
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, struct value);
} values SEC(".maps");

static struct value *at(u32 k) { return bpf_map_lookup_elem(&values, &k); }

__noinline int global(int n) { return n + 1; }

SEC("tc") int locked(void *ctx)
{
	struct value *v = at(0);

	if (!v)
		return 0;
	spin_lock(&v->lock);
	v->n++;
	spin_unlock(&v->lock);
	return 0;
}

SEC("tc") int not_unlocked(void *ctx)
{
	struct value *v = at(0);

	if (v)
		spin_lock(&v->lock);
	return 0;
}

SEC("tc") int other_unlocked(void *ctx)
{
	struct value *v = at(0), *w = at(1);

	if (!v || !w)
		return 0;
	spin_lock(&v->lock);
	spin_unlock(&w->lock);
	return 0;
}

SEC("tc") int locked_twice(void *ctx)
{
	struct value *v = at(0), *w = at(1);

	if (!v || !w)
		return 0;
	spin_lock(&v->lock);
	spin_lock(&w->lock);
	spin_unlock(&w->lock);
	spin_unlock(&v->lock);
	return 0;
}

SEC("tc") int call_locked(void *ctx)
{
	struct value *v = at(0);

	if (!v)
		return 0;
	spin_lock(&v->lock);
	v->n = bpf_get_prandom_u32();
	spin_unlock(&v->lock);
	return 0;
}

SEC("tc") int global_locked(void *ctx)
{
	struct value *v = at(0);

	if (!v)
		return 0;
	spin_lock(&v->lock);
	v->n = global(v->n);
	spin_unlock(&v->lock);
	return 0;
}

SEC("tc") int lock_itself(void *ctx)
{
	struct value *v = at(0);

	return v ? v->lock.val : 0;
}

SEC("raw_tp/sys_enter") int tracing(void *ctx)
{
	struct value *v = at(0);

	return v ? v->n : 0;
}

SEC("syscall") int rcu(void *ctx)
{
	struct task_struct *t = get_current_task_btf();
	int pid;

	bpf_rcu_read_lock();
	pid = t->real_parent->pid;
	bpf_rcu_read_unlock();
	return pid;
}

SEC("syscall") int rcu_left(void *ctx)
{
	struct task_struct *t = get_current_task_btf(), *p;

	bpf_rcu_read_lock();
	p = t->real_parent;
	bpf_rcu_read_unlock();
	p = bpf_task_acquire(p);
	if (p)
		bpf_task_release(p);
	return 0;
}

SEC("tc") int rcu_open(void *ctx)
{
	bpf_rcu_read_lock();
	return 0;
}

SEC("tc") int rcu_closed(void *ctx)
{
	bpf_rcu_read_unlock();
	return 0;
}

SEC("tc") int preempt(void *ctx)
{
	bpf_preempt_disable();
	bpf_preempt_enable();
	return 0;
}

SEC("tc") int preempt_open(void *ctx)
{
	bpf_preempt_disable();
	return 0;
}

SEC("tc") int irq(void *ctx)
{
	unsigned long a, b;

	bpf_local_irq_save(&a);
	bpf_local_irq_save(&b);
	bpf_local_irq_restore(&b);
	bpf_local_irq_restore(&a);
	return 0;
}

SEC("tc") int irq_order(void *ctx)
{
	unsigned long a, b;

	bpf_local_irq_save(&a);
	bpf_local_irq_save(&b);
	bpf_local_irq_restore(&a);
	bpf_local_irq_restore(&b);
	return 0;
}

LICENSE("GPL");
