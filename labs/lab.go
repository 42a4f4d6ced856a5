package labs

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"bpfvm/scenario"

	"golang.org/x/tools/txtar"
)

//go:embed content/*.txtar
var content embed.FS

// maxLab bounds a lab in bytes: labs of others are untrusted input.
const maxLab = 4 << 20

// Lab is one exercise, before it is made for a student.
type Lab struct {
	Number        int
	Title         string
	Points        int
	Kernel        string
	Goal          string
	Edit          []string
	Hints         []string // by level
	Misconception string

	builds []build
	vary   []variable
	checks []check
	files  []txtar.File
}

// Name is the lab's folder: "lab06-packet-bounds".
func (l *Lab) Name() string {
	word := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(l.Title))
	return fmt.Sprintf("lab%02d-%s", l.Number, word)
}

// build makes an object out of a hidden source.
type build struct {
	object, source string
	classic        bool
}

// check is one line of the lab.
type check struct {
	pos    scenario.Pos
	kind   string
	args   []string
	points int
	hidden bool
}

// All returns the labs of this version in the order of their numbers.
func All() []*Lab {
	entries, err := fs.ReadDir(content, "content")
	if err != nil {
		panic(err) // they are part of the binary
	}
	var labs []*Lab
	for _, e := range entries {
		b, err := content.ReadFile("content/" + e.Name())
		if err != nil {
			panic(err)
		}
		l, err := Parse(e.Name(), b)
		if err != nil {
			panic(err)
		}
		labs = append(labs, l)
	}
	slices.SortFunc(labs, func(a, b *Lab) int { return cmp.Compare(a.Number, b.Number) })
	return labs
}

// ByNumber returns a lab of this version, or nil.
func ByNumber(n int) *Lab {
	for _, l := range All() {
		if l.Number == n {
			return l
		}
	}
	return nil
}

// Parse reads a lab. The error is a scenario.Errors with everything wrong in it.
func Parse(name string, text []byte) (*Lab, error) {
	if len(text) > maxLab {
		return nil, scenario.Errors{{File: name, Msg: fmt.Sprintf("%d bytes, a lab has at most %d", len(text), maxLab)}}
	}
	ar := txtar.Parse([]byte(strings.ReplaceAll(string(text), "\r\n", "\n")))
	p := &parser{name: name, lab: &Lab{files: ar.Files}}
	for _, f := range ar.Files {
		if !goodName(f.Name) {
			p.fail(scenario.Pos{}, "file %q: want a plain name, or one below solution/ or hidden/", f.Name)
		}
	}
	for i, line := range strings.Split(string(ar.Comment), "\n") {
		p.pos = scenario.Pos{Line: i + 1, Col: 1}
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			word, rest, _ := strings.Cut(line, " ")
			p.statement(word, strings.TrimSpace(rest))
		}
	}
	p.whole()
	if len(p.errs) > 0 {
		return nil, p.errs
	}
	return p.lab, nil
}

// goodName reports whether a file of a lab stays in its folder.
func goodName(name string) bool {
	dir, base := path.Split(name)
	return fs.ValidPath(name) && (dir == "" || dir == "solution/" || dir == "hidden/") && base != "." &&
		!strings.HasPrefix(base, ".") && !strings.ContainsAny(base, `\:`)
}

// private reports whether the student does not get the file.
func private(name string) bool { return strings.Contains(name, "/") }

type parser struct {
	name string
	lab  *Lab
	pos  scenario.Pos
	errs scenario.Errors
}

func (p *parser) fail(pos scenario.Pos, format string, args ...any) {
	p.errs = append(p.errs, &scenario.Error{File: p.name, Pos: pos, Msg: fmt.Sprintf(format, args...)})
}

var headLine = regexp.MustCompile(`^(\d{1,3})\s+"([^"]+)"\s+points\s+(\d{1,4})(?:\s+kernel\s+(\S+))?$`)

func (p *parser) statement(word, rest string) {
	l := p.lab
	fields := strings.Fields(rest)
	switch word {
	case "lab":
		m := headLine.FindStringSubmatch(rest)
		if m == nil {
			p.fail(p.pos, `want: lab 6 "Packet bounds" points 10 kernel 6.18`)
			return
		}
		l.Number, _ = strconv.Atoi(m[1]) // digits, by the pattern
		l.Points, _ = strconv.Atoi(m[3])
		l.Title, l.Kernel = m[2], m[4]
	case "goal":
		l.Goal = rest
	case "edit":
		l.Edit = append(l.Edit, fields...)
	case "misconception":
		l.Misconception = rest
	case "hint":
		level, text, _ := strings.Cut(rest, " ")
		if level != strconv.Itoa(len(l.Hints)+1) || text == "" {
			p.fail(p.pos, "hint: want \"hint %d TEXT\"", len(l.Hints)+1)
			return
		}
		l.Hints = append(l.Hints, text)
	case "build":
		if len(fields) < 2 || len(fields) > 3 || len(fields) == 3 && fields[2] != "classic" {
			p.fail(p.pos, "build: want OBJECT SOURCE [classic]")
			return
		}
		l.builds = append(l.builds, build{fields[0], fields[1], len(fields) == 3})
	case "vary":
		v, err := parseVariable(rest)
		if err != nil {
			p.fail(p.pos, "vary: %v", err)
			return
		}
		l.vary = append(l.vary, v)
	case "check":
		p.check(rest)
	default:
		p.fail(p.pos, "no statement %q: want lab, goal, edit, build, vary, check, hint or misconception", word)
	}
}

func (p *parser) check(rest string) {
	text, points, ok := cutLast(rest, ":")
	n, err := strconv.Atoi(strings.TrimSpace(points))
	if !ok || err != nil || n < 1 || n > 1000 {
		p.fail(p.pos, "check: want \"check WHAT .. : POINTS\"")
		return
	}
	c := check{pos: p.pos, points: n, args: strings.Fields(text)}
	if len(c.args) > 0 && c.args[0] == "hidden" {
		c.hidden, c.args = true, c.args[1:]
	}
	if len(c.args) == 0 {
		p.fail(p.pos, "check: want one of %s", strings.Join(kinds(), ", "))
		return
	}
	c.kind, c.args = c.args[0], c.args[1:]
	k, ok := checkKinds[c.kind]
	if !ok {
		p.fail(p.pos, "check %s: want one of %s", c.kind, strings.Join(kinds(), ", "))
		return
	}
	if err := k.usage(c.args); err != nil {
		p.fail(p.pos, "check %s: %v", c.kind, err)
		return
	}
	p.lab.checks = append(p.lab.checks, c)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// whole checks what no single line can tell.
func (p *parser) whole() {
	l := p.lab
	at := scenario.Pos{Line: 1, Col: 1}
	if l.Title == "" {
		p.fail(at, `no line: lab 6 "Packet bounds" points 10 kernel 6.18`)
	}
	if len(l.checks) == 0 {
		p.fail(at, "no check")
	}
	if len(l.Edit) == 0 {
		p.fail(at, "no file to edit")
	}
	have := map[string]bool{}
	for _, f := range l.files {
		have[f.Name] = true
	}
	for _, b := range l.builds {
		if !have[b.source] || !goodName(b.object) {
			p.fail(at, "build %s: no file %s", b.object, b.source)
		}
	}
	for _, e := range l.Edit {
		if !have[e] || private(e) {
			p.fail(at, "edit %s: no such file for the student", e)
		}
	}
	sum := 0
	for _, c := range l.checks {
		sum += c.points
	}
	if l.Title != "" && sum != l.Points {
		p.fail(at, "the checks have %d points, the lab has %d", sum, l.Points)
	}
}
