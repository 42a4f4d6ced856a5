package runtime_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/types"
	"bpfvm/vm"
)

// args gives the default words of a traced function's arguments.
func args(t *testing.T, rt *runtime.Runtime, hook, name string) []uint64 {
	t.Helper()
	sig, err := rt.Signature(hook, name)
	if err != nil {
		t.Fatal(err)
	}
	words, err := rt.DefaultArgs(sig)
	if err != nil {
		t.Fatal(err)
	}
	return words
}

// field is where a structure of the target keeps a field.
func field(t *testing.T, name, path string) uint32 {
	t.Helper()
	target, err := types.Target()
	if err != nil {
		t.Fatal(err)
	}
	off, _, err := types.FieldOffset(target, name, path)
	if err != nil {
		t.Fatal(err)
	}
	return off
}

// TestTracingContext: arguments are words, the result stands behind them, and
// programs that run before the function has one do not see it.
func TestTracingContext(t *testing.T) {
	const third = "\tr0 = *(u64 *)(r1 +16)\n\texit\n"
	tests := []struct{ section, want string }{
		{"fexit/do_unlinkat", "77"}, {"fmod_ret/do_unlinkat", "77"}, {"lsm/inode_getattr", "trap"}, {"fentry/do_unlinkat", "trap"},
	}
	for _, tt := range tests {
		t.Run(tt.section, func(t *testing.T) {
			onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
				c := load(t, rt, assemble(t, ".license \"GPL\"\n.program p "+tt.section+"\n"+third))
				res, err := c.Program("p").Run(&runtime.Tracing{Args: []uint64{1, 2}, Ret: 77})
				if err != nil {
					t.Fatal(err)
				}
				got := "77"
				if res.Trap != nil {
					got = "trap"
				} else if res.R0 != 77 {
					t.Errorf("r0 = %d", res.R0)
				}
				if got != tt.want {
					t.Errorf("got %s, want %s: %v", got, tt.want, res.Trap)
				}
			})
		})
	}
}

// TestTypedPointers: loads through typed kernel pointers read foreign memory, and
// give zero where there is nothing, also through NULL; a pointer that came from
// elsewhere traps.
func TestTypedPointers(t *testing.T) {
	tgid, parent := field(t, "task_struct", "tgid"), field(t, "task_struct", "real_parent")
	src := strings.NewReplacer("TGID", num(tgid), "PARENT", num(parent)).Replace(`
.license "GPL"
.program own tp_btf/sched_process_exit
	r6 = *(u64 *)(r1 +0)
	r0 = *(u32 *)(r6 +TGID)
	exit
.program parent tp_btf/sched_process_exit
	r6 = *(u64 *)(r1 +0)
	*(u64 *)(r10 -8) = r6
	r7 = *(u64 *)(r10 -8)
	call read_parent
	exit
read_parent:
	r1 = *(u64 *)(r7 +PARENT)
	r0 = *(u32 *)(r1 +TGID)
	exit
.program null tp_btf/sched_process_exit
	r6 = *(u64 *)(r1 +0)
	r6 = *(u64 *)(r6 +8)
	r0 = *(u32 *)(r6 +TGID)
	exit
.program wild tp_btf/sched_process_exit
	r6 = 0xffff888100000000 ll
	r0 = *(u32 *)(r6 +0)
	exit
`)
	src = strings.Replace(src, "call read_parent\n\texit\nread_parent:\n", "", 1)
	for _, e := range engines {
		t.Run(e.Name(), func(t *testing.T) {
			rt := newRuntime(t, runtime.Options{Engine: e})
			rt.SetTask(runtime.Task{PID: 1, Comm: "init"})
			rt.SetTask(runtime.Task{PID: 43, TGID: 42, ParentPID: 1})
			c := load(t, rt, assemble(t, src))
			in := &runtime.RawTracepoint{Args: args(t, rt, "tp_btf", "sched_process_exit")}
			for name, want := range map[string]uint64{"own": 42, "parent": 1, "null": 0} {
				res, err := c.Program(name).Run(in)
				if err != nil || res.Trap != nil || res.R0 != want {
					t.Errorf("%s: r0 = %d, want %d (%v, %v)", name, res.R0, want, res.Trap, err)
				}
			}
			res, err := c.Program("wild").Run(in)
			if err != nil || res.Trap == nil || res.Trap.Kind != vm.TrapMemory {
				t.Errorf("a number is followed: %v, %v", res.Trap, err)
			}
		})
	}
}

// TestIterator: the context is the kernel's, and what is written to the seq_file
// comes out.
func TestIterator(t *testing.T) {
	src := strings.ReplaceAll(`
.license "GPL"
.program p iter/task
	r6 = *(u64 *)(r1 +0)
	r6 = *(u64 *)(r6 +0)
	r7 = *(u64 *)(r1 +8)
	if r7 == 0 goto out
	r7 = *(u32 *)(r7 +PID)
	*(u8 *)(r10 -8) = 0x70
	r7 += 0x30
	*(u8 *)(r10 -7) = r7
	r1 = r6
	r2 = r10
	r2 += -8
	r3 = 2
	call bpf_seq_write
	r0 = 0
out:
	r0 = 0
	exit
`, "PID", num(field(t, "task_struct", "pid")))
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		rt.SetTask(runtime.Task{PID: 7})
		c := load(t, rt, assemble(t, src))
		res, err := c.Program("p").Run(&runtime.Iter{})
		if err != nil || res.Trap != nil || string(res.Output) != "p7" {
			t.Errorf("wrote %q (%v, %v)", res.Output, res.Trap, err)
		}
		if res, err = c.Program("p").Run(&runtime.Iter{Args: map[string]uint64{"task": 0}}); err != nil || res.Output != nil {
			t.Errorf("the end of the iteration wrote %q (%v)", res.Output, err)
		}
		if _, err = c.Program("p").Run(&runtime.Iter{Args: map[string]uint64{"tsk": 0}}); err == nil {
			t.Error("a field that there is not is taken")
		}
	})
}

// TestWritableRawTracepoint: the first argument is a buffer.
func TestWritableRawTracepoint(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := load(t, rt, assemble(t, `
.license "GPL"
.program p raw_tp.w/bpf_testmod_test_writable_bare_tp
	r2 = *(u64 *)(r1 +0)
	r0 = *(u32 *)(r2 +4)
	*(u32 *)(r2 +0) = 9
	exit
`))
		res, err := c.Program("p").Run(&runtime.RawTracepoint{Buffer: []byte{1, 2, 3, 4, 5, 0, 0, 0}})
		if err != nil || res.Trap != nil || res.R0 != 5 || binary.LittleEndian.Uint32(res.Output) != 9 {
			t.Errorf("r0 = %d, buffer %x (%v, %v)", res.R0, res.Output, res.Trap, err)
		}
	})
}

// TestTracingArray: fmod_ret and lsm stop at the first error, fexit programs all run
// and see the function's result.
func TestTracingArray(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := load(t, rt, assemble(t, `
.license "GPL"
.program a fmod_ret/do_unlinkat
	r0 = 0
	exit
.program b fmod_ret/do_unlinkat
	r0 = -1
	exit
.program c fmod_ret/do_unlinkat
	r0 = 0
	exit
.program x fexit/do_unlinkat
	r0 = *(u64 *)(r1 +16)
	exit
.program y fexit/do_unlinkat
	r0 = *(u64 *)(r1 +16)
	exit
`))
		if _, err := c.AttachAll(); err != nil {
			t.Fatal(err)
		}
		f, err := rt.Fire("fmod_ret:do_unlinkat", &runtime.Tracing{})
		if err != nil || len(f.Results) != 2 || int32(f.Ret) != -1 {
			t.Errorf("fmod_ret: %d programs ran, result %d (%v)", len(f.Results), int32(f.Ret), err)
		}
		f, err = rt.Fire("fexit:do_unlinkat", &runtime.Tracing{Ret: 5})
		if err != nil || len(f.Results) != 2 || f.Results[0].R0 != 5 || f.Results[1].R0 != 5 {
			t.Errorf("fexit: %+v (%v)", f.Results, err)
		}
	})
}

// TestTracingTypes: a program only takes the input of its own kind of hook.
func TestTracingTypes(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := load(t, rt, assemble(t, `
.license "GPL"
.program it iter/task
	r0 = 0
	exit
.program fe fentry/do_unlinkat
	r0 = 0
	exit
`))
		for name, in := range map[string]runtime.Input{
			"it": &runtime.Tracing{}, "fe": &runtime.Iter{},
		} {
			if _, err := c.Program(name).Run(in); err == nil {
				t.Errorf("%s runs on %T", name, in)
			}
		}
		if _, err := c.Program("fe").Run(&runtime.RawTracepoint{}); err == nil {
			t.Error("fe runs on a tracepoint")
		}
		if _, err := c.Program("fe").Run(&runtime.Context{Type: spec.ProgSockOps}); err == nil {
			t.Error("fe runs on a socket")
		}
	})
}

func num(v uint32) string { return fmt.Sprint(v) }

// TestTracepointArray: programs with and without types run on one hit of a
// tracepoint, in the order of attaching: that of
// sections here.
func TestTracepointArray(t *testing.T) {
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		c := load(t, rt, assemble(t, `
.license "GPL"
.program a raw_tp/sys_enter
	r0 = *(u64 *)(r1 +8)
	exit
.program b tp_btf/sys_enter
	r0 = *(u64 *)(r1 +8)
	exit
.program c raw_tp/sys_enter
	r0 = *(u64 *)(r1 +8)
	exit
`))
		if _, err := c.AttachAll(); err != nil {
			t.Fatal(err)
		}
		for _, target := range []string{"tp_btf:sys_enter", "raw_tracepoint:sys_enter"} {
			f, err := rt.Fire(target, &runtime.RawTracepoint{Args: []uint64{0, 59}})
			var ran strings.Builder
			for _, r := range f.Results {
				ran.WriteString(fmt.Sprint(r.Prog.Name(), r.R0, " "))
			}
			if err != nil || ran.String() != "a59 c59 b59 " {
				t.Errorf("%s: %s(%v)", target, ran.String(), err)
			}
		}
	})
}
