package unittest

import (
	"fmt"
	"path"
	"strings"

	"bpfvm/scenario"
)

// Status is how a case ended.
type Status string

// How a case can end.
const (
	Pass  Status = "pass"
	Fail  Status = "fail"  // something else came out than was expected
	Error Status = "error" // it could not be run at all
	Skip  Status = "skip"  // not run, for the reason in Result.Reason
)

// Result is what became of one case on one engine.
type Result struct {
	File   string       `json:"file"`
	Pos    scenario.Pos `json:"pos"`
	Case   string       `json:"case"`
	Engine string       `json:"engine"`
	Status Status       `json:"status"`
	// Reason says why the case could not be run or was skipped.
	Reason   string    `json:"reason,omitempty"`
	Failures []Failure `json:"failures"`
	Notes    []string  `json:"notes"`  // what looks like a mistake in the test
	Checks   int       `json:"checks"` // expectations looked at
	Runs     int       `json:"runs"`   // of programs
	Insns    uint64    `json:"insns"`  // executed, in all
}

// Failure is one expectation that was not met.
type Failure struct {
	File string       `json:"file"`
	Pos  scenario.Pos `json:"pos"`
	Text string       `json:"expect"` // the statement
	Want string       `json:"want"`
	Got  string       `json:"got"`
	// Where tells where expectation and outcome part: the run, the line of a
	// golden file, the instruction that the verifier refused.
	Where string `json:"where,omitempty"`
}

// Name is the case with its engine: "arp is dropped (step)".
func (r *Result) Name() string {
	if r.Engine == "" {
		return r.Case
	}
	return r.Case + " (" + r.Engine + ")"
}

// Command is the command line that runs this case alone.
func (r *Result) Command() string {
	c := "bpfvm test " + shellWord(r.File)
	if r.Case != r.File {
		c += " --case " + shellWord(r.Case)
	}
	if r.Engine != "" {
		c += " --engine " + r.Engine
	}
	return c
}

// shellWord quotes a word for a POSIX shell where that is needed.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/:+,@", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// String is the result in the lines that a person needs: one when all is well, and
// for each failure what was expected, what came, where, and how to see it again.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-5s %s", r.Status, r.Name())
	if r.Reason != "" {
		for i, l := range strings.Split(strings.TrimRight(r.Reason, "\n"), "\n") {
			if i == 0 && r.Status == Skip {
				b.WriteString(": " + l)
			} else {
				b.WriteString("\n      " + l)
			}
		}
	}
	for _, f := range r.Failures {
		b.WriteString("\n" + f.String())
	}
	for _, n := range r.Notes {
		b.WriteString("\n      note: " + n)
	}
	if r.Status == Fail || r.Status == Error {
		b.WriteString("\n      again: " + r.Command())
	}
	return b.String()
}

// String is the failure in a few lines, each indented.
func (f *Failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "      %s:%d: %s\n", path.Base(f.File), f.Pos.Line, f.Text)
	fmt.Fprintf(&b, "        want %s\n        got  %s", indentMore(f.Want), indentMore(f.Got))
	if f.Where != "" {
		fmt.Fprintf(&b, "\n        at   %s", indentMore(f.Where))
	}
	return b.String()
}

func indentMore(s string) string { return strings.ReplaceAll(s, "\n", "\n             ") }

// Summary counts results.
type Summary struct {
	Files   int    `json:"files"`
	Cases   int    `json:"cases"` // each on each of its engines
	Passed  int    `json:"passed"`
	Failed  int    `json:"failed"`
	Errors  int    `json:"errors"`
	Skipped int    `json:"skipped"`
	Checks  int    `json:"checks"`
	Insns   uint64 `json:"insns"`
}

// Summarize counts results.
func Summarize(rs []*Result) Summary {
	s := Summary{Cases: len(rs)}
	files := map[string]bool{}
	for _, r := range rs {
		files[r.File] = true
		s.Checks += r.Checks
		s.Insns += r.Insns
		switch r.Status {
		case Pass:
			s.Passed++
		case Fail:
			s.Failed++
		case Error:
			s.Errors++
		case Skip:
			s.Skipped++
		}
	}
	s.Files = len(files)
	return s
}

// OK reports whether nothing failed.
func (s Summary) OK() bool { return s.Failed == 0 && s.Errors == 0 }
