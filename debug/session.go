package debug

import (
	"context"
	"fmt"
	"slices"

	"bpfvm/isa"
	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/trace"
	"bpfvm/vm"
)

// DefaultMaxSteps bounds a recording when nothing else is said.
const DefaultMaxSteps = 50_000_000

// Options of a session.
type Options struct {
	// MaxSteps is the number of steps that may be recorded; 0 means
	// DefaultMaxSteps.
	MaxSteps uint64
}

// Session is a place in a recording, and the ways to move. It is for one goroutine.
type Session struct {
	trace *trace.Trace
	index *index

	cur  *cursor
	here *Point // where cur is paused

	breaks []*Breakpoint
	nextID int
	bases  map[int]*base // what runs began with
}

// Open records the trace by playing it once, and stands before its first step.
func Open(ctx context.Context, t *trace.Trace, o Options) (*Session, error) {
	if o.MaxSteps == 0 {
		o.MaxSteps = DefaultMaxSteps
	}
	x, err := record(ctx, t, o.MaxSteps)
	if err != nil {
		return nil, err
	}
	s := &Session{trace: t, index: x, nextID: 1, bases: map[int]*base{}}
	if err := s.place(ctx, 0); err != nil {
		return nil, err
	}
	return s, nil
}

// Close gives the playback's memory back.
func (s *Session) Close() {
	if s.cur != nil {
		s.cur.close()
		s.cur = nil
	}
}

// Trace is what is played.
func (s *Session) Trace() *trace.Trace { return s.trace }

// Runs are all runs of programs, in order. The slice must not be changed.
func (s *Session) Runs() []Run { return s.index.runs }

// Steps is the number of steps of the recording.
func (s *Session) Steps() uint64 { return s.index.steps }

// Step is the number of the step that happens next; Steps() at the end.
func (s *Session) Step() uint64 { return s.here.Step }

// Run is the run that the session is in, nil at the end.
func (s *Session) Run() *Run {
	if s.here.Run >= len(s.index.runs) {
		return nil
	}
	return &s.index.runs[s.here.Run]
}

// Warnings are those of the scenario: events that no program listens to, and so on.
func (s *Session) Warnings() []string { return s.index.warnings }

// Expectations are the outcomes of the scenario's expectations.
func (s *Session) Expectations() []scenario.ExpectResult { return s.index.expect }

// Skipped says, by program, why it could not be loaded.
func (s *Session) Skipped() map[string]error { return s.index.skipped }

// Reason is why a session stopped.
type Reason string

// Reasons to stop.
const (
	ReasonStep       Reason = "step"       // the move is done
	ReasonBreakpoint Reason = "breakpoint" // Stop.Breakpoint says which
	ReasonFault      Reason = "fault"      // the next step traps, Stop.Fault says how
	ReasonStart      Reason = "start"      // nothing is before
	ReasonEnd        Reason = "end"        // nothing comes after
)

// Stop is where a move has led, and why it ended there.
type Stop struct {
	Reason Reason
	Step   uint64 // that happens next
	Run    *Run   // nil at the end
	Prog   string
	Func   string
	Frame  int
	PC     isa.PC
	Line   *spec.Line // nil where unknown
	// Breakpoint is the first one that was hit, What what it saw.
	Breakpoint *Breakpoint
	What       string
	// Fault is what the next step does wrong.
	Fault *vm.Trap
	// Logs are the lines that breakpoints with a log printed on the way, in the
	// order of the move.
	Logs []string
}

// Here describes the present place as a stop.
func (s *Session) Here() Stop { return s.stop(ReasonStep, nil) }

// stop describes the present place.
func (s *Session) stop(why Reason, h *hit) Stop {
	p := s.here
	out := Stop{Reason: why, Step: p.Step, Run: s.Run(), Frame: p.Frame}
	if h != nil {
		out.Breakpoint, out.What = h.bp, h.what
	}
	if p.st == nil {
		if why == ReasonStep {
			out.Reason = ReasonEnd
		}
		return out
	}
	out.PC = p.st.PC()
	out.Prog = p.st.Code().Name
	out.Func = funcName(p.st.Code(), out.PC)
	out.Line = p.line()
	if out.Fault = s.index.faultAt(p.Step); out.Fault != nil && why == ReasonStep {
		out.Reason = ReasonFault
	}
	return out
}

// line is the C line of the next step, nil where unknown.
func (p *Point) line() *spec.Line {
	if p.st == nil {
		return nil
	}
	return p.e.info(p.st.Code()).line[p.st.PC()]
}

func funcName(code *vm.Code, pc isa.PC) string {
	if f := code.FuncAt(pc); f != nil {
		return f.Name
	}
	return code.Name
}

// place moves to a step, forwards or by playing again.
func (s *Session) place(ctx context.Context, step uint64) error {
	if s.cur != nil && s.here != nil && s.here.Step == step {
		return nil
	}
	if s.cur == nil || s.here == nil || s.here.Step > step || s.cur.e.ctx.Err() != nil {
		s.Close()
		s.here = nil
		s.cur = newCursor(context.WithoutCancel(ctx), s.trace, s.index)
	}
	p, err := s.cur.seek(step, func(p *Point) bool { return p.Step == step })
	if err != nil {
		s.Close()
		return fmt.Errorf("step %d: %w", step, err)
	}
	s.here = p
	return nil
}

// Goto moves to a step; numbers after the end mean the end.
func (s *Session) Goto(ctx context.Context, step uint64) (Stop, error) {
	err := s.place(ctx, min(step, s.index.steps))
	if err != nil {
		return Stop{}, err
	}
	return s.Here(), nil
}

// predicate says where a move ends. It sees every step of the runs that it sees at
// all, in order.
type predicate func(*Point) bool

// forward moves to the first step after this one that the predicate, a breakpoint
// or a fault says to stop at.
func (s *Session) forward(ctx context.Context, done predicate) (Stop, error) {
	if s.here.st == nil {
		return s.stop(ReasonEnd, nil), nil
	}
	m, err := s.matcherHere(ctx)
	if err != nil {
		return Stop{}, err
	}
	start := s.here.Step
	m.look(s.here)
	s.cur.e.ctx = ctx
	var found *hit
	why := ReasonEnd
	p, err := s.cur.seek(start+1, func(p *Point) bool {
		found = m.look(p)
		switch {
		case found != nil:
			why = ReasonBreakpoint
		case p.st == nil:
			why = ReasonEnd
		case done(p):
			why = ReasonStep
		case s.index.faultAt(p.Step) != nil:
			why = ReasonFault
		default:
			return false
		}
		return true
	})
	if err != nil {
		s.Close()
		s.here = nil
		// The move was given up: stand where it began.
		if again := s.place(context.WithoutCancel(ctx), start); again != nil {
			return Stop{}, again
		}
		return Stop{}, err
	}
	s.cur.e.ctx = context.WithoutCancel(ctx)
	s.here = p
	out := s.stop(why, found)
	for _, l := range m.logs {
		out.Logs = append(out.Logs, l.String())
	}
	s.expire(found)
	return out, nil
}

// backward moves to the last step before this one at which forward would stop.
func (s *Session) backward(ctx context.Context, done func() predicate) (Stop, error) {
	end := s.here.Step
	if end == 0 {
		return s.stop(ReasonStart, nil), nil
	}
	var logs []string
	hi := end                      // steps before this one are searched
	run := s.index.runAt(end - 1)  // the last one that may hold the step
	for width := 1; ; width *= 2 { // whole runs, since predicates begin with a run
		lo := max(run-width+1, 0)
		if s.counts() {
			lo = 0 // hits are counted from the start
		}
		best, more, err := s.search(ctx, s.index.runs[lo].First, hi, done())
		if err != nil {
			return Stop{}, err
		}
		for _, l := range slices.Backward(more) {
			if best.why == "" || l.step > best.step {
				logs = append(logs, l.String())
			}
		}
		if best.why != "" {
			if err := s.place(ctx, best.step); err != nil {
				return Stop{}, err
			}
			out := s.stop(best.why, best.hit)
			out.Logs = logs
			s.expire(best.hit)
			return out, nil
		}
		if lo == 0 {
			break
		}
		hi, run = s.index.runs[lo].First, lo-1
	}
	if err := s.place(ctx, 0); err != nil {
		return Stop{}, err
	}
	out := s.stop(ReasonStart, nil)
	out.Logs = logs
	return out, nil
}

// found is the best place of a search; why is empty when there is none.
type found struct {
	step uint64
	why  Reason
	hit  *hit
}

// search plays the steps from lo, where a run begins, to hi, and returns the last
// one to stop at.
func (s *Session) search(ctx context.Context, lo, hi uint64, done predicate) (best found, logs []logLine, err error) {
	m := s.newMatcher()
	m.loud = true
	c := newCursor(ctx, s.trace, s.index)
	defer c.close()
	_, err = c.seek(lo, func(p *Point) bool {
		if p.Step == hi {
			return true
		}
		h := m.look(p)
		switch {
		case h != nil:
			best = found{p.Step, ReasonBreakpoint, h}
		case done(p):
			best = found{p.Step, ReasonStep, nil}
		case s.index.faultAt(p.Step) != nil:
			best = found{p.Step, ReasonFault, nil}
		}
		return false
	})
	return best, m.logs, err
}

// scan plays the steps from lo, where a run begins, up to hi, which is visited too,
// and shows them. The session does not move.
func (s *Session) scan(ctx context.Context, lo, hi uint64, see func(*Point)) error {
	c := newCursor(ctx, s.trace, s.index)
	defer c.close()
	_, err := c.seek(lo, func(p *Point) bool {
		see(p)
		return p.Step >= hi
	})
	return err
}

// none is the predicate that never ends a move.
func none(*Point) bool { return false }

// always is the predicate of a single step.
func always(*Point) bool { return true }
