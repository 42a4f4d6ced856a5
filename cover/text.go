package cover

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"bpfvm/spec"
)

// WriteText prints the report for a terminal: a line for each program, then the
// source with a mark, how often each line ran, and the ways of its branches. What has
// no source is listed by instruction.
//
// Marks: "!" never ran, "~" ran in part or went one way only.
func (r *Report) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "coverage  insns %s  branches %s", r.Insns, r.Branches)
	if r.Lines.Of > 0 {
		fmt.Fprintf(b, "  lines %s", r.Lines)
	}
	b.WriteString("\n\n")
	width := len("PROG")
	for i := range r.Programs {
		width = max(width, len(spec.Plain(r.Programs[i].Name)))
	}
	fmt.Fprintf(b, "  %-*s %8s  %-15s %s\n", width, "PROG", "RUNS", "INSNS", "BRANCHES")
	for i := range r.Programs {
		p := &r.Programs[i]
		fmt.Fprintf(b, "%s %-*s %8d  %-15s %s\n", mark(p.Insns, p.Branches), width, spec.Plain(p.Name), p.Runs, p.Insns, p.Branches)
	}
	for i := range r.Files {
		r.Files[i].write(b, r)
	}
	for i := range r.Programs {
		if p := &r.Programs[i]; p.bare() {
			fmt.Fprintf(b, "\n%s, no source lines\n", spec.Plain(p.Name))
			for j := range p.Slots {
				s := &p.Slots[j]
				if f := p.spec.FuncAt(s.PC); j > 0 && f != nil && f.PC == s.PC {
					fmt.Fprintf(b, "%16s  %s:\n", "", spec.Plain(f.Name))
				}
				p.writeSlot(b, s)
			}
		}
	}
	return b.Flush()
}

// String is "12/15 80%", and "none" where there was nothing to cover.
func (c Count) String() string {
	if c.Of == 0 {
		return "none"
	}
	return fmt.Sprintf("%d/%d %.0f%%", c.Covered, c.Of, c.Percent())
}

// mark is the first column of a row.
func mark(insns, ways Count) string {
	switch {
	case insns.Covered == 0 && insns.Of > 0:
		return "!"
	case insns.Covered < insns.Of || ways.Covered < ways.Of:
		return "~"
	}
	return " "
}

func (f *File) write(b *bufio.Writer, r *Report) {
	fmt.Fprintf(b, "\n%s  lines %s  branches %s\n", spec.Plain(f.Name), f.Covered, f.Branches)
	oneWay := r.oneWay(f.Name)
	last := 0
	for i := range f.Lines {
		l := &f.Lines[i]
		if last > 0 && l.Number > last+4 {
			b.WriteString("          ..\n")
		}
		last = l.Number
		ways := ""
		if l.Branches.Of > 0 {
			ways = fmt.Sprintf("%d/%d", l.Branches.Covered, l.Branches.Of)
		}
		text := strings.TrimRight(fmt.Sprintf("%s %5d %8d %5s  %s", mark(l.Insns, l.Branches), l.Number, l.Count, ways, spec.Plain(l.Text)), " ")
		fmt.Fprintln(b, text)
		for _, note := range oneWay[l.Number] {
			fmt.Fprintf(b, "%24s %s\n", "", note)
		}
	}
}

// oneWay says of the lines of a file which of their branches went one way only. With
// both ways of several jumps on one line, the line alone does not tell.
func (r *Report) oneWay(file string) map[int][]string {
	notes := map[int][]string{}
	for i := range r.Programs {
		p := &r.Programs[i]
		for j := range p.Slots {
			s := &p.Slots[j]
			if way := s.missed(); way != "" && s.File == file {
				notes[s.Line] = append(notes[s.Line], fmt.Sprintf("%s insn %d: %s %s", spec.Plain(p.Name), s.PC, p.text(s), way))
			}
		}
	}
	return notes
}

// missed names the way that a branch which ran was never gone.
func (s *Slot) missed() string {
	switch {
	case s.Branch == nil || s.Count == 0:
		return ""
	case s.Branch.Taken == 0:
		return "was never taken"
	case s.Branch.NotTaken == 0:
		return "was always taken"
	}
	return ""
}

// bare reports whether the program has no line information.
func (p *Program) bare() bool {
	for i := range p.Slots {
		if p.Slots[i].File != "" {
			return false
		}
	}
	return true
}

// text is the instruction with its names.
func (p *Program) text(s *Slot) string {
	pr := p.spec.Printer()
	return spec.Plain(pr.Insn(p.spec.Insns, s.PC))
}

func (p *Program) writeSlot(b *bufio.Writer, s *Slot) {
	ways := Count{}
	note := ""
	if s.Branch != nil {
		ways = s.Branch.Count()
		if way := s.missed(); way != "" {
			note = "  " + way
		}
	}
	fmt.Fprintf(b, "%s %5d %8d  %s%s\n", mark(one(s.Count > 0), ways), s.PC, s.Count, p.text(s), note)
}
