package scenario

import (
	"slices"
	"strings"
	"testing"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/runtime"
	"bpfvm/spec"
)

// Tasks reach programs as structures that they follow by CO-RE: current, its
// parent, and the argument of a raw tracepoint.
func TestTasks(t *testing.T) {
	s := mustParse(t, `
task pid=1 comm=init
task pid=42 tgid=40 comm=bash parent=1
at 1ms pid=42 kprobe:do_unlinkat
expect r0 == 0
at 2ms pid=0 kprobe:do_unlinkat
expect r0 == 1
at 3ms pid=1 raw_tracepoint:sched_process_exit arg0=task(42)
expect map tasks[42].tgid == 40 ; expect map tasks[42].parent_pid == 1
expect map tasks[42].comm == "bash" ; expect map tasks[42].parent_comm == "init"
expect map tasks[0].comm == "swapper/0"
expect ringbuf exits == 1 records
`)
	res := run(t, load(t, "trace/task.bpf.o", s))
	for _, e := range res.Expect {
		if !e.OK {
			t.Error(e.String())
		}
	}
	if !strings.Contains(string(res.Runs[2].Records[0].Data), "bash\x00") {
		t.Errorf("%q", res.Runs[2].Records[0].Data)
	}
}

// Events on several CPUs, and values of a per-CPU map.
func TestCPUs(t *testing.T) {
	s := mustParse(t, `
map verdicts[1] = [1, 2]
map verdicts[2] = 7
at 1ms cpu=1 xdp packet="eth/arp"
at 2ms cpu=2 xdp packet="eth/arp"
expect map verdicts[1] == 5
expect map verdicts[1] == [1, 3, 1]
expect map verdicts[1][1] == 3
expect map verdicts[2] == [7, 0, 0]
`)
	res := run(t, load(t, "xdp/firewall.bpf.o", s))
	for _, e := range res.Expect {
		if !e.OK {
			t.Error(e.String())
		}
	}
	s = mustParse(t, "repeat=2 cpu=1 tracepoint:syscalls/sys_enter_execve filename=str(\"/bin/ls\")\nexpect perf execs == 2 records")
	res = run(t, load(t, "trace/execs_classic.bpf.o", s))
	if !res.OK() || res.Runs[0].Records[0].CPU != 1 {
		t.Errorf("%+v", res.Expect)
	}
}

// A program that does what no verifier lets pass: the trap is the run's result, and
// the other programs of the event still run.
func TestTrap(t *testing.T) {
	bad := isa.Program{
		{Op: 0x79, Regs: isa.MakeRegs(isa.R0, isa.R1), Off: 4000}, // r0 = *(u64 *)(r1 +4000)
		{Op: 0x95},
	}
	good := isa.Program{{Op: 0xb7, Imm: 3}, {Op: 0x95}} // r0 = 3
	cs := &spec.CollectionSpec{License: "GPL", Programs: []*spec.ProgramSpec{
		{Name: "bad", Section: "kprobe/f", Type: spec.ProgKprobe, AttachTo: "f", License: "GPL", Insns: bad, Funcs: []spec.Func{{Name: "bad"}}},
		{Name: "good", Section: "kprobe/f", Type: spec.ProgKprobe, AttachTo: "f", License: "GPL", Insns: good, Funcs: []spec.Func{{Name: "good"}}},
	}}
	rt, err := runtime.New(runtime.Options{Engine: interp.Fast})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	c, err := rt.Load(cs)
	if err != nil {
		t.Fatal(err)
	}
	s := mustParse(t, "kprobe:f\nexpect trap bad =~ \"insn 0\" ; expect trap good none ; expect r0 good == 3 ; expect r0 bad == 0 ; expect trap none")
	res := run(t, Options{Runtime: rt, Collection: c, Script: s})
	var ok []bool
	for _, e := range res.Expect {
		ok = append(ok, e.OK)
	}
	if !slices.Equal(ok, []bool{true, true, true, false, false}) || res.Trapped != 1 {
		t.Errorf("%v %d", res.Expect, res.Trapped)
	}
	if r := res.Runs[0]; r.Trap == nil || r.Trap.Slot != 0 || !strings.Contains(r.String(), "bad trapped after 0 insns") {
		t.Errorf("%s", r)
	}
}
