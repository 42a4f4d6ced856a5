package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"bpfvm/elf"
	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/types"
)

// load reads an object of testdata and loads it into a fresh runtime. The script
// is there for its mocks and CPUs; it may be nil.
func load(t testing.TB, object string, s *Script) Options {
	t.Helper()
	cs, err := elf.Load(filepath.Join("..", "testdata", object), elf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return loadSpec(t, cs, s)
}

// loadSource assembles a source and loads it as load does.
func loadSource(t testing.TB, src []byte, s *Script) Options {
	t.Helper()
	u, err := isa.Assemble("test.s", src, isa.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := elf.Write(u)
	if err != nil {
		t.Fatal(err)
	}
	cs, err := elf.LoadReader(bytes.NewReader(b), int64(len(b)), elf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return loadSpec(t, cs, s)
}

func loadSpec(t testing.TB, cs *spec.CollectionSpec, s *Script) Options {
	t.Helper()
	if s == nil {
		s = &Script{}
	}
	target, err := types.Target()
	if err != nil {
		t.Fatal(err)
	}
	rt, err := runtime.New(runtime.Options{Engine: interp.Fast, CPUs: s.CPUs(), Target: target})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close() })
	if err := InstallMocks(rt, s); err != nil {
		t.Fatal(err)
	}
	c, err := rt.Load(cs)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Runtime: rt, Collection: c, Script: s, MapChanges: true}
}

func script(t testing.TB, name string) *Script {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(name, text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func run(t testing.TB, o Options) *Result {
	t.Helper()
	res, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// tell is the result as text, for goldens.
func tell(t testing.TB, res *Result) string {
	t.Helper()
	var b strings.Builder
	for _, r := range res.Runs {
		fmt.Fprintln(&b, r)
		for _, l := range r.Trace {
			fmt.Fprintln(&b, "    trace "+l)
		}
		for _, rec := range r.Records {
			fmt.Fprintf(&b, "    record %s cpu %d %x\n", rec.Map, rec.CPU, rec.Data)
		}
		for _, c := range r.Maps {
			fmt.Fprintln(&b, "    map "+c.String())
		}
	}
	dump, err := DumpMaps(res.Maps)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(dump)
	for _, c := range res.Changes {
		fmt.Fprintln(&b, "change "+c.String())
	}
	for _, e := range res.Expect {
		fmt.Fprintln(&b, e.String())
	}
	for _, w := range res.Warnings {
		fmt.Fprintln(&b, "warning: "+w)
	}
	fmt.Fprintf(&b, "%d events, %d insns, %d traps\n", res.Events, res.Insns, res.Trapped)
	return b.String()
}

// The scripts of testdata do what they say, and the classic object does the same
// as today's.
func TestRunScripts(t *testing.T) {
	for _, c := range []struct{ object, script, golden string }{
		{"kmem/kmem_modern.bpf.o", "kmem/kmem.events", "kmem_modern.golden"},
		{"kmem/kmem_classic.bpf.o", "kmem/kmem.events", "kmem_classic.golden"},
		{"trace/openat.bpf.o", "trace/openat.events", "openat.golden"},
		{"trace/tailcall.bpf.o", "trace/tailcall.events", "tailcall.golden"},
		{"trace/globals.bpf.o", "trace/globals.events", "globals.golden"},
	} {
		t.Run(c.object, func(t *testing.T) {
			s := script(t, c.script)
			res := run(t, load(t, c.object, s))
			for _, e := range res.Expect {
				if !e.OK {
					t.Errorf("%d:%d: %s", e.Pos.Line, e.Pos.Col, e.String())
				}
			}
			golden(t, c.golden, tell(t, res))
		})
	}
}

func TestKmemFormsAgree(t *testing.T) {
	s := script(t, "kmem/kmem.events")
	trace := func(object string) (out []string) {
		for _, r := range run(t, load(t, object, s)).Runs {
			out = append(out, r.Trace...)
		}
		return out
	}
	a, b := trace("kmem/kmem_modern.bpf.o"), trace("kmem/kmem_classic.bpf.o")
	if len(a) == 0 || !slices.Equal(a, b) {
		t.Errorf("modern prints %d lines, classic %d, or others", len(a), len(b))
	}
}

// What the real kernel answered to each frame: return value, size and checksum of
// the packet as the program left it.
func TestRunAgainstKernel(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "testdata", "results.txt"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for line := range strings.Lines(string(text)) {
		var object, program, pcap string
		var frame, size int
		var r0 uint64
		var crc uint32
		if _, err := fmt.Sscanf(line, "%s %s %s %d %v %d %x", &object, &program, &pcap, &frame, &r0, &size, &crc); err != nil {
			continue
		}
		if strings.HasPrefix(object, "bench/") {
			continue // minutes of loops; they are the engines' cases
		}
		frames := capture(t, pcap)[frame-1 : frame]
		o := load(t, object, nil)
		o.Script, o.Frames, o.Programs = nil, frames, []string{program}
		res := run(t, o)
		if len(res.Runs) != 1 {
			t.Fatalf("%s: %d runs", line, len(res.Runs))
		}
		r := res.Runs[0]
		if got := crc32.ChecksumIEEE(r.Packet.After); uint32(r.R0) != uint32(r0) || len(r.Packet.After) != size || got != crc {
			t.Errorf("%s %s frame %d: r0 %#x, %d bytes, %08x; the kernel: %#x, %d, %08x (%s)",
				object, program, frame, r.R0, len(r.Packet.After), got, r0, size, crc, r)
		}
		checked++
	}
	if checked < 100 {
		t.Errorf("%d lines of results.txt understood", checked)
	}
}

func TestRunFrames(t *testing.T) {
	o := load(t, "xdp/firewall.bpf.o", nil)
	o.Frames = capture(t, "xdp/packets.pcap")
	golden(t, "firewall.golden", tell(t, run(t, o)))
}

// A second run on the same runtime begins with the maps that the first one left,
// and all else anew.
func TestRunTwice(t *testing.T) {
	s := script(t, "trace/openat.events")
	o := load(t, "trace/openat.bpf.o", s)
	first, second := run(t, o), run(t, o)
	if len(first.Runs) != len(second.Runs) || second.Runs[0].Time != first.Runs[0].Time {
		t.Error("the second run differs")
	}
	if n := len(o.Runtime.Memory().Foreign.Segments()); n != 0 {
		t.Errorf("%d segments of foreign memory left", n)
	}
	if n := len(o.Runtime.Attached("tracepoint:syscalls/sys_enter_openat")); n != 0 {
		t.Errorf("%d programs still attached", n)
	}
}

func TestRunJSON(t *testing.T) {
	s := script(t, "trace/openat.events")
	o := load(t, "trace/openat.bpf.o", s)
	b, err := json.MarshalIndent(run(t, o), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Runs []struct {
			Program string
			Event   string
			R0      *uint64
			Insns   uint64
		}
		Maps map[string][]ElemJSON
	}
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Runs) != 5 || back.Runs[0].Program != "on_openat" || back.Runs[0].R0 == nil || back.Runs[0].Insns == 0 || len(back.Maps["opens"]) != 3 {
		t.Errorf("%s", b)
	}
	golden(t, "run.json.golden", string(b)+"\n")
}

func TestRunCancelled(t *testing.T) {
	s := mustParse(t, "repeat=1000000 kprobe:vfs_read")
	o := load(t, "trace/globals.bpf.o", s)
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	o.OnRun = func(*ProgRun) error {
		if n++; n == 10 {
			cancel()
		}
		return nil
	}
	o.MapChanges = false
	res, err := Run(ctx, o)
	if !errors.Is(err, context.Canceled) || res == nil || res.Events > 20 || res.Runs != nil {
		t.Errorf("%v %+v", err, res)
	}
}

func TestPlan(t *testing.T) {
	s := mustParse(t, `
expect events == 0
at 5ms pid=1 comm=a kprobe:x di=str("abc")
at 1ms pid=2 cpu=3 kprobe:y di=user_str("abc") si=1
kprobe:z
expect events == 3
at 2ms repeat=2 every=10us pid=1 uprobe:/bin/x:f si=bytes("00")
expect r0 == 1
`)
	p, err := makePlan(s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	seq, checks := newSequence(p.blocks), p.checks
	for {
		for ; len(checks) > 0 && checks[0].above <= seq.prefix; checks = checks[1:] {
			got = append(got, FormatStmt(checks[0].expect))
		}
		f, _, ok := seq.next()
		if !ok {
			break
		}
		got = append(got, fmt.Sprintf("%s %s pid=%d %s cpu=%d %x", formatDuration(f.at), f.ev.Name(), f.world.pid, f.world.comm, f.world.cpu, f.regs))
	}
	want := []string{
		"expect events == 0",
		"1ms kprobe:y pid=2  cpu=3 [7f0000000000 1]",
		"1001us kprobe:z pid=0  cpu=0 []",
		"2ms uprobe:/bin/x:f pid=1 a cpu=0 [7f0000000100]",
		"2010us uprobe:/bin/x:f pid=1 a cpu=0 [7f0000000100]",
		"5ms kprobe:x pid=1 a cpu=0 [ffff888300000000]",
		"expect events == 3",
		"expect r0 == 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	if p.cpus != 4 || s.CPUs() != 4 {
		t.Errorf("%d CPUs", p.cpus)
	}
}

// What only the run finds out is reported with its place, all at once.
func TestRunErrors(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"tracepoint:syscalls/sys_enter_openat filname=1", "test.events:1:38: tracepoint:syscalls/sys_enter_openat has no field filname; did you mean filename?"},
		{"tracepoint:sched/sched_swich prev_pid=1", "did you mean sched/sched_switch?"},
		{"tracepoint:sched/sched_switch prev_comm=str(\"0123456789abcdefg\")", "has 17 bytes, here is room for 16"},
		{"tracepoint:sched/sched_switch prev_pid=0x100000000", "does not fit into 4 bytes"},
		{`xdp pcap="a.pcap"`, "test.events:1:10: a.pcap: this script cannot open files"},
		{"map opns[1] = 1", "test.events:1:1: no map opns; did you mean opens?"},
		{"map events[1] = 1", "map events: contents of a map of type ringbuf"},
		{"map opens[1] = 1", "1 is a number, and here are 16 bytes"},
		{`map opens[{"nam": "x"}] = 1`, "nam"},
		{"cpu 0\nkprobe:x\nclock start=1s", "test.events:3:1: the clock is set before the first event"},
		{"mock bpf_ktime_get = 1", "did you mean bpf_ktime_get_ns?"},
		{"mem 0x10 = u64(1)\nmem 0x14 = u64(1)", "overlap"},
		{"repeat=4000000 kprobe:x\nrepeat=4000000 kprobe:x", "more than 4000000 events"},
		{"at 9000000000s repeat=4000000 every=1000s kprobe:x", "it takes longer than the clock can count"},
	} {
		s := mustParse(t, c.script)
		o := load(t, "trace/openat.bpf.o", nil)
		o.Script = s
		if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %v\nwant %s", c.script, err, c.want)
		}
	}
}

func TestExpectations(t *testing.T) {
	s := mustParse(t, `
map opens[{"name": "old"}] = 7
map opens[str("bash")] = 10
expect map opens entries == 2 ; expect r0 == 0
at 1ms pid=42 comm=bash tracepoint:syscalls/sys_enter_openat filename=str("a")
expect r0 == 0 ; expect r0 on_openat == 0 ; expect r0 other == 0 ; expect r0 == -1
expect insns > 10 ; expect trap none ; expect packet unchanged
expect map opens[str("bash")] == 11 ; expect map opens[{"name": "bash"}] < 11
expect map opens[str("bash")] == {"x": 1}
expect map opens missing str("cron") ; expect map opens missing str("old")
expect map opens[str("none")] == 1 ; expect map opns[1] == 1
expect ringbuf events == 1 records ; expect ringbuf evnts == 1 records
expect trace none ; expect trace == 0 lines ; expect trace !~ "x" ; expect trace =~ "x"
expect events == 1 ; expect map opens[str("old")] =~ "^7$"
kprobe:nothing
expect trap none
`)
	o := load(t, "trace/openat.bpf.o", s)
	res := run(t, o)
	golden(t, "expect.golden", tell(t, res))
	if res.OK() {
		t.Error("OK, although expectations fail")
	}
}

// Parts of values, by the names of the types.
func TestExpectPath(t *testing.T) {
	s := script(t, "trace/globals.events")
	o := load(t, "trace/globals.bpf.o", s)
	o.Expect = mustParse(t, `
expect map .data[0].state.calls == 3
expect map .data[0].state.name == "enter"
expect map .data[0].state.name =~ "^ent"
expect map .data.histogram[0].histogram[7] >= 3
expect map .data.histogram[0].histogram == [1,1,0,0,0,0,1,3]
expect map .bss[0].seen != 4
expect map .bss[0].sen == 3
expect map .bss[0].last[2] == 3
expect map .bss[0].last.x == 3
expect map .bss[0].seen.x == 3
expect map .data[0].state.name == 3
`)
	var got []string
	for _, e := range run(t, o).Expect {
		got = append(got, e.Got)
		if e.OK != (len(got) <= 6) {
			t.Error(e.String())
		}
	}
	want := []string{
		"3", `"enter"`, `"enter"`, "3", "[1,1,0,0,0,0,1,3]", "3", "no member sen; did you mean seen?", "no element [2], there are 2",
		"no element .x, there are 2", ".x goes into a value that has no parts", `"enter", which is no number`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// Packets from files: one by one, a frame of a capture, all frames at their times.
func TestPacketFiles(t *testing.T) {
	var b bytes.Buffer
	at := time.Unix(100, 0)
	arp := words(t, "eth/arp")
	if err := WritePcap(&b, []Frame{{Time: at, Data: arp}, {Time: at.Add(5 * time.Millisecond), Data: words(t, "eth/ipv4/udp")}}); err != nil {
		t.Fatal(err)
	}
	s := mustParse(t, `
at 1ms xdp file="arp.bin"
at 2ms xdp pcap="two.pcap" frame=2
at 4ms repeat=2 every=1ms xdp pcap="two.pcap"
xdp packet="eth"
`)
	o := load(t, "xdp/good.bpf.o", s)
	o.Files = fstest.MapFS{"arp.bin": {Data: arp}, "two.pcap": {Data: b.Bytes()}}
	var got []string
	for _, r := range run(t, o).Runs {
		got = append(got, fmt.Sprintf("%s %s %s", formatDuration(r.Time), r.Packet.Summary(), r.Ret))
	}
	want := []string{
		"1001ms 42B eth/arp XDP_DROP", "1002ms 42B eth/ipv4/udp XDP_PASS", "1004ms 42B eth/arp XDP_DROP", "1009ms 42B eth/ipv4/udp XDP_PASS",
		"1010ms 42B eth/arp XDP_DROP", "1015ms 42B eth/ipv4/udp XDP_PASS", "1015001us 14B eth XDP_PASS",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for text, want := range map[string]string{
		`xdp pcap="two.pcap" frame=3`: "1:10: two.pcap: frame 3 of 2",
		`xdp pcap="arp.bin"`:          "1:10: arp.bin: not a capture",
		`xdp file="none"`:             "1:10: open none: file does not exist",
		`xdp file="../x"`:             "1:10: ",
	} {
		o.Script = mustParse(t, text)
		if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A file of expectations is checked when all is over, against what happened last.
func TestExpectFile(t *testing.T) {
	o := load(t, "xdp/good.bpf.o", nil)
	o.Frames = capture(t, "xdp/packets.pcap")
	o.Expect = mustParse(t, "# the last frame\nexpect r0 == XDP_PASS\nexpect events == 15\nexpect packet =~ \"eth\"")
	res := run(t, o)
	if len(res.Expect) != 3 || !res.OK() {
		t.Errorf("%+v", res.Expect)
	}
	o.Expect = mustParse(t, "expect events == 1\ncpu 0")
	if _, err := Run(context.Background(), o); err == nil || err.Error() != "test.events:2:1: only expectations can stand here" {
		t.Error(err)
	}
}

func TestUnsupportedEvent(t *testing.T) {
	_, err := Parse("", []byte("struct_ops:init"))
	if !errors.Is(err, errors.ErrUnsupported) || err.Error() != "1:1: events of struct_ops are not supported" {
		t.Error(err)
	}
}

func TestMocksAndMemory(t *testing.T) {
	s := mustParse(t, `
mock bpf_get_current_uid_gid = 5, 6
mem 0x7fff00000000 = str("fixed")
repeat=3 tracepoint:syscalls/sys_enter_openat filename=0x7fff00000000
`)
	o := load(t, "trace/openat.bpf.o", s)
	for range 2 { // a second run begins the sequence anew
		var uids []byte
		for _, r := range run(t, o).Runs {
			if len(r.Records) != 1 || !strings.Contains(string(r.Records[0].Data), "fixed\x00") {
				t.Fatalf("%+v", r.Records)
			}
			uids = append(uids, r.Records[0].Data[4])
		}
		if string(uids) != "\x05\x06\x06" {
			t.Errorf("uids %v", uids)
		}
	}
}

func TestRenamedSymbol(t *testing.T) {
	s := mustParse(t, "kretprobe:kmem_cache_alloc_node_noprof ax=1\nkprobe:kmem_cache_fre")
	o := load(t, "kmem/kmem_modern.bpf.o", s)
	res := run(t, o)
	want := []string{
		"kretprobe:kmem_cache_alloc_node_noprof: taken for kretprobe:kmem_cache_alloc_node, the same function under its name before or after Linux 6.10",
		"test.events:2:1: kprobe:kmem_cache_fre: no program is attached to it; did you mean kprobe:kmem_cache_free?",
	}
	if len(res.Runs) != 1 || !slices.Equal(res.Warnings, want) {
		t.Errorf("%d runs, %q", len(res.Runs), res.Warnings)
	}
}

func TestMapsJSON(t *testing.T) {
	o := load(t, "trace/openat.bpf.o", nil)
	m, err := NewMaps(o.Runtime, o.Collection)
	if err != nil {
		t.Fatal(err)
	}
	in := `{"opens": [{"key": {"name": "bash"}, "value": 3}, {"key": {"name": "cc1"}, "value": "0x10"}]}`
	if err := m.Load([]byte(in)); err != nil {
		t.Fatal(err)
	}
	before := m.Snap()
	out, err := DumpMaps(before)
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "opens": [
    {"key": {"name":"bash"}, "value": 3},
    {"key": {"name":"cc1"}, "value": 16}
  ]
}
`
	if string(out) != want {
		t.Errorf("%s", out)
	}
	if err := m.Load(out); err != nil {
		t.Error(err)
	}
	if d := DiffMaps(before, m.Snap()); d != nil {
		t.Errorf("%v", d)
	}
	key := before.Map("opens").Elems[0].Key
	if err := o.Collection.Map("opens").Delete(key); err != nil {
		t.Fatal(err)
	}
	if err := o.Collection.Map("opens").Update(make([]byte, 16), []byte{9, 0, 0, 0, 0, 0, 0, 0}, spec.UpdateAny); err != nil {
		t.Fatal(err)
	}
	if err := m.LoadMap("opens", []byte(`[{"key": {"name": "cc1"}, "value": 17}]`)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range DiffMaps(before, m.Snap()) {
		got = append(got, c.Kind()+" "+c.String())
	}
	if want := []string{`added +opens[{name=""}] 9`, `removed -opens[{name="bash"}] 3`, `changed opens[{name="cc1"}] 16->17`}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for in, want := range map[string]string{
		`[]`:                        "maps:",
		`{"opns": []}`:              "no map opns; did you mean opens?",
		`{"events": []}`:            "contents of a map of type ringbuf",
		`{"opens": {}}`:             "map opens:",
		`{"opens": [{"kye": 1}]}`:   "unknown field",
		`{"opens": [{"value": 1}]}`: "map opens: element 1: key: no value",
		`{"opens": [{"key": {"name": "x"}, "value": "x"}]}`: "map opens: element 1: value:",
	} {
		if err := m.Load([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// Frames a second through an empty program, the cost of the driver.
func BenchmarkFrames(b *testing.B) {
	o := load(b, "xdp/good.bpf.o", nil)
	o.MapChanges = false
	o.OnRun = func(*ProgRun) error { return nil }
	frame := capture(b, "xdp/packets.pcap")[:1]
	for b.Loop() {
		o.Frames = slices.Repeat(frame, 1000)
		run(b, o)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(1000*b.N), "ns/frame")
}

// Programs of kprobe.multi are attached to patterns; an event at any function that
// fits sets them off.
func TestPatternsAreHeard(t *testing.T) {
	src := []byte(".license \"GPL\"\n.program p kprobe.multi/tcp_*\nr0 = 7\nexit\n")
	s := mustParse(t, "kprobe:tcp_connect\nkprobe:udp_sendmsg")
	res := run(t, loadSource(t, src, s))
	if len(res.Runs) != 1 || res.Runs[0].R0 != 7 || len(res.Warnings) != 1 {
		t.Errorf("%d runs, %q", len(res.Runs), res.Warnings)
	}
}
