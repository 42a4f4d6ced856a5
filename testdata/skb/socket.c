// SPDX-License-Identifier: MIT OR GPL-2.0-only
// Socket filters. The return value is how many bytes of the packet to keep; 0
// drops it.
#include "net.h"

// The packet loads of classic BPF, still one instruction each (LD_ABS, LD_IND).
// They convert to host byte order, and end the program with 0 where the packet
// is too short.
u64 load_byte(void *skb, u64 off) asm("llvm.bpf.load.byte");
u64 load_half(void *skb, u64 off) asm("llvm.bpf.load.half");
u64 load_word(void *skb, u64 off) asm("llvm.bpf.load.word");

// tcpdump's "ip and udp port 53", by hand.
SEC("socket")
int only_dns(struct __sk_buff *skb)
{
	u64 ip_len;

	if (load_half(skb, 12) != ETH_P_IP)
		return 0;
	if (load_byte(skb, 14 + 9) != IPPROTO_UDP)
		return 0;
	ip_len = (load_byte(skb, 14) & 15) * 4;
	if (load_half(skb, 14 + ip_len) != 53 && load_half(skb, 14 + ip_len + 2) != 53)
		return 0;
	return -1; // all of it
}

// Keeps as many bytes as the low bits of the source address say.
SEC("socket")
int keep_some(struct __sk_buff *skb)
{
	return 14 + (load_word(skb, 14 + 12) & 63);
}

LICENSE("Dual MIT/GPL");
