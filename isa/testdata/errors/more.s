	lock *(u16 *)(r1 +0) += r2
	r3 = atomic64_fetch_add((u32 *)(r1 +0), r3)
	r3 = atomic_fetch_add((u32 *)(r1 +0), r4)
	r3 = atomic_cmpxchg((u32 *)(r1 +0), r3, r4)
	r3 = atomic_fetch_sub((u32 *)(r1 +0), r3)
	r1 = addr_space_cast(r1, 1, 1)
	w1 = 5 ll
	w1 = *(u64 *)(r2 +0)
	w1 = (s32)w2
	r1 = *(u32 *)skb[0]
	r1 = map[counts]+4
	r1 = map[5]
	r1 = map[x:5]
	r1 = map[counts][1]
	.insn 256, 0, 0, 0, 0
	r1 = @5
	r1 = 5z
	r1 = é
	call pc
	r1 = bswap_16 r1
