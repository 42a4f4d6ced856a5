package runtime_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bpfvm/runtime"
)

// world is a small network: two links, routes of each kind, hosts and sockets.
func world() runtime.World {
	ap, addr := netip.MustParseAddrPort, netip.MustParseAddr
	return runtime.World{
		Links: []runtime.NetLink{
			{Index: 2, Name: "eth0", MTU: 1500, MAC: [6]byte{2, 0, 0, 0, 0, 2}, Addrs: []netip.Addr{addr("10.0.0.2"), addr("fd00::2")}},
			{Index: 3, Name: "eth1", MTU: 9000, MAC: [6]byte{2, 0, 0, 0, 0, 3}},
			{Index: 4, Name: "eth2", MTU: 1500, NoForward: true},
		},
		Routes: []runtime.Route{
			{To: netip.MustParsePrefix("10.0.0.0/8"), Link: 2},
			{To: netip.MustParsePrefix("10.1.0.0/16"), Via: addr("10.0.0.9"), Link: 2, Metric: 20, MTU: 1400},
			{To: netip.MustParsePrefix("10.1.0.0/16"), Via: addr("10.0.0.8"), Link: 3, Metric: 10},
			{To: netip.MustParsePrefix("10.2.0.0/16"), Type: runtime.RouteBlackhole},
			{To: netip.MustParsePrefix("10.3.0.0/16"), Type: runtime.RouteUnreachable},
			{To: netip.MustParsePrefix("10.4.0.0/16"), Type: runtime.RouteProhibit},
			{To: netip.MustParsePrefix("10.5.0.0/16"), Type: runtime.RouteLocal},
			{To: netip.MustParsePrefix("10.6.0.0/16"), Link: 2, Table: 100},
			{To: netip.MustParsePrefix("fd01::/16"), Via: addr("fd00::9"), Link: 2},
		},
		Neighbours: []runtime.Neighbour{
			{IP: addr("10.9.9.9"), Link: 2, MAC: [6]byte{9, 9, 9, 9, 9, 9}}, {IP: addr("10.0.0.8"), Link: 3, MAC: [6]byte{8, 8, 8, 8, 8, 8}},
			{IP: addr("fd00::9"), Link: 2, MAC: [6]byte{6, 6, 6, 6, 6, 6}},
		},
		Sockets: []runtime.Socket{
			{Protocol: 6, Local: ap("0.0.0.0:80"), Mark: 1, CgroupID: 30},
			{Protocol: 6, Local: ap("10.0.0.2:80"), Mark: 2},
			{Protocol: 6, Local: ap("10.0.0.2:80"), Remote: ap("10.9.9.9:4000"), Mark: 3, TCP: map[string]uint64{"snd_cwnd": 10, "bytes_acked": 77, "icsk_retransmits": 5}},
			{Protocol: 17, Local: ap("[::]:53"), Mark: 4},
			{Protocol: 6, Local: ap("10.0.0.2:81"), Remote: ap("10.9.9.9:1"), State: runtime.TCPTimeWait, Mark: 5},
		},
		CgroupParents: map[uint64]uint64{30: 20, 20: 10, 10: 1},
	}
}

// runOne runs one program on each engine, against a world.
func runOne(t *testing.T, src string, in runtime.Input, check func(t *testing.T, res runtime.Result)) {
	t.Helper()
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		rt.World = world()
		rt.SetTask(runtime.Task{PID: 41, TGID: 40, CgroupID: 30, Comm: "sh"})
		res, err := load(t, rt, assemble(t, src)).Programs()[0].Run(in)
		if err != nil || res.Trap != nil {
			t.Fatal(err, res.Trap)
		}
		check(t, res)
	})
}

func TestFibLookup(t *testing.T) {
	const srcAt, dstAt, size = 16, 32, 64
	tests := []struct {
		name, src, dst string
		ifindex        uint32
		flags, length  int
		want           int64
		after          string // ifindex, MTU, metric, next hop, source, smac, dmac
	}{
		{"on the link", "10.9.9.1", "10.9.9.9", 3, 0, 100, 0, "2 1500 0 10.9.9.9 10.9.9.1 020000000002 090909090909"},
		{"no neighbour", "10.9.9.1", "10.9.9.8", 3, 0, 100, 7, "2 100 0 10.9.9.8 10.9.9.1 000000000000 000000000000"},
		{"without neighbours", "10.9.9.1", "10.9.9.8", 3, 4, 100, 0, "2 1500 0 10.9.9.8 10.9.9.1 000000000000 000000000000"},
		{"least metric", "10.9.9.1", "10.1.2.3", 2, 0, 100, 0, "3 9000 10 10.0.0.8 10.9.9.1 020000000003 080808080808"},
		{"output", "10.9.9.1", "10.1.2.3", 2, 2 | 4, 100, 0, "2 1400 20 10.0.0.9 10.9.9.1 000000000000 000000000000"},
		{"too long", "10.9.9.1", "10.1.2.3", 2, 2 | 4, 1401, 8, "2 1400 0 10.1.2.3 10.9.9.1 000000000000 000000000000"},
		{"source", "10.9.9.1", "10.9.9.8", 3, 4 | 16, 100, 0, "2 1500 0 10.9.9.8 10.0.0.2 000000000000 000000000000"},
		{"no source", "10.9.9.1", "10.1.2.3", 2, 4 | 16, 100, 0, "3 9000 10 10.0.0.8 0.0.0.0 000000000000 000000000000"},
		{"blackhole", "10.9.9.1", "10.2.0.1", 2, 0, 100, 1, "2 100 0 10.2.0.1 10.9.9.1 000000000000 000000000000"},
		{"unreachable", "10.9.9.1", "10.3.0.1", 2, 0, 100, 2, "2 100 0 10.3.0.1 10.9.9.1 000000000000 000000000000"},
		{"prohibit", "10.9.9.1", "10.4.0.1", 2, 0, 100, 3, "2 100 0 10.4.0.1 10.9.9.1 000000000000 000000000000"},
		{"local", "10.9.9.1", "10.5.0.1", 2, 0, 100, 4, "2 100 0 10.5.0.1 10.9.9.1 000000000000 000000000000"},
		{"nowhere", "10.9.9.1", "11.5.0.1", 2, 0, 100, 4, "2 100 0 11.5.0.1 10.9.9.1 000000000000 000000000000"},
		{"main table", "10.9.9.1", "10.6.0.1", 2, 1 | 4, 100, 0, "2 1500 0 10.6.0.1 10.9.9.1 000000000000 000000000000"},
		{"not forwarding", "10.9.9.1", "10.9.9.9", 4, 0, 100, 5, "4 100 0 10.9.9.9 10.9.9.1 000000000000 000000000000"},
		{"loopback", "10.9.9.1", "10.9.9.9", 1, 0, 100, 5, "1 100 0 10.9.9.9 10.9.9.1 000000000000 000000000000"},
		{"no interface", "10.9.9.1", "10.9.9.9", 9, 0, 100, -19, "9 100 0 10.9.9.9 10.9.9.1 000000000000 000000000000"},
		{"flags", "10.9.9.1", "10.9.9.9", 3, 64, 100, -22, "3 100 0 10.9.9.9 10.9.9.1 000000000000 000000000000"},
		{"IPv6", "fd00::1", "fd01::1", 3, 0, 100, 0, "2 1500 0 fd00::9 fd00::1 020000000002 060606060606"},
		{"link-local", "fd00::1", "fe80::1", 3, 0, 100, 4, "3 100 0 fe80::1 fd00::1 000000000000 000000000000"},
		{"IPv6 nowhere", "fd00::1", "fd02::1", 3, 0, 100, 4, "3 100 0 fd02::1 fd00::1 000000000000 000000000000"},
	}
	for _, tt := range tests {
		p := make([]byte, size)
		src, dst := netip.MustParseAddr(tt.src), netip.MustParseAddr(tt.dst)
		p[0] = 2
		if src.Is6() {
			p[0] = 10
		}
		binary.LittleEndian.PutUint16(p[6:], uint16(tt.length))
		binary.LittleEndian.PutUint32(p[8:], tt.ifindex)
		copy(p[srcAt:], src.AsSlice())
		copy(p[dstAt:], dst.AsSlice())
		var data []string
		for _, b := range p {
			data = append(data, fmt.Sprint(b))
		}
		t.Run(tt.name, func(t *testing.T) {
			onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
				rt.World = world()
				c := load(t, rt, assemble(t, fmt.Sprintf(".license \"GPL\"\n.data params %s\n.program p xdp\n\tr2 = data[params]\n\tr3 = 64\n\tr4 = %d\n\tcall bpf_fib_lookup\n\texit", strings.Join(data, ", "), tt.flags)))
				res, err := c.Programs()[0].Run(&runtime.XDP{Data: eth(64)})
				if err != nil || res.Trap != nil || int64(res.R0) != tt.want {
					t.Fatalf("r0 %d, %v %v", int64(res.R0), err, res.Trap)
				}
				b, err := c.Map(".data").Lookup(le32(0))
				if err != nil {
					t.Fatal(err)
				}
				ip := func(off int) netip.Addr {
					a, _ := netip.AddrFromSlice(b[off : off+4*(1+3*truth(src.Is6()))])
					return a
				}
				got := fmt.Sprintf("%d %d %d %s %s %x %x", binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint16(b[6:]),
					binary.LittleEndian.Uint32(b[12:]), ip(dstAt), ip(srcAt), b[52:58], b[58:64])
				if got != tt.after {
					t.Errorf("after: %s, want %s", got, tt.after)
				}
			})
		})
	}
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestSocketLookup(t *testing.T) {
	find := func(helper, src string, sport int, dst string, dport int, rest string) string {
		s, d := netip.MustParseAddr(src).AsSlice(), netip.MustParseAddr(dst).AsSlice()
		tuple := append(append(s, d...), byte(sport>>8), byte(sport), byte(dport>>8), byte(dport))
		var data []string
		for _, b := range tuple {
			data = append(data, fmt.Sprint(b))
		}
		return fmt.Sprintf(".license \"GPL\"\n.data tuple %s\n.program p tc\n\tr6 = r1\n\tr2 = data[tuple]\n\tr3 = %d\n\tr4 = -1\n\tr5 = 0\n\tcall %s\n\tif r0 == 0 goto none\n%s\n\texit\nnone:\n\tr0 = 0\n\texit",
			strings.Join(data, ", "), len(tuple), helper, rest)
	}
	const release = "\tr7 = *(u32 *)(r0 +%d)\n\tr1 = r0\n\tcall bpf_sk_release\n\tr0 = r7"
	mark := fmt.Sprintf(release, 16)
	tests := []struct {
		name, src string
		want      uint64
	}{
		{"connected", find("bpf_sk_lookup_tcp", "10.9.9.9", 4000, "10.0.0.2", 80, mark), 3},
		{"the address", find("bpf_sk_lookup_tcp", "10.9.9.9", 4001, "10.0.0.2", 80, mark), 2},
		{"any address", find("bpf_sk_lookup_tcp", "10.9.9.9", 4001, "10.0.0.3", 80, mark), 1},
		{"no such port", find("bpf_sk_lookup_tcp", "10.9.9.9", 4001, "10.0.0.3", 79, mark), 0},
		{"no UDP", find("bpf_sk_lookup_udp", "10.9.9.9", 4001, "10.0.0.2", 80, mark), 0},
		{"both families", find("bpf_sk_lookup_udp", "10.9.9.9", 1, "10.0.0.2", 53, mark), 4},
		{"IPv6", find("bpf_sk_lookup_udp", "fd00::1", 1, "fd00::2", 53, mark), 4},
		{"IPv6, not for IPv4", find("bpf_sk_lookup_tcp", "fd00::1", 1, "fd00::2", 80, mark), 0},
		{"ended", find("bpf_sk_lookup_tcp", "10.9.9.9", 1, "10.0.0.2", 81, mark), 0},
		{"ended, all the same", find("bpf_skc_lookup_tcp", "10.9.9.9", 1, "10.0.0.2", 81, mark), 5},
		{"source port", find("bpf_sk_lookup_tcp", "10.9.9.9", 4000, "10.0.0.2", 80, fmt.Sprintf(release, 44)), 80},
		{"destination port", find("bpf_sk_lookup_tcp", "10.9.9.9", 4000, "10.0.0.2", 80, fmt.Sprintf(release, 48)), 4000>>8 | 4000&0xff<<8},
		{"state", find("bpf_sk_lookup_tcp", "10.9.9.9", 1, "10.0.0.2", 80, fmt.Sprintf(release, 72)), 10},
		{"tcp_sock", find("bpf_sk_lookup_tcp", "10.9.9.9", 4000, "10.0.0.2", 80, "\tr6 = r0\n\tr1 = r0\n\tcall bpf_tcp_sock\n\tif r0 == 0 goto none\n\tr7 = *(u32 *)(r0 +0)\n\tr8 = *(u64 *)(r0 +88)\n\tr9 = *(u32 *)(r0 +108)\n\tr7 *= 10000\n\tr7 += r8\n\tr9 *= 100\n\tr7 += r9\n\tr1 = r6\n\tcall bpf_sk_release\n\tr0 = r7"), 10*10000 + 77 + 500},
		{"listener", find("bpf_sk_lookup_tcp", "10.9.9.9", 4000, "10.0.0.2", 80, "\tr1 = r0\n\tcall bpf_get_listener_sock"), 0},
		{"assign", find("bpf_sk_lookup_tcp", "10.9.9.9", 4001, "10.0.0.2", 80, "\tr1 = r6\n\tr2 = r0\n\tr3 = 0\n\tcall bpf_sk_assign\n\tr0 += 5"), 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			runOne(t, tt.src, &runtime.SKB{Data: eth(64)}, func(t *testing.T, res runtime.Result) {
				if res.R0 != tt.want {
					t.Errorf("r0 %#x, want %#x", res.R0, tt.want)
				}
				if (res.Assigned != nil) != (tt.name == "assign") {
					t.Errorf("assigned %v", res.Assigned)
				}
			})
		})
	}
}

// What programs decide is in the result.
func TestOutcomes(t *testing.T) {
	tests := []struct {
		name, section, body string
		r0                  uint64
		in                  runtime.Input
		want                string
	}{
		{"redirect", "tc", "r1 = 2\nr2 = 1\ncall bpf_redirect", 7, &runtime.SKB{Data: eth(64)}, `redirect {2 1  invalid IP  0}`},
		{"peer", "tc", "r1 = 2\nr2 = 0\ncall bpf_redirect_peer", 7, &runtime.SKB{Data: eth(64)}, `redirect {2 0 peer invalid IP  0}`},
		{"peer flags", "tc", "r1 = 2\nr2 = 1\ncall bpf_redirect_peer", 2, &runtime.SKB{Data: eth(64)}, ``},
		{"neigh", "tc", "r1 = 2\nr2 = 0\nr3 = 0\nr4 = 0\ncall bpf_redirect_neigh", 7, &runtime.SKB{Data: eth(64)}, `redirect {2 0 neigh invalid IP  0}`},
		{"neigh via", "tc", "r1 = 0x0100000a00000002 ll\n*(u64 *)(r10 -24) = r1\nr1 = 0\n*(u64 *)(r10 -16) = r1\n*(u64 *)(r10 -8) = r1\nr1 = 2\nr2 = r10\nr2 += -24\nr3 = 20\nr4 = 0\ncall bpf_redirect_neigh", 7, &runtime.SKB{Data: eth(64)}, `redirect {2 0 neigh 10.0.0.1  0}`},
		{"clone", "tc", "r2 = 3\nr3 = 0\ncall bpf_clone_redirect", 0, &runtime.SKB{Data: eth(20)}, `clone {3 0  invalid IP  0} 20`},
		{"clone nowhere", "tc", "r2 = 33\nr3 = 0\ncall bpf_clone_redirect", ^uint64(21), &runtime.SKB{Data: eth(20)}, ``},
		{"too many clones", "tc", "r6 = r1\nr7 = 0\nagain:\nr1 = r6\nr2 = 3\nr3 = 0\ncall bpf_clone_redirect\nif r0 != 0 goto out\nr7 += 1\nif r7 < 100000 goto again\nout:", ^uint64(11), &runtime.SKB{Data: make([]byte, 400_000)}, "41 clones"},
		{"signal", "kprobe/f", "r1 = 9\ncall bpf_send_signal\nr6 = r0\nr1 = 10\ncall bpf_send_signal_thread\nr6 += r0\nr1 = 65\ncall bpf_send_signal\nr0 += r6", ^uint64(21), &runtime.Kprobe{}, `signal {40 9 false} signal {41 10 true}`},
		{"ancestor 0", "kprobe/f", "r1 = 0\ncall bpf_get_current_ancestor_cgroup_id", 1, &runtime.Kprobe{}, ``},
		{"ancestor 2", "kprobe/f", "r1 = 2\ncall bpf_get_current_ancestor_cgroup_id", 20, &runtime.Kprobe{}, ``},
		{"ancestor 3", "kprobe/f", "r1 = 3\ncall bpf_get_current_ancestor_cgroup_id", 30, &runtime.Kprobe{}, ``},
		{"ancestor 4", "kprobe/f", "r1 = 4\ncall bpf_get_current_ancestor_cgroup_id", 0, &runtime.Kprobe{}, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := fmt.Sprintf(".license \"GPL\"\n.program p %s\n%s\nexit", tt.section, tt.body)
			runOne(t, src, tt.in, func(t *testing.T, res runtime.Result) {
				var got []string
				if res.Redirect != nil {
					got = append(got, fmt.Sprint("redirect ", *res.Redirect))
				}
				if len(res.Clones) > 9 {
					got, res.Clones = append(got, fmt.Sprint(len(res.Clones), " clones")), nil
				}
				for _, c := range res.Clones {
					got = append(got, fmt.Sprint("clone ", c.Redirect, " ", len(c.Packet)))
				}
				for _, s := range res.Signals {
					got = append(got, fmt.Sprint("signal ", s))
				}
				if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" || res.R0 != tt.r0 {
					t.Errorf("r0 %#x, want %#x; -want +got\n%s", res.R0, tt.r0, diff)
				}
			})
		})
	}
}
