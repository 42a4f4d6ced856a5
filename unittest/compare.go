package unittest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/verifier"
)

// verdicts asks the verifier, where the case wants to know.
func (r *running) verdicts() error {
	if len(r.c.Verdicts) == 0 {
		return nil
	}
	progs, err := r.programs()
	if err != nil {
		return err
	}
	for _, v := range r.c.Verdicts {
		for _, p := range progs {
			r.res.Checks++
			reports := r.seen[r.c.Object].reports
			rep := reports[p.Name]
			if rep == nil {
				if rep, err = verifier.Verify(p, verifier.Options{Maps: r.coll.Maps, BTF: r.coll.BTF, NoFacts: true}); err != nil {
					return fmt.Errorf("%s: verify: %w", p.Name, err)
				}
				reports[p.Name] = rep
			}
			if v.fits(rep) {
				continue
			}
			r.fail(r.file.Name, v.Pos, v.String(), v.want(), verdictText(rep), verdictPlace(p, rep))
		}
	}
	return nil
}

// programs returns those that the case is about.
func (r *running) programs() ([]*spec.ProgramSpec, error) {
	if len(r.c.Programs) == 0 {
		return r.coll.Programs, nil
	}
	var out []*spec.ProgramSpec
	for _, name := range r.c.Programs {
		p := r.coll.Program(name)
		if p == nil {
			return nil, fmt.Errorf("%s: no program %s", r.c.Object, name)
		}
		out = append(out, p)
	}
	return out, nil
}

func (v *Verdict) fits(rep *verifier.Report) bool {
	if v.Accepted || rep.Verdict != verifier.Rejected {
		return v.Accepted && rep.Verdict == verifier.Accepted
	}
	return (v.Code == "" || v.Code == string(rep.Code)) && (v.Message == nil || v.Message.MatchString(rep.Message))
}

func (v *Verdict) want() string { return strings.TrimPrefix(v.String(), "verify ") }

func verdictText(rep *verifier.Report) string {
	switch rep.Verdict {
	case verifier.Accepted:
		return "accepted"
	case verifier.Rejected:
		return fmt.Sprintf("rejected %s %q", rep.Code, rep.Message)
	}
	return rep.Verdict.String() + ": " + rep.Feature
}

// verdictPlace is the instruction at which the verifier stopped, and its C line.
func verdictPlace(p *spec.ProgramSpec, rep *verifier.Report) string {
	if rep.Verdict == verifier.Accepted || rep.PC < 0 {
		return p.Name
	}
	s := fmt.Sprintf("%s insn %d", p.Name, rep.PC)
	if rep.Line != nil {
		s += fmt.Sprintf(", %s:%d %s", rep.Line.File, rep.Line.Line, strings.TrimSpace(rep.Line.Text))
	}
	if rep.Hint != "" {
		s += "\n" + rep.Hint
	}
	return s
}

func (r *running) fail(file string, pos scenario.Pos, text, want, got, where string) {
	r.res.Failures = append(r.res.Failures, Failure{File: file, Pos: pos, Text: text, Want: want, Got: got, Where: where})
}

// compare looks at what the script did.
func (r *running) compare(out *scenario.Result) error {
	r.res.Runs, r.res.Insns = len(out.Runs), out.Insns
	r.res.Notes = append(r.res.Notes, out.Warnings...)
	own := len(out.Expect) // where the case's own expectations begin
	if r.c.Events != "" {
		for _, st := range r.c.Script.Stmts {
			if _, ok := st.(*scenario.Expect); ok {
				own--
			}
		}
	} else {
		own = 0
	}
	trapWanted := false
	for i, e := range out.Expect {
		r.res.Checks++
		trapWanted = trapWanted || strings.HasPrefix(e.Text, "expect trap")
		if e.OK {
			continue
		}
		file, where := r.file.Name, ""
		if i < own {
			file = r.c.Events
		}
		if run := lastBefore(out.Runs, e.Pos, i >= own && r.c.Events != ""); run != nil {
			where = run.String()
		}
		r.fail(file, e.Pos, e.Text, e.Want, e.Got, where)
	}
	if !trapWanted && len(r.res.Failures) == 0 {
		for _, run := range out.Runs {
			if run.Trap != nil {
				r.fail(r.file.Name, run.Pos, run.Event, "no trap", run.Trap.Msg, run.Program+" on event "+fmt.Sprint(run.Index))
				break
			}
		}
	}
	return r.goldens(out)
}

// lastBefore returns the last run of an event that stands above the place.
func lastBefore(runs []*scenario.ProgRun, pos scenario.Pos, atEnd bool) *scenario.ProgRun {
	for i := len(runs) - 1; i >= 0; i-- {
		if atEnd || runs[i].Pos.Line <= pos.Line {
			return runs[i]
		}
	}
	return nil
}

// goldens compares whole outputs with their files.
func (r *running) goldens(out *scenario.Result) error {
	for _, g := range r.c.Goldens {
		r.res.Checks++
		wantText, err := r.read(g.File)
		if err != nil {
			return err
		}
		want := splitLines(wantText)
		got, err := goldenLines(g.What, out)
		if err != nil {
			return err
		}
		if g.What == "maps" {
			if want, err = mapLines(wantText); err != nil {
				return fmt.Errorf("%s: %w", g.File, err)
			}
		}
		n := 0
		for n < len(want) && n < len(got) && want[n] == got[n] {
			n++
		}
		if n == len(want) && n == len(got) {
			continue
		}
		line := func(ls []string) string {
			if n < len(ls) {
				return ls[n]
			}
			return "(nothing more)"
		}
		r.fail(r.file.Name, g.Pos, "golden "+g.What+" "+g.File, line(want), line(got),
			fmt.Sprintf("line %d of %s, which has %d; %d came", n+1, g.File, len(want), len(got)))
	}
	return nil
}

// goldenLines is an output as a golden file has it.
func goldenLines(what string, out *scenario.Result) ([]string, error) {
	var lines []string
	switch what {
	case "trace":
		for _, run := range out.Runs {
			for _, l := range run.Raw.Trace {
				lines = append(lines, l.Msg)
			}
		}
	case "runs":
		for _, run := range out.Runs {
			lines = append(lines, run.String())
		}
	case "maps":
		b, err := scenario.DumpMaps(out.Maps)
		if err != nil {
			return nil, err
		}
		return mapLines(b)
	}
	return lines, nil
}

// mapLines prints the contents of maps with one element a line, so that the first
// difference is an element.
func mapLines(b []byte) ([]string, error) {
	var maps map[string][]json.RawMessage
	if err := json.Unmarshal(b, &maps); err != nil {
		return nil, err
	}
	var lines []string
	for name, elems := range maps {
		for _, e := range elems {
			var compact bytes.Buffer
			if err := json.Compact(&compact, e); err != nil {
				return nil, err
			}
			lines = append(lines, name+" "+compact.String())
		}
	}
	slices.Sort(lines) // elements of a map have no order that counts
	return lines, nil
}

func splitLines(b []byte) []string {
	text := strings.TrimRight(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
