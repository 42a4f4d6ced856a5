package scenario

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits of scripts. A script is untrusted input.
const (
	MaxScriptBytes = 8 << 20
	MaxStmts       = 200_000
)

// verbs are the words that begin a statement other than an event.
var verbs = map[string]func(*parser, Pos) (Stmt, *Error){
	"clock":  (*parser).clock,
	"random": (*parser).random,
	"cpu":    (*parser).cpu,
	"mock":   (*parser).mock,
	"mem":    (*parser).mem,
	"task":   (*parser).task,
	"map":    (*parser).mapSet,
	"stack":  (*parser).stack,
	"link":   worldItem("link"),
	"route":  worldItem("route"),
	"neigh":  worldItem("neigh"),
	"sock":   worldItem("sock"),
	"cgroup": worldItem("cgroup"),
}

// parser adds the statements to the scanner. Expect is not in verbs because its
// parser looks up verbs' names for messages.
type parser struct {
	scanner
	name string
	errs Errors
	out  []Stmt
}

// Parse reads an event script. The name is that of the file, for messages. The
// error is an [Errors] that lists everything wrong, in order; the script is nil
// then.
func Parse(name string, text []byte) (*Script, error) {
	if len(text) > MaxScriptBytes {
		return nil, Errors{{File: name, Msg: fmt.Sprintf("script of %d bytes, the limit is %d", len(text), MaxScriptBytes)}}
	}
	p := &parser{name: name}
	for line := range strings.SplitSeq(string(text), "\n") {
		p.scanner = scanner{text: line, line: p.line + 1, spent: p.spent}
		p.statements()
		if len(p.errs) > 10*maxErrors {
			break
		}
		if len(p.out) > MaxStmts {
			p.fail(&Error{Pos: p.pos(), Msg: fmt.Sprintf("more than %d statements", MaxStmts)})
			break
		}
	}
	if err := p.errs.sorted(); err != nil {
		return nil, err
	}
	return &Script{Name: name, Stmts: p.out}, nil
}

// statements reads one line.
func (p *parser) statements() {
	for {
		p.space()
		switch p.peek() {
		case 0:
			if p.off < len(p.text) {
				p.fail(p.errf(p.pos(), "a NUL byte"))
			}
			return
		case ';':
			p.off++
			continue
		case '#':
			p.out = append(p.out, &Comment{Pos: p.pos(), Text: strings.TrimRight(p.text[p.off+1:], " \t\r")})
			return
		}
		st, err := p.statement()
		if err == nil && !p.end() {
			err = p.errf(p.pos(), "unexpected %q after the statement", p.rest())
		}
		if err != nil {
			p.fail(err)
			p.skip()
			continue
		}
		p.out = append(p.out, st)
	}
}

func (p *parser) fail(err *Error) {
	err.File = p.name
	p.errs = append(p.errs, err)
}

// skip goes to the end of a bad statement.
func (p *parser) skip() {
	for p.off < len(p.text) && p.text[p.off] != ';' && p.text[p.off] != '#' {
		if p.text[p.off] == '"' {
			if _, err := p.quoted(); err == nil {
				continue
			}
		}
		p.off++
	}
}

func (p *parser) statement() (Stmt, *Error) {
	start, at := p.off, p.pos()
	w := p.word()
	if parse, ok := verbs[w]; ok && p.peek() != '=' {
		return parse(p, at)
	}
	if w == "expect" {
		return p.expect(at)
	}
	p.off = start
	return p.event(at)
}

// args takes NAME=VALUE until something else comes. The names must be of the list,
// unless it is nil, and each may occur once.
func (p *parser) args(what string, names []string) ([]Arg, *Error) {
	var out []Arg
	for !p.end() {
		start, at := p.off, p.pos()
		w := p.word()
		if w == "" || p.peek() != '=' {
			p.off = start
			return out, nil
		}
		if names != nil && !slices.Contains(names, w) {
			return out, p.errf(at, "%s has no %s%s", what, w, didYouMean(w, names))
		}
		if slices.ContainsFunc(out, func(a Arg) bool { return a.Name == w }) {
			return out, p.errf(at, "%s is given twice", w)
		}
		p.off++ // =
		v, err := p.value()
		if err != nil {
			return out, err
		}
		out = append(out, Arg{Pos: at, Name: w, Value: v})
	}
	return out, nil
}

func (p *parser) clock(at Pos) (Stmt, *Error) {
	args, err := p.args("clock", []string{"start", "step"})
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		return nil, p.errf(at, "clock wants start=DURATION or step=DURATION")
	}
	c := &Clock{Pos: at}
	for _, a := range args {
		d, err := duration(a.Value)
		if err != nil {
			return nil, err
		}
		if a.Name == "start" {
			c.Start = &d
		} else {
			c.Step = &d
		}
	}
	return c, nil
}

// duration reads a duration; a bare 0 needs no unit.
func duration(v Value) (time.Duration, *Error) {
	if v.Kind == ValueDuration || v.Kind == ValueNumber && v.Num == 0 {
		return time.Duration(v.Num), nil
	}
	return 0, &Error{Pos: v.Pos, Msg: fmt.Sprintf("%s is not a duration such as 10ms (units: ns us ms s m h)", v)}
}

func (p *parser) random(at Pos) (Stmt, *Error) {
	args, err := p.args("random", []string{"seed"})
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		return nil, p.errf(at, "random wants seed=NUMBER")
	}
	n, err := whole(args[0].Value, 1<<64-1)
	return &Random{Pos: at, Seed: n}, err
}

// whole reads a number that is not negative and not above the limit.
func whole(v Value, limit uint64) (uint64, *Error) {
	if v.Kind != ValueNumber || v.Neg || v.Num > limit {
		return 0, &Error{Pos: v.Pos, Msg: fmt.Sprintf("%s: a number from 0 to %d is wanted", v, limit)}
	}
	return v.Num, nil
}

// MaxCPU is the highest number of a virtual CPU that scripts can name.
const MaxCPU = 255

func (p *parser) cpu(at Pos) (Stmt, *Error) {
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	n, err := whole(v, MaxCPU)
	return &CPU{Pos: at, N: int(n)}, err
}

// equals takes the "=" between the sides of a statement.
func (p *parser) equals() *Error {
	p.space()
	if !p.accept("=") {
		return p.errf(p.pos(), "\"=\" is wanted")
	}
	return nil
}

// named takes a word that must be there.
func (p *parser) named(what string) (string, *Error) {
	p.space()
	at := p.pos()
	if w := p.word(); w != "" {
		return w, nil
	}
	return "", p.errf(at, "%s is missing", what)
}

func (p *parser) mock(at Pos) (Stmt, *Error) {
	m := &Mock{Pos: at}
	var err *Error
	if m.Helper, err = p.named("the helper's name"); err != nil {
		return nil, err
	}
	if err := p.equals(); err != nil {
		return nil, err
	}
	for {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		if !v.IsNumber() {
			return nil, p.errf(v.Pos, "%s: a helper returns a number", v)
		}
		if m.Values = append(m.Values, v); len(m.Values) > maxArgs {
			return nil, p.errf(v.Pos, "more than %d values", maxArgs)
		}
		if p.space(); !p.accept(",") {
			return m, nil
		}
	}
}

func (p *parser) mem(at Pos) (Stmt, *Error) {
	addr, err := p.value()
	if err != nil {
		return nil, err
	}
	if addr.Kind != ValueNumber {
		return nil, p.errf(addr.Pos, "%s is not an address", addr)
	}
	if err := p.equals(); err != nil {
		return nil, err
	}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if b, e := v.MemoryBytes(); e != nil {
		return nil, asError(e)
	} else if len(b) == 0 {
		return nil, p.errf(v.Pos, "no bytes")
	}
	return &Mem{Pos: at, Addr: addr.Num, Value: v}, nil
}

func (p *parser) task(at Pos) (Stmt, *Error) {
	args, err := p.args("task", []string{"pid", "tgid", "uid", "gid", "comm", "parent", "cgroup"})
	if err == nil {
		err = checkSet(args)
	}
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(args, func(a Arg) bool { return a.Name == "pid" }) {
		return nil, p.errf(at, "task wants pid=NUMBER")
	}
	return &Task{Pos: at, Set: args}, nil
}

// mapKey takes NAME[KEY].
func (p *parser) mapKey() (string, *Value, *Error) {
	name, err := p.named("the map's name")
	if err != nil {
		return "", nil, err
	}
	if !p.accept("[") {
		return name, nil, nil
	}
	key, err := p.value()
	if err != nil {
		return "", nil, err
	}
	if p.space(); !p.accept("]") {
		return "", nil, p.errf(p.pos(), "\"]\" is wanted after the key")
	}
	return name, &key, checkData(key)
}

// checkData refuses what can be no key and no value of a map.
func checkData(v Value) *Error {
	if is, user, kernel := v.memory(); user || kernel || is && strings.HasSuffix(v.Text, "ptr") {
		return &Error{Pos: v.Pos, Msg: fmt.Sprintf("%s makes memory outside of maps; use str, bytes or cat", v.Text)}
	}
	if v.Kind == ValueWord {
		return &Error{Pos: v.Pos, Msg: fmt.Sprintf("%s is a word; write a string as \"%s\"", v.Text, v.Text)}
	}
	return nil
}

func (p *parser) mapSet(at Pos) (Stmt, *Error) {
	name, key, err := p.mapKey()
	if err != nil {
		return nil, err
	}
	if key == nil {
		return nil, p.errf(p.pos(), "map wants NAME[KEY] = VALUE")
	}
	if err := p.equals(); err != nil {
		return nil, err
	}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	return &MapSet{Pos: at, Map: name, Key: *key, Value: v}, checkData(v)
}

// asError gives an error of evaluation its place.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Msg: err.Error(), Err: err}
}
