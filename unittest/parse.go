package unittest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"bpfvm/scenario"

	"golang.org/x/tools/txtar"
)

// maxFile bounds a test file in bytes; it is untrusted input.
const maxFile = 16 << 20

// File is one test file.
type File struct {
	Name  string
	Cases []*Case

	parts map[string][]byte // the archive's files
}

// Case is one case of a file, with what it has from the lines before the first case.
type Case struct {
	Name string
	Pos  scenario.Pos
	Skip string // why it is not run; empty: it is

	Object   string
	Programs []string
	Engines  []string
	Maps     []string // files
	Events   string   // file
	Verdicts []Verdict
	Goldens  []Golden
	Script   *scenario.Script
}

// Verdict is what the verifier must say.
type Verdict struct {
	scenario.Pos
	Accepted bool
	Code     string         // "V012", or empty
	Message  *regexp.Regexp // nil: any
}

// String is the statement.
func (v Verdict) String() string {
	if v.Accepted {
		return "verify accepted"
	}
	s := "verify rejected"
	if v.Code != "" {
		s += " " + v.Code
	}
	if v.Message != nil {
		s += " " + strconv.Quote(v.Message.String())
	}
	return s
}

// Golden is a whole output that must be as a file has it.
type Golden struct {
	scenario.Pos
	What string // "trace", "maps", "runs"
	File string
}

// goldenKinds are the outputs that a golden file can hold.
var goldenKinds = []string{"trace", "maps", "runs"}

// IsTest reports whether the text looks like a test file: a txtar archive may be
// many things, but only a test names its object at the start of a line.
func IsTest(text []byte) bool {
	for l := range strings.Lines(string(txtar.Parse(text).Comment)) {
		if f := strings.Fields(l); len(f) > 0 && f[0] == "object" {
			return true
		}
	}
	return false
}

// Parse reads a test file. The error is a scenario.Errors with everything wrong in
// it, in order of place.
func Parse(name string, text []byte) (*File, error) {
	if len(text) > maxFile {
		return nil, scenario.Errors{{File: name, Msg: fmt.Sprintf("%d bytes, a test file has at most %d", len(text), maxFile)}}
	}
	ar := txtar.Parse(text)
	p := &parser{file: &File{Name: name, parts: map[string][]byte{}}}
	for _, f := range ar.Files {
		if _, twice := p.file.parts[f.Name]; twice {
			p.fail(scenario.Pos{}, "file %s stands in the archive twice", f.Name)
		}
		p.file.parts[f.Name] = f.Data
	}
	p.lines = strings.Split(string(ar.Comment), "\n")
	p.split()
	if len(p.errs) > 0 {
		slices.SortStableFunc(p.errs, func(a, b *scenario.Error) int { return a.Line - b.Line })
		return nil, p.errs
	}
	return p.file, nil
}

// parser reads the comment of one archive.
type parser struct {
	file  *File
	lines []string
	errs  scenario.Errors
}

func (p *parser) fail(pos scenario.Pos, format string, args ...any) {
	p.errs = append(p.errs, &scenario.Error{File: p.file.Name, Pos: pos, Msg: fmt.Sprintf(format, args...)})
}

// split cuts the comment into the common part and the cases.
func (p *parser) split() {
	common := len(p.lines)
	var starts []int
	for i, l := range p.lines {
		if word, _, _ := strings.Cut(strings.TrimSpace(l), " "); word == "case" {
			starts = append(starts, i)
		}
	}
	if len(starts) > 0 {
		common = starts[0]
	}
	base := &Case{Name: p.file.Name, Pos: scenario.Pos{Line: 1, Col: 1}}
	script := make([]string, len(p.lines)) // the same line numbers as in the file
	p.statements(base, 0, common, script)
	if len(starts) == 0 {
		p.finish(base, script)
		return
	}
	names := map[string]bool{}
	for n, start := range starts {
		end := len(p.lines)
		if n+1 < len(starts) {
			end = starts[n+1]
		}
		c := *base
		c.Maps, c.Verdicts, c.Goldens = slices.Clone(c.Maps), slices.Clone(c.Verdicts), slices.Clone(c.Goldens)
		_, name, _ := strings.Cut(strings.TrimSpace(p.lines[start]), " ")
		c.Name, c.Pos = strings.TrimSpace(name), place(p.lines[start], start)
		switch {
		case c.Name == "":
			p.fail(c.Pos, "case without a name")
		case names[c.Name]:
			p.fail(c.Pos, "there are two cases %q", c.Name)
		}
		names[c.Name] = true
		own := slices.Clone(script)
		p.statements(&c, start+1, end, own)
		p.finish(&c, own)
	}
}

// place is the first word of a line; lines count from 0 here and from 1 in a Pos.
func place(line string, i int) scenario.Pos {
	return scenario.Pos{Line: i + 1, Col: len(line) - len(strings.TrimLeft(line, " \t")) + 1}
}

// statements reads lines [from, to): our statements into the case, all others into
// the script.
func (p *parser) statements(c *Case, from, to int, script []string) {
	for i := from; i < to; i++ {
		line := p.lines[i]
		text := strings.TrimSpace(line)
		word, rest, _ := strings.Cut(text, " ")
		if !p.statement(c, place(line, i), word, strings.TrimSpace(rest)) {
			script[i] = line
		}
	}
}

// statement reads one of our statements; false: it is none.
func (p *parser) statement(c *Case, pos scenario.Pos, word, rest string) bool {
	if word != "skip" {
		if i := strings.Index(rest, " #"); i >= 0 {
			rest = strings.TrimSpace(rest[:i])
		}
	}
	words := strings.Fields(rest)
	one := func() string {
		if len(words) != 1 {
			p.fail(pos, "%s: want one file, got %q", word, rest)
			return ""
		}
		return words[0]
	}
	switch word {
	case "object":
		c.Object = one()
	case "program":
		c.Programs = words
	case "engine":
		c.Engines = words
	case "maps":
		c.Maps = append(c.Maps, one())
	case "events":
		c.Events = one()
	case "skip":
		if c.Skip = rest; rest == "" {
			p.fail(pos, "skip: say why")
		}
	case "verify":
		p.verdict(c, pos, rest)
	case "golden":
		if len(words) != 2 || !slices.Contains(goldenKinds, words[0]) {
			p.fail(pos, "golden: want one of %s and a file, got %q", strings.Join(goldenKinds, ", "), rest)
			return true
		}
		c.Goldens = append(c.Goldens, Golden{pos, words[0], words[1]})
	default:
		return false
	}
	return true
}

// codeWord is how a code of the verifier is written.
var codeWord = regexp.MustCompile(`^V\d{3}$`)

// verdict reads "accepted" or "rejected [CODE] [REGEXP]".
func (p *parser) verdict(c *Case, pos scenario.Pos, rest string) {
	v := Verdict{Pos: pos}
	word, rest, _ := strings.Cut(rest, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "accepted":
		v.Accepted = true
	case "rejected":
		if first, more, _ := strings.Cut(rest, " "); codeWord.MatchString(first) {
			v.Code, rest = first, strings.TrimSpace(more)
		}
		if rest != "" {
			text, err := strconv.Unquote(rest)
			if err != nil {
				break
			}
			if v.Message, err = regexp.Compile(text); err != nil {
				p.fail(pos, "verify: %v", err)
				return
			}
			rest = ""
		}
	default:
		rest = word
	}
	if rest != "" || word == "" {
		p.fail(pos, `verify: want accepted, or rejected with a code and the message in quotes: verify rejected V012 "invalid access"`)
		return
	}
	// A case's own verdict takes the place of the common one.
	c.Verdicts = slices.DeleteFunc(c.Verdicts, func(old Verdict) bool { return old.Pos.Line < c.Pos.Line })
	c.Verdicts = append(c.Verdicts, v)
}

// finish checks a case whose lines are all read, and adds it to the file.
func (p *parser) finish(c *Case, script []string) {
	if c.Object == "" {
		if s := p.onlySource(); s != "" {
			c.Object = s
		} else {
			p.fail(c.Pos, `case %q: which program? Write "object FILE" before the first case`, c.Name)
		}
	}
	var err error
	c.Script, err = scenario.Parse(p.file.Name, []byte(strings.Join(script, "\n")))
	if list, ok := err.(scenario.Errors); ok {
		for _, e := range list {
			if !slices.ContainsFunc(p.errs, func(have *scenario.Error) bool { return have.Pos == e.Pos && have.Msg == e.Msg }) {
				p.errs = append(p.errs, e)
			}
		}
		return
	}
	if c.checks() == 0 && c.Skip == "" {
		p.fail(c.Pos, "case %q expects nothing: add a line \"expect ..\", \"verify ..\" or \"golden ..\"", c.Name)
	}
	p.file.Cases = append(p.file.Cases, c)
}

// onlySource returns the archive's assembly file, if there is exactly one.
func (p *parser) onlySource() string {
	found := ""
	for name := range p.file.parts {
		if isSource(name) {
			if found != "" {
				return ""
			}
			found = name
		}
	}
	return found
}

func isSource(name string) bool { return strings.HasSuffix(name, ".s") }

// checks counts what the case expects; expectations in its event file come on top.
func (c *Case) checks() int {
	n := len(c.Verdicts) + len(c.Goldens)
	if c.Events != "" {
		n++
	}
	for _, st := range c.Script.Stmts {
		if _, ok := st.(*scenario.Expect); ok {
			n++
		}
	}
	return n
}
