package runtime_test

import (
	"testing"

	"bpfvm/elf"
	"bpfvm/interp"
	"bpfvm/runtime"
	"bpfvm/spec"
)

// allocFree are programs whose runs on the fast loop must not allocate: those of the
// benchmarks, and others that use the common maps and helpers.
var allocFree = []struct {
	object, prog string
	frame        string // a capture, for packet programs
}{
	{"bench/alu.bpf.o", "chain64", "bench/packets.pcap"},
	{"bench/alu.bpf.o", "mix32", "bench/packets.pcap"},
	{"bench/alu.bpf.o", "empty", "bench/packets.pcap"},
	{"bench/bytes.bpf.o", "checksum", "bench/packets.pcap"},
	{"bench/bytes.bpf.o", "sort", "bench/packets.pcap"},
	{"bench/bytes.bpf.o", "crc32", "bench/packets.pcap"},
	{"bench/bytes.bpf.o", "siphash", "bench/packets.pcap"},
	{"bench/parse.bpf.o", "parse", "bench/packets.pcap"},
	{"bench/calls.bpf.o", "", "bench/packets.pcap"},
	{"xdp/firewall.bpf.o", "", "xdp/packets.pcap"},
	{"skb/tc.bpf.o", "", "xdp/packets.pcap"},
	{"kmem/kmem_modern.bpf.o", "on_alloc", ""},
	{"trace/globals.bpf.o", "", ""},
	{"trace/task.bpf.o", "on_unlink", ""},
}

// A run on a machine that is there already takes no memory from Go's heap, helpers
// and maps included; only what leaves the machine, trace lines and records, does.
func TestRunsDoNotAllocate(t *testing.T) {
	for _, tt := range allocFree {
		cs, err := elf.Load("../testdata/"+tt.object, elf.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range cs.Programs {
			if tt.prog != "" && p.Name != tt.prog {
				continue
			}
			t.Run(tt.object+":"+p.Name, func(t *testing.T) {
				rt := newRuntime(t, runtime.Options{Engine: interp.Fast})
				rt.SetTask(runtime.Task{PID: 42, Comm: "bash"})
				prog := load(t, rt, cs, p.Name).Program(p.Name)
				runner, err := prog.Func()
				if err != nil {
					t.Fatal(err)
				}
				sess, err := prog.Begin(allocInput(t, prog, tt.frame))
				if err != nil {
					t.Fatal(err)
				}
				m := sess.Machine()
				run := func() {
					m.Reset()
					if _, err := runner.Run(m, sess.Ctx()); err != nil {
						t.Fatal(err)
					}
				}
				run() // elements that do not exist yet are made
				if n := testing.AllocsPerRun(20, run); n != 0 {
					t.Errorf("%v allocations", n)
				}
			})
		}
	}
}

func allocInput(t *testing.T, p *runtime.Program, capture string) runtime.Input {
	switch p.Type() {
	case spec.ProgXDP:
		return &runtime.XDP{Data: frames(t, capture)[1]}
	case spec.ProgSchedCls:
		return &runtime.SKB{Data: frames(t, capture)[1]}
	case spec.ProgTracepoint:
		return &runtime.Tracepoint{Record: make([]byte, 512)}
	case spec.ProgRawTracepoint:
		return &runtime.RawTracepoint{Args: make([]uint64, 3)}
	}
	return &runtime.Kprobe{Regs: runtime.PtRegs{DI: 0xffff888000001000, AX: 0xffff888000001000}}
}
