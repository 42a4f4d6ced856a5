package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"bpfvm/elf"
	"bpfvm/kernel"
	"bpfvm/runtime"
	"bpfvm/scenario"
	"bpfvm/spec"
)

func TestMain(m *testing.M) {
	kernel.WorkerMain()
	os.Exit(m.Run())
}

// shipped returns programs of an object with a frame of the capture beside it.
func shipped(t testing.TB, object string, names ...string) []*Program {
	t.Helper()
	coll, err := elf.Load("../testdata/bench/"+object, elf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("../testdata/bench/packets.pcap")
	if err != nil {
		t.Fatal(err)
	}
	frames, err := scenario.ReadPcap(b)
	if err != nil {
		t.Fatal(err)
	}
	var out []*Program
	for _, n := range names {
		out = append(out, &Program{Object: object, Coll: coll, Name: n, Data: frames[0].Data, Input: &runtime.XDP{Data: frames[0].Data}})
	}
	return out
}

func ExampleMeasure() {
	coll, err := elf.Load("../testdata/bench/alu.bpf.o", elf.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	frame := make([]byte, 64)
	rep, err := Measure(context.Background(), []*Program{{
		Coll: coll, Name: "empty", Data: frame, Input: &runtime.XDP{Data: frame},
	}}, Options{Engines: []string{"interp"}, Count: 3, Repeat: 100})
	if err != nil {
		fmt.Println(err)
		return
	}
	f := rep.Programs[0].Engines["interp"]
	fmt.Println(rep.Programs[0].Name, f.Samples, "samples of", f.Repeat, "runs,", f.InsnsPerRun, "instructions a run")
	fmt.Println(f.Min > 0 && f.Min <= f.NsPerRun && f.NsPerRun <= f.Max)
	// Output:
	// empty 3 samples of 100 runs, 2 instructions a run
	// true
}

func TestMeasure(t *testing.T) {
	progs := append(shipped(t, "alu.bpf.o", "empty"), shipped(t, "bytes.bpf.o", "checksum")...)
	rep, err := Measure(t.Context(), progs, Options{Engines: Engines(), Count: 2, SampleTime: 1e5})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range rep.Programs {
		if p.Differs != "" {
			t.Errorf("%s: %s", p.Name, p.Differs)
		}
		for _, name := range Engines() {
			f, ok := p.Engines[name]
			if !ok {
				t.Logf("%s: no %s: %s", p.Name, name, p.Missing[name])
				if name == "step" || name == "interp" {
					t.Errorf("%s: no figures of %s", p.Name, name)
				}
				continue
			}
			if f.Samples != 2 || f.InsnsPerRun != p.Insns || f.Repeat < 1 || f.Min > f.Max {
				t.Errorf("%s on %s: %+v", p.Name, name, f)
			}
		}
		if len(p.Engines)+len(p.Missing) != len(Engines()) {
			t.Errorf("%s: an engine is neither measured nor named: %+v", p.Name, p)
		}
	}
	if _, ok := rep.Programs[0].Engines["kernel"]; ok {
		if mean, n := rep.GeoMean("kernel"); n != 2 || mean != 1 {
			t.Errorf("the kernel beside itself: %v of %d", mean, n)
		}
	}
}

// TestMissing names engines that cannot serve and programs that cannot run.
func TestMissing(t *testing.T) {
	progs := shipped(t, "alu.bpf.o", "empty", "nobody")
	rep, err := Measure(t.Context(), progs, Options{Engines: []string{"warp", "interp"}, Count: 1, Repeat: 1})
	if err != nil {
		t.Fatal(err)
	}
	if m := rep.Programs[0].Missing["warp"]; !strings.Contains(m, "no such engine") {
		t.Errorf("warp: %q", m)
	}
	if m := rep.Programs[1].Missing["interp"]; !strings.Contains(m, "nobody") {
		t.Errorf("nobody: %q", m)
	}
	kp := &Program{Name: "p", Coll: &spec.CollectionSpec{Programs: []*spec.ProgramSpec{{Name: "p", Type: spec.ProgKprobe}}}, Input: &runtime.Kprobe{}}
	rep, err = Measure(t.Context(), []*Program{kp}, Options{Engines: []string{"kernel"}, Count: 1})
	if err != nil || rep.Programs[0].Missing["kernel"] == "" {
		t.Errorf("a kprobe program in the kernel: %+v, %v", rep, err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rep, err := Measure(ctx, shipped(t, "alu.bpf.o", "empty"), Options{Engines: []string{"interp"}})
	if !errors.Is(err, context.Canceled) || len(rep.Programs) != 0 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// TestDiffers makes two engines disagree.
func TestDiffers(t *testing.T) {
	m := &Measured{}
	for _, s := range []fixed{{1, 2}, {1 << 32, 2}, {1<<32 | 1, 2}} {
		if err := m.enter("x", s); err != nil {
			t.Fatal(err)
		}
	}
	if m.R0 != 1 || m.Differs == "" {
		t.Errorf("%+v", m)
	}
}

type fixed struct{ r0, insns uint64 }

func (f fixed) first() (uint64, uint64, error)             { return f.r0, f.insns, nil }
func (fixed) sample(context.Context, int) (float64, error) { return 1, nil }
func (fixed) estimate(context.Context) (float64, error)    { return 1, nil }
func (fixed) close()                                       {}

func TestFigure(t *testing.T) {
	c := contestant{ns: []float64{5, 1, 3, 2, 100}, repeat: 7}
	f := c.figure(3)
	if f.NsPerRun != 3 || f.Min != 1 || f.Max != 100 || f.NsPerInsn != 1 || f.Spread != 0.5 || f.Repeat != 7 {
		t.Errorf("%+v", f)
	}
}
