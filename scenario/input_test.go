package scenario

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"bpfvm/runtime"
	"bpfvm/spec"
)

func TestInputs(t *testing.T) {
	for _, c := range []struct {
		line string
		want runtime.Input
	}{
		{"cpu=2 kprobe:f arg1=1 r8=5 ret=-1 flags=0x246", &runtime.Kprobe{CPU: 2, Regs: runtime.PtRegs{DI: 1, R8: 5, AX: ^uint64(0), Flags: 0x246}}},
		{"ksyscall:openat si=1", &runtime.Kprobe{Regs: runtime.PtRegs{SI: 1}}},
		{"usdt:/bin/x:p:n di=str(\"a\")", &runtime.Kprobe{Regs: runtime.PtRegs{DI: userBase}}},
		{"perf_event:cycles ip=7 addr=8 sample_period=9", &runtime.PerfEvent{Regs: runtime.PtRegs{IP: 7}, Addr: 8, Period: 9}},
		{"raw_tp:x arg2=5 arg0=str(\"a\")", &runtime.RawTracepoint{Args: []uint64{kernelBase, 0, 5}}},
		{"syscall ctx=cat(u32(1), u16(2))", &runtime.Syscall{Ctx: []byte{1, 0, 0, 0, 2, 0}}},
		{"xdp hex=\"0102\" rx_queue_index=3 ingress_ifindex=4", &runtime.XDP{Data: []byte{1, 2}, Queue: 3, IfIndex: 4}},
		{"tc hex=\"0102\" mark=3 tstamp=0x100000000 vlan_tci=5", &runtime.SKB{Data: []byte{1, 2}, VLAN: 5,
			Fields: []runtime.FieldValue{{Name: "mark", Data: []byte{3, 0, 0, 0}}, {Name: "tstamp", Data: []byte{0, 0, 0, 0, 1, 0, 0, 0}}}}},
		{"cgroup/connect4 user_ip4=10.0.0.1 user_port=be16(80) sk.family=AF_INET6 sk.dst_ip6=::1", &runtime.Context{
			Type: spec.ProgCgroupSockAddr, Attach: spec.AttachCgroupInet4Connect,
			Fields: []runtime.FieldValue{{Name: "user_ip4", Data: []byte{10, 0, 0, 1}}, {Name: "user_port", Data: []byte{0, 80}}},
			Sock:   []runtime.FieldValue{{Name: "family", Data: []byte{10}}, {Name: "dst_ip6", Data: []byte{15: 1}}}}},
		{"sockops op=BPF_SOCK_OPS_TCP_CONNECT_CB skb_data=bytes(\"0102\") sk=0", &runtime.Context{
			Type: spec.ProgSockOps, Fields: []runtime.FieldValue{{Name: "op", Data: []byte{3}}}, Data: []byte{1, 2}, NoSock: true}},
		{"cgroup_skb:egress packet=\"ipv6/udp\" remote_port=be32(53)", &runtime.SKB{
			Data: words(t, "ipv6/udp"), Protocol: 0x86dd, Fields: []runtime.FieldValue{{Name: "remote_port", Data: []byte{0, 0, 0, 53}}}}},
		{"lwt_xmit packet=\"eth/ipv4/udp\"", &runtime.SKB{Data: words(t, "eth/ipv4/udp")[14:], Protocol: 0x800}},
		{"fexit:do_unlinkat dfd=-100 name=task(1) ret=-2", &runtime.Tracing{Args: []uint64{^uint64(99), 0}, Ret: ^uint64(1)}},
		{"tp_btf:sys_enter id=5 arg0=7", &runtime.RawTracepoint{Args: []uint64{7, 5}}},
		{"raw_tp.w:nbd_send_request buffer=u32(1)", &runtime.RawTracepoint{Buffer: []byte{1, 0, 0, 0}}},
		{"iter:bpf_map_elem key=u32(1) map=5", &runtime.Iter{Session: 1,
			Args: map[string]uint64{"map": 5}, Buffers: map[string][]byte{"key": {1, 0, 0, 0}}}},
		{"kprobe:do_unlinkat dfd=3", &runtime.Kprobe{Regs: runtime.PtRegs{DI: 3}}},
		{"pid=9 tracepoint:task/task_newtask pid=7 comm=str(\"bash\") clone_flags=0x11 oom_score_adj=-3",
			&runtime.Tracepoint{Record: []byte("\x00\x00\x00\x00\x09\x00\x00\x00" + "\x07\x00\x00\x00" +
				"bash\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x11\x00\x00\x00\x00\x00\x00\x00" + "\xfd\xff")}},
		// A string of variable length stands behind the fields: offset 20, 3 bytes.
		{"tracepoint:cgroup/cgroup_destroy_root root=1 name=str(\"ab\")",
			&runtime.Tracepoint{Record: []byte("\x00\x00\x00\x00\x00\x00\x00\x00" + "\x01\x00\x00\x00" + "\x00\x00\x00\x00" + "\x14\x00\x03\x00" + "ab\x00")}},
		{"tracepoint:my/own record=cat(u32(1), bytes(\"ff\"))",
			&runtime.Tracepoint{Record: []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\xff")}},
	} {
		s := mustParse(t, c.line)
		p, err := makePlan(s, nil, nil)
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		f, _, _ := newSequence(p.blocks).next()
		got, err := f.input(nil)
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		if diff := cmp.Diff(c.want, got, cmpopts.IgnoreUnexported(runtime.Context{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.line, diff)
		}
	}
}

func TestRawIP(t *testing.T) {
	src := &source{ev: &Event{Hook: "socket"}}
	for text, want := range map[string]uint16{"ipv4/udp": 0x0800, "ipv6/udp": 0x86dd} {
		f := firing{source: src, pkt: words(t, text), link: LinkRaw}
		in, err := f.input(nil)
		if err != nil || in.(*runtime.SKB).Protocol != want {
			t.Errorf("%s: %v %v", text, in, err)
		}
	}
	f := firing{source: &source{ev: &Event{Hook: "xdp"}}, pkt: []byte{1}, link: LinkRaw}
	if _, err := f.input(nil); err == nil {
		t.Error("xdp took raw IP")
	}
}
