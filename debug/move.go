package debug

import (
	"context"
)

// StepInsn executes n instructions, or goes back by n where n is negative.
// Breakpoints do not matter to it.
func (s *Session) StepInsn(ctx context.Context, n int) (Stop, error) {
	step := s.here.Step
	switch {
	case n < 0 && step == 0:
		return s.stop(ReasonStart, nil), nil
	case n < 0:
		step -= min(uint64(-int64(n)), step)
	default:
		step += min(uint64(n), s.index.steps-step)
	}
	return s.Goto(ctx, step)
}

// StepLine goes to the beginning of the next C line, also into functions. Programs
// without line information have a line for each instruction.
func (s *Session) StepLine(ctx context.Context) (Stop, error) {
	return s.forward(ctx, func(p *Point) bool { return p.start })
}

// BackLine goes back to the beginning of a C line: this one, when the session stands
// within it, else the line before.
func (s *Session) BackLine(ctx context.Context) (Stop, error) {
	return s.backward(ctx, func() predicate { return func(p *Point) bool { return p.start } })
}

// Next is StepLine over functions.
func (s *Session) Next(ctx context.Context) (Stop, error) {
	run, frame := s.here.Run, s.here.Frame
	return s.forward(ctx, func(p *Point) bool { return p.start && (p.Run != run || p.Frame <= frame) })
}

// BackNext is BackLine over functions.
func (s *Session) BackNext(ctx context.Context) (Stop, error) {
	run, frame := s.here.Run, s.here.Frame
	if s.here.st == nil || s.here.Step == s.index.runs[run].First {
		run, frame = run-1, 0 // into the run before, at its own level
	}
	return s.backward(ctx, func() predicate {
		return func(p *Point) bool {
			return p.start && (p.Run == run && p.Frame <= frame || p.Run < run && p.Frame == 0)
		}
	})
}

// NextInsn executes one instruction, and of a call all that it calls.
func (s *Session) NextInsn(ctx context.Context) (Stop, error) {
	run, frame := s.here.Run, s.here.Frame
	return s.forward(ctx, func(p *Point) bool { return p.Run != run || p.Frame <= frame })
}

// BackNextInsn goes back over one instruction, and over all that it called.
func (s *Session) BackNextInsn(ctx context.Context) (Stop, error) {
	run, frame := s.here.Run, s.here.Frame
	if s.here.st == nil || s.here.Step == s.index.runs[run].First {
		run, frame = run-1, 0
	}
	return s.backward(ctx, func() predicate {
		return func(p *Point) bool { return p.Run == run && p.Frame <= frame || p.Run < run }
	})
}

// Finish goes to where the function has returned; in the program itself to its last
// instruction, where R0 is what it returns, and from there to the next run.
func (s *Session) Finish(ctx context.Context) (Stop, error) {
	run, frame := s.here.Run, s.here.Frame
	if s.here.st == nil {
		return s.stop(ReasonEnd, nil), nil
	}
	last := s.index.runs[run].End() - 1
	return s.forward(ctx, func(p *Point) bool {
		return p.Run != run || p.Frame < frame || frame == 0 && p.Step == last
	})
}

// BackFinish goes back to the call of the function; in the program itself to its
// first instruction, and from there to the last one of the run before.
func (s *Session) BackFinish(ctx context.Context) (Stop, error) {
	run, frame := s.here.Run, s.here.Frame
	if s.here.st == nil || s.here.Step == s.index.runs[run].First {
		return s.backward(ctx, func() predicate { return always })
	}
	first := s.index.runs[run].First
	return s.backward(ctx, func() predicate {
		return func(p *Point) bool { return p.Run == run && (p.Frame < frame || p.Step == first) }
	})
}

// Continue goes on to the next breakpoint or fault, or to the end.
func (s *Session) Continue(ctx context.Context) (Stop, error) { return s.forward(ctx, none) }

// BackContinue goes back to the breakpoint or fault before, or to the start.
func (s *Session) BackContinue(ctx context.Context) (Stop, error) {
	return s.backward(ctx, func() predicate { return none })
}

// NextEvent goes to the first step of the next event.
func (s *Session) NextEvent(ctx context.Context) (Stop, error) {
	r := s.Run()
	if r == nil {
		return s.stop(ReasonEnd, nil), nil
	}
	i := r.Index
	for i < len(s.index.runs) && s.index.runs[i].Number == r.Number {
		i++
	}
	if i == len(s.index.runs) {
		return s.Goto(ctx, s.index.steps)
	}
	return s.Goto(ctx, s.index.runs[i].First)
}

// PrevEvent goes to the first step of this event, or, when the session stands
// there, of the event before.
func (s *Session) PrevEvent(ctx context.Context) (Stop, error) {
	if s.here.Step == 0 {
		return s.stop(ReasonStart, nil), nil
	}
	i := s.index.runAt(s.here.Step - 1)
	for i > 0 && s.index.runs[i-1].Number == s.index.runs[i].Number {
		i--
	}
	return s.Goto(ctx, s.index.runs[i].First)
}
