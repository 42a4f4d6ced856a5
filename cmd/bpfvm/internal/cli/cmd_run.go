package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"bpfvm/cover"
	"bpfvm/runtime"
	"bpfvm/scenario"
	"bpfvm/vm"

	"github.com/spf13/cobra"
)

func cmdRun() *command {
	return &command{
		name: "run", args: "FILE[:PROG]", short: "run programs on packets or events and show what they did",
		long: "Loads the object into a small kernel of its own (no root, nothing of this machine is " +
			"touched), lets the events happen and shows each program's result, the packets it changed, " +
			"the maps before and after, and what it printed or sent.\n\n" +
			"As in the kernel, only what the verifier accepts runs; --unverified runs the rest too. The " +
			"default engine is the checked interpreter (--engine=step), which follows every register and " +
			"stops at the first access that no verifier would let pass. --engine=interp and --engine=jit " +
			"check memory only and are faster. --engine=kernel gives packets to the kernel of this machine " +
			"(Linux, with privilege), which judges and runs the program. Assembly without a program type is not verified.\n\n" +
			"\"bpfvm help events\", \"help packets\" and \"help maps\" explain what --events, --pkt and --map " +
			"read. --expect FILE holds lines \"expect ...\" as in event scripts, or lines of an earlier run's " +
			"output (#1 ... r0=1), which must come out the same. --pcap-out takes all packets as the program " +
			"left them, dropped ones too.",
		examples: []example{
			{"bpfvm run testdata/kmem/kmem_modern.bpf.o --events testdata/kmem/kmem.events", "kprobes and a script of events"},
			{"bpfvm run testdata/xdp/firewall.bpf.o --pcap testdata/xdp/packets.pcap --pcap-out out.pcap", "an XDP program over a capture"},
			{"bpfvm run prog.o:main --pkt 'eth/ipv4/udp(dport=53)' --set debug=1 --map seen=seen.json", "one packet, one variable, one map"},
		},
		exits:   []int{exitNegative, exitInput, exitUnsupported, exitFault, exitPrivilege},
		seeAlso: []string{"events", "packets", "maps", "disasm"},
		wants:   argCount{1, 1}, json: true,
		setup: setupRun,
	}
}

// runFlags are the flags of run.
type runFlags struct {
	engine           string
	pkts             []string
	pcap, pcapOut    string
	events, ctx      string
	maps, sets       []string
	types            []string
	expect           string
	repeat, cpus     int
	maxSteps, seed   uint64
	unverified       bool
	changes, dumpAll bool
	cover            string
}

func setupRun(a *app, c *cobra.Command) func([]string) error {
	var f runFlags
	fs := c.Flags()
	fs.StringArrayVar(&f.pkts, "pkt", nil, "a packet as `HEX`, file or words; repeatable")
	fs.StringVar(&f.pcap, "pcap", "", "packets of the capture `FILE` (pcap, pcapng)")
	fs.StringVar(&f.pcapOut, "pcap-out", "", "write the packets as the program left them to `FILE` (pcap; pcapng by its name)")
	fs.StringVar(&f.events, "events", "", "events of the script `FILE`")
	fs.StringVar(&f.ctx, "ctx", "", "run once on the context in `FILE`, as bytes or hex")
	fs.StringArrayVar(&f.maps, "map", nil, "fill a map: `NAME=FILE.json`; repeatable")
	fs.StringArrayVar(&f.sets, "set", nil, "set a global variable: `VAR=VALUE`; repeatable")
	fs.StringArrayVar(&f.types, "type", nil, "what records are: `TYPE`, or MAP=TYPE for one map; repeatable")
	fs.StringVar(&f.expect, "expect", "", "compare with the expectations in `FILE`")
	fs.StringVar(&f.engine, "engine", "step", "step, interp, jit or kernel: `NAME`")
	fs.IntVar(&f.repeat, "repeat", 1, "let everything happen `N` times")
	fs.Uint64Var(&f.maxSteps, "max-steps", 100_000_000, "instructions that one run may execute: `N`")
	fs.IntVar(&f.cpus, "cpus", 0, "number `N` of virtual CPUs (as many as the script names)")
	fs.Uint64Var(&f.seed, "seed", 0, "start of the random numbers: `N`")
	fs.BoolVar(&f.unverified, "unverified", false, "run programs that the verifier rejects or does not know")
	fs.BoolVar(&f.changes, "changes", false, "show after each event what it changed in the maps")
	fs.BoolVar(&f.dumpAll, "dump", false, "show all elements of the maps, not only what changed")
	coverFlag(fs, &f.cover)
	a.btfFlag(c)
	a.completeProgram(c)
	completeEngine(c)
	a.completeFromObject(c, "map", "=", (*object).mapNames)
	a.completeFromObject(c, "set", "=", (*object).variableNames)
	return func(args []string) error { return a.run(args[0], f) }
}

// recordTypes are the types of --type by map.
func (f *runFlags) recordTypes() map[string]string {
	out := map[string]string{}
	for _, t := range f.types {
		name, typ, ok := strings.Cut(t, "=")
		if !ok {
			name, typ = "", t
		}
		out[name] = typ
	}
	return out
}

// runDoc is the document of "run".
type runDoc struct {
	docHead
	Object  string                  `json:"object"`
	Engine  string                  `json:"engine"`
	Runs    []*scenario.ProgRun     `json:"runs"`
	Maps    scenario.Snapshot       `json:"maps"`
	Changes []scenario.MapChange    `json:"map_changes"`
	Expect  []scenario.ExpectResult `json:"expect"`
	Skipped []refusal               `json:"skipped"`
	Warning []string                `json:"warnings"`
	Summary runSummary              `json:"summary"`
	// Coverage is there with --cover.
	Coverage *cover.Report `json:"coverage,omitempty"`
}

type runSummary struct {
	Events  int    `json:"events"`
	Runs    int    `json:"runs"`
	Insns   uint64 `json:"insns"`
	Trapped int    `json:"trapped"`
	Missed  int    `json:"missed"` // expectations
}

// running is one run under way.
type running struct {
	a      *app
	f      runFlags
	o      *object
	prog   string
	rt     *runtime.Runtime
	coll   *runtime.Collection
	maps   *scenario.Maps
	types  *mapTypes
	doc    runDoc
	before scenario.Snapshot
	// accepted names the programs that may run.
	accepted []string
	start    time.Duration // of the script's clock
}

func (a *app) run(arg string, f runFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	inKernel := f.engine == "kernel"
	var engine vm.Engine
	var err error
	if inKernel {
		_, err = pickEngine(f.engine)
	} else {
		engine, err = compileEngine(f.engine)
	}
	if err != nil {
		return err
	}
	counted := cover.New()
	if f.cover != "" {
		engine = counted.Engine()
	}
	t := splitTarget(arg)
	o, err := a.open(t.path)
	if err != nil {
		return err
	}
	r := &running{a: a, f: f, o: o, prog: t.prog, types: newMapTypes(o), doc: runDoc{
		docHead: head("run"), Object: display(t.path), Engine: f.engine, Runs: []*scenario.ProgRun{},
		Maps: scenario.Snapshot{}, Changes: []scenario.MapChange{}, Expect: []scenario.ExpectResult{},
		Skipped: refusals(o), Warning: []string{},
	}}
	if t.prog != "" {
		if _, err := o.program(t.prog); err != nil {
			return err
		}
	} else if len(o.coll.Programs) == 0 {
		if len(o.refused) > 0 {
			return fmt.Errorf("%s: %w", display(o.path), o.refused)
		}
		return inputErr("%s: the object holds no program", display(o.path))
	}
	if inKernel {
		if err := r.runKernel(); err != nil {
			return err
		}
		return r.show(counted)
	}
	if p := o.bareProgram(t.prog); p != nil && f.events == "" && f.pcap == "" && len(f.pkts) == 0 {
		return r.runBare(p, engine)
	}
	in, err := r.inputs()
	if err != nil {
		return err
	}
	target, err := a.targetBTF()
	if err != nil {
		return err
	}
	cpus := max(f.cpus, 1)
	r.start = scriptStart(in.script)
	if in.script != nil {
		cpus = max(cpus, in.script.CPUs())
	}
	if r.rt, err = runtime.New(runtime.Options{Engine: engine, CPUs: cpus, Target: target, Seed: f.seed, Budget: f.maxSteps}); err != nil {
		return err
	}
	defer r.rt.Close()
	if err := r.load(in); err != nil {
		return err
	}
	runErr := r.execute(in)
	if runErr != nil && len(r.doc.Runs) == 0 {
		return runErr
	}
	if err := r.show(counted); runErr == nil || err != nil && !errors.Is(err, errAnswered) {
		return err
	}
	return runErr
}

// show writes the document and gives the verdict.
func (r *running) show(counted *cover.Recorder) error {
	a, f := r.a, r.f
	if err := r.writePcap(); err != nil {
		return err
	}
	r.finish()
	if f.cover != "" {
		for _, name := range r.accepted {
			counted.Add(r.coll.Program(name).Spec())
		}
		r.doc.Coverage = counted.Report()
	}
	if a.jsonWanted() {
		a.writeJSON(r.doc)
	} else {
		r.write()
	}
	if f.cover != "" {
		if err := a.writeCover(f.cover, display(r.o.path), r.doc.Coverage); err != nil {
			return err
		}
	}
	return r.verdict()
}

// check refuses flags that make no sense.
func (f *runFlags) check() error {
	switch {
	case f.repeat < 1:
		return usageErr("--repeat=%d: want at least 1", f.repeat)
	case f.maxSteps < 1:
		return usageErr("--max-steps=0: want at least 1")
	case f.cpus < 0 || f.cpus > runtime.MaxCPUs:
		return usageErr("--cpus=%d: want 1 to %d", f.cpus, runtime.MaxCPUs)
	case f.pcapOut != "" && f.pcap == "" && len(f.pkts) == 0 && f.events == "":
		return usageErr("--pcap-out needs packets: --pcap or --pkt")
	case f.ctx != "" && (f.pcap != "" || len(f.pkts) > 0 || f.events != ""):
		return usageErr("--ctx runs a program once, without packets and events")
	}
	return checkCover(f.cover, []string{f.engine})
}

// load creates the maps and loads the programs.
func (r *running) load(in *runInputs) error {
	if err := r.setVariables(); err != nil {
		return err
	}
	if in.script != nil {
		if err := scenario.InstallMocks(r.rt, in.script); err != nil {
			return err
		}
	}
	opts := runtime.LoadOptions{SkipBroken: r.prog == ""}
	if r.prog != "" {
		opts.Programs = []string{r.prog}
	}
	var err error
	if r.coll, err = r.rt.LoadWith(r.o.coll, opts); err != nil {
		return fmt.Errorf("%s: load: %w", display(r.o.path), err)
	}
	var skipped []error
	for _, p := range r.o.coll.Programs {
		err := r.coll.Skipped[p.Name]
		if err == nil {
			continue
		}
		skipped = append(skipped, err)
		r.doc.Skipped = append(r.doc.Skipped, refusal{Object: display(r.o.path), What: "program", Name: p.Name, Error: err.Error(), Exit: exitCode(err)})
	}
	if len(r.coll.Programs()) == 0 {
		return fmt.Errorf("%s: load: %w", display(r.o.path), errors.Join(skipped...))
	}
	r.a.tellRefused(r.doc.Skipped)
	if err := r.verify(); err != nil {
		return err
	}
	if r.maps, err = scenario.NewMaps(r.rt, r.coll); err != nil {
		return fmt.Errorf("%s: %w", display(r.o.path), err)
	}
	for _, m := range r.f.maps {
		if err := r.fillMap(m); err != nil {
			return err
		}
	}
	return nil
}

// fillMap stores the elements of NAME=FILE.json.
func (r *running) fillMap(arg string) error {
	name, path, ok := strings.Cut(arg, "=")
	if !ok || path == "" {
		return usageErr("--map %q: want NAME=FILE.json", arg)
	}
	if r.coll.Map(name) == nil {
		return inputErr("--map %s: no such map%s", name, didYouMean(name, r.o.mapNames()))
	}
	b, err := r.a.readInput(path)
	if err != nil {
		return err
	}
	if err := r.maps.LoadMap(name, b); err != nil {
		return fmt.Errorf("%s: %w", display(path), err)
	}
	return nil
}

// finish fills the summary.
func (r *running) finish() {
	d := &r.doc
	d.Summary.Runs = len(d.Runs)
	for _, e := range d.Expect {
		if !e.OK {
			d.Summary.Missed++
		}
	}
}

// verdict is the error that stands for the run's exit code.
func (r *running) verdict() error {
	s := r.doc.Summary
	expectsTrap := false
	for _, e := range r.doc.Expect {
		expectsTrap = expectsTrap || strings.HasPrefix(e.Text, "expect trap") || strings.Contains(e.Want, "trap")
	}
	r.a.suggest(r.o.path, r.nextLine())
	switch {
	case s.Missed > 0:
		return withCode(exitNegative, errAnswered)
	case s.Trapped > 0 && !expectsTrap:
		return withCode(exitFault, errAnswered)
	}
	return nil
}

func (r *running) nextLine() string {
	name := r.prog
	if name == "" {
		name = r.accepted[0]
	}
	return fmt.Sprintf("bpfvm disasm %s:%s -S", display(r.o.path), name)
}

// variableNames lists the object's global variables.
func (o *object) variableNames() []string {
	var names []string
	for _, v := range variables(o) {
		names = append(names, v.name)
	}
	return names
}
