; An XDP program with the classic mistake: it proves 14 bytes and reads the 15th
; to 18th. The kernel refuses it; the checked interpreter stops at the read.
.license "Dual MIT/GPL"

.program past_end xdp
	r2 = *(u32 *)(r1 +0)	; data
	r3 = *(u32 *)(r1 +4)	; data_end
	r4 = r2
	r4 += 14		; one Ethernet header
	r0 = 2			; XDP_PASS
	if r4 > r3 goto out
	r5 = *(u32 *)(r2 +14)	; what follows it was never proven
	if r5 != 0 goto out
	r0 = 1			; XDP_DROP
out:	exit
