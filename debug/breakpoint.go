package debug

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
)

// Breakpoint is a place or a happening to stop at.
type Breakpoint struct {
	ID   int
	Text string // as it was written
	Once bool   // it is removed when it has been hit
	Off  bool   // it does not stop

	where place
	cond  *expr
	every uint64 // hit%N
	nth   uint64 // hit==N
	from  uint64 // hit>=N
	log   *logText
}

// Place is the breakpoint without its conditions: "helper:map_update_elem".
func (b *Breakpoint) Place() string { return b.where.String() }

// place is what a breakpoint looks for. A place that is about steps is asked before
// each one; one that is about effects is asked after the step too.
type place interface {
	String() string
	// at says whether the step that comes next is the place, and what is seen there.
	at(p *Point) (what string, ok bool)
}

// effect is a place that a step turns out to be once it has happened: prepare is
// called before the step and remembers what it needs.
type effect interface {
	place
	prepare(p *Point)
	// forget drops what was remembered: another playback begins.
	forget()
}

// Break sets a breakpoint:
//
//	*5                  slot 5 of any program; PROG:*5 of one
//	drop.c:11, :11      the code of a C line; FUNCTION its first instruction
//	helper:NAME         calls of a helper, with or without bpf_
//	ret                 the end of a program: R0 is what it returns
//	event:3             the beginning of an event
//	branch:4 taken      also "not taken": after a conditional jump at slot 4
//	map:NAME[KEY] write an element was written, by helper or pointer; map:NAME any
//	stack:-8 write      the 8 bytes at r10-8 of the running function; stack:-8/4
//	                    for 4; also read, access
//	packet:12 write     bytes of the packet; also read, access
//	ctx:16 read         bytes of the context
//
// followed by any of
//
//	if EXPRESSION       see [Session.Eval]
//	hit%10 hit==3 hit>=5  of the times that the place was met since the start
//	once                for one hit
//	log "TEXT {EXPR}"   prints instead of stopping
func (s *Session) Break(text string) (*Breakpoint, error) {
	b, err := parseBreakpoint(text, s)
	if err != nil {
		return nil, fmt.Errorf("break %s: %w", text, err)
	}
	b.ID = s.nextID
	s.nextID++
	s.breaks = append(s.breaks, b)
	return b, nil
}

// Breakpoints are those that are set, in order of their numbers.
func (s *Session) Breakpoints() []*Breakpoint { return s.breaks }

// Delete removes a breakpoint and says whether there was one of that number.
func (s *Session) Delete(id int) bool {
	n := len(s.breaks)
	s.breaks = slices.DeleteFunc(s.breaks, func(b *Breakpoint) bool { return b.ID == id })
	return len(s.breaks) < n
}

// DeleteAll removes all breakpoints.
func (s *Session) DeleteAll() { s.breaks = nil }

// BreakAt returns the breakpoints that stand at a slot of a program, for display.
func (s *Session) BreakAt(prog string, pc isa.PC) []*Breakpoint {
	var out []*Breakpoint
	for _, b := range s.breaks {
		if w, ok := b.where.(*slotPlace); ok && w.pc == pc && (w.prog == "" || w.prog == prog) {
			out = append(out, b)
		}
	}
	return out
}

// BreakAtLine returns the breakpoints that stand at a C line, for display.
func (s *Session) BreakAtLine(file string, line int) []*Breakpoint {
	var out []*Breakpoint
	for _, b := range s.breaks {
		if w, ok := b.where.(*linePlace); ok && w.line == line && sameFile(w.file, file) {
			out = append(out, b)
		}
	}
	return out
}

// counts says whether hits have to be counted from the start of the recording.
func (s *Session) counts() bool {
	return slices.ContainsFunc(s.breaks, func(b *Breakpoint) bool { return b.every|b.nth|b.from != 0 })
}

// expire removes a breakpoint that was meant for one hit.
func (s *Session) expire(h *hit) {
	if h != nil && h.bp.Once {
		s.Delete(h.bp.ID)
	}
}

// hit is a breakpoint that was met.
type hit struct {
	bp   *Breakpoint
	what string
}

// matcher asks the breakpoints at each step.
type matcher struct {
	breaks  []*Breakpoint
	effects []effect
	counts  map[*Breakpoint]uint64
	logs    []logLine
	loud    bool // steps before the move are part of it
	began   bool
}

// newMatcher prepares the session's breakpoints for a playback.
func (s *Session) newMatcher() *matcher {
	m := &matcher{counts: map[*Breakpoint]uint64{}}
	for _, b := range s.breaks {
		if b.Off {
			continue
		}
		m.breaks = append(m.breaks, b)
		if e, ok := b.where.(effect); ok {
			e.forget()
			m.effects = append(m.effects, e)
		}
	}
	return m
}

// matcherHere is a matcher that has counted the hits before this place.
func (s *Session) matcherHere(ctx context.Context) (*matcher, error) {
	m := s.newMatcher()
	if !s.counts() || s.here.Step == 0 {
		return m, nil
	}
	err := s.scan(ctx, 0, s.here.Step-1, func(p *Point) { m.look(p) })
	m.logs, m.began = nil, false
	return m, err
}

// logLine is what a breakpoint with a log printed.
type logLine struct {
	step uint64
	text string
}

func (l logLine) String() string { return fmt.Sprintf("step %d: %s", l.step, l.text) }

// maxLogs bounds the lines that one move prints.
const maxLogs = 10_000

// look asks all breakpoints about a point, and returns the first that says to stop.
func (m *matcher) look(p *Point) *hit {
	var first *hit
	for _, b := range m.breaks {
		what, ok := b.where.at(p)
		if !ok || b.cond != nil && !b.cond.holds(p) {
			continue
		}
		m.counts[b]++
		if n := m.counts[b]; b.every != 0 && n%b.every != 0 || b.nth != 0 && n != b.nth || n < b.from {
			continue
		}
		if b.log != nil {
			if len(m.logs) < maxLogs && (m.began || m.loud) {
				m.logs = append(m.logs, logLine{p.Step, b.log.text(p)})
			}
			continue
		}
		if first == nil {
			first = &hit{b, what}
		}
	}
	m.began = true
	for _, e := range m.effects {
		e.prepare(p)
	}
	return first
}

// slotPlace is *5.
type slotPlace struct {
	prog string
	pc   isa.PC
}

func (w *slotPlace) String() string {
	if w.prog != "" {
		return fmt.Sprintf("%s:*%d", w.prog, w.pc)
	}
	return fmt.Sprintf("*%d", w.pc)
}

func (w *slotPlace) at(p *Point) (string, bool) {
	return "", p.st != nil && p.st.PC() == w.pc && (w.prog == "" || p.st.Code().Name == w.prog)
}

// linePlace is file.c:11.
type linePlace struct {
	file string
	line int
}

func (w *linePlace) String() string { return w.file + ":" + strconv.Itoa(w.line) }

func (w *linePlace) at(p *Point) (string, bool) {
	if p.st == nil || !p.start {
		return "", false
	}
	l := p.line()
	return "", l != nil && l.Line == w.line && sameFile(w.file, l.File)
}

// sameFile compares a name that a user typed with one that the compiler stored: the
// last part of the path is enough.
func sameFile(typed, stored string) bool {
	return typed == "" || stored == typed || strings.HasSuffix(stored, "/"+typed)
}

// funcPlace is the first instruction of a function.
type funcPlace struct{ name string }

func (w *funcPlace) String() string { return w.name }

func (w *funcPlace) at(p *Point) (string, bool) {
	if p.st == nil {
		return "", false
	}
	f := p.st.Code().FuncAt(p.st.PC())
	return "", f != nil && f.PC == p.st.PC() && f.Name == w.name
}

// helperPlace is a call of a helper.
type helperPlace struct{ proto *spec.HelperProto }

func (w *helperPlace) String() string { return "helper:" + strings.TrimPrefix(w.proto.Name, "bpf_") }

func (w *helperPlace) at(p *Point) (string, bool) {
	if p.st == nil {
		return "", false
	}
	ins := p.st.Code().Insns[p.st.PC()]
	return "", ins.IsHelperCall() && spec.HelperID(ins.Imm) == w.proto.ID
}

// retPlace is the exit of a program.
type retPlace struct{}

func (retPlace) String() string { return "ret" }

func (retPlace) at(p *Point) (string, bool) {
	if p.st == nil || p.Frame != 0 || p.st.Code().Insns[p.st.PC()].Op != isa.OpExit {
		return "", false
	}
	v, _ := p.st.Reg(isa.R0)
	return "r0 = " + number(v), true
}

// eventPlace is the beginning of an event.
type eventPlace struct{ number int }

func (w *eventPlace) String() string { return fmt.Sprintf("event:%d", w.number) }

func (w *eventPlace) at(p *Point) (string, bool) {
	if p.st == nil {
		return "", false
	}
	r := &p.e.index.runs[p.Run]
	return "", r.Number == w.number && r.First == p.Step
}

// branchPlace is what a conditional jump decided.
type branchPlace struct {
	pc    isa.PC
	taken bool
	from  uint64 // the step of the jump
	armed bool
}

func (w *branchPlace) String() string {
	if w.taken {
		return fmt.Sprintf("branch:%d taken", w.pc)
	}
	return fmt.Sprintf("branch:%d not taken", w.pc)
}

func (w *branchPlace) prepare(p *Point) {
	w.armed = p.st != nil && p.st.PC() == w.pc && p.st.Code().Insns[w.pc].Op.Class().IsJump()
	w.from = p.Step
}

func (w *branchPlace) forget() { w.armed = false }

func (w *branchPlace) at(p *Point) (string, bool) {
	if !w.armed || p.st == nil || p.Step != w.from+1 {
		return "", false
	}
	return "", (p.st.PC() != w.pc+1) == w.taken
}
