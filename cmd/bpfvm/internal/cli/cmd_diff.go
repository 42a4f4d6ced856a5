package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bpfvm/difftest"
	"bpfvm/spec"

	"github.com/spf13/cobra"
)

func cmdDiff() *command {
	return &command{
		name: "diff", args: "[FILE[:PROG]|DIR|CASE.txtar]", short: "run programs on several engines and show where they part",
		long: "Runs every program on each engine with the same inputs and compares the result, the packet, " +
			"the context, maps, output, traps and numbers of instructions with those of the first engine. " +
			"Without inputs, packet programs get a few packets of common protocols and the others one event. " +
			"Where two engines differ, both are stopped after the same number of instructions to find the " +
			"first differing step. Of programs that our verifier accepts, the registers and stack slots before " +
			"each instruction must also lie within what it has proven; \"unsound\" names the slot where they do not.\n\n" +
			"--gen N compares N random programs instead, the same for the same --seed; with --minutes alone " +
			"as many as there is time for. One that differs is saved as SEED-N.txtar, which \"bpfvm diff\" repeats; " +
			"--shrink leaves out of it all that the difference does not need. --mutate FILE makes them from real programs, with a few slips in each. " +
			"With the kernel among the engines its verdict is compared with our verifier's too.\n\n" +
			"--jit-bytes=kernel runs nothing either: it lays the machine code that our compiler makes beside the kernel's.\n\n" +
			"--verdicts compares our verifier with the kernel's, without running anything. What our verifier " +
			"does not model, and what the kernel could not be asked about, is counted apart.\n\n" +
			"The kernel runs packet programs and raw tracepoints only, tells 32 bits of R0, and needs " +
			"privilege. kernel-vm is a second kernel that qemu boots, as \"bpfvm kernel vm\" does, and kernel-interp " +
			"the same without JIT, which is Linux's own interpreter. What cannot be compared is counted as skipped, with the reason. Differences of programs " +
			"that ask the kernel for the time, addresses or random numbers are listed, not counted.",
		examples: []example{
			{"bpfvm diff testdata/xdp/firewall.bpf.o --pcap testdata/xdp/packets.pcap", "one object on our engines"},
			{"bpfvm diff --gen 1000 --seed 7 --shrink --engines step,interp,jit,kernel", "random programs, the kernel too"},
			{"bpfvm diff testdata --verdicts -j", "both verifiers on every object below a directory"},
		},
		exits:   []int{exitNegative, exitInput, exitUnsupported, exitPrivilege},
		seeAlso: []string{"run", "events", "packets"},
		wants:   argCount{0, 1}, json: true,
		setup: setupDiff,
	}
}

type diffFlags struct {
	run           runFlags
	engines       string
	gen, minutes  int
	items         int
	seed          uint64
	shrink, wild  bool
	save          string
	verdicts      bool
	enginesByUser bool
	mutate, vm    string
	jitBytes      string
	passes        string
}

func setupDiff(a *app, c *cobra.Command) func([]string) error {
	var f diffFlags
	fs := c.Flags()
	fs.StringVar(&f.engines, "engines", "step,interp,jit", "compare these with the first: `LIST` of step, interp, jit, kernel, kernel-vm, kernel-interp")
	fs.StringVar(&f.vm, "vm", "", "image of the second kernel that kernel-vm and kernel-interp boot: `FILE`")
	fs.IntVar(&f.gen, "gen", 0, "compare `N` random programs")
	fs.Uint64Var(&f.seed, "seed", 1, "start of the random programs: `N`")
	fs.IntVar(&f.items, "items", 40, "make random programs of up to `N` things to do")
	fs.BoolVar(&f.wild, "wild", false, "spoil random programs so that no verifier takes them: engines must trap alike")
	fs.StringVar(&f.mutate, "mutate", "", "make the programs of --gen from those of an object `FILE[:PROG]` or directory, with a few slips in each")
	fs.BoolVar(&f.shrink, "shrink", false, "make programs that differ small, and save them")
	fs.StringVar(&f.save, "save", ".", "where saved cases go: `DIR`")
	fs.IntVar(&f.minutes, "minutes", 0, "stop after `M` minutes")
	fs.BoolVar(&f.verdicts, "verdicts", false, "compare our verifier with the kernel's")
	fs.StringVar(&f.jitBytes, "jit-bytes", "", "lay our machine code beside that of the `kernel`, instruction by instruction")
	a.jitPassesFlag(c, &f.passes)
	fs.StringArrayVar(&f.run.pkts, "pkt", nil, "a packet as `HEX`, file or words; repeatable")
	fs.StringVar(&f.run.pcap, "pcap", "", "packets of the capture `FILE` (pcap, pcapng)")
	fs.StringVar(&f.run.events, "events", "", "events of the script `FILE`")
	fs.StringArrayVar(&f.run.maps, "map", nil, "fill a map: `NAME=FILE.json`; repeatable")
	fs.StringArrayVar(&f.run.sets, "set", nil, "set a global variable: `VAR=VALUE`; repeatable")
	fs.IntVar(&f.run.repeat, "repeat", 1, "let everything happen `N` times")
	fs.Uint64Var(&f.run.maxSteps, "max-steps", 10_000_000, "instructions that one run may execute: `N`")
	a.btfFlag(c)
	a.completeProgram(c)
	return func(args []string) error {
		f.enginesByUser = fs.Changed("engines")
		return a.diff(args, f)
	}
}

// check refuses flags that do not go together.
func (f *diffFlags) check(args []string) error {
	switch {
	case f.gen < 0 || f.minutes < 0 || f.items < 1 || f.run.repeat < 1 || f.run.maxSteps < 1:
		return usageErr("--gen and --minutes want numbers from 0, --items, --repeat and --max-steps from 1")
	case f.mutate != "" && (len(args) > 0 || f.verdicts || f.wild):
		return usageErr("diff: --mutate=%s names what is changed; it goes with --gen N and no other programs", f.mutate)
	case f.jitBytes != "" && (len(args) == 0 || f.gen > 0 || f.verdicts):
		return usageErr("diff: --jit-bytes wants a FILE[:PROG] and runs nothing")
	case len(args) == 0 && f.gen == 0 && f.minutes == 0:
		return usageErr("diff: name a file, a directory or a saved case, or say --gen N")
	case len(args) == 1 && f.gen > 0:
		return usageErr("diff: --gen makes programs of its own; %q cannot be compared at the same time", args[0])
	}
	return nil
}

// diffDoc is the document of "diff".
type diffDoc struct {
	docHead
	Engines    []string            `json:"engines"`
	Summary    difftest.Summary    `json:"summary"`
	Mismatches []difftest.Mismatch `json:"mismatches"`
	Skips      []difftest.Skip     `json:"skips"`
	Masked     []difftest.Masked   `json:"masked"`
	Refused    []refusal           `json:"refused"`
	Seed       uint64              `json:"seed"`
	Seconds    float64             `json:"seconds"`
}

// verdictsDoc is the document of "diff --verdicts".
type verdictsDoc struct {
	docHead
	Summary  difftest.VerdictSummary    `json:"summary"`
	Programs []*difftest.ProgramVerdict `json:"programs"`
	Refused  []refusal                  `json:"refused"`
}

// differ is one comparison under way.
type differ struct {
	a   *app
	f   diffFlags
	ctx context.Context
	c   difftest.Campaign
	doc diffDoc
	// keep saves the cases that differ: those that nobody has otherwise, and small ones.
	keep bool
}

func (a *app) diff(args []string, f diffFlags) error {
	if err := f.check(args); err != nil {
		return err
	}
	ctx := a.ctx
	if f.minutes > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, time.Duration(f.minutes)*time.Minute)
		defer stop()
	}
	if f.verdicts {
		return a.verdicts(ctx, args, f)
	}
	if f.jitBytes != "" {
		return a.diffJIT(args[0], f)
	}
	d := &differ{a: a, f: f, ctx: ctx, keep: f.shrink || len(args) == 0, doc: diffDoc{
		docHead: head("diff"), Engines: []string{}, Mismatches: []difftest.Mismatch{}, Masked: []difftest.Masked{},
		Refused: []refusal{}, Seed: f.seed,
	}}
	var saved *difftest.Repro
	if len(args) == 1 && filepath.Ext(args[0]) == ".txtar" {
		b, err := a.readInput(args[0])
		if err != nil {
			return err
		}
		if saved, err = difftest.Open(display(args[0]), b); err != nil {
			return withCode(exitInput, err)
		}
		if len(saved.Engines) > 1 && !f.enginesByUser {
			d.f.engines = strings.Join(saved.Engines, ",")
		}
	}
	closeEngines, err := d.openEngines()
	defer closeEngines()
	if err != nil {
		return err
	}
	began := time.Now()
	switch {
	case saved != nil:
		saved.Case.Runtime.Budget = f.run.maxSteps
		err = d.compare(saved.Case)
	case len(args) == 1:
		t := splitTarget(args[0])
		err = a.eachObject(t.path, &d.doc.Refused, func(o *object) error { return untilDone(ctx, d.object(o, t.prog)) })
	case f.mutate != "":
		err = d.mutants()
	default:
		err = d.generated()
	}
	if err != nil && ctx.Err() == nil {
		return err
	}
	d.doc.Seconds = time.Since(began).Seconds()
	return d.finish()
}

// openEngines starts the engines of the list. One that is not there is named and
// counted as skipped for each program, unless fewer than two are left.
func (d *differ) openEngines() (closeAll func(), err error) {
	var started []*difftest.Kernel
	closeAll = func() {
		for _, k := range started {
			k.Close()
		}
	}
	missing := 0
	for name := range strings.SplitSeq(d.f.engines, ",") {
		var e difftest.Engine
		if strings.HasPrefix(name, "kernel") && slices.Contains(difftest.Names(), name) {
			k, err := d.startKernel(name)
			if err != nil {
				missing++
				d.a.warn("engine %s: %v", name, err)
				d.c.Engines = append(d.c.Engines, difftest.Missing(name, err))
				continue
			}
			started = append(started, k)
			e = k
		} else if e, err = difftest.EngineByName(name); err != nil {
			return closeAll, usageErr("--engines: %w", err)
		}
		if slices.ContainsFunc(d.c.Engines, func(o difftest.Engine) bool { return o.Name() == name }) {
			return closeAll, usageErr("--engines: %s stands there twice", name)
		}
		d.c.Engines = append(d.c.Engines, e)
	}
	for _, e := range d.c.Engines {
		d.doc.Engines = append(d.doc.Engines, e.Name())
	}
	if len(d.c.Engines) < 2 {
		return closeAll, usageErr("--engines=%s: want at least two", d.f.engines)
	}
	if len(d.c.Engines)-missing < 2 {
		return closeAll, withCode(exitPrivilege, fmt.Errorf("--engines=%s: nothing is left to compare: the kernel cannot be asked", d.f.engines))
	}
	d.c.Shrink, d.c.Sound = d.f.shrink, true
	return closeAll, nil
}

// compare compares one case, and tells what came of it.
func (d *differ) compare(c *difftest.Case) error {
	found, err := d.c.Compare(d.ctx, c)
	for i := range found {
		m := &found[i]
		if d.keep {
			if err := d.save(m); err != nil {
				return err
			}
		}
		d.doc.Mismatches = append(d.doc.Mismatches, *m)
		if !d.a.jsonWanted() {
			d.tell(m)
		}
	}
	return err
}

// generated compares random programs.
func (d *differ) generated() error {
	for n := 1; d.f.gen == 0 || n <= d.f.gen; n++ {
		c := difftest.Generate(d.f.seed, n, difftest.GenOptions{Items: d.f.items})
		if d.f.wild {
			c = difftest.Wild(c, uint64(n))
		}
		if err := d.compare(c); err != nil {
			return err
		}
		if n%1000 == 0 {
			d.a.progress("%d programs, %d mismatches, %d skipped", n, d.c.Summary.Mismatches, d.c.Summary.Skipped)
		}
	}
	return nil
}

// object compares the programs of an object: each by itself or, on events, together.
func (d *differ) object(o *object, prog string) error {
	if d.ctx.Err() != nil {
		return nil
	}
	progs, err := o.programs(prog)
	if err != nil {
		return err
	}
	base, err := d.caseOf(o, prog)
	if err != nil {
		return err
	}
	if base.Script != nil {
		if prog != "" {
			base.Programs = []string{prog}
		}
		return d.compare(base)
	}
	for _, p := range progs {
		c := *base
		c.Name += ":" + p.Name
		c.Programs = []string{p.Name}
		if len(c.Frames) > 0 && !difftest.TakesPackets(p.Type) {
			d.skip(c.Name, fmt.Errorf("packets are given, and programs of type %s take none", p.Type))
			continue
		}
		if len(c.Frames) == 0 {
			if err := c.AddInputs(); err != nil {
				d.skip(c.Name, err)
				continue
			}
		}
		if err := d.compare(&c); err != nil {
			return err
		}
	}
	return nil
}

// skip counts a program that no engine can be given.
func (d *differ) skip(name string, err error) {
	d.c.Summary.Programs++
	d.c.Skip("all", name, err.Error())
}

// caseOf makes a case of an object and the inputs that the flags name.
func (d *differ) caseOf(o *object, prog string) (*difftest.Case, error) {
	return (&running{a: d.a, f: d.f.run, o: o, prog: prog}).asCase()
}

// untilDone forgets the error of work that was stopped because the time is over: what
// is done by then is told.
func untilDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// finish writes the summary and gives the verdict.
func (d *differ) finish() error {
	d.doc.Summary, d.doc.Skips = d.c.Summary, d.c.Skips()
	d.doc.Masked = append(d.doc.Masked, d.c.Masked...)
	s := d.doc.Summary
	if d.a.jsonWanted() {
		d.a.writeJSON(d.doc)
	} else {
		for _, k := range d.doc.Skips {
			fmt.Fprintf(d.a.out, "skipped %d on %s: %s (first: %s)\n", k.Count, k.Engine, k.Reason, k.First)
		}
		d.tellMasked()
		fmt.Fprintf(d.a.out, "engines %s  programs %d  runs %d  mismatches %d  skipped %d\n",
			strings.Join(d.doc.Engines, ","), s.Programs, s.Runs, s.Mismatches, s.Skipped)
		fmt.Fprintf(d.a.out, "within what the verifier has proven: %d of %s, %s\n",
			s.Checked, plural(s.Programs, "program"), plural(int(s.States), "state"))
		if s.Lost > 0 {
			fmt.Fprintf(d.a.out, "the kernel hung or failed on %s\n", plural(s.Lost, "program"))
		}
	}
	switch {
	case s.Mismatches > 0:
		return withCode(exitNegative, errAnswered)
	case s.Programs == 0 && len(d.doc.Refused) > 0:
		return withCode(exitInput, errors.New("nothing could be compared"))
	}
	return nil
}

// verdicts compares verifiers.
func (a *app) verdicts(ctx context.Context, args []string, f diffFlags) error {
	k, err := difftest.StartKernel(ctx)
	if err != nil {
		return withCode(exitPrivilege, fmt.Errorf("--verdicts: %w", err))
	}
	defer k.Close()
	if _, err := os.Stat(hostBTF); err == nil && a.flags.btf == "" {
		a.flags.btf = "host" // both judge the program as this kernel would run it
	}
	doc := verdictsDoc{docHead: head("diff-verdicts"), Programs: []*difftest.ProgramVerdict{}, Refused: []refusal{}}
	one := func(object string, cs *spec.CollectionSpec, p *spec.ProgramSpec) error {
		v, err := difftest.CompareVerdicts(ctx, k, cs, p)
		if err != nil {
			return err
		}
		v.Object = object
		doc.Summary.Add(v.Class)
		doc.Programs = append(doc.Programs, v)
		if !a.jsonWanted() && v.Class != difftest.BothAccept {
			a.tellVerdict(v)
		}
		return nil
	}
	if len(args) == 0 {
		for n := 1; (f.gen == 0 || n <= f.gen) && err == nil; n++ {
			c := difftest.Generate(f.seed, n, difftest.GenOptions{Items: f.items})
			err = one(c.Name, c.Spec, c.Spec.Programs[0])
		}
	} else {
		t := splitTarget(args[0])
		err = a.eachObject(t.path, &doc.Refused, func(o *object) error {
			progs, err := o.programs(t.prog)
			if err != nil {
				return err
			}
			for _, p := range progs {
				if err := one(display(o.path), o.coll, p); err != nil {
					return untilDone(ctx, err)
				}
			}
			return nil
		})
	}
	if err != nil && ctx.Err() == nil {
		return err
	}
	s := doc.Summary
	if a.jsonWanted() {
		a.writeJSON(doc)
	} else {
		fmt.Fprintf(a.out, "programs %d  both accept %d  same message %d  other message %d  false accept %d  false reject %d  not modelled %d  skipped %d\n",
			s.Programs, s.BothAccept, s.SameMessage, s.OtherMessage, s.FalseAccept, s.FalseReject, s.NotModelled, s.Skipped)
	}
	if s.Wrong() > 0 {
		return withCode(exitNegative, errAnswered)
	}
	return nil
}

// tellVerdict writes a verdict that is not plain agreement.
func (a *app) tellVerdict(v *difftest.ProgramVerdict) {
	class := string(v.Class)
	if v.Class == difftest.FalseAccept || v.Class == difftest.FalseReject {
		class = a.style.bad(class)
	}
	fmt.Fprintf(a.out, "%s %s:%s (%s)\n", class, v.Object, v.Program, v.Section)
	if v.OurMessage != "" {
		fmt.Fprintf(a.out, "  ours    %s: %s\n", v.Ours, lastLine(v.OurMessage))
	}
	if v.KernelMessage != "" {
		fmt.Fprintf(a.out, "  kernel  %s: %s\n", v.Kernel, lastLine(v.KernelMessage))
	}
}

// lastLine is the line of a verifier's message that says what is wrong.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
