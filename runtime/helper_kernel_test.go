package runtime_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// helperCase is a program that runs here and in the kernel: results, packets,
// contexts and maps must be equal.
type helperCase struct {
	name string
	src  string // assembler; the program's section chooses its type
	in   [][]byte
}

// eth is a frame of n bytes that counts up.
func eth(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// syscallProg makes one program out of calls: each result goes to *(u64 *)(r9 + 8*i)
// with r9 the context of a syscall program.
func syscallProg(head string, steps ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".license \"GPL\"\n%s\n.bss buf\n.zero 512\n.program prog syscall\n\tr9 = r1\n", head)
	for i, s := range steps {
		fmt.Fprintf(&b, "%s\n\t*(u64 *)(r9 +%d) = r0\n", s, 8*i)
	}
	b.WriteString("\tr0 = 0\n\texit\n")
	return b.String()
}

// packetProg is the same for packet programs: results are stored in an array map.
func packetProg(section, head string, steps ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".license \"GPL\"\n.map out type=array key=4 value=8 max_entries=%d\n%s\n.program prog %s\n\tr6 = r1\n", len(steps), head, section)
	for i, s := range steps {
		fmt.Fprintf(&b, `%s
	*(u64 *)(r10 -8) = r0
	*(u32 *)(r10 -12) = %d
	r1 = map[out]
	r2 = r10
	r2 += -12
	r3 = r10
	r3 += -8
	r4 = 0
	call bpf_map_update_elem
`, s, i)
	}
	b.WriteString("\tr0 = 2\n\texit\n")
	return b.String()
}

func TestHelpersLikeKernel(t *testing.T) { runCases(t, helperCases()) }

// runCases holds programs against the kernel, on every engine.
func runCases(t *testing.T, cases []helperCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) { likeKernel(t, assemble(t, tt.src), tt.in...) })
	}
}

// likeKernel runs the one program of a collection here and in the kernel.
func likeKernel(t *testing.T, cs *spec.CollectionSpec, in ...[]byte) {
	t.Helper()
	answer := askKernel(t, jobFor(cs, in...))
	if answer.LoadErr != "" {
		t.Fatalf("kernel: %s", answer.LoadErr)
	}
	for _, engine := range engines {
		rt := newRuntime(t, runtime.Options{Engine: engine, CPUs: answer.CPUs, KeepRecords: true})
		c := load(t, rt, cs)
		p := c.Programs()[0]
		for _, m := range c.Maps() {
			if m, ok := m.(*runtime.PerfEventArray); ok { // the kernel's has no events
				for i := range rt.CPUs() {
					_ = m.Delete([]byte{byte(i), 0, 0, 0})
				}
			}
		}
		for i, b := range in {
			checkRun(t, engine.Name(), p, b, answer.Runs[i])
		}
		for i, m := range c.Maps() {
			switch m.Spec().Type {
			case spec.MapRingBuf, spec.MapProgArray, spec.MapPerfEventArray, spec.MapArrayOfMaps, spec.MapHashOfMaps:
				continue // nothing, or numbers that differ
			}
			got := map[string][]byte{}
			for k, v := range runtime.All(m) {
				got[string(k)] = v
			}
			if diff := cmp.Diff(hexMap(answer.Elems[i]), hexMap(got)); diff != "" {
				t.Errorf("%s: map %s: -kernel +ours\n%s", engine.Name(), m.Name(), diff)
			}
		}
	}
}

func checkRun(t *testing.T, engine string, p *runtime.Program, in []byte, want kernelRun) {
	t.Helper()
	var input runtime.Input
	switch p.Type() {
	case spec.ProgXDP:
		input = &runtime.XDP{Data: in}
	case spec.ProgSyscall:
		input = &runtime.Syscall{Ctx: in}
	default:
		// The loopback device's address is zero: the frames are for others.
		const otherHost = 3 // PACKET_OTHERHOST
		input = &runtime.SKB{Data: in, PktType: otherHost}
		if p.Type() == spec.ProgSocketFilter { // BPF_PROG_TEST_RUN hides the Ethernet header
			input = &runtime.SKB{Data: in[14:], Protocol: uint16(in[12])<<8 | uint16(in[13]), PktType: otherHost}
		}
	}
	res, err := p.Run(input)
	if err != nil || res.Trap != nil {
		t.Fatalf("%s: %v %v; kernel: r0 %d %s", engine, err, res.Trap, want.R0, want.Err)
	}
	out := res.Packet
	switch p.Type() {
	case spec.ProgSyscall:
		out = res.Ctx
	case spec.ProgSocketFilter:
		out = append(make([]byte, 14), out...) // and puts zeroes there
	default:
		out = append(res.Meta, out...)
	}
	if uint32(res.R0) != want.R0 || want.Err != "" {
		t.Errorf("%s: r0 %#x, kernel %#x %s", engine, uint32(res.R0), want.R0, want.Err)
	}
	if !bytes.Equal(out, want.Out) {
		t.Errorf("%s: %d bytes in: out\n%s\nkernel\n%s", engine, len(in), words(out), words(want.Out))
	}
}

func hexMap(m map[string][]byte) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%x: %x", k, m[k]))
	}
	return out
}

// words prints memory as signed numbers, so that error numbers can be read.
func words(b []byte) string {
	if len(b) > 512 {
		return hex.Dump(b[:64]) + "..."
	}
	var s strings.Builder
	for i := 0; i+8 <= len(b); i += 8 {
		fmt.Fprintf(&s, "%3d: %d (%#x)\n", i/8, int64(binary.LittleEndian.Uint64(b[i:])), b[i:i+8])
	}
	if n := len(b) % 8; n > 0 {
		fmt.Fprintf(&s, "     %x", b[len(b)-n:])
	}
	return s.String()
}
