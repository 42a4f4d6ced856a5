	mov r1, r2
	retrun
	r11 = 5
	r1 = w2
	r1 + 5
	r1 += *(u32 *)(r2 +0)
	r1 = 0xffffffff
	r1 = 0x123456789
	r1 = 99999999999999999999
	r1 = *(u128 *)(r2 +0)
	r1 = *(u32 *)(r2 +40000)
	*(u64 *)(r1 +0) += r2
	if r1 = 5 goto pc+1
	if r1 == 5 goto 12
	goto pc+40000
	r1 = be8 r1
	r1 = be16 r2
	r2 = -r1
	exit exit
	r1 = "text"
