package cover

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
)

// Count is how much of something was covered.
type Count struct {
	Covered int `json:"covered"`
	Of      int `json:"of"`
}

func (c *Count) add(d Count) { c.Covered += d.Covered; c.Of += d.Of }

// one is the count of a single thing.
func one(covered bool) Count {
	if covered {
		return Count{1, 1}
	}
	return Count{0, 1}
}

// Percent is 100 for nothing at all: nothing was missed.
func (c Count) Percent() float64 {
	if c.Of == 0 {
		return 100
	}
	return 100 * float64(c.Covered) / float64(c.Of)
}

// Report is what was covered.
type Report struct {
	Programs []Program `json:"programs"`
	Files    []File    `json:"files"`
	Insns    Count     `json:"insns"`
	Branches Count     `json:"branches"` // ways, two for each conditional jump
	Lines    Count     `json:"lines"`
}

// Program is what was covered of one program.
type Program struct {
	Name     string `json:"name"`
	Section  string `json:"section"`
	Runs     uint64 `json:"runs"` // executions of its first instruction
	Insns    Count  `json:"insns"`
	Branches Count  `json:"branches"`
	Slots    []Slot `json:"slots"`

	spec *spec.ProgramSpec
}

// Slot is one instruction.
type Slot struct {
	PC     isa.PC  `json:"slot"`
	Count  uint64  `json:"count"`
	Branch *Branch `json:"branch,omitempty"`
	File   string  `json:"file,omitempty"`
	Line   int     `json:"line,omitempty"`
}

// Branch is how often a conditional jump went each way.
type Branch struct {
	Taken    uint64 `json:"taken"`
	NotTaken uint64 `json:"not_taken"`
	Target   isa.PC `json:"target"`
}

// Count is the number of ways that were gone, of two.
func (b *Branch) Count() Count {
	c := one(b.Taken > 0)
	c.add(one(b.NotTaken > 0))
	return c
}

// File is a source file with the lines that instructions came from.
type File struct {
	Name     string `json:"name"`
	Lines    []Line `json:"lines"`
	Covered  Count  `json:"covered"` // lines
	Branches Count  `json:"branches"`
}

// Line is one source line. Programs that share it (a function inlined into both) are
// counted together.
type Line struct {
	Number   int    `json:"line"`
	Text     string `json:"text"`
	Count    uint64 `json:"count"` // of its instruction that ran most often
	Insns    Count  `json:"insns"`
	Branches Count  `json:"branches"`
}

// State says in a word how much of the line ran: "yes", "partly" or "no". A line of
// which every instruction ran, but one way of a branch was never gone, is "partly".
func (l *Line) State() string {
	switch {
	case l.Insns.Covered == 0:
		return "no"
	case l.Insns.Covered < l.Insns.Of || l.Branches.Covered < l.Branches.Of:
		return "partly"
	}
	return "yes"
}

// Report sums up what was counted so far. Programs stand in the order in which they
// were loaded, files and lines in their own.
func (r *Recorder) Report() *Report {
	rep := &Report{Programs: []Program{}, Files: []File{}}
	type place struct {
		file string
		line int
	}
	lines := map[place]*Line{}
	for _, p := range r.progs {
		out := Program{Name: p.spec.Name, Section: p.spec.Section, Slots: []Slot{}, spec: p.spec}
		if len(p.count) > 0 {
			out.Runs = p.count[0]
		}
		for pc := range p.spec.Insns.All() {
			slot := Slot{PC: pc, Count: p.count[pc]}
			insn, ways := one(slot.Count > 0), Count{}
			if target, ok := branch(p.spec.Insns, pc); ok {
				slot.Branch = &Branch{Taken: p.taken[pc], NotTaken: slot.Count - p.taken[pc], Target: target}
				ways = slot.Branch.Count()
			}
			if l := p.spec.LineAt(pc); l != nil {
				slot.File, slot.Line = path.Clean(l.File), l.Line
				at := place{slot.File, slot.Line}
				if lines[at] == nil {
					lines[at] = &Line{Number: l.Line, Text: strings.TrimRight(l.Text, " \t\r\n")}
				}
				line := lines[at]
				line.Count = max(line.Count, slot.Count)
				line.Insns.add(insn)
				line.Branches.add(ways)
			}
			out.Insns.add(insn)
			out.Branches.add(ways)
			out.Slots = append(out.Slots, slot)
		}
		rep.Insns.add(out.Insns)
		rep.Branches.add(out.Branches)
		rep.Programs = append(rep.Programs, out)
	}
	files := map[string]*File{}
	for at, line := range lines {
		f := files[at.file]
		if f == nil {
			f = &File{Name: at.file}
			files[at.file] = f
		}
		f.Lines = append(f.Lines, *line)
		f.Covered.add(one(line.Insns.Covered == line.Insns.Of))
		f.Branches.add(line.Branches)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := files[name]
		slices.SortFunc(f.Lines, func(a, b Line) int { return cmp.Compare(a.Number, b.Number) })
		rep.Files = append(rep.Files, *f)
		rep.Lines.add(f.Covered)
	}
	return rep
}
