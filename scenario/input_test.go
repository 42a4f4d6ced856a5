package scenario

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"bpfvm/runtime"
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
		{"tc hex=\"0102\" mark=3 tstamp=0x100000000 vlan_tci=5", &runtime.SKB{Data: []byte{1, 2}, Mark: 3, Tstamp: 1 << 32, VLAN: 5}},
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
		got, err := f.input()
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.line, diff)
		}
	}
}

func TestRawIP(t *testing.T) {
	src := &source{ev: &Event{Hook: "socket"}}
	for text, want := range map[string]uint16{"ipv4/udp": 0x0800, "ipv6/udp": 0x86dd} {
		f := firing{source: src, pkt: words(t, text), link: LinkRaw}
		in, err := f.input()
		if err != nil || in.(*runtime.SKB).Protocol != want {
			t.Errorf("%s: %v %v", text, in, err)
		}
	}
	f := firing{source: &source{ev: &Event{Hook: "xdp"}}, pkt: []byte{1}, link: LinkRaw}
	if _, err := f.input(); err == nil {
		t.Error("xdp took raw IP")
	}
}
