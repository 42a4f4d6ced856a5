package runtime_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// Callbacks run in frames of their own; the kernel wants BTF for them, which the
// assembler does not make.
func TestCallbacks(t *testing.T) {
	src := `
.license "GPL"
.map m type=%s key=4 value=8 max_entries=4
.program p xdp
	*(u64 *)(r10 -8) = 0
	r6 = 1
fill:
	*(u32 *)(r10 -12) = r6
	*(u64 *)(r10 -24) = r6
	r1 = map[m]
	r2 = r10
	r2 += -12
	r3 = r10
	r3 += -24
	r4 = 0
	call bpf_map_update_elem
	r6 += 1
	if r6 < 4 goto fill
	r1 = map[m]
	r2 = func[each]
	r3 = r10
	r3 += -8
	r4 = 0
	call bpf_for_each_map_elem
	r6 = r0
	r1 = %d
	r2 = func[body]
	r3 = r10
	r3 += -8
	r4 = %d
	call bpf_loop
	r6 *= 1000
	r0 += r6
	r1 = *(u64 *)(r10 -8)
	r1 *= 1000000
	r0 += r1
	exit
.section ".text"
.func each static
	r1 = *(u64 *)(r3 +0)
	r2 = *(u64 *)(r4 +0)
	r2 += r1
	*(u64 *)(r4 +0) = r2
	r0 = 0
	exit
.func body static
	r0 = 0
	if r1 != 50 goto out
	r0 = 1
out:
	exit
`
	tests := []struct {
		typ      string
		n, flags int64
		want     int64
	}{
		{"hash", 0, 0, 6_003_000}, {"hash", 10, 0, 6_003_010}, {"hash", 100, 0, 6_003_051},
		{"array", 5, 0, 6_004_005}, {"percpu_array", 5, 0, 6_004_005}, {"percpu_hash", 5, 0, 6_003_005},
		{"hash", 5, 1, 6_003_000 - 22}, {"hash", 8<<20 + 1, 0, 6_003_000 - 7},
	}
	for _, tt := range tests {
		onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
			c := load(t, rt, assemble(t, fmt.Sprintf(src, tt.typ, tt.n, tt.flags)))
			res, err := c.Program("p").Run(&runtime.XDP{Data: eth(64)})
			if err != nil || res.Trap != nil || int64(res.R0) != tt.want {
				t.Errorf("%+v: r0 %d, %v %v", tt, res.R0, err, res.Trap)
			}
		})
	}
}

// What the kernel has no test run for: the clock, cookies, addresses and pid
// namespaces as kprobes see them.
func TestTracingHelpers(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		rt.Clock = runtime.Clock{Now: 10_000_001, Step: 3, Boot: 1000, TAI: 37e9}
		rt.SetTask(runtime.Task{PID: 5, TGID: 4, UID: 1000, GID: 100, Comm: "sh", CgroupID: 77, PIDNSDev: 3, PIDNSIno: 0x1000})
		c := load(t, rt, assemble(t, `
.license "GPL"
.bss out
.zero 128
.program p kprobe/f
	r6 = data[out]
	call bpf_ktime_get_ns
	*(u64 *)(r6 +0) = r0
	call bpf_ktime_get_boot_ns
	*(u64 *)(r6 +8) = r0
	call bpf_ktime_get_tai_ns
	*(u64 *)(r6 +24) = r0
	call bpf_jiffies64
	*(u64 *)(r6 +32) = r0
	r1 = data[out]
	call bpf_get_current_pid_tgid
	*(u64 *)(r6 +40) = r0
	call bpf_get_current_uid_gid
	*(u64 *)(r6 +48) = r0
	call bpf_get_current_cgroup_id
	*(u64 *)(r6 +56) = r0
	r1 = 3
	r2 = 0x1000
	r3 = r6
	r3 += 64
	r4 = 8
	call bpf_get_ns_current_pid_tgid
	*(u64 *)(r6 +72) = r0
	r1 = 3
	r2 = 0x1001
	r3 = r6
	r3 += 80
	r4 = 8
	call bpf_get_ns_current_pid_tgid
	*(u64 *)(r6 +88) = r0
	r0 = 0
	exit
.program q kprobe/f
	r6 = r1
	call bpf_get_func_ip
	r7 = r0
	r1 = r6
	call bpf_get_attach_cookie
	r0 += r7
	exit`))
		links, err := c.AttachAll()
		if err != nil {
			t.Fatal(err)
		}
		links[1].Cookie = 7
		f := fire(t, rt, "kprobe:f", &runtime.Kprobe{Entry: 0xffffffff81000000, Regs: runtime.PtRegs{IP: 1}})
		if got := f.Results[1].R0; got != 0xffffffff81000007 {
			t.Errorf("func_ip + cookie = %#x", got)
		}
		got, err := c.Map(".bss").Lookup(le32(0))
		if err != nil {
			t.Fatal(err)
		}
		want := []uint64{10_000_001, 10_001_004, 0, 37_010_000_007, 1<<32 - 300*250 + 2, 4<<32 | 5, 100<<32 | 1000, 77, 4<<32 | 5, 0, 0, spec.EINVAL.Ret()}
		for i, w := range want {
			if v := binary.LittleEndian.Uint64(got[8*i:]); v != w {
				t.Errorf("value %d: %d, want %d", i, v, w)
			}
		}
	})
}

func TestCoarseClock(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		rt.Clock = runtime.Clock{Now: 10_000_001, Step: 3}
		c := load(t, rt, assemble(t, ".license \"GPL\"\n.program p xdp\n\tcall bpf_ktime_get_coarse_ns\n\texit\n"))
		res, err := c.Program("p").Run(&runtime.XDP{Data: eth(64)})
		if err != nil || res.R0 != 8_000_000 || rt.Clock.Now != 10_000_001 {
			t.Errorf("%d, %v", res.R0, err)
		}
	})
}

// Without the runtime as the consumer buffers fill up, and what does not fit is
// lost.
func TestFullBuffers(t *testing.T) {
	onEngines(t, runtime.Options{KeepRecords: true}, func(t *testing.T, rt *runtime.Runtime) {
		c := load(t, rt, assemble(t, `
.license "GPL"
.map ev type=perf_event_array key=4 value=4 max_entries=0
.map rb type=ringbuf key=0 value=0 max_entries=4096
.bss buf
.zero 32768
.program p kprobe/f
	r2 = map[ev]
	r3 = 0xffffffff ll
	r4 = data[buf]
	r5 = 32768
	call bpf_perf_event_output
	r6 = r0
	r1 = map[rb]
	r2 = data[buf]
	r3 = 1000
	r4 = 0
	call bpf_ringbuf_output
	r0 += r6
	exit`))
		ev, rb := c.Map("ev").(*runtime.PerfEventArray), c.Map("rb").(*runtime.RingBuf)
		var got []int64
		run := func() {
			res, err := c.Program("p").Run(&runtime.Kprobe{})
			if err != nil || res.Trap != nil || res.Records != nil {
				t.Fatal(err, res.Trap)
			}
			got = append(got, int64(res.R0))
		}
		for range 9 {
			run()
		}
		// 7 of 32,784 bytes fit into 256 KiB, 4 of 1,008 bytes into 4 KiB.
		want := []int64{0, 0, 0, 0, -11, -11, -11, -28 - 11, -28 - 11}
		if diff := cmp.Diff(want, got); diff != "" || ev.Lost() != 2 {
			t.Errorf("lost %d; -want +got\n%s", ev.Lost(), diff)
		}
		if n, m := len(ev.Drain()), len(rb.Drain()); n != 7 || m != 4 {
			t.Errorf("%d and %d records", n, m)
		}
		got = nil
		run()
		if got[0] != 0 {
			t.Errorf("after draining: %d", got[0])
		}
		if err := ev.Delete(le32(0)); err != nil {
			t.Error(err)
		}
		if run(); got[1] != -2 {
			t.Errorf("closed event: %d", got[1])
		}
		if err := ev.Open(0); err != nil {
			t.Error(err)
		}
		if run(); got[2] != 0 {
			t.Errorf("opened again: %d", got[2])
		}
	})
}
