package cli

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bpfvm/bench"
	"bpfvm/jit"
	"bpfvm/runtime"
	"bpfvm/scenario"
	"bpfvm/spec"

	"github.com/spf13/cobra"
)

func cmdBench() *command {
	return &command{
		name: "bench", args: "[FILE[:PROG] ..]", short: "measure how fast the engines run programs",
		long: "Measures nanoseconds a run and an instruction on each engine, in turns, so that a machine that " +
			"slows down slows all of them down. What is shown is the median of the samples, half of the " +
			"distance between their quartiles, the smallest and the largest, and how many times as long as " +
			"in the kernel's JIT a run takes. r0 of all engines must be the same.\n\n" +
			"Packet programs get one frame: of --pcap, or else of packets.pcap beside the object. Other " +
			"programs get a context of zeros; the kernel cannot time those. Without FILE it is the set in " +
			"testdata/bench. An engine that cannot run is named with the reason.",
		examples: []example{
			{"bpfvm bench", "the programs of testdata/bench on every engine"},
			{"bpfvm bench testdata/bench/alu.bpf.o:chain64 --engines interp,jit,kernel --count 25", "one program"},
			{"bpfvm bench testdata/xdp/firewall.bpf.o --frame 3 -j", "figures as JSON"},
		},
		exits: []int{exitNegative, exitInput, exitUnsupported}, seeAlso: []string{"run", "doctor"},
		wants: argCount{0, anyNumber}, json: true,
		setup: func(a *app, c *cobra.Command) func([]string) error {
			var f benchFlags
			fs := c.Flags()
			fs.StringVar(&f.engines, "engines", strings.Join(bench.Engines(), ","), "the engines to measure: `NAMES`")
			fs.IntVar(&f.repeat, "repeat", 0, "`N` runs a sample; without it, as many as take 10 ms")
			fs.IntVar(&f.count, "count", 15, "`N` samples of each engine")
			fs.StringVar(&f.pcap, "pcap", "", "take the packet out of the capture `FILE`")
			fs.IntVar(&f.frame, "frame", 0, "which packet of the capture: `N`, from 1")
			a.jitPassesFlag(c, &f.passes)
			a.btfFlag(c)
			a.completeProgram(c)
			return func(args []string) error { return a.bench(args, f) }
		},
	}
}

type benchFlags struct {
	engines, pcap        string
	passes               string
	repeat, count, frame int
}

// benchDoc is the document of "bench".
type benchDoc struct {
	docHead
	bench.Report
	Refused []refusal `json:"refused"`
}

// benchSet is what is measured where nothing is named.
const benchSet = "testdata/bench"

// benchFrames are the packets that programs of the shipped set want; the others take
// the first (testdata/bench/README.md).
var benchFrames = map[string]int{"parse.bpf.o:parse": 2}

func (a *app) bench(args []string, f benchFlags) error {
	engines := strings.FieldsFunc(f.engines, func(r rune) bool { return r == ',' || r == ' ' })
	for _, e := range engines {
		if !slices.Contains(bench.Engines(), e) {
			return usageErr("--engines=%s: no such engine%s", e, didYouMean(e, bench.Engines()))
		}
	}
	switch {
	case len(engines) == 0:
		return usageErr("--engines: want some of %s", strings.Join(bench.Engines(), ", "))
	case f.repeat < 0 || f.count < 1 || f.frame < 0:
		return usageErr("--repeat, --count and --frame must be positive")
	}
	if len(args) == 0 {
		if !isDir(benchSet) {
			return usageErr("bench: name a FILE, or start it where %s is", benchSet)
		}
		args = []string{benchSet}
	}
	passes, err := parsePasses(f.passes)
	if err != nil {
		return err
	}
	doc := benchDoc{docHead: head("bench"), Refused: []refusal{}}
	var progs []*bench.Program
	for _, arg := range args {
		list, err := a.benchPrograms(arg, f, &doc.Refused)
		if err != nil {
			return err
		}
		progs = append(progs, list...)
	}
	if len(progs) == 0 {
		return inputErr("bench: no program to measure")
	}
	rep, err := bench.Measure(a.ctx, progs, bench.Options{Engines: engines, JIT: jit.With(passes), Repeat: f.repeat, Count: f.count,
		Progress: func(n int, p *bench.Program) {
			if a.io.ErrTTY && !a.flags.quiet {
				fmt.Fprintf(a.io.Err, "\r%d of %d: %-40s", n+1, len(progs), p.Name)
			}
		}})
	if a.io.ErrTTY && !a.flags.quiet {
		fmt.Fprintf(a.io.Err, "\r%60s\r", "")
	}
	doc.Report = *rep
	if a.jsonWanted() {
		a.writeJSON(doc)
	} else if len(rep.Programs) > 0 {
		a.writeBench(rep, engines)
	}
	if err != nil {
		return err
	}
	return benchVerdict(rep)
}

// benchVerdict is negative where engines disagree, and unsupported where nothing at
// all could be measured.
func benchVerdict(rep *bench.Report) error {
	measured := false
	for _, p := range rep.Programs {
		if p.Differs != "" {
			return withCode(exitNegative, errAnswered)
		}
		measured = measured || len(p.Engines) > 0
	}
	if !measured {
		return unsupportedErr("no engine could run any of the programs")
	}
	return nil
}

// benchPrograms opens an operand: an object, one of its programs, or a directory.
func (a *app) benchPrograms(arg string, f benchFlags, refused *[]refusal) ([]*bench.Program, error) {
	t := splitTarget(arg)
	var out []*bench.Program
	err := a.eachObject(t.path, refused, func(o *object) error {
		specs, err := o.programs(t.prog)
		if err != nil {
			return err
		}
		for _, p := range specs {
			bp, err := a.benchProgram(o, p, f)
			if err != nil {
				return err
			}
			out = append(out, bp)
		}
		return nil
	})
	return out, err
}

func (a *app) benchProgram(o *object, p *spec.ProgramSpec, f benchFlags) (*bench.Program, error) {
	b := &bench.Program{Object: display(o.path), Coll: o.coll, Name: p.Name}
	switch p.Type {
	case spec.ProgXDP, spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgSocketFilter:
	default:
		var err error
		b.Input, err = contextInput(p, nil)
		return b, err
	}
	frame, err := a.benchFrame(o.path, p.Name, f)
	if err != nil {
		return nil, err
	}
	b.Data = frame
	if p.Type == spec.ProgXDP {
		b.Input = &runtime.XDP{Data: bytes.Clone(frame)}
	} else {
		b.Input = &runtime.SKB{Data: bytes.Clone(frame)}
	}
	return b, nil
}

// benchFrame is the packet for a program.
func (a *app) benchFrame(object, prog string, f benchFlags) ([]byte, error) {
	path := f.pcap
	if path == "" {
		path = filepath.Join(filepath.Dir(object), "packets.pcap")
		if _, err := os.Stat(path); err != nil {
			return scenario.PacketWords("eth/ipv4/udp/zero(22)") // 64 bytes
		}
	}
	b, err := a.readInput(path)
	if err != nil {
		return nil, err
	}
	frames, err := scenario.ReadPcap(b)
	if err != nil {
		return nil, inputCause(display(path), err)
	}
	n := f.frame
	if n == 0 {
		n = max(benchFrames[filepath.Base(object)+":"+prog], 1)
	}
	if n > len(frames) {
		return nil, inputErr("%s: no frame %d, it has %d", display(path), n, len(frames))
	}
	return frames[n-1].Data, nil
}

// writeBench prints a row for each program and engine.
func (a *app) writeBench(rep *bench.Report, engines []string) {
	fmt.Fprintf(a.out, "%s\n\n", a.style.dim(fmt.Sprintf("%s; median of %s", rep.Host, plural(rep.Count, "sample"))))
	t := newTable("PROGRAM", ">INSNS", "ENGINE", ">NS A RUN", ">NS/INSN", ">+-", ">MIN", ">MAX", ">x KERNEL")
	t.paint(0, a.style.name)
	missing := map[string][]string{}
	for _, p := range rep.Programs {
		name, insns := p.Name, fmt.Sprint(p.Insns)
		for _, e := range engines {
			f, ok := p.Engines[e]
			if !ok {
				missing[e+": "+p.Missing[e]] = append(missing[e+": "+p.Missing[e]], p.Name)
				continue
			}
			ratio := ""
			if f.Ratio > 0 {
				ratio = fmt.Sprintf("%.2f", f.Ratio)
			}
			t.add(name, insns, e, nanos(f.NsPerRun), fmt.Sprintf("%.3f", f.NsPerInsn), fmt.Sprintf("%.0f%%", 100*f.Spread),
				nanos(f.Min), nanos(f.Max), ratio)
			if !a.flags.plain {
				name, insns = "", ""
			}
		}
	}
	t.write(a.out, a, "")
	for _, e := range engines {
		if mean, n := rep.GeoMean(e); n > 1 && e != "kernel" {
			fmt.Fprintf(a.out, "\n%s takes %.2f times as long as the kernel (geometric mean of %s)", e, mean, plural(n, "program"))
		}
	}
	fmt.Fprintln(a.out)
	for _, why := range slices.Sorted(maps.Keys(missing)) {
		who := "every program"
		if len(missing[why]) < len(rep.Programs) {
			who = strings.Join(missing[why], ", ")
		}
		fmt.Fprintf(a.out, "%s\n", a.style.warn(printable("not measured: "+why+" ("+who+")")))
	}
	for _, p := range rep.Programs {
		if p.Differs != "" {
			fmt.Fprintf(a.out, "%s\n", a.style.bad(p.Name+": r0 differs: "+p.Differs))
		}
	}
}

// nanos prints nanoseconds with as many digits as mean something.
func nanos(ns float64) string {
	switch {
	case ns < 100:
		return fmt.Sprintf("%.1f", ns)
	case ns < 1e6:
		return fmt.Sprintf("%.0f", ns)
	}
	return fmt.Sprintf("%.2fM", ns/1e6)
}
