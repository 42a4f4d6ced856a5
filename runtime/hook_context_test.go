package runtime_test

import (
	"bytes"
	"strings"
	"testing"

	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/vm"
)

// TestContext runs one program for each type whose context is plain fields.
func TestContext(t *testing.T) {
	data := []byte("0123456789")
	tests := []struct {
		name, section, code string
		in                  runtime.Context
		r0                  uint64
		changed             string
		data                string
	}{
		{"connect4 rewrites", "cgroup/connect4", "r0 = *(u32 *)(r1 +36)\n*(u32 *)(r1 +4) = 0x100007f\n*(u16 *)(r1 +24) = 0x5000",
			runtime.Context{Type: spec.ProgCgroupSockAddr, Fields: []runtime.FieldValue{runtime.Number("user_ip4", 0x0200000a)}},
			6, "user_ip4 33554442 -> 16777343;user_port 0 -> 20480;", ""},
		{"sendmsg6 is UDP", "cgroup/sendmsg6", "r0 = *(u32 *)(r1 +36)\nr2 = *(u32 *)(r1 +28)\nr0 += r2",
			runtime.Context{Type: spec.ProgCgroupSockAddr}, 17 + 10, "", ""},
		{"socket", "cgroup/connect4", "r2 = *(u64 *)(r1 +64)\nr0 = *(u32 *)(r2 +44)",
			runtime.Context{Type: spec.ProgCgroupSockAddr, Sock: []runtime.FieldValue{runtime.Number("src_port", 8080)}}, 8080, "", ""},
		{"no socket", "cgroup/connect4", "r0 = *(u64 *)(r1 +64)",
			runtime.Context{Type: spec.ProgCgroupSockAddr, NoSock: true}, 0, "", ""},
		{"post_bind6", "cgroup/post_bind6", "r0 = *(u32 *)(r1 +4)", runtime.Context{Type: spec.ProgCgroupSock}, 10, "", ""},
		{"device", "cgroup/dev", "r0 = *(u32 *)(r1 +0)", runtime.Context{Type: spec.ProgCgroupDevice}, 2<<16 | 2, "", ""},
		{"sysctl", "cgroup/sysctl", "r0 = *(u32 *)(r1 +0)\n*(u32 *)(r1 +4) = 3",
			runtime.Context{Type: spec.ProgCgroupSysctl, Fields: []runtime.FieldValue{runtime.Number("write", 1)}}, 1, "file_pos 0 -> 3;", ""},
		{"sockopt", "cgroup/getsockopt", "r2 = *(u64 *)(r1 +8)\nr3 = *(u64 *)(r1 +16)\nr0 = r3\nr0 -= r2\nr4 = r2\nr4 += 1\nif r4 > r3 goto +1\n*(u8 *)(r2 +0) = 65\n*(u32 *)(r1 +36) = 0",
			runtime.Context{Type: spec.ProgCgroupSockopt, Data: data, Fields: []runtime.FieldValue{runtime.Number("retval", 5)}},
			10, "retval 5 -> 0;", "A123456789"},
		{"sockops", "sockops", "r0 = *(u32 *)(r1 +0)\n*(u32 *)(r1 +4) = 10\nr2 = *(u64 *)(r1 +192)\nr3 = *(u64 *)(r1 +200)\nr3 -= r2\nr0 += r3",
			runtime.Context{Type: spec.ProgSockOps, Data: data, Fields: []runtime.FieldValue{runtime.Number("op", 4)}}, 14,
			"args 00000000000000000000000000000000 -> 0a000000000000000000000000000000;", "0123456789"},
		{"sk_msg", "sk_msg", "r2 = *(u64 *)(r1 +0)\nr3 = *(u64 *)(r1 +8)\nr0 = *(u32 *)(r1 +68)\nr4 = r2\nr4 += 1\nif r4 > r3 goto +1\n*(u8 *)(r2 +0) = 66",
			runtime.Context{Type: spec.ProgSKMsg, Data: data}, 10, "", "B123456789"},
		{"sk_lookup", "sk_lookup", "r0 = *(u64 *)(r1 +0)\nr2 = *(u32 *)(r1 +60)\nr0 += r2",
			runtime.Context{Type: spec.ProgSKLookup, Fields: []runtime.FieldValue{runtime.Number("local_port", 80)}}, 80, "", ""},
		{"sk_reuseport", "sk_reuseport", "r0 = *(u32 *)(r1 +16)\nr2 = *(u16 *)(r1 +20)\nr2 = be16 r2\nr0 += r2",
			runtime.Context{Type: spec.ProgSKReuseport, Data: data}, 10 + 0x800, "", "0123456789"},
		{"lirc", "lirc_mode2", "r0 = *(u32 *)(r1 +0)",
			runtime.Context{Type: spec.ProgLircMode2, Fields: []runtime.FieldValue{runtime.Number("sample", 500)}}, 500, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
				c := load(t, rt, assemble(t, ".license \"GPL\"\n.program p "+tt.section+"\n"+tt.code+"\nexit\n"))
				in := tt.in
				res, err := c.Program("p").Run(&in)
				if err != nil || res.Trap != nil {
					t.Fatal(err, res.Trap)
				}
				var changed strings.Builder
				for _, ch := range res.Changed {
					changed.WriteString(ch.String() + ";")
				}
				if res.R0 != tt.r0 || changed.String() != tt.changed || string(res.Packet) != tt.data {
					t.Errorf("r0 = %d, changed %q, data %q", res.R0, changed.String(), res.Packet)
				}
			})
		})
	}
}

// TestContextTraps: what programs may not do to a context.
func TestContextTraps(t *testing.T) {
	tests := []struct {
		name, section, code string
		in                  runtime.Input
	}{
		{"read-only field", "cgroup/connect4", "*(u32 *)(r1 +36) = 1", &runtime.Context{Type: spec.ProgCgroupSockAddr}},
		{"beyond the context", "cgroup/dev", "r0 = *(u32 *)(r1 +12)", &runtime.Context{Type: spec.ProgCgroupDevice}},
		{"beyond the socket", "sk_msg", "r2 = *(u64 *)(r1 +72)\nr0 = *(u32 *)(r2 +80)", &runtime.Context{Type: spec.ProgSKMsg}},
		{"write to the socket", "sk_msg", "r2 = *(u64 *)(r1 +72)\n*(u32 *)(r2 +16) = 1", &runtime.Context{Type: spec.ProgSKMsg}},
		{"beyond the data", "sk_reuseport", "r2 = *(u64 *)(r1 +0)\nr0 = *(u8 *)(r2 +2)", &runtime.Context{Type: spec.ProgSKReuseport, Data: []byte{1, 2}}},
		{"write to the packet", "cgroup_skb/ingress", "r2 = *(u32 *)(r1 +76)\n*(u8 *)(r2 +0) = 1", &runtime.SKB{Data: make([]byte, 20), Protocol: 0x800}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
				c := load(t, rt, assemble(t, ".license \"GPL\"\n.program p "+tt.section+"\n"+tt.code+"\nr0 = 0\nexit\n"))
				res, err := c.Program("p").Run(tt.in)
				if err != nil || res.Trap == nil || res.Trap.Kind != vm.TrapMemory && res.Trap.Kind != vm.TrapBounds && res.Trap.Kind != vm.TrapReadOnly {
					t.Errorf("trap %v (%v)", res.Trap, err)
				}
			})
		})
	}
}

// TestContextErrors: fields that there are not, or that the hook fills.
func TestContextErrors(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := load(t, rt, assemble(t, ".license \"GPL\"\n.program p cgroup/connect4\nr0 = 1\nexit\n"))
		for _, v := range []runtime.FieldValue{
			runtime.Number("user_ip5", 1), runtime.Number("sk", 1), {Name: "user_ip4", Data: bytes.Repeat([]byte{1}, 5)},
		} {
			if _, err := c.Program("p").Run(&runtime.Context{Type: spec.ProgCgroupSockAddr, Fields: []runtime.FieldValue{v}}); err == nil {
				t.Errorf("%s is taken", v.Name)
			}
		}
		if _, err := c.Program("p").Run(&runtime.Context{Type: spec.ProgSockOps}); err == nil {
			t.Error("the context of another type is taken")
		}
	})
}

// TestFlowDissector: the result is what flow_keys holds.
func TestFlowDissector(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := load(t, rt, assemble(t, `
.license "GPL"
.program p flow_dissector
	r2 = *(u64 *)(r1 +144)
	r0 = *(u16 *)(r2 +0)
	*(u8 *)(r2 +9) = 6
	exit
`))
		res, err := c.Program("p").Run(&runtime.SKB{Data: append(make([]byte, 12), 0x08, 0x00, 0x45)})
		if err != nil || res.Trap != nil || res.R0 != 14 || len(res.Output) != 56 || res.Output[9] != 6 || res.Output[10] != 8 {
			t.Errorf("r0 = %d, keys %x (%v, %v)", res.R0, res.Output, res.Trap, err)
		}
	})
}

// TestNetfilter: the context has typed pointers.
func TestNetfilter(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := load(t, rt, assemble(t, strings.NewReplacer("HOOK", num(field(t, "nf_hook_state", "hook")), "LEN", num(field(t, "sk_buff", "len"))).Replace(`
.license "GPL"
.program p netfilter
	r2 = *(u64 *)(r1 +0)
	r3 = *(u64 *)(r1 +8)
	r0 = *(u8 *)(r2 +HOOK)
	r3 = *(u32 *)(r3 +LEN)
	r0 += r3
	exit
`)))
		res, err := c.Program("p").Run(&runtime.Netfilter{Data: make([]byte, 40), State: []runtime.FieldValue{runtime.Number("hook", 3)}})
		if err != nil || res.Trap != nil || res.R0 != 43 {
			t.Errorf("r0 = %d (%v, %v)", res.R0, res.Trap, err)
		}
	})
}

// TestCombinations: how hooks make one answer of several.
func TestCombinations(t *testing.T) {
	prog := func(name, section, r0 string) string {
		return ".program " + name + " " + section + "\n" + r0 + "\nexit\n"
	}
	skb := func() runtime.Input { return &runtime.SKB{Data: make([]byte, 40), Protocol: 0x800} }
	addr := func() runtime.Input { return &runtime.Context{Type: spec.ProgCgroupSockAddr} }
	const eperm = ^uint64(0)
	tests := []struct {
		name, target string
		progs        []string
		in           func() runtime.Input
		ran          int
		ret          uint64
	}{
		{"all allow", "cgroup_skb:ingress", []string{prog("a", "cgroup_skb/ingress", "r0 = 1"), prog("b", "cgroup_skb/ingress", "r0 = 1")}, skb, 2, 0},
		{"one refuses, all run", "cgroup_skb:ingress", []string{prog("a", "cgroup_skb/ingress", "r0 = 0"), prog("b", "cgroup_skb/ingress", "r0 = 1")}, skb, 2, eperm},
		{"egress keeps, congested", "cgroup_skb:egress", []string{prog("a", "cgroup_skb/egress", "r0 = 3"), prog("b", "cgroup_skb/egress", "r0 = 1")}, skb, 2, 2},
		{"egress drops, congested", "cgroup_skb:egress", []string{prog("a", "cgroup_skb/egress", "r0 = 2"), prog("b", "cgroup_skb/egress", "r0 = 1")}, skb, 2, 1},
		{"set_retval", "cgroup:connect4", []string{prog("a", "cgroup/connect4", "r1 = -111\ncall bpf_set_retval\nr0 = 0"), prog("b", "cgroup/connect4", "call bpf_get_retval\nr0 = 1")}, addr, 2, ^uint64(110)},
		{"bind uses the bits", "cgroup:bind4", []string{prog("a", "cgroup/bind4", "r0 = 3"), prog("b", "cgroup/bind4", "r0 = 2")}, addr, 2, eperm},
		{"the context goes on", "cgroup:connect4", []string{prog("a", "cgroup/connect4", "*(u32 *)(r1 +4) = 0\nr0 = 1"), prog("b", "cgroup/connect4", "r0 = *(u32 *)(r1 +4)")}, addr, 2, eperm},
		{"tcx", "tcx:ingress", []string{prog("a", "tcx/ingress", "r0 = -1"), prog("b", "tcx/ingress", "r0 = 2"), prog("c", "tcx/ingress", "r0 = 0")}, skb, 2, 2},
		{"netfilter", "netfilter", []string{prog("a", "netfilter", "r0 = 1"), prog("b", "netfilter", "r0 = 0"), prog("c", "netfilter", "r0 = 1")}, func() runtime.Input { return &runtime.Netfilter{} }, 2, 0},
		{"sk_lookup", "sk_lookup", []string{prog("a", "sk_lookup", "r0 = 0"), prog("b", "sk_lookup", "r0 = 1")}, func() runtime.Input { return &runtime.Context{Type: spec.ProgSKLookup} }, 2, 0},
		{"lsm", "lsm:file_open", []string{prog("a", "lsm/file_open", "r0 = -13"), prog("b", "lsm/file_open", "r0 = 0")}, func() runtime.Input { return &runtime.Tracing{} }, 1, ^uint64(12)},
		{"nothing attached", "cgroup:connect6", nil, addr, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
				if tt.progs != nil {
					var src strings.Builder
					src.WriteString(".license \"GPL\"\n")
					for _, p := range tt.progs {
						src.WriteString(p)
					}
					if _, err := load(t, rt, assemble(t, src.String())).AttachAll(); err != nil {
						t.Fatal(err)
					}
				}
				f, err := rt.Fire(tt.target, tt.in())
				if err != nil || len(f.Results) != tt.ran || f.Ret != tt.ret {
					t.Errorf("%d ran, result %d (%v)", len(f.Results), int64(f.Ret), err)
				}
			})
		})
	}
}

// TestOneProgram: hooks that hold one program refuse a second.
func TestOneProgram(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := load(t, rt, assemble(t, ".program a sk_msg\nr0 = 1\nexit\n.program b sk_msg\nr0 = 1\nexit\n"))
		if _, err := c.AttachAll(); err == nil {
			t.Error("a second program is taken")
		}
	})
}

// TestMessage: pulling, pushing and popping move data and data_end, as in a message
// of several fragments.
func TestMessage(t *testing.T) {
	const window = "\nr2 = *(u64 *)(r6 +0)\nr3 = *(u64 *)(r6 +8)\nr3 -= r2\nr0 = *(u32 *)(r6 +68)\nr0 <<= 8\nr0 |= r3\n"
	call := func(name, start, n string) string {
		return "r1 = r6\nr2 = " + start + "\nr3 = " + n + "\nr4 = 0\ncall bpf_msg_" + name + "_data\n"
	}
	tests := []struct {
		name, code string
		r0         uint64
		data       string
	}{
		{"pull", call("pull", "2", "5") + window, 10<<8 | 3, "0123456789"},
		{"pull too much", call("pull", "2", "11"), ^uint64(21), "0123456789"},
		{"push in front", call("push", "0", "2") + window, 12<<8 | 2, "\x00\x000123456789"},
		{"push inside", call("push", "4", "1") + window, 11<<8 | 4, "0123\x00456789"},
		{"push behind", call("push", "10", "1") + window, 11<<8 | 10, "0123456789\x00"},
		{"push beyond", call("push", "11", "1"), ^uint64(21), "0123456789"},
		{"push, then pull all", call("push", "4", "1") + call("pull", "0", "11") + window, 11<<8 | 11, "0123\x00456789"},
		{"pop", call("pop", "1", "3") + window, 7<<8 | 7, "0456789"},
		{"pop what was pushed", call("push", "4", "2") + call("pop", "3", "4") + window, 8<<8 | 3, "01256789"},
		{"pop beyond", call("pop", "9", "2"), ^uint64(21), "0123456789"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
				c := load(t, rt, assemble(t, ".license \"GPL\"\n.program p sk_msg\nr6 = r1\n"+tt.code+"exit\n"))
				res, err := c.Program("p").Run(&runtime.Context{Type: spec.ProgSKMsg, Data: []byte("0123456789")})
				if err != nil || res.Trap != nil || res.R0 != tt.r0 || string(res.Packet) != tt.data {
					t.Errorf("r0 = %#x, data %q (%v, %v)", res.R0, res.Packet, res.Trap, err)
				}
			})
		})
	}
}

// TestSysctl: names and values as text, and the value that a program sets.
func TestSysctl(t *testing.T) {
	call := func(name, n, flags string) string {
		return "r1 = r6\nr2 = r10\nr2 += -16\nr3 = " + n + "\nr4 = " + flags + "\ncall bpf_sysctl_" + name + "\n"
	}
	tests := []struct {
		name, code string
		write      uint64
		r0         uint64
		output     string
	}{
		{"name", call("get_name", "16", "0"), 0, 8, ""},
		{"base name", call("get_name", "16", "1") + "r0 = *(u64 *)(r10 -16)", 0, 0x6d656d, ""},
		{"name cut", call("get_name", "4", "0"), 0, ^uint64(6), ""},
		{"current", call("get_current_value", "16", "0"), 0, 2, ""},
		{"current cut", call("get_current_value", "2", "0"), 0, ^uint64(6), ""},
		{"new, when reading", call("get_new_value", "16", "0"), 0, ^uint64(21), ""},
		{"new", call("get_new_value", "16", "0"), 1, 1, ""},
		{"set", "*(u8 *)(r10 -16) = 0x39\n" + call("set_new_value", "1", "0"), 1, 0, "9"},
		{"set, when reading", "*(u8 *)(r10 -16) = 0x39\n" + call("set_new_value", "1", "0"), 0, ^uint64(21), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
				c := load(t, rt, assemble(t, ".license \"GPL\"\n.program p cgroup/sysctl\nr6 = r1\n*(u64 *)(r10 -16) = 0\n"+tt.code+"\nexit\n"))
				res, err := c.Program("p").Run(&runtime.Context{
					Type: spec.ProgCgroupSysctl, Sysctl: runtime.Sysctl{Name: "kern/mem", Current: "5\n", New: "7"},
					Fields: []runtime.FieldValue{runtime.Number("write", tt.write)},
				})
				if err != nil || res.Trap != nil || res.R0 != tt.r0 || string(res.Output) != tt.output {
					t.Errorf("r0 = %#x, output %q (%v, %v)", res.R0, res.Output, res.Trap, err)
				}
			})
		})
	}
}

// TestLirc: what an infrared decoder reports.
func TestLirc(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := load(t, rt, assemble(t, ".license \"GPL\"\n.program p lirc_mode2\nr6 = r1\nr2 = 3\nr3 = 0x1c\nr4 = 2\ncall bpf_rc_keydown\nr1 = r6\ncall bpf_rc_repeat\nr1 = r6\nr2 = -1\nr3 = 5\ncall bpf_rc_pointer_rel\nr0 = 0\nexit\n"))
		res, err := c.Program("p").Run(&runtime.Context{Type: spec.ProgLircMode2})
		if want := "keydown protocol=3 scancode=0x1c toggle=1\nrepeat\npointer x=-1 y=5\n"; err != nil || string(res.Output) != want {
			t.Errorf("got %q (%v, %v)", res.Output, res.Trap, err)
		}
	})
}
