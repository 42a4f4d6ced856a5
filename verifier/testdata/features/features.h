/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* What the programs of this directory share: the special fields of map values and
 * objects, kernel functions, and the few fields of the kernel that they read. */
#include "../../../testdata/include/bpf.h"

#define __ksym __attribute__((section(".ksyms")))
#define __tag(t) __attribute__((btf_type_tag(t)))
#define __contains(type, node) __attribute__((btf_decl_tag("contains:" #type ":" #node)))
#define __arg(t) __attribute__((btf_decl_tag("arg:" t)))
#define __weak __attribute__((weak))
#define private(name) SEC(".data." #name) __attribute__((aligned(8)))

struct bpf_spin_lock { u32 val; };
struct bpf_timer { u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_wq { u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_dynptr { u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_head { u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_node { u64 opaque[3]; } __attribute__((aligned(8)));
struct bpf_rb_root { u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_rb_node { u64 opaque[4]; } __attribute__((aligned(8)));
struct bpf_refcount { u32 opaque; };
struct bpf_iter_num { u64 opaque; } __attribute__((aligned(8)));

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct file;
struct mm_struct { struct file *exe_file; };
struct cgroup { int level; };
struct css_set { struct cgroup *dfl_cgrp; };
struct task_struct {
	int pid;
	int prio;
	struct mm_struct *mm;
	struct task_struct *real_parent;
	struct css_set *cgroups;
	char comm[16];
};
struct sk_buff { u32 len; };
struct seq_file;
struct bpf_iter_meta { struct seq_file *seq; u64 session_id; u64 seq_num; };
struct bpf_iter__task { struct bpf_iter_meta *meta; struct task_struct *task; };
struct nf_hook_state { u8 hook; u8 pf; };
struct bpf_nf_ctx { const struct nf_hook_state *state; struct sk_buff *skb; };
struct __sk_buff { u32 len; };
#pragma clang attribute pop

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern void bpf_preempt_disable(void) __ksym;
extern void bpf_preempt_enable(void) __ksym;
extern struct task_struct *bpf_task_acquire(struct task_struct *p) __ksym;
extern void bpf_task_release(struct task_struct *p) __ksym;
extern struct task_struct *bpf_task_from_pid(int pid) __ksym;
extern void *bpf_obj_new_impl(u64 local_type_id, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *kptr, void *meta) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, u64 off) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
			       _Bool(less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta, u64 off) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer, u32 buffer__szk) __ksym;
extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;
extern void bpf_throw(u64 cookie) __ksym;
extern void bpf_local_irq_save(unsigned long *flags) __ksym;
extern void bpf_local_irq_restore(unsigned long *flags) __ksym;

#define new(type) ((type *)bpf_obj_new_impl(__builtin_btf_type_id(*(type *)0, 0), NULL))
#define drop(obj) bpf_obj_drop_impl(obj, NULL)
#define container_of(ptr, type, member) ((type *)((void *)(ptr) - __builtin_offsetof(type, member)))

static void (*const spin_lock)(struct bpf_spin_lock *l) = (void *)93;
static void (*const spin_unlock)(struct bpf_spin_lock *l) = (void *)94;
static struct task_struct *(*const get_current_task_btf)(void) = (void *)158;
static long (*const timer_init)(struct bpf_timer *t, void *map, u64 flags) = (void *)169;
static long (*const timer_set_callback)(struct bpf_timer *t, void *fn) = (void *)170;
static long (*const loop)(u32 n, void *fn, void *ctx, u64 flags) = (void *)181;
static void *(*const kptr_xchg)(void *dst, void *ptr) = (void *)194;
static long (*const ringbuf_reserve_dynptr)(void *rb, u32 size, u64 flags, struct bpf_dynptr *p) = (void *)198;
static void (*const ringbuf_discard_dynptr)(struct bpf_dynptr *p, u64 flags) = (void *)200;
static long (*const dynptr_write)(struct bpf_dynptr *p, u32 off, void *src, u32 len, u64 flags) = (void *)202;
static void *(*const dynptr_data)(struct bpf_dynptr *p, u32 off, u32 len) = (void *)203;
