package kernel

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/pcapgo"

	"bpfvm/elf"
	"bpfvm/isa"
	"bpfvm/spec"
)

func TestMain(m *testing.M) {
	registerHooks()
	WorkerMain()
	os.Exit(m.Run())
}

// start starts a kernel, or skips the test where there is none to ask.
func start(t testing.TB, opts Options) *Kernel {
	t.Helper()
	k, err := Start(t.Context(), opts)
	if _, ok := errors.AsType[*PrivilegeError](err); ok || errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// need618 skips where texts and counts of Linux 6.18 are not to be expected.
func need618(t testing.TB) {
	t.Helper()
	if release := release(); !strings.HasPrefix(release, "6.18.") {
		t.Skipf("expects what Linux 6.18 says; the running kernel is %q", release)
	}
}

func release() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(b))
}

func object(t testing.TB, path string) *spec.CollectionSpec {
	t.Helper()
	c, err := elf.Load(filepath.Join("..", "testdata", path), elf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// assembled makes a collection of programs written in assembly.
func assembled(t testing.TB, src string) *spec.CollectionSpec {
	t.Helper()
	u, err := isa.Assemble("test.s", []byte(src), isa.Options{HelperID: func(name string) (int32, bool) {
		h := spec.HelperByName(name)
		if h == nil {
			return 0, false
		}
		return int32(h.ID), true
	}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := elf.Write(u)
	if err != nil {
		t.Fatal(err)
	}
	c, err := elf.LoadReader(strings.NewReader(string(b)), int64(len(b)), elf.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func frames(t testing.TB, path string) [][]byte {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "testdata", path))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
}

// The packet check of this program is short by two bytes.
const dropLog = `0: R1=ctx() R10=fp0
; SEC("xdp") int drop_arp(struct xdp_md *ctx) @ drop.c:5
0: (b4) w0 = 2                        ; R0=2
; void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end; @ drop.c:7
1: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx() R2=pkt(r=0)
; if (data + 12 > end) @ drop.c:9
2: (07) r2 += 12                      ; R2=pkt(off=12,r=0)
; void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end; @ drop.c:7
3: (61) r1 = *(u32 *)(r1 +4)          ; R1=pkt_end()
; if (data + 12 > end) @ drop.c:9
4: (2d) if r2 > r1 goto pc+7          ; R1=pkt_end() R2=pkt(off=12,r=12)
; if (eth->h_proto == 0x0608) @ drop.c:11
5: (71) r1 = *(u8 *)(r2 +0)
invalid access to packet, off=12 size=1, R2(id=0,off=12,r=12)
R2 offset is outside of the packet
processed 6 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
`

func TestRejected(t *testing.T) {
	k := start(t, Options{})
	need618(t)
	r, err := k.Load(t.Context(), Job{Spec: object(t, "xdp/drop.bpf.o"), Program: "drop_arp", Log: LogInsns})
	if err != nil {
		t.Fatal(err)
	}
	want := &LoadResult{
		Verdict: Rejected, Errno: spec.EACCES, Verified: true,
		Log: dropLog, LogSize: uint32(len(dropLog)) + 1, Stats: Stats{Processed: 6, Limit: 1000000}, Took: r.Took,
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got, want := r.Message(), "R2 offset is outside of the packet"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
	if r.Took <= 0 {
		t.Error("took no time")
	}
}

// The table of results was made with this kernel, by another program.
func TestResults(t *testing.T) {
	k := start(t, Options{})
	text, err := os.ReadFile(filepath.Join("..", "testdata", "results.txt"))
	if err != nil {
		t.Fatal(err)
	}
	type key struct{ object, prog, capture string }
	want := make(map[key]map[int]string)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 7 || f[0] == "#" {
			continue
		}
		id := key{f[0], f[1], f[2]}
		if want[id] == nil {
			want[id] = make(map[int]string)
		}
		n, _ := strconv.Atoi(f[3])
		want[id][n] = strings.Join(f[4:], " ")
	}
	checked := 0
	for id, results := range want {
		if testing.Short() && strings.HasPrefix(id.object, "bench/") {
			continue // the kernel verifies some of them for seconds
		}
		var inputs []Input
		for _, data := range frames(t, id.capture) {
			inputs = append(inputs, Input{Data: data})
		}
		out, err := k.Run(t.Context(), Job{Spec: object(t, id.object), Program: id.prog, Fresh: true}, inputs)
		if err != nil {
			t.Errorf("%v: %v", id, err)
			continue
		}
		for n, want := range results {
			r := out.Runs[n-1]
			got := fmt.Sprintf("%#x %d %08x", r.R0, len(r.Data), crc32.ChecksumIEEE(r.Data))
			if got != want || r.Errno != 0 {
				t.Errorf("%v frame %d: %s (%v), want %s", id, n, got, r.Errno, want)
			}
			checked++
		}
	}
	if checked < 120 {
		t.Errorf("only %d results in the table", checked)
	}
}
