package runtime_test

import (
	"fmt"
	"strings"
	"testing"
)

// on is a call with the context in R1 and numbers in R2 to R5.
func on(helper string, args ...int64) string {
	var s strings.Builder
	s.WriteString("\tr1 = r6\n")
	for i, a := range args {
		s.WriteString(fmt.Sprintf("\tr%d = %#x ll\n", i+2, uint64(a)))
	}
	return s.String() + "\tcall " + helper
}

// look reads a field of the context.
func look(off int) string { return fmt.Sprintf("\tr0 = *(u32 *)(r6 +%d)", off) }

// withState follows each step with what the context says of the packet: its length,
// type, protocol and VLAN tag.
func withState(steps ...string) []string {
	var all []string
	for _, s := range steps {
		all = append(all, s, look(0), look(4), look(16), look(20), look(24), look(28))
	}
	return all
}

// ipFrame is a frame of n bytes with an IPv4 or IPv6 header behind tags of VLANs.
func ipFrame(n int, tags ...uint16) []byte {
	b := eth(n)
	off := 12
	for _, t := range tags {
		b[off], b[off+1], b[off+2], b[off+3] = byte(t>>8), byte(t), 0x20, byte(off)
		off += 4
	}
	if n%2 == 1 {
		b[off], b[off+1] = 0x86, 0xdd
		b[off+2] = 0x60
		b[off+8] = 6
		return b
	}
	b[off], b[off+1] = 0x08, 0
	b[off+2], b[off+11] = 0x45, 6
	return b
}

func TestTCHelpersLikeKernel(t *testing.T) {
	var cases []helperCase
	add := func(name string, steps []string, in ...[]byte) {
		// A program has room for some 60 results.
		for i := 0; i < len(steps); i += 56 {
			cases = append(cases, helperCase{fmt.Sprintf("%s_%d", name, i/56), packetProg("tc", ".bss buf\n.zero 512", steps[i:min(i+56, len(steps))]...), in})
		}
	}
	frames := [][]byte{
		ipFrame(60), ipFrame(61), ipFrame(100), ipFrame(101), eth(14), eth(40), ipFrame(60, 0x8100), ipFrame(60, 0x88a8, 0x8100),
		ipFrame(61, 0x8100, 0x8100, 0x8100), ipFrame(3000), ipFrame(38), ipFrame(60, 0x8100)[:17],
	}
	add("change_proto", withState(
		on("bpf_skb_change_proto", 0xdd86, 0), on("bpf_skb_change_proto", 0xdd86, 0), on("bpf_skb_change_proto", 8, 0),
		on("bpf_skb_change_proto", 8, 1), on("bpf_skb_change_proto", 0x1234, 0), on("bpf_skb_change_proto", 8, 0),
	), frames...)
	add("change_type", withState(
		on("bpf_skb_change_type", 0), on("bpf_skb_change_type", 3), on("bpf_skb_change_type", 4), on("bpf_skb_change_type", -1),
	), frames[:3]...)
	var tails, heads []string
	for _, n := range []int64{60, 100, 30, 13, 14, 0, 15, 500, 4000, 16064, 16065, 20, -1, 1 << 31} {
		tails = append(tails, on("bpf_skb_change_tail", n, 0))
		heads = append(heads, on("bpf_skb_change_head", n, 0))
	}
	add("change_tail", withState(append(tails, on("bpf_skb_change_tail", 50, 1))...), frames...)
	add("change_head", withState(append(heads[:3:3], heads[8:]...)...), frames[:4]...)
	var rooms []string
	for _, mode := range []int64{0, 1, 2} {
		for _, n := range []int64{0, 20, -20, 8, -8, 4000, 4095, 4096, -4096, -30, -40, -1, 1} {
			rooms = append(rooms, on("bpf_skb_adjust_room", n, mode, 0))
		}
	}
	add("adjust_room", withState(rooms...), frames...)
	for i, flags := range []int64{1, 1 << 1, 1 << 2, 3 << 1, 2 | 8, 2 | 16, 4 | 8, 4 | 16, 2 | 24, 2 | 64, 2 | 64 | 14<<56, 2 | 14<<56, 2 | 64 | 13<<56, 4 | 30<<56, 1 << 5, 1 << 7, 1 << 8, 3 << 7, 1 << 9, 8, 16} {
		add(fmt.Sprintf("room_flags_%d", i), withState(
			on("bpf_skb_adjust_room", 24, 1, flags), on("bpf_skb_adjust_room", 24, 1, flags), on("bpf_skb_adjust_room", -24, 1, flags),
			on("bpf_skb_adjust_room", -20, 0, flags), on("bpf_skb_change_tail", 60, 0),
		), frames[:5]...)
	}
	add("vlan", withState(
		on("bpf_skb_vlan_pop"), on("bpf_skb_vlan_push", 0x81, 0x123), on("bpf_skb_vlan_push", 0xa888, 0x2456), on("bpf_skb_vlan_push", 0x8, 0xffff),
		on("bpf_skb_vlan_pop"), on("bpf_skb_vlan_pop"),
	), frames...)
	add("vlan_pop", withState(on("bpf_skb_vlan_pop"), on("bpf_skb_vlan_pop"), on("bpf_skb_vlan_pop"), on("bpf_skb_vlan_pop")), frames...)
	add("hash", []string{
		on("bpf_set_hash", 0x12345678), look(68), on("bpf_get_hash_recalc"), on("bpf_set_hash_invalid"), look(68),
		on("bpf_set_hash", 7), on("bpf_skb_change_proto", 0xdd86, 0), look(68),
	}, frames[0])
	add("csum_level", []string{
		on("bpf_csum_level", 0), on("bpf_csum_level", 1), on("bpf_csum_level", 0), on("bpf_csum_level", 1), on("bpf_csum_level", 1),
		on("bpf_csum_level", 1), on("bpf_csum_level", 0), on("bpf_csum_level", 1), on("bpf_csum_level", 0), on("bpf_csum_level", 2),
		on("bpf_csum_level", 0), on("bpf_csum_level", 2), on("bpf_csum_level", 2), on("bpf_csum_level", 0), on("bpf_csum_level", 2),
		on("bpf_csum_level", 0), on("bpf_csum_level", 1), on("bpf_csum_level", 3), on("bpf_csum_level", 0), on("bpf_csum_level", 4),
		on("bpf_csum_level", -1), on("bpf_csum_update", 5),
		on("bpf_csum_level", 1), on("bpf_skb_adjust_room", 8, 1, 32), on("bpf_csum_level", 0), on("bpf_skb_adjust_room", 8, 1, 0), on("bpf_csum_level", 0),
	}, frames[0])
	add("tstamp", []string{
		on("bpf_skb_set_tstamp", 5, 0), on("bpf_skb_set_tstamp", 0, 1), on("bpf_skb_set_tstamp", 6, 1), "\tr0 = *(u64 *)(r6 +152)",
		on("bpf_skb_set_tstamp", 7, 2), on("bpf_skb_set_tstamp", 7, 3), on("bpf_skb_set_tstamp", 1<<40, 0), "\tr0 = *(u64 *)(r6 +152)",
	}, frames[0], frames[1], frames[5])
	add("nothing", []string{
		on("bpf_get_cgroup_classid"), on("bpf_get_route_realm"), on("bpf_skb_cgroup_classid"),
	}, frames[0])
	ecn := [][]byte{frames[5], frames[6], ipFrame(34)}
	for tos := range byte(4) {
		v4, v6 := ipFrame(60), ipFrame(61)
		v4[15], v6[15] = tos|0xa4, tos<<4|0x8f
		ecn = append(ecn, v4, v6)
	}
	add("ecn", []string{on("bpf_skb_ecn_set_ce"), on("bpf_skb_ecn_set_ce")}, ecn...)
	mtu := func(ifindex, length, diff, flags int64) string {
		return fmt.Sprintf("\tr1 = %d\n\t*(u64 *)(r10 -8) = r1\n\tr1 = r6\n\tr2 = %d\n\tr3 = r10\n\tr3 += -8\n\tr4 = %d\n\tr5 = %d\n\tcall bpf_check_mtu\n\tr0 <<= 32\n\tr1 = *(u32 *)(r10 -8)\n\tr0 |= r1", length, ifindex, diff, flags)
	}
	mtus := []string{mtu(0, 0, 0, 0), mtu(1, 0, 0, 0), mtu(1, 65536, 0, 0), mtu(1, 65537, 0, 0), mtu(1, 65537, -1, 0), mtu(0, 0, 70000, 0), mtu(77777, 0, 0, 0), mtu(0, 0, 0, 1), mtu(0, 1, 0, 1), mtu(0, 0, 1, 1), mtu(0, 0, 0, 2)}
	add("check_mtu", mtus, frames[0])
	cases = append(cases, helperCase{"xdp_check_mtu", packetProg("xdp", "", mtus...), frames[:1]})
	runCases(t, cases)
}

// tunnelKey stores numbers as a struct bpf_tunnel_key at r10-48.
func tunnelKey(id, remote, tosTTL, label, local int64) string {
	var s strings.Builder
	s.WriteString("\tr1 = 0\n")
	for off := 8; off <= 48; off += 8 {
		s.WriteString(fmt.Sprintf("\t*(u64 *)(r10 -%d) = r1\n", off))
	}
	for _, f := range [][2]int64{{48, id}, {44, remote}, {28, tosTTL}, {24, label}, {20, local}} {
		s.WriteString(fmt.Sprintf("\t*(u32 *)(r10 -%d) = %d\n", f[0], f[1]))
	}
	return s.String()
}

func TestTunnelHelpersLikeKernel(t *testing.T) {
	set := func(size, flags int64) string {
		return fmt.Sprintf("\tr1 = r6\n\tr2 = r10\n\tr2 += -48\n\tr3 = %d\n\tr4 = %d\n\tcall bpf_skb_set_tunnel_key", size, flags)
	}
	// The key that comes back goes into .bss, which is compared.
	out := 0
	get := func(size, flags int64) string {
		out += 44
		return fmt.Sprintf("\tr1 = r6\n\tr2 = data[buf]+%d\n\tr3 = %d\n\tr4 = %d\n\tcall bpf_skb_get_tunnel_key", out-44, size, flags)
	}
	opt := func(helper string, size int64) string {
		out += 44
		return fmt.Sprintf("\tr1 = r6\n\tr2 = data[buf]+%d\n\tr3 = %d\n\tcall bpf_skb_%s_tunnel_opt", out-44, size, helper)
	}
	var cases []helperCase
	add := func(name string, steps ...string) {
		cases = append(cases, helperCase{name, packetProg("tc", ".bss buf\n.zero 2048", steps...), [][]byte{ipFrame(60)}})
		out = 0
	}
	add("none", get(44, 0), get(44, 1), get(8, 0), opt("get", 8), opt("set", 8))
	add("ipv4", tunnelKey(5, 0x01020304, 0x4002, 0, 0x05060708)+set(44, 0), get(44, 0), get(44, 1), get(44, 16), get(44, 2), get(28, 0), get(24, 0), get(22, 0), get(8, 0), get(9, 0), get(43, 16))
	add("ipv6", tunnelKey(5, 0x01020304, 0x4002, 0x7fffffff, 0x05060708)+set(44, 1), get(44, 1), get(44, 0), get(44, 17), get(8, 1), get(22, 1))
	add("refused", tunnelKey(5, 1, 1, 2, 3)+set(44, 0), set(44, 32), set(43, 0), set(45, 0)[:0]+"\tr0 = 0", tunnelKey(5, 1, 0x10001, 0, 3)+set(44, 0), get(44, 0))
	for _, flags := range []int64{2, 4, 8, 16, 30} {
		add(fmt.Sprintf("flags_%d", flags), tunnelKey(5, 1, 1, 0, 3)+set(44, flags), get(44, 16))
	}
	for _, size := range []int64{28, 24, 22, 8} {
		add(fmt.Sprintf("size_%d", size), tunnelKey(5, 1, 1, 0, 3)+set(size, 0), get(44, 0))
	}
	add("options", tunnelKey(5, 1, 1, 0, 3)+set(44, 0), opt("get", 8), "\tr1 = data[buf]+88\n\tr2 = 77\n\t*(u64 *)(r1 +0) = r2\n\tr0 = 0", opt("get", 0)[:0]+"\tr0 = 0",
		fmt.Sprintf("\tr1 = r6\n\tr2 = data[buf]+88\n\tr3 = %d\n\tcall bpf_skb_set_tunnel_opt", 12), opt("get", 40), opt("get", 12), opt("get", 8), get(44, 16),
		fmt.Sprintf("\tr1 = r6\n\tr2 = data[buf]+88\n\tr3 = %d\n\tcall bpf_skb_set_tunnel_opt", 10),
		fmt.Sprintf("\tr1 = r6\n\tr2 = data[buf]+88\n\tr3 = %d\n\tcall bpf_skb_set_tunnel_opt", 256),
		fmt.Sprintf("\tr1 = r6\n\tr2 = data[buf]+88\n\tr3 = %d\n\tcall bpf_skb_set_tunnel_opt", 252))
	runCases(t, cases)
}
