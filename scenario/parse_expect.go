package scenario

import (
	"regexp"
	"slices"
	"strings"
)

var subjects = []string{"map", "trace", "r0", "insns", "trap", "packet", "events", "ringbuf", "perf"}

// expect takes what follows the word expect.
func (p *parser) expect(at Pos) (Stmt, *Error) {
	e := &Expect{Pos: at}
	p.space()
	wordAt := p.pos()
	w := p.word()
	if !slices.Contains(subjects, w) {
		return nil, p.errf(wordAt, "expect what? %q is not one of map, trace, r0, insns, trap, packet, events, ringbuf, perf%s", w, didYouMean(w, subjects))
	}
	e.Subject = Subject(w)
	var err *Error
	switch e.Subject {
	case SubjectMap:
		err = p.expectMap(e)
	case SubjectRingbuf, SubjectPerf:
		if e.Name, err = p.named("the map's name"); err == nil {
			err = p.condition(e)
		}
		if p.space(); err == nil {
			p.acceptWord("records")
		}
	case SubjectTrace:
		if p.space(); p.acceptWord("none") {
			return e, nil
		}
		if err = p.condition(e); err == nil && e.Want.Kind == ValueNumber {
			e.Subject = SubjectTraceLines
			p.space()
			p.acceptWord("lines")
		}
	case SubjectEvents:
		err = p.condition(e)
	default:
		err = p.expectEvent(e)
	}
	if err != nil {
		return nil, err
	}
	return e, p.checkExpect(e)
}

// acceptWord takes the word if it comes next.
func (p *parser) acceptWord(w string) bool {
	start := p.off
	if p.word() == w {
		return true
	}
	p.off = start
	return false
}

func (p *parser) expectMap(e *Expect) *Error {
	var err *Error
	if e.Name, e.Key, err = p.mapKey(); err != nil {
		return err
	}
	if e.Key != nil {
		if e.Path, err = p.path(); err != nil {
			return err
		}
		return p.condition(e)
	}
	p.space()
	switch at := p.pos(); {
	case p.acceptWord("missing"):
		e.Subject = SubjectMapMissing
		key, err := p.value()
		if err != nil {
			return err
		}
		e.Key = &key
		return checkData(key)
	case p.acceptWord("entries"):
		e.Subject = SubjectMapEntries
		return p.condition(e)
	default:
		return p.errf(at, "expect map wants NAME[KEY] == VALUE, NAME missing KEY or NAME entries == N")
	}
}

// path takes the names of members and the indices behind a key.
func (p *parser) path() (string, *Error) {
	start := p.off
	for {
		at := p.pos()
		switch p.peek() {
		case '.':
			if w := p.word(); strings.Contains(w+".", "..") {
				return "", p.errf(at, "%q names no member", w)
			}
		case '[':
			p.off++
			if w := p.word(); w == "" || strings.Trim(w, "0123456789") != "" || !p.accept("]") {
				return "", p.errf(at, "an index is wanted: [0]")
			}
		default:
			return p.text[start:p.off], nil
		}
	}
}

// expectEvent takes [PROGRAM] and a condition.
func (p *parser) expectEvent(e *Expect) *Error {
	if p.space(); p.unconditional(e) {
		return nil
	}
	if isWord(p.peek()) {
		e.Name = p.word()
		if p.space(); p.unconditional(e) {
			return nil
		}
	}
	return p.condition(e)
}

func (p *parser) unconditional(e *Expect) bool {
	return e.Subject == SubjectTrap && p.acceptWord("none") ||
		e.Subject == SubjectPacket && p.acceptWord("unchanged")
}

var operators = []string{"==", "!=", "<=", ">=", "=~", "!~", "<", ">"}

// condition takes an operator and a value.
func (p *parser) condition(e *Expect) *Error {
	p.space()
	at := p.pos()
	for _, op := range operators {
		if p.accept(op) {
			e.Op = op
			break
		}
	}
	if e.Op == "" {
		return p.errf(at, "a comparison is wanted: == != < <= > >= =~ !~")
	}
	v, err := p.value()
	e.Want = &v
	return err
}

// checkExpect checks that operator and value make sense for the subject.
func (p *parser) checkExpect(e *Expect) *Error {
	if e.Want == nil {
		return nil
	}
	bad := func(want string) *Error {
		return p.errf(e.Want.Pos, "expect %s %s %s: %s is wanted", e.Subject, e.Op, e.Want, want)
	}
	if e.Op == "=~" || e.Op == "!~" {
		if e.Want.Kind != ValueString {
			return bad("a regular expression in quotes")
		}
		if _, err := regexp.Compile(e.Want.Text); err != nil {
			return p.errf(e.Want.Pos, "%v", err)
		}
		switch e.Subject {
		case SubjectTrace, SubjectTrap, SubjectPacket, SubjectMap:
			return nil
		}
		return bad("== and a number")
	}
	switch e.Subject {
	case SubjectTrace, SubjectTrap:
		if e.Op != "==" && e.Op != "!=" || e.Want.Kind != ValueString {
			return bad("== or =~ with a text in quotes")
		}
	case SubjectPacket:
		if e.Op != "==" && e.Op != "!=" || e.Want.Kind != ValueString {
			return bad("== with a packet in words, in quotes")
		}
		b, err := PacketWords(e.Want.Text)
		if err != nil {
			return p.errf(e.Want.Pos, "%v", err)
		}
		return p.spend(e.Want.Pos, len(b))
	case SubjectR0:
		if !e.Want.IsNumber() && e.Want.Kind != ValueWord {
			return bad("a number or the name of a return value")
		}
	case SubjectMap:
		if !e.Want.IsNumber() && e.Op != "==" && e.Op != "!=" {
			return bad("a number")
		}
		return checkData(*e.Want)
	default:
		if !e.Want.IsNumber() || e.Want.Neg {
			return bad("a number")
		}
	}
	return nil
}
