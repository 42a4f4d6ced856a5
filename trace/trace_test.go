package trace_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"bpfvm/interp"
	"bpfvm/scenario"
	"bpfvm/trace"
	"bpfvm/vm"

	"github.com/google/go-cmp/cmp"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func frames(t testing.TB) []scenario.Frame {
	f, err := scenario.ReadPcap(read(t, "xdp/packets.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// play returns what happens, in words.
func play(t testing.TB, tr *trace.Trace, e vm.Engine) string {
	t.Helper()
	var out strings.Builder
	err := tr.Play(context.Background(), trace.Player{
		Engine: e,
		OnRun:  func(r *scenario.ProgRun) error { fmt.Fprintln(&out, r, r.Trace); return nil },
		End: func(w *trace.World, res *scenario.Result) error {
			if res != nil {
				for _, c := range res.Changes {
					fmt.Fprintln(&out, c.String())
				}
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// What was written and read again is the same, byte for byte, and plays the same, on
// either engine.
func TestRoundTrip(t *testing.T) {
	for name, in := range map[string]trace.Inputs{
		"events": {
			Name: "kmem_modern.bpf.o", Object: read(t, "kmem/kmem_modern.bpf.o"), ScriptName: "kmem/kmem.events",
			Script: read(t, "kmem/kmem.events"), Programs: []string{"on_alloc"}, Seed: 9, CPUs: 2, Repeat: 2,
			Maps: map[string][]byte{"counts": []byte(`[{"key": 0, "value": 5}]`)},
		},
		"packets": {Name: "firewall.bpf.o", Object: read(t, "xdp/firewall.bpf.o"), Frames: frames(t), Budget: 5000},
		"files": {
			Name: "good.bpf.o", Object: read(t, "xdp/good.bpf.o"), ScriptName: "x.events",
			Script: []byte("at 1ms xdp file=\"a.bin\""), Files: map[string][]byte{"a.bin": make([]byte, 60)},
		},
		"variables": {
			Name: "globals.bpf.o", Object: read(t, "trace/globals.bpf.o"), ScriptName: "g.events", Script: read(t, "trace/globals.events"),
			Vars: []trace.Var{{Map: ".data", Off: 0, Data: []byte{1, 0, 0, 0}}},
		},
		"context": {Name: "sample.bpf.o", Object: read(t, "trace/sample.bpf.o"), Programs: nil, Ctx: []byte{}},
	} {
		t.Run(name, func(t *testing.T) {
			tr, err := trace.New(in)
			if err != nil {
				t.Fatal(err)
			}
			file, err := tr.Format()
			if err != nil {
				t.Fatal(err)
			}
			again, err := trace.Parse("again", file)
			if err != nil {
				t.Fatal(err)
			}
			file2, err := again.Format()
			if err != nil || !bytes.Equal(file, file2) {
				t.Errorf("written twice, the file differs (%v)", err)
			}
			if name == "context" && len(tr.Collection().Programs) != 1 {
				return // it says so when it is played
			}
			want := play(t, tr, interp.Step)
			if want == "" {
				t.Error("nothing happened")
			}
			for _, got := range []string{play(t, tr, interp.Step), play(t, again, interp.Step), play(t, tr, interp.Fast)} {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	object := "-- object/x.o.base64 --\nAAAA\n"
	for _, tt := range []struct{ file, want string }{
		{"", "not a trace"},
		{"hello\n", "x:1: not a trace"},
		{"bpfvm trace 2\n", "unsupported"},
		{"bpfvm trace 1\nseed x\n", "x:2: seed \"x\": want a number"},
		{"bpfvm trace 1\nwarp 9\n", "x:2: unknown setting"},
		{"bpfvm trace 1\nvar a 1\n", "x:2: var \"a 1\": want MAP OFFSET HEX"},
		{"bpfvm trace 1\nctx zz\n", "x:2: ctx"},
		{"bpfvm trace 1\ncpus 99999999999\n", "want a number"},
		{"bpfvm trace 1\n", "no object/ file"},
		{"bpfvm trace 1\n-- object/x.o.base64 --\n!!\n", "illegal base64"},
		{"bpfvm trace 1\n-- other --\n", "other: unknown file"},
		{"bpfvm trace 1\n" + object, "x.o"},
	} {
		_, err := trace.Parse("x", []byte(tt.file))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.file, err, tt.want)
		}
	}
	if _, err := trace.Parse("x", []byte("GIF89a")); !errors.Is(err, trace.ErrNotTrace) {
		t.Errorf("%v", err)
	}
}

func TestNewErrors(t *testing.T) {
	good := read(t, "xdp/good.bpf.o")
	for _, tt := range []struct {
		in   trace.Inputs
		want string
	}{
		{trace.Inputs{Name: "a.o", Object: []byte("no")}, "a.o"},
		{trace.Inputs{Name: "a.o", Object: good, Vars: []trace.Var{{Map: ".data", Data: []byte{1}}}}, "no data section .data"},
		{trace.Inputs{Name: "a.o", Object: good, ScriptName: "s", Script: []byte("at x")}, "s:1:"},
		{trace.Inputs{Name: "a.o", Object: good, CPUs: 1 << 20}, "CPUs"},
		{trace.Inputs{Name: "a.o", Object: good, Target: []byte("no BTF")}, "target BTF"},
		{trace.Inputs{Name: "a.o", Object: good, Files: map[string][]byte{"/etc/passwd": nil}}, "/etc/passwd"},
	} {
		if _, err := trace.New(tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
}

// The error of a player ends the playback and comes back.
func TestPlayerStops(t *testing.T) {
	tr, err := trace.New(trace.Inputs{Name: "good.bpf.o", Object: read(t, "xdp/good.bpf.o"), Frames: frames(t)})
	if err != nil {
		t.Fatal(err)
	}
	stop, n := errors.New("enough"), 0
	err = tr.Play(context.Background(), trace.Player{Engine: interp.Fast, OnRun: func(*scenario.ProgRun) error {
		if n++; n == 3 {
			return stop
		}
		return nil
	}})
	if !errors.Is(err, stop) || n != 3 {
		t.Errorf("%d runs, %v", n, err)
	}
}

// FuzzParse: any file is a trace or an error, and what is a trace can be written.
func FuzzParse(f *testing.F) {
	tr, err := trace.New(trace.Inputs{Name: "good.bpf.o", Object: read(f, "xdp/good.bpf.o"), Frames: frames(f), Seed: 3})
	if err != nil {
		f.Fatal(err)
	}
	file, err := tr.Format()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add([]byte("bpfvm trace 1\nvar .data 4 00\nctx empty\n-- map/x.json --\n[]\n-- file/a --\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := trace.Parse("x", data)
		if err != nil {
			return
		}
		if _, err := tr.Format(); err != nil && !strings.Contains(err.Error(), "txtar") && !strings.Contains(err.Error(), "trace:") {
			t.Error(err)
		}
	})
}
