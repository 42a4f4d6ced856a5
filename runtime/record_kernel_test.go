package runtime_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// What arrives in user space is the same, over many runs in which the ring buffer
// wraps around.
func TestRecordsLikeKernel(t *testing.T) {
	fill := "\tr1 = 0x1122334455667788 ll\n\t*(u64 *)(r10 -24) = r1\n\tr1 = *(u32 *)(r6 +4)\n\tr2 = *(u32 *)(r6 +0)\n\tr1 -= r2\n\t*(u64 *)(r10 -16) = r1\n\tr0 = 0"
	out := func(size, flags int) string {
		return fmt.Sprintf("\tr1 = map[ev]\n\tr2 = r10\n\tr2 += -24\n\tr3 = %d\n\tr4 = %d\n\tcall bpf_ringbuf_output", size, flags)
	}
	reserve := func(n, size int, end string) string {
		return fmt.Sprintf("\tr1 = map[ev]\n\tr2 = %d\n\tr3 = 0\n\tcall bpf_ringbuf_reserve\n\tif r0 == 0 goto full%d\n\tr1 = *(u64 *)(r10 -16)\n\t*(u64 *)(r0 +0) = r1\n\t*(u64 *)(r0 +%d) = r1\n\tr1 = r0\n\tr2 = 1\n\tcall bpf_ringbuf_%s\n\tr0 = 1\nfull%d:", size, n, (size-8)/8*8, end, n)
	}
	var frames [][]byte
	for i := range 60 {
		frames = append(frames, eth(40+i*5))
	}
	perf := func(flags int64, size int) string { return perfCall("r6", flags, size) }
	const current = 1<<32 - 1
	tests := []struct {
		name, section, head string
		steps               []string
	}{
		{"ringbuf", "xdp", ".map ev type=ringbuf key=0 value=0 max_entries=4096", []string{
			fill, out(1, 0), out(16, 1), reserve(0, 200, "submit"), reserve(1, 72, "discard"), out(3, 2), reserve(2, 333, "submit"),
			out(0, 0), reserve(3, 1000, "submit"), out(24, 0), reserve(4, 2400, "submit"), out(9, 0),
		}},
		{"perf_xdp", "xdp", ".map ev type=perf_event_array key=4 value=4 max_entries=0", []string{
			fill, perf(current, 8), perf(0, 1), perf(1, 8), perf(current, 13), perf(20<<32|current, 8), perf(39<<32|current, 3), perf(40<<32, 12), perf(200<<32, 12), perf(7, 7),
		}},
		{"perf_tc", "tc", ".map ev type=perf_event_array key=4 value=4 max_entries=0", []string{
			"\tr1 = 5\n\t*(u64 *)(r10 -24) = r1\n\tr0 = 0", perf(current, 8), perf(20<<32|current, 8), perf(40<<32, 12), perf(200<<32, 12),
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cs := assemble(t, packetProg(tt.section, tt.head, tt.steps...))
			job := jobFor(cs, frames...)
			job.Read = true
			answer := askKernel(t, job)
			if answer.LoadErr != "" {
				t.Fatalf("kernel: %s", answer.LoadErr)
			}
			for _, engine := range engines {
				rt := newRuntime(t, runtime.Options{Engine: engine, CPUs: answer.CPUs})
				c := load(t, rt, cs)
				for i, frame := range frames {
					var in runtime.Input = &runtime.XDP{Data: frame}
					if tt.section == "tc" {
						in = &runtime.SKB{Data: frame}
					}
					res, err := c.Programs()[0].Run(in)
					if err != nil || res.Trap != nil {
						t.Fatal(err, res.Trap)
					}
					var got, want []string
					for _, r := range res.Records {
						got = append(got, fmt.Sprintf("%x", r.Data))
					}
					for j, r := range answer.Runs[i].Records {
						if tt.name != "ringbuf" && j < len(res.Records) {
							r = unpad(r, len(res.Records[j].Data))
						}
						want = append(want, fmt.Sprintf("%x", r))
					}
					if strings.Join(got, "\n") != strings.Join(want, "\n") {
						t.Fatalf("%s: frame %d of %d bytes:\n%s\nkernel\n%s", engine.Name(), i, len(frame), strings.Join(got, "\n"), strings.Join(want, "\n"))
					}
				}
				for i, m := range c.Maps() {
					if m.Spec().Type != spec.MapArray {
						continue
					}
					for k, v := range runtime.All(m) {
						if want := answer.Elems[i][string(k)]; !bytes.Equal(v, want) {
							t.Errorf("%s: result of step %x: %x, kernel %x", engine.Name(), k, v, want)
						}
					}
				}
			}
		})
	}
}

// unpad takes off what perf adds so that record and length fill words of 8 bytes.
func unpad(rec []byte, size int) []byte {
	if len(rec) == (size+4+7)&^7-4 {
		return rec[:size]
	}
	return rec
}

func TestGlobTargets(t *testing.T) {
	rt := newRuntime(t, runtime.Options{})
	for _, section := range []string{"kprobe.multi/tcp_*", "kprobe/tcp_v4_rcv", "kprobe.multi/*_v?_rcv", "kprobe.multi/udp*"} {
		c := load(t, rt, assemble(t, ".program p \""+section+"\"\n\tr0 = 1\n\texit\n"))
		if _, err := c.AttachAll(); err != nil {
			t.Fatal(err)
		}
	}
	for target, want := range map[string]int{
		"kprobe:tcp_v4_rcv": 3, "kprobe:udp_v6_rcv": 2, "kprobe:tcp_close": 1, "kprobe:tc": 0, "kretprobe:tcp_close": 0,
	} {
		if f := fire(t, rt, target, &runtime.Kprobe{}); len(f.Results) != want {
			t.Errorf("%s: %d programs ran, want %d", target, len(f.Results), want)
		}
	}
}
