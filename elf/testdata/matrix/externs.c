// SPDX-License-Identifier: MIT OR GPL-2.0-only
// What the kernel provides: variables of its configuration, kernel variables with
// and without a type, kernel functions, and those that may be missing.
#include "matrix.h"

#define __kconfig __attribute__((section(".kconfig")))
#define __ksym __attribute__((section(".ksyms")))
#define __weak __attribute__((weak))

enum libbpf_tristate { TRI_NO, TRI_YES, TRI_MODULE };
struct bpf_iter_num { u64 opaque[1]; };
struct task_struct;

extern int LINUX_KERNEL_VERSION __kconfig;
extern _Bool CONFIG_BPF_SYSCALL __kconfig;
extern u64 CONFIG_HZ __kconfig;
extern enum libbpf_tristate CONFIG_NO_SUCH_THING __kconfig __weak;
extern char CONFIG_DEFAULT_HOSTNAME[16] __kconfig;

extern const void init_task __ksym;        // typeless: an address
extern const int bpf_prog_active __ksym;   // typed: a per-CPU variable
extern const void no_such_symbol __ksym __weak;

int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
struct task_struct *bpf_task_from_pid(int pid) __ksym __weak;
void bpf_no_such_kfunc(void) __ksym __weak;

u64 out[8];

SEC("raw_tp/sched_switch")
int configuration(void *ctx)
{
	out[0] = LINUX_KERNEL_VERSION;
	out[1] = CONFIG_BPF_SYSCALL;
	out[2] = CONFIG_HZ;
	out[3] = CONFIG_NO_SUCH_THING;
	out[4] = CONFIG_DEFAULT_HOSTNAME[1];
	return 0;
}

SEC("raw_tp/sched_switch")
int symbols(void *ctx)
{
	out[0] = (u64)&init_task;
	out[1] = (u64)&bpf_prog_active;
	out[2] = (u64)&no_such_symbol;
	return 0;
}

SEC("raw_tp/sched_switch")
int functions(void *ctx)
{
	struct bpf_iter_num it;
	int *v, sum = 0;

	bpf_iter_num_new(&it, 0, 5);
	while ((v = bpf_iter_num_next(&it)))
		sum += *v;
	bpf_iter_num_destroy(&it);
	if (bpf_no_such_kfunc)
		bpf_no_such_kfunc();
	return bpf_task_from_pid ? sum : 0;
}

char _license[] SEC("license") = "GPL";
