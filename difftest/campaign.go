package difftest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"bpfvm/interp"
	"bpfvm/verifier"
	"bpfvm/vm"
)

// Summary counts what came of many cases.
type Summary struct {
	Programs   int `json:"programs"`   // cases
	Runs       int `json:"runs"`       // of programs, over all engines
	Mismatches int `json:"mismatches"` // cases on which an engine differs from the first
	Skipped    int `json:"skipped"`    // cases that an engine could not be compared on, engine by engine
	// Checked counts the cases whose runs were held against what our verifier has
	// proven, States the instructions before which that was done.
	Checked int    `json:"sound_checked"`
	States  uint64 `json:"sound_states"`
	// Lost counts cases on which the kernel hung or failed; they are among the
	// mismatches that are told, and in no other count but Skipped.
	Lost int `json:"kernel_lost"`
}

// Mismatch is a case on which two engines differ.
type Mismatch struct {
	Name        string       `json:"name"`
	Engines     [2]string    `json:"engines"`
	Differences []Difference `json:"differences"`
	Unsound     []Unsound    `json:"unsound,omitempty"`     // instead of differences: the engines are "verifier" and "step"
	KernelLost  bool         `json:"kernel_lost,omitempty"` // the kernel hung on it, or failed
	First       *Step        `json:"first,omitempty"`       // the step at which they part
	NotLocated  string       `json:"not_located,omitempty"`
	Insns       int          `json:"insns"`            // slots of the program
	Shrunk      int          `json:"shrunk,omitempty"` // slots of what is left of it
	File        string       `json:"file,omitempty"`   // where it was saved

	// Case is the smallest case that shows it.
	Case *Case `json:"-"`
}

// Skip is a reason why an engine could not be compared, and how often.
type Skip struct {
	Engine string `json:"engine"`
	Reason string `json:"reason"`
	Count  int    `json:"count"`
	First  string `json:"first"` // the first such case
}

// Masked is a difference that has a good reason: the engine reports what depends on
// the machine.
type Masked struct {
	Name    string   `json:"name"`
	Engine  string   `json:"engine"`
	Because []string `json:"because"`
}

// Campaign compares engines on one case after the other.
type Campaign struct {
	// Engines are compared with the first of them.
	Engines []Engine
	// Shrink makes cases that differ smaller.
	Shrink bool
	// Sound holds each case's runs against what our verifier has proven (CheckSound),
	// and our verdict against the kernel's where that is among the engines.
	Sound bool

	Summary    Summary
	Mismatches []Mismatch
	Masked     []Masked

	skips map[[2]string]*Skip
}

// Skips lists why engines were not compared, the most frequent reason first.
func (c *Campaign) Skips() []Skip {
	out := []Skip{}
	for _, key := range slices.SortedFunc(maps.Keys(c.skips), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		out = append(out, *c.skips[key])
	}
	slices.SortStableFunc(out, func(a, b Skip) int { return b.Count - a.Count })
	return out
}

// Skip notes that an engine could not be compared on a case.
func (c *Campaign) Skip(engine, name, reason string) {
	if c.skips == nil {
		c.skips = map[[2]string]*Skip{}
	}
	s := c.skips[[2]string{engine, reason}]
	if s == nil {
		s = &Skip{Engine: engine, Reason: reason, First: name}
		c.skips[[2]string{engine, reason}] = s
	}
	s.Count++
	c.Summary.Skipped++
}

// reason is why an engine could not run a case, short enough to be counted.
func reason(err error) string {
	if r, ok := errors.AsType[interface {
		error
		SkipReason() string
	}](err); ok {
		return r.SkipReason()
	}
	for {
		next := errors.Unwrap(err)
		if next == nil || errors.Is(next, errors.ErrUnsupported) && next.Error() == errors.ErrUnsupported.Error() {
			return err.Error()
		}
		err = next
	}
}

// Compare runs a case on all engines. It returns the mismatches that it found; the
// error is the context's.
func (c *Campaign) Compare(ctx context.Context, cs *Case) ([]Mismatch, error) {
	c.Summary.Programs++
	var w *watcher
	if c.Sound {
		w = newWatcher(cs)
	}
	found, err := c.engines(ctx, cs, w)
	if w != nil && err == nil {
		found = append(found, c.sound(ctx, cs, w)...)
	}
	if slices.ContainsFunc(found, func(m Mismatch) bool { return !m.KernelLost }) {
		c.Summary.Mismatches++
	}
	c.Mismatches = append(c.Mismatches, found...)
	return found, cmp.Or(err, ctx.Err())
}

// sound holds the runs of a case against what our verifier has proven. The step loop
// has been under observation if it was one of the engines.
func (c *Campaign) sound(ctx context.Context, cs *Case, s *watcher) []Mismatch {
	if s.runs == 0 {
		if _, err := s.engine().Run(ctx, cs); err != nil {
			return nil // the engines have said why
		}
	}
	if s.Programs == 0 {
		return nil
	}
	c.Summary.Checked++
	c.Summary.States += s.Checked
	if len(s.Found) == 0 {
		return nil
	}
	m := Mismatch{Name: cs.Name, Engines: [2]string{"verifier", "step"}, Differences: []Difference{}, Unsound: s.Found, Case: cs}
	p, err := cs.program()
	if err == nil {
		m.Insns = len(p.Insns)
	}
	if c.Shrink && err == nil {
		if small, err := Shrink(ctx, cs, isUnsound(ctx, cs)); err == nil {
			if p, err := small.program(); err == nil {
				m.Case, m.Shrunk = small, len(p.Insns)
			}
			if s, err := CheckSound(ctx, small); err == nil {
				m.Unsound = s.Found
			}
		}
	}
	return []Mismatch{m}
}

// engines compares the engines. The watcher, if there is one, sees what the step loop
// does.
func (c *Campaign) engines(ctx context.Context, cs *Case, w *watcher) ([]Mismatch, error) {
	var ref, alt *Outcome // alt stands in for the step loop where that is stricter
	var altEngine Engine
	var found []Mismatch
	for i, e := range c.Engines {
		run := e
		if w != nil && w.runs == 0 && e.Name() == interp.Step.Name() {
			run = w.engine()
		}
		o, err := run.Run(ctx, cs)
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		if lost, ok := errors.AsType[*Lost](err); ok {
			found = append(found, c.lost(cs, e, lost))
		}
		if m := c.verdict(ctx, cs, e, err, w); m != nil {
			found = append(found, *m)
			continue
		}
		if err != nil {
			c.Skip(e.Name(), cs.Name, reason(err))
			if i == 0 {
				return nil, nil
			}
			continue
		}
		c.Summary.Runs += len(o.Runs)
		if i == 0 {
			ref = o
			continue
		}
		d := Compare(ref, o)
		if d == nil {
			continue
		}
		why := expected(ctx, cs, ref, o)
		switch strict := strictTrap(ref, o); {
		case strict != nil && ref.Strict() != nil && alt != nil:
			if d := Compare(alt, o); d != nil {
				found = append(found, c.examine(ctx, cs, altEngine, e, d))
			}
		case strict != nil:
			if ref.Strict() != nil {
				alt, altEngine = o, e
			}
			c.Skip(e.Name(), cs.Name, "the step loop stops at what only it checks: "+strict.Kind.String())
		case len(why) > 0:
			c.Masked = append(c.Masked, Masked{cs.Name, e.Name(), why})
		default:
			found = append(found, c.examine(ctx, cs, c.Engines[0], e, d))
		}
	}
	return found, nil
}

// lost makes a finding of a case that took the kernel's worker with it. It is not
// shrunk: each try could take a deadline, or the machine.
func (c *Campaign) lost(cs *Case, e Engine, lost *Lost) Mismatch {
	c.Summary.Lost++
	m := Mismatch{
		Name: cs.Name, Engines: [2]string{c.Engines[0].Name(), e.Name()}, Case: cs, KernelLost: true,
		Differences: []Difference{{Run: -1, What: "lost", Name: cs.Name, A: "an outcome", B: lost.Error()}},
		NotLocated:  "the kernel gave no outcome",
	}
	if p, err := cs.program(); err == nil {
		m.Insns = len(p.Insns)
	}
	return m
}

// verdict compares our verifier's verdict with that of a kernel which has run a case
// or refused it; nil: they are the same, or one of them has none.
func (c *Campaign) verdict(ctx context.Context, cs *Case, e Engine, err error, w *watcher) *Mismatch {
	d := verdictDiffers(cs, e, err, w)
	if d == nil {
		return nil
	}
	m := &Mismatch{Name: cs.Name, Engines: [2]string{"verifier", e.Name()}, Differences: []Difference{*d}, Case: cs}
	p, perr := cs.program()
	if perr != nil {
		return m
	}
	m.Insns = len(p.Insns)
	m.NotLocated = "verdicts differ, not runs"
	if c.Shrink {
		keep := func(small *Case) bool {
			_, err := e.Run(ctx, small)
			got := verdictDiffers(small, e, err, newWatcher(small))
			return got != nil && got.A == d.A && got.B == d.B
		}
		if small, err := Shrink(ctx, cs, keep); err == nil {
			if p, err := small.program(); err == nil {
				m.Case, m.Shrunk = small, len(p.Insns)
			}
		}
	}
	return m
}

// verdictDiffers compares verdicts.
func verdictDiffers(cs *Case, e Engine, err error, w *watcher) *Difference {
	if k, ok := e.(*Kernel); !ok || !k.judges() || w == nil {
		return nil
	}
	p, perr := cs.program()
	if perr != nil {
		return nil
	}
	theirs := "accepted"
	if err != nil {
		refused, ok := errors.AsType[*Refused](err)
		if !ok || !refused.Rejected {
			return nil
		}
		theirs = refused.Reason + ": " + refused.Detail
	}
	r := w.report(p)
	if r == nil || r.Verdict == verifier.NotModelled || (r.Verdict == verifier.Accepted) == (err == nil) {
		return nil
	}
	ours := "accepted"
	if r.Verdict == verifier.Rejected {
		ours = fmt.Sprintf("rejected: %s", lastLine(r.Message))
	}
	return &Difference{Run: -1, What: "verdict", Name: p.Name, A: ours, B: theirs}
}

// strictTrap returns the trap of the step loop that keeps two outcomes of ours from
// being compared. Against the kernel such a trap is a difference: what its verifier
// has accepted must not trap.
func strictTrap(a, b *Outcome) *vm.Trap {
	if a.Knows&b.Knows&KnowsInsns == 0 {
		return nil
	}
	if t := a.Strict(); t != nil {
		return t
	}
	return b.Strict()
}

// examine shrinks a case and finds the step at which the engines part.
func (c *Campaign) examine(ctx context.Context, cs *Case, a, b Engine, d []Difference) Mismatch {
	m := Mismatch{Name: cs.Name, Engines: [2]string{a.Name(), b.Name()}, Differences: d, Case: cs}
	p, err := cs.program()
	if err == nil {
		m.Insns = len(p.Insns)
	}
	if c.Shrink && err == nil {
		if small, err := Shrink(ctx, cs, StillDiffers(ctx, cs, a, b)); err == nil {
			if p, err := small.program(); err == nil {
				m.Case, m.Shrunk = small, len(p.Insns)
			}
		}
	}
	if m.First, err = Locate(ctx, m.Case, a, b); err != nil {
		m.NotLocated = err.Error()
	}
	return m
}

// StillDiffers is what Shrink keeps a case for: both engines run it and differ. The
// first one must not trap, unless it did on the whole case.
func StillDiffers(ctx context.Context, whole *Case, a, b Engine) func(*Case) bool {
	traps, insns := false, uint64(0)
	if o, err := a.Run(ctx, whole); err == nil {
		traps = o.trapped()
		for _, r := range o.Runs {
			insns = max(insns, r.Insns)
		}
	}
	return func(c *Case) bool {
		d := *c
		if limit := 10*insns + 1000; d.Runtime.Budget == 0 || d.Runtime.Budget > limit {
			d.Runtime.Budget = limit // what is left may not come to an end
		}
		oa, err := a.Run(ctx, &d)
		if err != nil || oa.trapped() && !traps {
			return false
		}
		ob, err := b.Run(ctx, &d)
		return err == nil && strictTrap(oa, ob) == nil && Compare(oa, ob) != nil && len(expected(ctx, &d, oa, ob)) == 0
	}
}

// Repro is the mismatch as it is saved.
func (m *Mismatch) Repro() *Repro {
	r := &Repro{Case: m.Case, Engines: m.Engines[:]}
	r.Note = append(r.Note, fmt.Sprintf("%s / %s", m.Engines[0], m.Engines[1]))
	for _, d := range m.Differences {
		r.Note = append(r.Note, d.String())
	}
	for _, u := range m.Unsound {
		r.Note = append(r.Note, "unsound: "+u.String())
	}
	switch { // diff checks the rest by itself
	case len(m.Unsound) > 0:
		r.Engines = []string{"step", "interp"}
	case m.Engines[0] == "verifier":
		r.Engines = []string{"step", m.Engines[1]}
	}
	if m.First != nil {
		r.Note = append(r.Note, "first differing step "+m.First.String())
		r.Note = append(r.Note, m.First.State...)
	}
	return r
}
