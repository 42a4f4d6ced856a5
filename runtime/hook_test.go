package runtime_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bpfvm/elf"
	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/types"
	"bpfvm/vm"
)

func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
func le64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

// attachAll loads an object and puts its programs where their sections say.
func attachAll(t *testing.T, rt *runtime.Runtime, object string) *runtime.Collection {
	t.Helper()
	target, err := types.Target()
	if err != nil {
		t.Fatal(err)
	}
	cs, err := elf.Load("../testdata/"+object, elf.Options{Target: target})
	if err != nil {
		t.Fatal(err)
	}
	c := load(t, rt, cs)
	if _, err := c.AttachAll(); err != nil {
		t.Fatal(err)
	}
	return c
}

func fire(t *testing.T, rt *runtime.Runtime, target string, in runtime.Input) runtime.Firing {
	t.Helper()
	f, err := rt.Fire(target, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range f.Results {
		if r.Trap != nil {
			t.Errorf("%s: %v", target, r.Trap)
		}
	}
	return f
}

// onEngines runs a test on both engines, each with a runtime of its own.
func onEngines(t *testing.T, o runtime.Options, test func(t *testing.T, rt *runtime.Runtime)) {
	for _, e := range engines {
		t.Run(e.Name(), func(t *testing.T) {
			o.Engine = e
			test(t, newRuntime(t, o))
		})
	}
}

// An object of the kernel's cache is allocated, freed, and freed once too often.
func TestKmem(t *testing.T) {
	for _, object := range []string{"kmem/kmem_classic.bpf.o", "kmem/kmem_modern.bpf.o"} {
		onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
			c := attachAll(t, rt, object)
			rt.Clock.Set(uint64(time.Second))
			rt.Clock.Step = 1000
			rt.SetTask(runtime.Task{PID: 42, Comm: "bash"})
			fire(t, rt, "kretprobe:kmem_cache_alloc_node", &runtime.Kprobe{Regs: runtime.PtRegs{AX: 0xffff888000001000, IP: 0xffffffff813a4be1}})
			rt.Clock.Advance(time.Millisecond)
			free := &runtime.Kprobe{Regs: runtime.PtRegs{SI: 0xffff888000001000}}
			first := fire(t, rt, "kprobe:kmem_cache_free", free)
			second := fire(t, rt, "kprobe:kmem_cache_free", free)
			if first.Ret != 0 || second.Ret != 1 {
				t.Errorf("%s: results %d and %d, want 0 and 1", object, first.Ret, second.Ret)
			}
			var counts []string
			for _, v := range runtime.All(c.Map("counts")) {
				counts = append(counts, fmt.Sprint(binary.LittleEndian.Uint64(v)))
			}
			if diff := cmp.Diff([]string{"1", "1", "1"}, counts); diff != "" {
				t.Errorf("%s: counts: -want +got\n%s", object, diff)
			}
			trace := first.Results[0].Trace
			want := "            bash-42      [000] .....     1.001002: bpf_trace_printk: obj 0xffff888000001000 from 0xffffffff813a4be1 freed after 1001000 ns"
			if len(trace) != 1 || trace[0].String() != want {
				t.Errorf("%s: trace %v, want\n%s", object, trace, want)
			}
		})
	}
}

func TestTailCalls(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := attachAll(t, rt, "trace/tailcall.bpf.o")
		for di, want := range []uint64{10, 11, 12, 99, 99} {
			f := fire(t, rt, "kprobe:vfs_open", &runtime.Kprobe{Regs: runtime.PtRegs{DI: uint64(di)}})
			if got := f.Results[0].R0; got != want {
				t.Errorf("di=%d: r0 %d, want %d", di, got, want)
			}
		}
		// The first tail call leads to on_self, 32 more come out of it.
		jumps, err := c.Map(".bss").Lookup(le32(0))
		if err != nil || binary.LittleEndian.Uint64(jumps) != vm.MaxTailCalls {
			t.Errorf("jumps %x, %v", jumps, err)
		}
		targets := c.Map("targets").(*runtime.ProgArray)
		if err := targets.SetProgram(3, c.Program("on_write")); err != nil {
			t.Fatal(err)
		}
		f := fire(t, rt, "kprobe:vfs_open", &runtime.Kprobe{Regs: runtime.PtRegs{DI: 3}})
		if got := f.Results[0].R0; got != 11 {
			t.Errorf("after SetProgram: r0 %d", got)
		}
	})
}

func TestTracepointAndRingBuffer(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := attachAll(t, rt, "trace/openat.bpf.o")
		rt.Clock.Set(5)
		rt.SetTask(runtime.Task{PID: 43, TGID: 42, UID: 1000, GID: 100, Comm: "a name that is too long"})
		if err := rt.Memory().Foreign.Add(vm.Segment{Addr: 0x7f0000001000, Data: []byte("/etc/passwd\x00"), User: true}); err != nil {
			t.Fatal(err)
		}
		open := func(name uint64) runtime.Firing {
			rec := make([]byte, 48)
			binary.LittleEndian.PutUint64(rec[24:], name)
			binary.LittleEndian.PutUint64(rec[32:], 0x80000)
			return fire(t, rt, "tracepoint:syscalls/sys_enter_openat", &runtime.Tracepoint{Record: rec})
		}
		f := open(0x7f0000001000)
		want := bytes.Join([][]byte{
			le32(42), le32(1000), le64(5), le64(0x80000), []byte("a name that is \x00"), []byte("/etc/passwd"), make([]byte, 53),
		}, nil)
		if r := f.Results[0].Records; len(r) != 1 || !bytes.Equal(r[0].Data, want) || r[0].Map != "events" {
			t.Errorf("records %v, want %q", r, want)
		}
		if r := open(0xdead0000).Results[0].Records; len(r) != 0 {
			t.Errorf("a discarded record arrived: %v", r)
		}
		n, err := c.Map("opens").Lookup([]byte("a name that is \x00"))
		if err != nil || !bytes.Equal(n, le64(2)) {
			t.Errorf("opens %x, %v", n, err)
		}
		ring := c.Map("events").(*runtime.RingBuf)
		if ring.Wakeups() != 2 || ring.Busy() != 0 {
			t.Errorf("%d wakeups, %d busy", ring.Wakeups(), ring.Busy())
		}
	})
}

func TestPerfOutput(t *testing.T) {
	onEngines(t, runtime.Options{CPUs: 2}, func(t *testing.T, rt *runtime.Runtime) {
		attachAll(t, rt, "trace/execs_classic.bpf.o")
		rt.SetTask(runtime.Task{PID: 7, UID: 8, Comm: "sh"})
		f := fire(t, rt, "tracepoint:syscalls/sys_enter_execve", &runtime.Tracepoint{Record: make([]byte, 48), CPU: 1})
		want := bytes.Join([][]byte{le32(7), le32(8), []byte("sh"), make([]byte, 14+64)}, nil)
		if r := f.Results[0].Records; len(r) != 1 || !bytes.Equal(r[0].Data, want) || r[0].CPU != 1 {
			t.Errorf("records %+v, want %q", r, want)
		}
	})
}

// task_struct has the layout of the target: CO-RE offsets and ours must agree.
func TestTaskStruct(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := attachAll(t, rt, "trace/task.bpf.o")
		rt.SetTask(runtime.Task{PID: 100, Comm: "parent"})
		rt.SetTask(runtime.Task{PID: 201, TGID: 200, ParentPID: 100, Comm: "child"})
		event := func(tail ...byte) []byte {
			return append(bytes.Join([][]byte{
				le32(201), le32(200), le32(100), le32(16), []byte("child"), make([]byte, 11)}, nil), tail...)
		}
		f := fire(t, rt, "kprobe:do_unlinkat", &runtime.Kprobe{})
		if f.Results[0].R0 != 0 {
			t.Errorf("a process counts as a kernel thread")
		}
		// The parent has been current, but nobody looked at it then.
		got, err := c.Map("tasks").Lookup(le32(201))
		if want := event(append([]byte("parent"), make([]byte, 10)...)...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("task %q, %v\nwant %q", got, err, want)
		}
		f = fire(t, rt, "raw_tracepoint:sched_process_exit", &runtime.RawTracepoint{Args: []uint64{rt.TaskAddr(201)}})
		if r := f.Results[0].Records; len(r) != 1 || !bytes.Equal(r[0].Data, got) {
			t.Errorf("records %v", r)
		}
		rt.SetTask(runtime.Task{PID: 2, Comm: "kthreadd", KernelThread: true})
		if f := fire(t, rt, "kprobe:do_unlinkat", &runtime.Kprobe{}); f.Results[0].R0 != 1 {
			t.Errorf("a kernel thread has an mm")
		}
	})
}

func TestSocketFilter(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := load(t, rt, loadObject(t, "skb/socket.bpf.o"))
		frame := eth(60)
		frame[12], frame[13], frame[29] = 8, 0, 5
		res, err := c.Program("keep_some").Run(&runtime.SKB{Data: frame})
		if err != nil || res.Trap != nil || res.R0 != 14+5 {
			t.Errorf("r0 %d, %v %v", res.R0, err, res.Trap)
		}
		if res, err := c.Program("keep_some").Run(&runtime.SKB{Data: frame[:20]}); err != nil || res.R0 != 0 {
			t.Errorf("short packet: r0 %d, %v", res.R0, err)
		}
	})
}

func TestRunArray(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		src := func(ret string) string {
			return ".license \"GPL\"\n.program p kprobe/f\n\tr0 = " + ret + " ll\n\texit\n"
		}
		var links []*runtime.Link
		for _, ret := range []string{"7", "3", "0x100000001"} {
			c := load(t, rt, assemble(t, src(ret)))
			l, err := rt.Attach(c.Program("p"), "")
			if err != nil {
				t.Fatal(err)
			}
			links = append(links, l)
		}
		rt.SetStats(true)
		f := fire(t, rt, "kprobe:f", &runtime.Kprobe{})
		if f.Ret != 1 || len(f.Results) != 3 || f.Results[0].R0 != 7 {
			t.Errorf("ret %d of %d results", f.Ret, len(f.Results))
		}
		links[2].Detach()
		links[2].Detach()
		if f := fire(t, rt, "kprobe:f", &runtime.Kprobe{}); f.Ret != 1 || len(f.Results) != 2 {
			t.Errorf("after detach: ret %d of %d results", f.Ret, len(f.Results))
		}
		n0, ns := links[0].Program().Stats()
		n2, _ := links[2].Program().Stats()
		if n0 != 2 || ns != 4 || n2 != 1 {
			t.Errorf("statistics %d runs, %d ns; %d runs", n0, ns, n2)
		}
		if f := fire(t, rt, "kprobe:nothing", &runtime.Kprobe{}); f.Results != nil {
			t.Error("something ran at a hook without programs")
		}
		if _, err := rt.Fire("uhook:x", &runtime.Kprobe{}); !errors.Is(err, runtime.ErrNoHook) {
			t.Errorf("unknown hook: %v", err)
		}
	})
}

func TestAttachRules(t *testing.T) {
	rt := newRuntime(t, runtime.Options{})
	c := load(t, rt, assemble(t, ".program a xdp\n\tr0 = 2\n\texit\n.program b xdp\n\tr0 = 1\n\texit\n"))
	if _, err := rt.Attach(c.Program("a"), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := rt.Attach(c.Program("b"), ""); !errors.Is(err, spec.EBUSY) {
		t.Errorf("second XDP program: %v", err)
	}
	if _, err := rt.Attach(c.Program("b"), "kprobe:f"); !errors.Is(err, spec.EINVAL) {
		t.Errorf("XDP program on a kprobe: %v", err)
	}
	if _, err := c.Program("a").Run(&runtime.Kprobe{}); err == nil || !strings.Contains(err.Error(), "of type xdp does not run on a kprobe") {
		t.Errorf("wrong input: %v", err)
	}
	if _, err := c.Program("a").Run(&runtime.XDP{Data: eth(64), CPU: 1}); err == nil {
		t.Error("a CPU that does not exist")
	}
}

// tc programs run until one decides, and each sees what the one before left.
func TestTCChain(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := load(t, rt, assemble(t, `
.program first tc
	r2 = *(u32 *)(r1 +76)
	r3 = *(u32 *)(r1 +80)
	r4 = r2
	r4 += 1
	if r4 > r3 goto out
	*(u8 *)(r2 +0) = 0xee
out:
	w0 = -1
	exit
.program second tc
	r2 = *(u32 *)(r1 +76)
	r3 = *(u32 *)(r1 +80)
	r4 = r2
	r4 += 1
	w0 = 0
	if r4 > r3 goto out
	r0 = *(u8 *)(r2 +0)
out:
	exit
.program third tc
	r0 = 0
	exit
`))
		if _, err := c.AttachAll(); err != nil {
			t.Fatal(err)
		}
		f := fire(t, rt, "tc", &runtime.SKB{Data: eth(60)})
		if len(f.Results) != 2 || f.Ret != 0xee {
			t.Errorf("%d results, ret %#x", len(f.Results), f.Ret)
		}
	})
}

func TestPerfEvent(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := load(t, rt, assemble(t, `
.license "GPL"
.program p perf_event
	r0 = *(u64 *)(r1 +128)   ; ip
	r2 = *(u64 *)(r1 +168)   ; sample_period
	r0 += r2
	r2 = *(u64 *)(r1 +176)   ; addr
	r0 += r2
	exit`))
		res, err := c.Program("p").Run(&runtime.PerfEvent{Regs: runtime.PtRegs{IP: 100}, Period: 20, Addr: 3})
		if err != nil || res.Trap != nil || res.R0 != 123 {
			t.Errorf("r0 %d, %v %v", res.R0, err, res.Trap)
		}
	})
}

// Registers are found by every name that tools use for them.
func TestRegNames(t *testing.T) {
	var r runtime.PtRegs
	for _, names := range [][]string{{"di", "rdi", "arg1"}, {"cx", "arg4"}, {"r8", "arg5"}, {"ax", "rax", "ret"}, {"ip", "rip"}, {"flags"}} {
		for _, name := range names {
			if r.Reg(name) == nil || r.Reg(name) != r.Reg(names[0]) {
				t.Errorf("%s is not %s", name, names[0])
			}
		}
	}
	for _, name := range []string{"", "r", "rr8", "r16", "arg7", "rflagsx", "x"} {
		if r.Reg(name) != nil {
			t.Errorf("%q is a register", name)
		}
	}
}

// Two runtimes with the same input give the same output, whatever the engine.
func TestDeterminism(t *testing.T) {
	run := func(e vm.Engine, seed uint64) string {
		rt := newRuntime(t, runtime.Options{Engine: e, Seed: seed, CPUs: 2})
		rt.Clock.Step = 7
		c := load(t, rt, assemble(t, `
.license "GPL"
.program p kprobe/f
	call bpf_get_prandom_u32
	r6 = r0
	call bpf_ktime_get_ns
	r6 <<= 32
	r0 |= r6
	exit`))
		var out []string
		for i := range 6 {
			res, err := c.Program("p").Run(&runtime.Kprobe{CPU: i % 2})
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%x", res.R0))
		}
		return strings.Join(out, " ")
	}
	want := "7a09dde600000000 81a4831a00000007 2f5dc640000000e 75233ea700000015 b96a9f850000001c d359ef2c00000023"
	if got := run(engines[0], 7); got != want {
		t.Errorf("random numbers and times of seed 7 have changed: %s", got)
	}
	if run(engines[0], 7) != run(engines[1], 7) || run(engines[0], 7) == run(engines[0], 8) {
		t.Error("engines differ, or seeds do not")
	}
}
