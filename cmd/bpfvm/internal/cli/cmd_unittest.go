package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"bpfvm/cover"
	"bpfvm/scenario"
	"bpfvm/unittest"
	"bpfvm/vm"

	"github.com/spf13/cobra"
)

func cmdUnittest() *command {
	return &command{
		name: "test", args: "DIR|FILE.txtar ..", short: "run unit tests of programs",
		long: "Runs the cases of test files: each gives programs packets or events and says what must " +
			"come of it. No root and no kernel are needed; every case starts from nothing and comes out the " +
			"same on every machine. Of a directory, all .txtar files below it that name an object are run.\n\n" +
			"A file begins with statements; the files that they name may follow in the same archive:\n\n" +
			"  object ../xdp/firewall.bpf.o\n" +
			"  verify accepted\n" +
			"  case arp is dropped\n" +
			"  xdp packet=\"eth/arp\"\n" +
			"  expect r0 == XDP_DROP\n\n" +
			"\"bpfvm help tests\" lists the statements. Package unittest runs the same files from go test.",
		examples: []example{
			{"bpfvm test testdata/tests", "all test files of a directory"},
			{"bpfvm test testdata/tests/firewall.txtar --case arp -v", "cases by a part of their name, passed ones too"},
			{"bpfvm test testdata/tests --engine interp --junit report.xml", "one engine; a report for CI"},
		},
		exits: []int{exitNegative, exitInput}, seeAlso: []string{"tests", "events", "run"},
		wants: argCount{1, anyNumber}, json: true,
		setup: func(a *app, c *cobra.Command) func([]string) error {
			var f unittestFlags
			fs := c.Flags()
			fs.StringArrayVar(&f.engines, "engine", nil, "run every case on the engine `NAME`; repeatable")
			fs.StringVar(&f.match, "case", "", "only cases whose name contains `TEXT`")
			fs.StringVar(&f.junit, "junit", "", "write a report in JUnit's XML to `FILE`")
			fs.Uint64Var(&f.maxSteps, "max-steps", unittest.DefaultBudget, "instructions that one run may execute: `N`")
			coverFlag(fs, &f.cover)
			a.btfFlag(c)
			completeEngine(c)
			return func(args []string) error { return a.unittest(args, f) }
		},
	}
}

type unittestFlags struct {
	engines      []string
	match, junit string
	cover        string
	maxSteps     uint64
}

// unittestDoc is the document of "test".
type unittestDoc struct {
	docHead
	Results []*unittest.Result `json:"results"`
	Summary unittest.Summary   `json:"summary"`
	// Coverage is there with --cover.
	Coverage *cover.Report `json:"coverage,omitempty"`
}

func (a *app) unittest(args []string, f unittestFlags) error {
	target, err := a.targetBTF()
	if err != nil {
		return err
	}
	o := unittest.Options{Read: a.readTestFile, Engines: f.engines, Target: target, Budget: f.maxSteps}
	for _, e := range f.engines {
		if _, err := unittest.EngineByName(e); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return usageErr("--engine: %w", err)
		}
	}
	if err := checkCover(f.cover, f.engines); err != nil {
		return err
	}
	counted := cover.New()
	if f.cover != "" {
		o.Loaded = counted.Add
		o.Engine = func(name string) (vm.Engine, error) {
			if name == "step" {
				return counted.Engine(), nil
			}
			return unittest.EngineByName(name)
		}
	}
	if f.match != "" {
		o.Match = regexp.MustCompile(regexp.QuoteMeta(f.match))
	}
	doc := unittestDoc{docHead: head("test"), Results: []*unittest.Result{}}
	for _, arg := range args {
		files, err := testFiles(arg)
		if err != nil {
			return err
		}
		for _, path := range files {
			rs, err := a.testFile(path, o)
			if err != nil && len(args) == 1 && !isDir(arg) {
				return err
			}
			if err != nil {
				rs = []*unittest.Result{{File: display(path), Pos: scenario.Pos{Line: 1, Col: 1}, Case: display(path),
					Status: unittest.Error, Reason: err.Error(), Failures: []unittest.Failure{}, Notes: []string{}}}
			}
			doc.Results = append(doc.Results, rs...)
			if !a.jsonWanted() {
				a.writeTestFile(rs)
			}
		}
	}
	doc.Summary = unittest.Summarize(doc.Results)
	switch {
	case a.ctx.Err() != nil:
		return a.ctx.Err()
	case len(doc.Results) == 0 && f.match != "":
		return inputErr("no case has %q in its name", f.match)
	case len(doc.Results) == 0:
		return inputErr("%s: no test file: want .txtar files with an \"object\" statement", display(args[0]))
	}
	if f.junit != "" {
		var b bytes.Buffer
		if err := unittest.WriteJUnit(&b, doc.Results); err != nil {
			return err
		}
		if err := a.writeFile(f.junit, b.Bytes()); err != nil {
			return err
		}
	}
	if f.cover != "" {
		doc.Coverage = counted.Report()
	}
	if a.jsonWanted() {
		a.writeJSON(doc)
	} else {
		a.writeTestSummary(doc.Summary)
	}
	if f.cover != "" {
		if err := a.writeCover(f.cover, strings.Join(args, " "), doc.Coverage); err != nil {
			return err
		}
	}
	if !doc.Summary.OK() {
		return withCode(exitNegative, errAnswered)
	}
	return nil
}

// testFiles lists the test files that an operand stands for.
func testFiles(arg string) ([]string, error) {
	if !isDir(arg) {
		return []string{arg}, nil
	}
	var out []string
	err := filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type().IsRegular() && filepath.Ext(path) == ".txtar" {
			if b, err := os.ReadFile(path); err != nil || unittest.IsTest(b) {
				out = append(out, path)
			}
		}
		return nil
	})
	slices.Sort(out)
	if err != nil {
		return nil, fileErr(arg, err)
	}
	return out, nil
}

func (a *app) testFile(path string, o unittest.Options) ([]*unittest.Result, error) {
	b, err := a.readInput(path)
	if err != nil {
		return nil, err
	}
	file, err := unittest.Parse(display(path), b)
	if err != nil {
		return nil, err
	}
	return file.Run(a.ctx, o), nil
}

// readTestFile reads what a test names; its path has slashes.
func (a *app) readTestFile(path string) ([]byte, error) { return a.readInput(filepath.FromSlash(path)) }

// writeTestFile prints a line for a file whose cases passed, and else each case that
// did not.
func (a *app) writeTestFile(rs []*unittest.Result) {
	if len(rs) == 0 {
		return
	}
	s := unittest.Summarize(rs)
	word := a.style.good("ok   ")
	if !s.OK() {
		word = a.style.bad("FAIL ")
	}
	note := plural(s.Cases, "case")
	if s.Skipped > 0 {
		note += fmt.Sprintf(", %d skipped", s.Skipped)
	}
	fmt.Fprintf(a.out, "%s %-44s %s\n", word, rs[0].File, a.style.dim(note))
	for _, r := range rs {
		if r.Status != unittest.Pass || len(r.Notes) > 0 || a.flags.verbose {
			fmt.Fprintln(a.out, printableLines(r.String()))
		}
	}
}

func (a *app) writeTestSummary(s unittest.Summary) {
	line := fmt.Sprintf("%s in %s, %s: %d passed", plural(s.Cases, "case"), plural(s.Files, "file"), plural(s.Checks, "check"), s.Passed)
	for _, n := range []struct {
		count int
		word  string
	}{{s.Failed, "failed"}, {s.Errors, "could not run"}, {s.Skipped, "skipped"}} {
		if n.count > 0 {
			line += fmt.Sprintf(", %d %s", n.count, n.word)
		}
	}
	if s.OK() {
		line = a.style.good(line)
	} else {
		line = a.style.bad(line)
	}
	fmt.Fprintf(a.out, "\n%s\n", line)
}

// printableLines makes text with several lines safe for a terminal.
func printableLines(s string) string {
	lines := bytes.Split([]byte(s), []byte("\n"))
	for i, l := range lines {
		lines[i] = []byte(printable(string(l)))
	}
	return string(bytes.Join(lines, []byte("\n")))
}
