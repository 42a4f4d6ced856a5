/* Objects of the program's own: lists, trees, pointers to them in maps. */
#include "features.h"

struct item {
	int n;
	struct bpf_list_node node;
};
struct leaf {
	struct bpf_rb_node node;
	int n;
};
struct holder {
	struct task_struct __tag("kptr") *task;
	struct item __tag("kptr") *item;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct holder);
} holders SEC(".maps");

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head head __contains(item, node);
private(A) struct bpf_rb_root root __contains(leaf, node);

static _Bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct leaf, node)->n < container_of(b, struct leaf, node)->n;
}

SEC("tc") int dropped(void *ctx)
{
	struct item *i = new(struct item);

	if (i) {
		i->n = 1;
		drop(i);
	}
	return 0;
}

SEC("tc") int lost(void *ctx)
{
	struct item *i = new(struct item);

	return i != NULL;
}

SEC("tc") int pushed(void *ctx)
{
	struct item *i = new(struct item);
	struct bpf_list_node *n;

	if (!i)
		return 0;
	spin_lock(&lock);
	bpf_list_push_front_impl(&head, &i->node, NULL, 0);
	i->n = 3;
	n = bpf_list_pop_front(&head);
	spin_unlock(&lock);
	if (n)
		drop(container_of(n, struct item, node));
	return 0;
}

SEC("tc") int pushed_unlocked(void *ctx)
{
	struct item *i = new(struct item);

	if (i)
		bpf_list_push_front_impl(&head, &i->node, NULL, 0);
	return 0;
}

SEC("tc") int used_unlocked(void *ctx)
{
	struct item *i = new(struct item);

	if (!i)
		return 0;
	spin_lock(&lock);
	bpf_list_push_front_impl(&head, &i->node, NULL, 0);
	spin_unlock(&lock);
	return i->n;
}

SEC("tc") int sorted(void *ctx)
{
	struct leaf *l = new(struct leaf);
	struct bpf_rb_node *n;

	if (!l)
		return 0;
	spin_lock(&lock);
	bpf_rbtree_add_impl(&root, &l->node, less, NULL, 0);
	n = bpf_rbtree_first(&root);
	if (!n) {
		spin_unlock(&lock);
		return 0;
	}
	n = bpf_rbtree_remove(&root, n);
	spin_unlock(&lock);
	if (n)
		drop(container_of(n, struct leaf, node));
	return 0;
}

SEC("tc") int direct(void *ctx)
{
	struct item *i = new(struct item);
	int n = 0;

	if (i) {
		n = *(volatile u64 *)&i->node;
		drop(i);
	}
	return n;
}

SEC("tp_btf/task_newtask") int stored(u64 *ctx)
{
	struct task_struct *t = bpf_task_acquire((void *)ctx[0]), *old;
	u32 zero = 0;
	struct holder *h = bpf_map_lookup_elem(&holders, &zero);

	if (!t)
		return 0;
	if (!h) {
		bpf_task_release(t);
		return 0;
	}
	old = kptr_xchg(&h->task, t);
	if (old)
		bpf_task_release(old);
	return 0;
}

SEC("tp_btf/task_newtask") int old_lost(u64 *ctx)
{
	u32 zero = 0;
	struct holder *h = bpf_map_lookup_elem(&holders, &zero);

	if (h)
		kptr_xchg(&h->task, NULL);
	return 0;
}

SEC("tc") int loaded(void *ctx)
{
	u32 zero = 0;
	struct holder *h = bpf_map_lookup_elem(&holders, &zero);
	struct item *i;

	if (!h)
		return 0;
	i = h->item;
	return i ? i->n : 0;
}

SEC("tc") int stored_directly(void *ctx)
{
	u32 zero = 0;
	struct holder *h = bpf_map_lookup_elem(&holders, &zero);

	if (h)
		h->task = NULL;
	return 0;
}

SEC("tc") int stored_half(void *ctx)
{
	u32 zero = 0;
	struct holder *h = bpf_map_lookup_elem(&holders, &zero);

	return h ? *(volatile u32 *)&h->task : 0;
}

LICENSE("GPL");
