package cli

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"bpfvm/labs"
	"bpfvm/scenario"
	"bpfvm/unittest"

	"github.com/spf13/cobra"
)

// labWords are what "bpfvm labs" can do, with the operands after the word.
var labWords = []struct{ word, args, what string }{
	{"list", "", "the labs of this version"},
	{"start", "LAB [DIR]", "make a folder with the task"},
	{"check", "[DIR]", "check what is there so far"},
	{"hint", "[DIR]", "the next hint, of three"},
	{"reset", "[DIR]", "bring the files to edit back to their start"},
	{"solution", "[DIR]", "a solution, once every check has passed"},
	{"lint", "LAB", "start fails, solution passes: prove it"},
}

func cmdLabs() *command {
	var what strings.Builder
	for _, w := range labWords {
		fmt.Fprintf(&what, "  %-20s %s\n", strings.TrimSpace(w.word+" "+w.args), w.what)
	}
	return &command{
		name: "labs", args: "WORD [..]", short: "exercises, with checks that explain",
		long: "Exercises for one evening each. No compiler, no root and no network are needed.\n\n" +
			what.String() + "\n" +
			"LAB is a number, or a lab file of your own (.txtar; package labs explains the format). DIR is the " +
			"lab's folder, by default the current one. With --student the constants of a lab differ from " +
			"student to student, and are the same on every machine for the same name.\n\n" +
			"A failed check tells what was wanted, what came, where they part and which command shows it. " +
			"Solution and explanation come after success.",
		examples: []example{
			{"bpfvm labs list", "what there is"},
			{"bpfvm labs start 6 --student ada", "a folder lab06-packet-bounds with the task"},
			{"bpfvm labs check lab06-packet-bounds --junit report.xml", "all checks, for CI too"},
		},
		exits: []int{exitNegative, exitInput}, seeAlso: []string{"verify", "run", "tour", "asm"},
		wants: argCount{1, 3}, json: true,
		setup: func(a *app, c *cobra.Command) func([]string) error {
			var f labsFlags
			fs := c.Flags()
			fs.StringVar(&f.student, "student", "", "start: draw the constants for `ID`")
			fs.StringVar(&f.junit, "junit", "", "check: write a report in JUnit's XML to `FILE`")
			c.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
				return completeLabs(args)
			}
			return func(args []string) error { return a.labs(args, f) }
		},
	}
}

type labsFlags struct{ student, junit string }

func completeLabs(args []string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var out []cobra.Completion
	switch {
	case len(args) == 0:
		for _, w := range labWords {
			out = append(out, cobra.CompletionWithDesc(w.word, w.what))
		}
	case len(args) == 1 && (args[0] == "start" || args[0] == "lint"):
		for _, l := range labs.All() {
			out = append(out, cobra.CompletionWithDesc(strconv.Itoa(l.Number), l.Title))
		}
	default:
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// labsVersion is the version of the document, which has the shape of Exercism's
// results.json of that version (status, tests) and more.
const labsVersion = 3

// labsDoc is the document of "labs".
type labsDoc struct {
	docHead
	Status string       `json:"status"` // pass, fail; of list: "list"
	Tests  []labTest    `json:"tests"`
	Report *labs.Report `json:"report,omitempty"`
	Labs   []labEntry   `json:"labs,omitempty"`
}

type labTest struct {
	Name    string `json:"name"`
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

type labEntry struct {
	Number int    `json:"lab"`
	Title  string `json:"title"`
	Points int    `json:"points"`
	Goal   string `json:"goal"`
}

func (a *app) labs(args []string, f labsFlags) error {
	word, rest := args[0], args[1:]
	limit := 1
	switch word {
	case "list":
		limit = 0
	case "start":
		limit = 2
	}
	if len(rest) > limit {
		return usageErr("labs %s: one operand too many: %q", word, rest[limit])
	}
	dir := "."
	if len(rest) > 0 {
		dir = rest[0]
	}
	switch word {
	case "list":
		return a.labsList()
	case "start", "lint":
		if len(rest) == 0 {
			return usageErr("labs %s: which lab? \"bpfvm labs list\" shows them", word)
		}
		l, err := a.lab(rest[0])
		if err != nil {
			return err
		}
		if word == "lint" {
			return a.labsLint(l)
		}
		return a.labsStart(l, rest, f)
	case "check":
		return a.labsCheck(dir, f)
	case "hint":
		return a.labsHint(dir)
	case "reset":
		return a.labsReset(dir)
	case "solution":
		return a.labsSolution(dir)
	}
	var words []string
	for _, w := range labWords {
		words = append(words, w.word)
	}
	return usageErr("labs: no word %q%s", word, didYouMean(word, words))
}

// lab finds a lab by its number or reads it from a file.
func (a *app) lab(ref string) (*labs.Lab, error) {
	if n, err := strconv.Atoi(ref); err == nil {
		if l := labs.ByNumber(n); l != nil {
			return l, nil
		}
		return nil, unsupportedErr("lab %d is not in this version of bpfvm; \"bpfvm labs list\" shows what is", n)
	}
	b, err := a.readInput(ref)
	if err != nil {
		return nil, err
	}
	return labs.Parse(display(ref), b)
}

func (a *app) labsList() error {
	doc := labsDoc{docHead: docHead{"bpfvm/labs", labsVersion}, Status: "list", Tests: []labTest{}}
	t := newTable(">LAB", "TITLE", ">POINTS", "GOAL")
	t.paint(1, a.style.name)
	for _, l := range labs.All() {
		doc.Labs = append(doc.Labs, labEntry{l.Number, l.Title, l.Points, l.Goal})
		t.add(l.Number, l.Title, l.Points, l.Goal)
	}
	if a.jsonWanted() {
		a.writeJSON(doc)
		return nil
	}
	t.write(a.out, a, "")
	a.next = "bpfvm labs start " + strconv.Itoa(doc.Labs[0].Number)
	return nil
}

func (a *app) labsStart(l *labs.Lab, rest []string, f labsFlags) error {
	e, err := l.For(f.student)
	if err != nil {
		return err
	}
	dir := l.Name()
	if len(rest) > 1 {
		dir = rest[1]
	}
	st := labs.State{Lab: l.Number, Student: f.student}
	if strings.HasSuffix(rest[0], ".txtar") {
		st.Lab = 0
		if st.File, err = filepath.Abs(rest[0]); err != nil {
			return err
		}
	}
	if err := labs.Create(dir, e, st); err != nil {
		return inputErr("labs start: %w", err)
	}
	fmt.Fprintf(a.out, "lab %d, %s: %s\n\n", l.Number, a.style.head(l.Title), l.Goal)
	t := newTable("", "")
	t.paint(0, a.style.name)
	for _, name := range e.Files() {
		what := "given"
		switch {
		case name == "TASK.txt":
			what = "read this first"
		case slices.Contains(l.Edit, name):
			what = "yours to edit"
		}
		t.add(display(filepath.Join(dir, name)), what)
	}
	t.write(a.out, a, "  ")
	a.next = "bpfvm labs check " + display(dir)
	return nil
}

// openLab opens the folder and makes its lab anew.
func (a *app) openLab(dir string) (*labs.Workspace, *labs.Exercise, error) {
	w, err := labs.Open(dir)
	if err != nil {
		if errors.Is(err, labs.ErrNoLab) {
			return nil, nil, inputErr("%w; start one with: bpfvm labs start 1", err)
		}
		return nil, nil, fileErr(dir, err)
	}
	ref := w.State.File
	if ref == "" {
		ref = strconv.Itoa(w.State.Lab)
	}
	l, err := a.lab(ref)
	var e *labs.Exercise
	if err == nil {
		e, err = l.For(w.State.Student)
	}
	if err != nil {
		w.Close()
		return nil, nil, err
	}
	return w, e, nil
}

// checkLab opens the folder and does all checks.
func (a *app) checkLab(dir string) (*labs.Exercise, *labs.Report, error) {
	w, e, err := a.openLab(dir)
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	rep, err := e.Check(a.ctx, w.Read)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", display(dir), err)
	}
	return e, rep, nil
}

func (a *app) labsCheck(dir string, f labsFlags) error {
	e, rep, err := a.checkLab(dir)
	if err != nil {
		return err
	}
	if f.junit != "" {
		if err := a.writeLabJUnit(f.junit, rep); err != nil {
			return err
		}
	}
	if a.jsonWanted() {
		a.writeJSON(labsDocOf(rep))
	} else {
		a.writeLabReport(e, rep)
	}
	where := ""
	if dir != "." {
		where = " " + display(dir)
	}
	if !rep.Done() {
		a.next = "bpfvm labs hint" + where
		return withCode(exitNegative, errAnswered)
	}
	a.next = "bpfvm labs solution" + where
	return nil
}

func labsDocOf(rep *labs.Report) labsDoc {
	doc := labsDoc{docHead: docHead{"bpfvm/labs", labsVersion}, Status: "pass", Tests: []labTest{}, Report: rep}
	for _, i := range rep.Items {
		t := labTest{Name: i.Name, Status: "pass"}
		if i.Status != labs.Pass {
			doc.Status, t.Status = "fail", "fail"
			t.Message = fmt.Sprintf("want %s, got %s", i.Want, i.Got)
			if i.Where != "" {
				t.Message += " (" + i.Where + ")"
			}
		}
		doc.Tests = append(doc.Tests, t)
	}
	return doc
}

// writeLabJUnit writes the checks as tests.
func (a *app) writeLabJUnit(path string, rep *labs.Report) error {
	var rs []*unittest.Result
	for _, i := range rep.Items {
		r := &unittest.Result{File: fmt.Sprintf("lab %d", rep.Number), Case: i.Name, Status: unittest.Pass, Pos: scenario.Pos{Line: 1}}
		if i.Status != labs.Pass {
			r.Status = unittest.Fail
			r.Failures = []unittest.Failure{{File: r.File, Text: i.Name, Want: i.Want, Got: i.Got, Where: i.Where}}
		}
		rs = append(rs, r)
	}
	var b bytes.Buffer
	if err := unittest.WriteJUnit(&b, rs); err != nil {
		return err
	}
	return a.writeFile(path, b.Bytes())
}

// writeLabReport shows progress, then the checks; of those that failed what helps.
func (a *app) writeLabReport(e *labs.Exercise, rep *labs.Report) {
	s := a.style
	const width = 20
	n := width * rep.Passed() / len(rep.Items)
	bar := "[" + strings.Repeat("#", n) + strings.Repeat("-", width-n) + "]"
	fmt.Fprintf(a.out, "lab %d  %s  %s  %d/%d checks  %d of %d points\n\n", rep.Number, s.head(rep.Title), bar,
		rep.Passed(), len(rep.Items), rep.Points, rep.Of)
	for _, i := range rep.Items {
		mark := s.good("ok   ")
		switch i.Status {
		case labs.Fail:
			mark = s.bad("FAIL ")
		case labs.Empty:
			mark = s.dim("todo ")
		}
		fmt.Fprintf(a.out, "%s %s %s\n", mark, i.Name, s.dim(fmt.Sprintf("(%d of %d)", i.Points, i.Of)))
		if i.Status == labs.Pass {
			continue
		}
		for _, l := range [][2]string{{"want", i.Want}, {"got", i.Got}, {"where", i.Where}, {"see", i.Again}} {
			if l[1] == "" || i.Status == labs.Empty && l[0] == "got" {
				continue
			}
			text := wrap(printable(strings.ReplaceAll(l[1], "\n", ". ")), 66, "")
			for j, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
				lead := l[0]
				if j > 0 {
					lead = ""
				}
				fmt.Fprintf(a.out, "      %s %s\n", s.dim(fmt.Sprintf("%-5s", lead)), line)
			}
		}
	}
	if rep.Done() {
		fmt.Fprintf(a.out, "\n%s\n", s.good("Well done: every check has passed."))
		if e.Misconception != "" {
			fmt.Fprintf(a.out, "\nWhat many believe:\n%s", wrap(e.Misconception, 76, "  "))
		}
	}
}

func (a *app) labsHint(dir string) error {
	w, e, err := a.openLab(dir)
	if err != nil {
		return err
	}
	defer w.Close()
	if w.State.Hints < len(e.Hints) {
		w.State.Hints++
		if err := w.Save(); err != nil {
			return fileErr(dir, err)
		}
	}
	for i, h := range e.Hints[:w.State.Hints] {
		fmt.Fprintf(a.out, "%s\n%s\n", a.style.head(fmt.Sprintf("hint %d of %d", i+1, len(e.Hints))), wrap(h, 76, "  "))
	}
	a.next = "bpfvm labs check"
	return nil
}

func (a *app) labsReset(dir string) error {
	w, e, err := a.openLab(dir)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Reset(e); err != nil {
		return fileErr(dir, err)
	}
	fmt.Fprintf(a.out, "%s as at the start\n", strings.Join(e.Edit, ", "))
	return nil
}

func (a *app) labsSolution(dir string) error {
	e, rep, err := a.checkLab(dir)
	if err != nil {
		return err
	}
	if !rep.Done() {
		fmt.Fprintf(a.out, "The solution comes after success: %d of %d checks have passed so far.\n", rep.Passed(), len(rep.Items))
		a.next = "bpfvm labs hint"
		return withCode(exitNegative, errAnswered)
	}
	for _, name := range e.Edit {
		fmt.Fprintf(a.out, "%s\n%s\n", a.style.head(name), strings.TrimRight(string(e.Solution(name)), "\n"))
	}
	return nil
}

func (a *app) labsLint(l *labs.Lab) error {
	bad := 0
	for _, student := range []string{"", "one", "two", "three"} {
		e, err := l.For(student)
		if err != nil {
			return err
		}
		for _, err := range e.Lint(a.ctx) {
			fmt.Fprintf(a.out, "%s student %q: %s\n", a.style.bad("FAIL"), student, printableLines(err.Error()))
			bad++
		}
	}
	if bad > 0 {
		return withCode(exitNegative, errAnswered)
	}
	fmt.Fprintf(a.out, "lab %d, %s: the start fails, the solution passes\n", l.Number, l.Title)
	return nil
}
