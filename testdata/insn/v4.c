// SPDX-License-Identifier: MIT OR GPL-2.0-only
// One program for each group of instructions that -mcpu=v4 added (Linux 6.6):
// signed division, sign-extending moves and loads, byte swaps without a host
// order, jumps over 32 bits; and the atomics of v3. Each takes its operands from
// the packet, so that nothing folds, and returns a value that depends on all.
#include "net.h"

struct operands {
	s64 a, b;
	s32 c, d;
	s16 e;
	s8 f;
};

static __always_inline struct operands *operands(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	return data + sizeof(struct operands) > end ? NULL : data;
}

static __always_inline u32 fold(u64 v)
{
	return v ^ v >> 32;
}

SEC("xdp")
int sdiv(struct xdp_md *ctx)
{
	struct operands *o = operands(ctx);

	if (!o)
		return 0;
	return fold((o->a / o->b) ^ (o->a % o->b) ^ (o->a / -7) ^ (o->b % 1000)) ^ (o->c / o->d) ^
	       (o->c % o->d) ^ (o->d / 3) ^ (o->c % -5);
}

SEC("xdp")
int movsx(struct xdp_md *ctx)
{
	struct operands *o = operands(ctx);
	s64 a, b;
	s32 c;

	if (!o)
		return 0;
	a = o->a;
	b = o->b;
	c = o->c;
	opaque(a);
	opaque(b);
	opaque(c);
	return fold(((s64)(s8)a * 3) ^ ((s64)(s16)b * 5) ^ ((s64)(s32)a * 7)) ^
	       ((s8)c + (s16)c);
}

SEC("xdp")
int ldsx(struct xdp_md *ctx)
{
	struct operands *o = operands(ctx);
	volatile struct operands *v = o;

	if (!o)
		return 0;
	return fold((s64)v->c * v->e * v->f);
}

SEC("xdp")
int bswap(struct xdp_md *ctx)
{
	struct operands *o = operands(ctx);

	if (!o)
		return 0;
	return fold(__builtin_bswap64(o->a)) ^ __builtin_bswap32(o->c) ^ __builtin_bswap16(o->e);
}

// The assembler picks gotol where it is asked to; clang itself only does where a
// jump leaves the 16-bit range.
SEC("xdp")
__attribute__((naked)) int gotol(void)
{
	asm volatile("r0 = 1;"
		     "gotol 1f;"
		     "2: r0 += 40;"
		     "exit;"
		     "1: r0 += 1;"
		     "gotol 2b;" ::
			     : "memory");
}

SEC("xdp")
int atomics(struct xdp_md *ctx)
{
	struct operands *o = operands(ctx);
	u64 cell, sum;
	u32 cell32;

	if (!o)
		return 0;
	cell = o->a;
	cell32 = o->c;
	sum = __sync_fetch_and_add(&cell, o->b);
	sum ^= __sync_fetch_and_or(&cell, 0x5500);
	sum ^= __sync_fetch_and_and(&cell, 0xffff0f);
	sum ^= __sync_fetch_and_xor(&cell, o->a);
	sum ^= __sync_lock_test_and_set(&cell, o->b);
	sum ^= __sync_val_compare_and_swap(&cell, o->b, o->a);
	sum ^= __sync_val_compare_and_swap(&cell, 1, 2);
	sum ^= __sync_fetch_and_add(&cell32, o->d);
	sum ^= __sync_fetch_and_or(&cell32, 0x55);
	sum ^= __sync_fetch_and_and(&cell32, 0xf0ff);
	sum ^= __sync_fetch_and_xor(&cell32, o->d);
	sum ^= __sync_lock_test_and_set(&cell32, o->c);
	sum ^= __sync_val_compare_and_swap(&cell32, o->c, 9);
	__sync_fetch_and_add(&cell, 1);
	__sync_fetch_and_add(&cell32, 1);
	return fold(sum ^ cell) ^ cell32;
}

LICENSE("Dual MIT/GPL");
