package scenario

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bpfvm/elf"
	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/types"
)

// assembled loads programs written in assembly.
func assembled(t *testing.T, src, script string) Options {
	t.Helper()
	unit, err := isa.Assemble(t.Name(), []byte(src), isa.Options{HelperID: func(name string) (int32, bool) {
		h := spec.HelperByName(name)
		if h == nil {
			return 0, false
		}
		return int32(h.ID), true
	}})
	if err != nil {
		t.Fatal(err)
	}
	obj, err := elf.Write(unit)
	if err != nil {
		t.Fatal(err)
	}
	cs, err := elf.LoadReader(bytes.NewReader(obj), int64(len(obj)), elf.Options{Name: "asm"})
	if err != nil {
		t.Fatal(err)
	}
	rt, err := runtime.New(runtime.Options{Engine: interp.Step})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close() })
	coll, err := rt.Load(cs)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Runtime: rt, Collection: coll, Script: mustParse(t, script)}
}

// The lines of runs on hooks of all families.
func TestHooks(t *testing.T) {
	tests := []struct{ name, src, script, want string }{
		{"a structure of the kernel", `
.license "GPL"
.program p fentry/do_unlinkat
	r6 = *(u64 *)(r1 +8)
	r3 = *(u64 *)(r6 +0)
	r1 = r10
	r1 += -8
	r2 = 8
	call bpf_probe_read_kernel_str
	r0 = *(u8 *)(r10 -8)
	exit
`, `fentry:do_unlinkat dfd=-100 name=ptr(struct filename{name=str("x.txt")})`,
			"#1 fentry:do_unlinkat p r0=120 8 insns"},
		{"arguments that are not given", `
.license "GPL"
.program p tp_btf/sched_process_exit
	r6 = *(u64 *)(r1 +0)
	r0 = *(u32 *)(r6 +TGID)
	exit
`, `pid=42 comm=bash tp_btf:sched_process_exit`, "#1 tp_btf:sched_process_exit p r0=42 3 insns"},
		{"a cgroup's programs", `
.program a cgroup/connect4
	*(u32 *)(r1 +4) = 0x0100007f
	*(u32 *)(r1 +24) = 0x901f
	r0 = 1
	exit
.program b cgroup/connect4
	r0 = *(u32 *)(r1 +4)
	r0 >>= 31
	exit
`, `cgroup:connect4 user_ip4=10.0.0.7 user_port=be16(80)`,
			"#1 cgroup:connect4 a r0=1 allow 4 insns  user_ip4 10.0.0.7->127.0.0.1  user_port 80->8080\n" +
				"#1 cgroup:connect4 b r0=0 reject 3 insns  => EPERM"},
		{"packets of a cgroup", `
.program p cgroup_skb/egress
	r2 = *(u32 *)(r1 +76)
	r3 = *(u32 *)(r1 +80)
	r0 = 1
	r4 = r2
	r4 += 20
	if r4 > r3 goto pc+2
	r0 = *(u8 *)(r2 +9)
	r0 &= 3
	exit
`, "cgroup_skb:egress packet=\"eth/ipv4/udp\"\ncgroup_skb packet=\"ipv4/tcp\"",
			"#1 28B ipv4/udp p r0=1 pass 9 insns  packet unchanged  => allowed\n" +
				"#2 40B ipv4/tcp p r0=2 drop_cn 9 insns  packet unchanged"},
		{"tcx stops at a verdict", `
.program a tcx/ingress
	r0 = -1
	exit
.program b tcx/ingress
	r0 = 2
	exit
.program c tcx/ingress
	r0 = 0
	exit
`, `tcx:ingress packet="eth"`,
			"#1 14B eth a r0=-1 TC_ACT_UNSPEC 2 insns  packet unchanged\n" +
				"#1 14B eth b r0=2 TC_ACT_SHOT 2 insns  packet unchanged  => TC_ACT_SHOT"},
		{"a security hook", `
.license "GPL"
.program p lsm/file_open
	r0 = -13
	exit
`, `lsm:file_open`, "#1 lsm:file_open p r0=-13 2 insns  => EACCES"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tgid := offsetOf(t, "task_struct", "tgid")
			o := assembled(t, strings.ReplaceAll(tt.src, "TGID", tgid), tt.script)
			var lines []string
			for _, r := range run(t, o).Runs {
				lines = append(lines, r.String())
			}
			if diff := cmp.Diff(tt.want, strings.Join(lines, "\n")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// What is wrong with events is said with its place: some when the script is read,
// some when the kernel's types are known.
func TestHookErrors(t *testing.T) {
	for script, want := range map[string]string{
		"cgroup:conect4":                                               "1:1: there is no hook cgroup:conect4; did you mean connect4?",
		"cgroup:connect4 user_ip=1":                                    "1:17: cgroup:connect4 has no user_ip; did you mean user_ip4?",
		"fentry:do_unlinkat dfdd=1":                                    "1:20: fentry:do_unlinkat has no dfdd; did you mean dfd?",
		"fentry:do_unlinkat ret=1":                                     "1:20: fentry:do_unlinkat has no ret",
		"fentry:no_such_function fd=1":                                 "1:25: the arguments of fentry:no_such_function are not known: give arg0 to arg11",
		"kprobe:do_unlinkat dfdd=1":                                    "1:20: kprobe:do_unlinkat has no dfdd; did you mean dfd?",
		"cgroup:connect4 user_ip4=::1":                                 "1:26: ::1 has 16 bytes, the field has 4",
		"cgroup:connect4 user_ip4=nowhere":                             "1:26: nowhere is neither an address such as 10.0.0.1 nor a constant that the kernel's BTF has",
		"cgroup:connect4 sk=1":                                         "1:20: sk=0 means that there is no socket; its fields are sk.family, sk.src_port ..",
		"fentry:do_unlinkat name=ptr(struct filname{})":                "1:29: type \"struct filname\": no such type",
		"fentry:do_unlinkat name=ptr(struct filename{nam=1})":          "1:45: struct filename.nam: \"nam\": no such field; did you mean name?",
		"fentry:do_unlinkat name=ptr(struct filename{name=1, name=2})": "1:53: name is given twice",
		"fentry:do_unlinkat name=ptr(struct filename{name=1":           "1:51: \",\" or \"}\" is wanted after a field of struct filename",
		"fentry:do_unlinkat name=struct filename{}":                    "1:25: name=struct filename{}: a number, str(\"..\"), bytes(\"..\"), ptr(..) or task(PID) is wanted",
	} {
		s, err := Parse("", []byte(script))
		if err == nil {
			_, err = makePlan(s, nil, nil)
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", script, err, want)
		}
	}
}

// Structures print as they are written.
func TestStructFormat(t *testing.T) {
	const text = "fentry:do_unlinkat name=ptr(struct filename{name=str(\"x\"), aname=kernel_ptr(u64(1))})\n"
	if got := Format(mustParse(t, text)); got != text {
		t.Errorf("got %s", got)
	}
}

// Every type of program that there is can be given an event.
func TestSynthesize(t *testing.T) {
	sections := []string{
		"kprobe/do_unlinkat", "kretprobe/do_unlinkat", "tracepoint/sched/sched_switch", "raw_tp/sched_switch", "raw_tp.w/sched_switch",
		"tp_btf/sched_switch", "fentry/do_unlinkat", "fexit/do_unlinkat", "lsm/file_open", "iter/task", "perf_event", "xdp", "tc", "tcx/ingress",
		"socket", "cgroup_skb/egress", "cgroup/sock_create", "cgroup/connect4", "cgroup/dev", "cgroup/sysctl", "cgroup/getsockopt",
		"sockops", "sk_skb/stream_verdict", "sk_msg", "sk_lookup", "sk_reuseport", "flow_dissector", "lwt_in", "lwt_out", "lwt_xmit",
		"lwt_seg6local", "netfilter", "lirc_mode2", "syscall",
	}
	for _, section := range sections {
		o := assembled(t, ".license \"GPL\"\n.program p "+section+"\n\tr0 = 0\n\texit\n", "")
		p := o.Collection.Program("p")
		in, err := Synthesize(o.Runtime, p)
		if err != nil {
			t.Errorf("%s: %v", section, err)
			continue
		}
		if res, err := p.Run(in); err != nil || res.Trap != nil {
			t.Errorf("%s: %v %v", section, err, res.Trap)
		}
	}
}

func offsetOf(t *testing.T, typ, field string) string {
	t.Helper()
	kernel, err := types.Target()
	if err != nil {
		t.Fatal(err)
	}
	off, _, err := types.FieldOffset(kernel, typ, field)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(off)
}

// The script that shows all families can be read, printed and laid out.
func TestHookScript(t *testing.T) {
	text, err := os.ReadFile("testdata/hooks.events")
	if err != nil {
		t.Fatal(err)
	}
	s := mustParse(t, string(text))
	p, err := makePlan(s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	seq := newSequence(p.blocks)
	for {
		f, _, ok := seq.next()
		if !ok {
			break
		}
		if _, err := f.input(nil); err != nil {
			t.Errorf("%s: %v", f.ev.Name(), err)
		}
	}
	if _, err := Parse("again", []byte(Format(s))); err != nil {
		t.Error(err)
	}
}
