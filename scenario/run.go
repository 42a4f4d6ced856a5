package scenario

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/vm"
)

// Options of a run. Runtime, Collection and one of Script and Frames are needed.
type Options struct {
	// Runtime must drain its records itself (not runtime.Options.KeepRecords), or
	// runs have none.
	Runtime    *runtime.Runtime
	Collection *runtime.Collection

	// Script is what happens.
	Script *Script
	// Frames are packets that arrive one after the other, at the times that the
	// capture has; they come after the script's events when both are given.
	Frames []Frame
	// FrameHook is the hook that Frames arrive at, "xdp", "tc" or "socket"; empty:
	// that of the programs.
	FrameHook string
	// Files is where packet events find their files; nil: nowhere.
	Files fs.FS
	// Expect holds further expectations, which are checked at the end.
	Expect *Script

	// Programs names the programs to run; empty: all.
	Programs []string
	// Repeat runs all events that often; 0 means once. The clock goes on.
	Repeat int
	// MapChanges compares the maps after each event. Without it Result.Changes
	// still has the difference between begin and end.
	MapChanges bool
	// RecordTypes names the types of records that the object's BTF does not tell, by
	// map; see [NewRecordTypes].
	RecordTypes map[string]string
	// OnRun is called after each run of a program. Runs are kept in the Result
	// then only if KeepRuns says so.
	OnRun    func(*ProgRun) error
	KeepRuns bool
}

// CPUs is the number of virtual CPUs that the script needs.
func (s *Script) CPUs() int {
	n := 1
	for _, st := range s.Stmts {
		switch st := st.(type) {
		case *CPU:
			n = max(n, st.N+1)
		case *Event:
			n = max(n, who{}.with(st.Set).cpu+1)
		}
	}
	return n
}

// InstallMocks installs the script's mocks. Do this before programs are loaded: a helper
// that is mocked need not exist. Run does it again, so that sequences of values
// begin anew.
func InstallMocks(rt *runtime.Runtime, s *Script) error {
	var errs Errors
	for _, st := range s.Stmts {
		m, ok := st.(*Mock)
		if !ok {
			continue
		}
		if err := rt.Mock(m.Helper, m.function()); err != nil {
			var names []string
			for _, h := range spec.Helpers() {
				names = append(names, h.Name)
			}
			errs = append(errs, &Error{File: s.Name, Pos: m.Pos, Msg: err.Error() + didYouMean(m.Helper, names), Err: err})
		}
	}
	return errs.sorted()
}

// function returns the helper's replacement.
func (m *Mock) function() runtime.MockFunc {
	if len(m.Values) == 1 {
		return runtime.MockValue(m.Values[0].Num)
	}
	next := 0
	return func(*vm.Machine, [5]uint64) uint64 {
		v := m.Values[min(next, len(m.Values)-1)].Num
		next++
		return v
	}
}

// Run lets the script's events happen, in order of their time, and collects what
// the programs did. Every program of the collection is attached where its section
// says; packets are given to each packet program alone. The error says that
// something could not be run at all; traps and missed expectations are in the
// Result, which is also returned, as far as it goes, when ctx ends early.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Runtime == nil || o.Collection == nil {
		return nil, errors.New("run: a runtime and a collection are needed")
	}
	script := o.Script
	if script == nil {
		script = &Script{}
	}
	p, err := makePlan(script, o.Files, o.Runtime)
	if err != nil {
		return nil, err
	}
	r := &runner{Options: o, plan: p, res: &Result{}, unheard: map[string]bool{}}
	if r.maps, err = NewMaps(o.Runtime, o.Collection); err != nil {
		return nil, err
	}
	if r.recs, err = NewRecordTypes(o.Collection.Spec(), o.RecordTypes); err != nil {
		return nil, err
	}
	if err := r.choose(); err != nil {
		return nil, err
	}
	if err := r.addFrames(); err != nil {
		return nil, err
	}
	if o.Expect != nil {
		if err := p.expectAtEnd(o.Expect); err != nil {
			return nil, err
		}
	}
	if err := r.prepare(script); err != nil {
		return nil, err
	}
	defer r.restore()
	defer o.Runtime.StopWith(ctx)()
	return r.run(ctx)
}

// runner is a run under way.
type runner struct {
	Options
	plan  *plan
	res   *Result
	maps  *Maps
	recs  *RecordTypes
	progs []*runtime.Program
	links []*runtime.Link
	hooks map[string]bool // targets that have programs

	trace   []runtime.TraceLine
	records map[string]int
	last    map[int][]*ProgRun // the last runs of blocks that expectations ask for
	latest  []*ProgRun         // runs of the event that happened last
	now     Snapshot           // with MapChanges
	unheard map[string]bool
	began   time.Duration
}

// choose picks the programs.
func (r *runner) choose() error {
	all := r.Collection.Programs()
	if len(r.Programs) == 0 {
		r.progs = all
		return nil
	}
	var names []string
	for _, p := range all {
		names = append(names, p.Name())
	}
	for _, name := range r.Programs {
		p := r.Collection.Program(name)
		if p == nil {
			return fmt.Errorf("no program %s%s", name, didYouMean(name, names))
		}
		r.progs = append(r.progs, p)
	}
	return nil
}

// packetHook is the hook at which a program of the type sees packets, or "".
func packetHook(t spec.ProgType) string {
	switch t {
	case spec.ProgSchedCls, spec.ProgSchedAct:
		return "tc"
	case spec.ProgSocketFilter:
		return "socket"
	}
	if h := findHook(t.String()); h != nil && h.packet {
		return h.name
	}
	return ""
}

// isPacketHook reports whether the events of a hook carry packets.
func isPacketHook(name string) bool { return findHook(name).packet }

// alone are the programs that an event runs one by one, each on the event as it is:
// at hooks that hold one program, and at packet hooks whose place is not said. ok is
// false for events that walk a run array.
func (r *runner) alone(e *Event) (progs []*runtime.Program, ok bool) {
	h := findHook(e.Hook)
	if !h.device && !runtime.HoldsOne(e.Hook) && !(h.packet && e.Target == "" && e.Hook != "netfilter") {
		return nil, false
	}
	for _, p := range r.progs {
		kind, _, _ := strings.Cut(p.Target(), ":")
		switch {
		case packetHook(p.Type()) != e.Hook && kind != e.Hook:
		case e.Target != "" && !h.device && p.Target() != e.Name():
		default:
			progs = append(progs, p)
		}
	}
	return progs, true
}

// addFrames appends Options.Frames to the plan as events of their own.
func (r *runner) addFrames() error {
	if len(r.Frames) == 0 {
		return nil
	}
	var hooks []string
	for _, p := range r.progs {
		if h := packetHook(p.Type()); h != "" && !slices.Contains(hooks, h) && (r.FrameHook == "" || h == r.FrameHook) {
			hooks = append(hooks, h)
		}
	}
	if len(hooks) == 0 {
		return errors.New("there are packets, but no program that takes packets")
	}
	for _, h := range hooks {
		at := r.plan.now
		for _, b := range r.plan.blocks {
			at = max(at, b.at)
		}
		b := block{source: &source{ev: &Event{Hook: h}}, at: at, repeat: 1, frames: r.Frames}
		if err := r.plan.add(b); err != nil {
			return fmt.Errorf("packets: %w", err)
		}
	}
	return nil
}

// prepare sets the world up: clock, randomness, mocks, memory, tasks, maps, and
// attaches the programs.
func (r *runner) prepare(script *Script) error {
	rt, p := r.Runtime, r.plan
	if p.cpus > rt.CPUs() {
		return fmt.Errorf("the script names cpu %d, the runtime has %d CPUs", p.cpus-1, rt.CPUs())
	}
	rt.Clock = runtime.Clock{Now: uint64(p.start), Step: uint64(p.step)}
	if p.world != nil {
		rt.World = *p.world
	}
	if slices.ContainsFunc(script.Stmts, func(st Stmt) bool { _, ok := st.(*Random); return ok }) {
		rt.Rand.Seed(p.seed)
	}
	if err := InstallMocks(rt, script); err != nil {
		return err
	}
	for _, w := range p.tasks {
		rt.SetTask(w.task())
	}
	if err := r.setMaps(script.Name); err != nil {
		return err
	}
	if err := p.memory.place(rt.Memory()); err != nil {
		return err
	}
	r.hooks, r.records = map[string]bool{}, map[string]int{}
	for _, prog := range r.progs {
		if kind, _, _ := strings.Cut(prog.Target(), ":"); runtime.HoldsOne(kind) || kind == "tc" {
			r.hooks[prog.Target()] = true
			continue
		}
		l, err := rt.Attach(prog, "")
		if errors.Is(err, runtime.ErrNoHook) {
			r.warn("%s (%s): nothing can set it off here: %v", prog.Name(), prog.Spec().Section, err)
			continue
		}
		if err != nil {
			r.restore()
			return err
		}
		r.links = append(r.links, l)
		r.hooks[l.Target()] = true
	}
	r.res.Before = r.maps.Snap()
	r.now = r.res.Before
	return nil
}

// setMaps stores the elements that the script gives.
func (r *runner) setMaps(file string) error {
	var errs Errors
	for _, set := range r.plan.sets {
		if err := r.maps.Set(set); err != nil {
			e := asError(err)
			if e.Line == 0 {
				e.Pos = set.Pos
			}
			e.File = file
			errs = append(errs, e)
		}
	}
	return errs.sorted()
}

// restore takes out of the runtime what prepare put in.
func (r *runner) restore() {
	for _, l := range r.links {
		l.Detach()
	}
	r.links = nil
	r.plan.memory.remove(r.Runtime.Memory(), len(r.plan.memory.segs))
}

func (r *runner) warn(format string, args ...any) {
	r.res.Warnings = append(r.res.Warnings, fmt.Sprintf(format, args...))
}

// run lets the events happen.
func (r *runner) run(ctx context.Context) (*Result, error) {
	var err error
	for round := range max(r.Repeat, 1) {
		r.began = time.Duration(r.Runtime.Clock.Now)
		if round == 0 {
			r.began = r.plan.start
		}
		if err = r.round(ctx, round == max(r.Repeat, 1)-1); err != nil {
			break
		}
	}
	r.res.Maps = r.maps.Snap()
	r.res.Changes = DiffMaps(r.res.Before, r.res.Maps)
	return r.res, err
}

// expectAtEnd adds the expectations of a file that holds nothing else.
func (p *plan) expectAtEnd(s *Script) error {
	var errs Errors
	for _, st := range s.Stmts {
		switch st := st.(type) {
		case *Expect:
			p.checks = append(p.checks, checkpoint{st, atEnd})
		case *Comment:
		default:
			errs = append(errs, &Error{File: s.Name, Pos: st.Position(), Msg: "only expectations can stand here"})
		}
	}
	return errs.sorted()
}

// atEnd is a checkpoint's place after all events.
const atEnd = math.MaxInt

// round goes through all events once; expectations are checked in the last round.
func (r *runner) round(ctx context.Context, last bool) error {
	checks := r.plan.checks
	if !last {
		checks = nil
	}
	r.last, r.latest = map[int][]*ProgRun{}, nil
	for _, c := range checks {
		r.last[c.above-1] = nil
	}
	seq := newSequence(r.plan.blocks)
	for {
		for len(checks) > 0 && checks[0].above <= seq.prefix {
			r.res.Expect = append(r.res.Expect, r.check(checks[0].expect, r.last[checks[0].above-1]))
			checks = checks[1:]
		}
		f, block, ok := seq.next()
		if !ok {
			break
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped after %d events: %w", r.res.Events, err)
		}
		runs, err := r.fire(&f)
		if err == nil && ctx.Err() != nil {
			return fmt.Errorf("stopped after %d events: %w", r.res.Events, ctx.Err())
		}
		if err != nil {
			return &Error{File: r.fileName(), Pos: f.ev.Pos, Msg: err.Error(), Err: err}
		}
		r.latest = runs
		if _, wanted := r.last[block]; wanted {
			r.last[block] = runs
		}
	}
	for _, c := range checks {
		r.res.Expect = append(r.res.Expect, r.check(c.expect, r.latest))
	}
	return nil
}

func (r *runner) fileName() string {
	if r.Script == nil {
		return ""
	}
	return r.Script.Name
}

// fire lets one event happen.
func (r *runner) fire(f *firing) ([]*ProgRun, error) {
	rt := r.Runtime
	r.res.Events++
	at := max(uint64(r.began+f.at), rt.Clock.Now)
	rt.Clock.Set(at)
	rt.SetTask(f.world.task())
	if r.plan.stacked {
		rt.SetStacks(f.stacks)
	}
	in, err := f.input(r.Runtime)
	if err != nil {
		return nil, err
	}
	what, err := r.results(f, in)
	if err != nil {
		return nil, err
	}
	results := what.Results
	var runs []*ProgRun
	for i, res := range results {
		run := newRun(rt, r.recs, f, r.res.Events, time.Duration(at), res)
		if r.MapChanges && i == len(results)-1 {
			now := r.maps.Snap()
			run.Maps = DiffMaps(r.now, now)
			r.now = now
		}
		if i == len(results)-1 && what.Target != "" {
			run.Answer = answer(&what)
		}
		runs = append(runs, run)
		if err := r.collect(run); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// results runs the programs of an event; the firing has a target when they were a
// run array.
func (r *runner) results(f *firing, in runtime.Input) (runtime.Firing, error) {
	var out runtime.Firing
	if progs, ok := r.alone(f.ev); ok {
		for _, p := range progs {
			res, err := p.Run(in)
			if err != nil {
				return out, err
			}
			out.Results = append(out.Results, res)
		}
		if out.Results == nil {
			r.notHeard(f.ev, "")
		}
		return out, nil
	}
	target := f.ev.Name()
	if f.ev.Hook == "perf_event" {
		target = "perf_event"
	}
	if len(r.Runtime.Attached(target)) == 0 {
		other := renamed(target)
		if len(r.Runtime.Attached(other)) == 0 {
			r.notHeard(f.ev, target)
			return out, nil
		}
		r.substitute(target, other)
		target = other
	}
	return r.Runtime.Fire(target, in)
}

// noprof is the suffix that the kernel's allocation functions have since 6.10: the
// old names are macros around them (include/linux/alloc_tag.h, alloc_hooks).
const noprof = "_noprof"

// renamed returns the name that a probed function has before or after 6.10.
func renamed(target string) string {
	if old, ok := strings.CutSuffix(target, noprof); ok {
		return old
	}
	return target + noprof
}

// substitute says, once, that an event reached programs of another name.
func (r *runner) substitute(target, other string) {
	if !r.unheard[target] {
		r.unheard[target] = true
		r.warn("%s: taken for %s, the same function under its name before or after Linux 6.10", target, other)
	}
}

// notHeard warns, once for each event's name, that no program is attached.
func (r *runner) notHeard(e *Event, target string) {
	if r.unheard[e.Name()] {
		return
	}
	r.unheard[e.Name()] = true
	at := ""
	if e.Line > 0 {
		at = fmt.Sprintf("%s:%d:%d: ", r.fileName(), e.Line, e.Col)
	}
	r.warn("%s%s: no program is attached to it%s", at, e.Name(), didYouMean(target, keys(r.hooks)))
}

// maxKept bounds the trace lines that are kept for expectations.
const maxKept = 1 << 20

// collect adds a run to the result.
func (r *runner) collect(run *ProgRun) error {
	r.res.Insns += run.Insns
	if run.Trap != nil {
		r.res.Trapped++
	}
	for _, rec := range run.Records {
		r.records[rec.Map]++
	}
	if len(r.trace)+len(run.Raw.Trace) > maxKept {
		return fmt.Errorf("more than %d lines of trace output", maxKept)
	}
	r.trace = append(r.trace, run.Raw.Trace...)
	if r.OnRun == nil || r.KeepRuns {
		r.res.Runs = append(r.res.Runs, run)
	}
	if r.OnRun != nil {
		return r.OnRun(run)
	}
	return nil
}
