package scenario

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with testdata/NAME, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func mustParse(t *testing.T, text string) *Script {
	t.Helper()
	s, err := Parse("test.events", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var noPos = cmpopts.IgnoreTypes(Pos{})

// Every statement prints as it was written, when it was written canonically.
func TestFormatStatements(t *testing.T) {
	for _, line := range []string{
		"clock start=1s step=1us",
		"clock step=0s",
		"random seed=7",
		"cpu 3",
		"mock bpf_get_current_uid_gid = 0x3e8000003e8",
		"mock bpf_get_prandom_u32 = 1, 2, -3",
		"mem 0xffffffff81000000 = u64(1, 2, 0xff)",
		`mem 0x7f0000000000 = str("a\x00b\"", 16)`,
		"task pid=42 comm=bash parent=1",
		`map names[str("x")] = cat(u32(1), str("bash", 16), be16(80))`,
		`map names[{"pid": 1}] = {"a": [1, "}"]}`,
		"at 10ms pid=42 comm=ksoftirqd/0 kprobe:do_unlinkat di=-100 si=str(\"x.txt\") ip=0xffffffff81000000",
		"at 29500us kretprobe:do_unlinkat ax=0",
		"kprobe:vfs_read arg1=ptr(u64(1), str(\"x\")) dx=-0x10",
		"tracepoint:syscalls/sys_enter_openat filename=user_str(\"y\") flags=0",
		"raw_tracepoint:sched_process_exit arg0=task(42) arg1=1",
		"perf_event sample_period=1000 addr=0",
		"at 0s repeat=100 every=1us cpu=1 perf_event:cycles ip=1",
		`xdp packet="eth/ipv4/udp"`,
		`tc hex="0x0102 03" mark=1`,
		"socket file=arp.bin",
		`at 1s xdp:eth0 pcap="a b.pcap" frame=2`,
		"# a comment",
		"#",
		"expect map counts[42] == 1",
		"expect map counts missing 42",
		"expect map .bss[0].state.names[1] == 42",
		"expect map percpu[0][1] != 42",
		"expect map counts entries == 3",
		`expect map opens[str("bash")] >= 2`,
		`expect map t[1] == {"pid": 1}`,
		`expect trace =~ "unlink x.txt"`,
		`expect trace !~ "a|b"`,
		"expect trace == 3 lines",
		"expect trace none",
		"expect r0 == 0",
		"expect r0 firewall != XDP_DROP",
		"expect insns <= 100",
		"expect trap none",
		`expect trap f =~ "NULL"`,
		"expect packet unchanged",
		`expect packet fw == "eth/ipv4(ttl=63)/udp"`,
		"expect events == 44",
		"expect ringbuf events == 4 records",
		"expect perf execs == 1 records",
	} {
		s, err := Parse("", []byte(line))
		if err != nil {
			t.Errorf("%s\n%v", line, err)
			continue
		}
		if got := Format(s); got != line+"\n" {
			t.Errorf("got  %swant %s", got, line)
		}
	}
}

func TestFormatLayout(t *testing.T) {
	in := "\n\n clock  start=1000ms   step=1us;random seed=0x7 ;; cpu 0 # why\r\n\n\n\n#x\n  expect   r0==0;expect trace == 1\nexpect map m [ 1 ]==2\ntp:a/b\n"
	want := "clock start=1s step=1us ; random seed=7 ; cpu 0 # why\n\n#x\nexpect r0 == 0 ; expect trace == 1 lines\n"
	_, err := Parse("x", []byte(in))
	if err == nil || !strings.Contains(err.Error(), "x:9:14: expect map wants") {
		t.Errorf("blank before [: %v", err)
	}
	in = strings.Replace(in, "m [", "m[", 1)
	want += "expect map m[1] == 2\ntracepoint:a/b\n"
	s := mustParse(t, in)
	if diff := cmp.Diff(want, Format(s)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// The scripts that come with the objects.
func TestFormatFiles(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join("..", "testdata", "*", "*.events"))
	if len(files) < 4 {
		t.Fatalf("%d scripts found", len(files))
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(f, text)
		if err != nil {
			t.Error(err)
			continue
		}
		again, err := Parse(f, []byte(Format(s)))
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(s.Stmts, again.Stmts, noPos); diff != "" {
			t.Errorf("%s\n%s", f, diff)
		}
	}
}

// Each bad script gives its errors, all of them, in order.
func TestParseErrors(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "errors.events"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse("errors.events", text)
	if s != nil || err == nil {
		t.Fatal("no error")
	}
	golden(t, "errors.golden", err.Error()+"\n")
	list, ok := errors.AsType[Errors](err)
	if !ok || len(list) == 0 {
		t.Fatalf("%T", err)
	}
}

func TestParseLimits(t *testing.T) {
	if _, err := Parse("", make([]byte, MaxScriptBytes+1)); err == nil {
		t.Error("a giant script")
	}
	if _, err := Parse("", []byte(strings.Repeat("xdp\n", MaxStmts))); err == nil {
		t.Error("a giant number of errors")
	} else if n := strings.Count(err.Error(), "\n") + 1; n != maxErrors+1 {
		t.Errorf("%d errors listed", n)
	}
	if _, err := Parse("", []byte(strings.Repeat("cpu 0;", MaxStmts+1))); err == nil {
		t.Error("a giant number of statements")
	}
	if _, err := Parse("", []byte("kprobe:x di="+strings.Repeat("cat(", 1000))); err == nil {
		t.Error("deep nesting")
	}
	for _, line := range []string{"mem 1 = zero(1048576)\n", "xdp packet=\"zero(262144)\"\n"} {
		if _, err := Parse("", []byte(strings.Repeat(line, 100_000))); err == nil || !strings.Contains(err.Error(), "more than 67108864 bytes") {
			t.Errorf("%s: %v", line, err)
		}
	}
	if _, err := Parse("", []byte("map x["+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+"]=1")); err == nil {
		t.Error("deep JSON")
	}
}

func FuzzScript(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join("..", "testdata", "*", "*.events"))
	more, _ := filepath.Glob(filepath.Join("testdata", "*.events"))
	for _, name := range append(files, more...) {
		if text, err := os.ReadFile(name); err == nil {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse("f", text)
		if (s == nil) != (err != nil) {
			t.Fatalf("script %v, error %v", s, err)
		}
		if err != nil {
			return
		}
		out := Format(s)
		again, err := Parse("f", []byte(out))
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if diff := cmp.Diff(s.Stmts, again.Stmts, noPos, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s\n%s", out, diff)
		}
		if p, err := makePlan(s, nil, nil); err == nil {
			seq := newSequence(p.blocks)
			for n, last := 0, time.Duration(0); n < 1000; n++ {
				f, _, ok := seq.next()
				if !ok {
					break
				}
				if f.at < last {
					t.Fatalf("time runs backwards, from %d to %d", last, f.at)
				}
				last = f.at
				_, _ = f.input(nil)
			}
		}
		if again := Format(again); again != out {
			t.Fatalf("printing is not stable:\n%s\n%s", out, again)
		}
	})
}
