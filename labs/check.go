package labs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Status is how a check ended.
type Status string

// How a check can end.
const (
	Pass  Status = "pass"
	Fail  Status = "fail"
	Empty Status = "empty" // nothing was written yet
)

// Item is the outcome of one check.
type Item struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Points int    `json:"points"`
	Of     int    `json:"of"`
	Hidden bool   `json:"hidden"`
	Want   string `json:"want,omitempty"`
	Got    string `json:"got,omitempty"`
	// Where tells where the two part; Again is a command that shows it.
	Where string `json:"where,omitempty"`
	Again string `json:"again,omitempty"`
}

// Report is the outcome of all checks of a lab.
type Report struct {
	Number  int    `json:"lab"`
	Title   string `json:"title"`
	Student string `json:"student"`
	Points  int    `json:"points"`
	Of      int    `json:"of"`
	Items   []Item `json:"checks"`
}

// Done reports whether every check has passed.
func (r *Report) Done() bool {
	return !slices.ContainsFunc(r.Items, func(i Item) bool { return i.Status != Pass })
}

// Passed counts the checks that did.
func (r *Report) Passed() int {
	n := 0
	for _, i := range r.Items {
		if i.Status == Pass {
			n++
		}
	}
	return n
}

// checkKind is a kind of check: what it wants as arguments, and how it is done.
type checkKind struct {
	form  string
	count []int // of arguments
	name  func(args []string) string
	do    func(r *checking, args []string) (*finding, error)
}

// finding says what was wrong; nil means that all is well.
type finding struct {
	empty                   bool
	want, got, where, again string
}

// The table refers to functions that refer to it, so it is filled at the start.
var checkKinds map[string]checkKind

func init() {
	checkKinds = map[string]checkKind{
		"verify": {"FILE.s accepted, or FILE.s rejected [CODE]", []int{2, 3},
			func(a []string) string { return "the verifier says: " + strings.Join(a[1:], " ") }, (*checking).verify},
		"run": {"FILE.s --packets FILE --expect FILE", []int{5},
			func([]string) string { return "each packet ends as it should" }, (*checking).run},
		"fact": {"OBJECT FILE NAME", []int{3},
			func(a []string) string { return a[2] }, (*checking).checkFact},
		"bytes": {"FILE SOURCE", []int{2},
			func([]string) string { return "the slots are those of the task" }, (*checking).bytes},
		"returns": {"FILE SOURCE", []int{2},
			func([]string) string { return "the program returns the right value" }, (*checking).returns},
	}
}

func kinds() []string { return slices.Sorted(maps.Keys(checkKinds)) }

// usage checks the arguments of a check.
func (k *checkKind) usage(args []string) error {
	if !slices.Contains(k.count, len(args)) {
		return errors.New("want " + k.form)
	}
	words := strings.Fields(k.form)
	for i, a := range args {
		if i < len(words) && strings.HasPrefix(words[i], "--") && a != words[i] {
			return fmt.Errorf("want %s, got %q", k.form, a)
		}
	}
	return nil
}

// checking is one check under way.
type checking struct {
	e    *Exercise
	ctx  context.Context
	read func(name string) ([]byte, error) // of the student's folder
}

// file returns a private or given file of the lab, or the student's form of one that
// is edited.
func (c *checking) file(name string) ([]byte, error) {
	if slices.Contains(c.e.Edit, name) {
		return c.read(name)
	}
	b, ok := c.e.files[name]
	if !ok {
		return nil, fmt.Errorf("the lab has no file %s", name)
	}
	return b, nil
}

// Check does all checks on what the student has written. The error is about the
// student's folder or the lab; what is wrong in the answers is in the report.
func (e *Exercise) Check(ctx context.Context, read func(name string) ([]byte, error)) (*Report, error) {
	rep := &Report{Number: e.Number, Title: e.Title, Student: e.Student, Of: e.Points, Items: []Item{}}
	c := &checking{e, ctx, read}
	for _, ck := range e.checks {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		k := checkKinds[ck.kind]
		item := Item{Name: k.name(ck.args), Of: ck.points, Hidden: ck.hidden, Status: Pass, Points: ck.points}
		if ck.hidden {
			item.Name += " (hidden)"
		}
		f, err := k.do(c, ck.args)
		if err != nil {
			return nil, err
		}
		if f != nil {
			item.Status, item.Points = Fail, 0
			item.Want, item.Got, item.Where, item.Again = f.want, f.got, f.where, f.again
			if f.empty {
				item.Status = Empty
			}
		}
		rep.Points += item.Points
		rep.Items = append(rep.Items, item)
	}
	return rep, nil
}

// Lint returns what is wrong with the lab: every check must fail on what the student
// gets at the start, as a whole, and pass on the solution.
func (e *Exercise) Lint(ctx context.Context) []error {
	var errs []error
	rep, err := e.Check(ctx, func(name string) ([]byte, error) { return e.files[name], nil })
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("starter: %w", err))
	case rep.Done():
		errs = append(errs, errors.New("the starter passes already"))
	}
	rep, err = e.Check(ctx, func(name string) ([]byte, error) { return e.Solution(name), nil })
	if err != nil {
		return append(errs, fmt.Errorf("solution: %w", err))
	}
	for _, i := range rep.Items {
		if i.Status != Pass {
			errs = append(errs, fmt.Errorf("solution: %s: want %s, got %s %s", i.Name, i.Want, i.Got, i.Where))
		}
	}
	if len(e.Hints) == 0 {
		errs = append(errs, errors.New("no hint"))
	}
	if _, ok := e.files["TASK.txt"]; !ok {
		errs = append(errs, errors.New("no TASK.txt"))
	}
	return errs
}
