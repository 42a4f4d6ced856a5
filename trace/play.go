package trace

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bpfvm/runtime"
	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/vm"
)

// World is what one playback acts on.
type World struct {
	Memory *vm.Memory
	// Runtime, Collection and Maps are nil for a program without a type, which
	// runs on bytes and needs none.
	Runtime    *runtime.Runtime
	Collection *runtime.Collection
	Maps       *scenario.Maps
	// R2 is what the engine puts into R2 at the start of a program without a type:
	// the number of bytes behind R1.
	R2 uint64
	// Skipped says, by program, why it could not be loaded.
	Skipped map[string]error
}

// Unlocked lets fn look at the world while an engine is in the middle of a run.
func (w *World) Unlocked(fn func()) {
	if w.Runtime == nil {
		fn()
		return
	}
	w.Runtime.Unlocked(fn)
}

// Player takes part in a playback. Only Engine is needed.
type Player struct {
	Engine vm.Engine
	// Start is called before the first event.
	Start func(*World)
	// OnRun is called after each run of a program; its error ends the playback.
	OnRun func(*scenario.ProgRun) error
	// End is called after the last event, while the world still exists; the result
	// is nil for a program without a type.
	End func(*World, *scenario.Result) error
}

// Play lets everything happen once, in a fresh runtime that is closed afterwards.
// The error says that something could not run at all, or is what the player
// returned.
func (t *Trace) Play(ctx context.Context, p Player) error {
	if prog := t.bare(); prog != nil {
		return t.playBare(prog, p)
	}
	rt, err := runtime.New(runtime.Options{
		Engine: p.Engine, CPUs: t.cpus(), Target: t.target, Seed: t.in.Seed, Budget: t.in.Budget,
	})
	if err != nil {
		return err
	}
	defer rt.Close()
	w, err := t.load(rt)
	if err != nil {
		return err
	}
	if p.Start != nil {
		p.Start(w)
	}
	opts := scenario.Options{
		Runtime: rt, Collection: w.Collection, Script: t.script, Frames: t.in.Frames, Files: t.files,
		Programs: t.in.Programs, Repeat: t.in.Repeat, OnRun: p.OnRun,
	}
	if opts.OnRun == nil {
		opts.OnRun = func(*scenario.ProgRun) error { return nil }
	}
	var res *scenario.Result
	if t.script == nil && len(t.in.Frames) == 0 {
		res, err = t.playContext(ctx, w, opts.OnRun)
	} else {
		res, err = scenario.Run(ctx, opts)
	}
	if err != nil {
		return err
	}
	if p.End != nil {
		return p.End(w, res)
	}
	return nil
}

// load makes the world: programs, maps and what is in them.
func (t *Trace) load(rt *runtime.Runtime) (*World, error) {
	if t.script != nil {
		if err := scenario.InstallMocks(rt, t.script); err != nil {
			return nil, err
		}
	}
	coll, err := rt.LoadWith(t.coll, runtime.LoadOptions{Programs: t.in.Programs, SkipBroken: len(t.in.Programs) == 0})
	if err != nil {
		return nil, fmt.Errorf("%s: load: %w", t.in.Name, err)
	}
	if len(coll.Programs()) == 0 {
		var errs []error
		for _, p := range t.coll.Programs {
			errs = append(errs, coll.Skipped[p.Name])
		}
		return nil, fmt.Errorf("%s: load: %w", t.in.Name, errors.Join(errs...))
	}
	w := &World{Memory: rt.Memory(), Runtime: rt, Collection: coll, Skipped: coll.Skipped}
	if w.Maps, err = scenario.NewMaps(rt, coll); err != nil {
		return nil, fmt.Errorf("%s: %w", t.in.Name, err)
	}
	for _, m := range coll.Maps() {
		if data, ok := t.in.Maps[m.Name()]; ok {
			if err := w.Maps.LoadMap(m.Name(), data); err != nil {
				return nil, err
			}
		}
	}
	for name := range t.in.Maps {
		if coll.Map(name) == nil {
			return nil, fmt.Errorf("%s: no map %s", t.in.Name, name)
		}
	}
	return w, nil
}

// playContext runs the one program on Inputs.Ctx.
func (t *Trace) playContext(ctx context.Context, w *World, onRun func(*scenario.ProgRun) error) (*scenario.Result, error) {
	progs := w.Collection.Programs()
	if t.only() == nil || len(progs) == 0 {
		return nil, fmt.Errorf("%s: nothing happens: a script, packets, or a context for one program are needed", t.in.Name)
	}
	p := progs[0]
	if len(t.in.Programs) == 1 {
		p = w.Collection.Program(t.in.Programs[0])
	}
	in, err := contextInput(p.Spec(), t.in.Ctx)
	if len(t.in.Ctx) == 0 {
		in, err = scenario.Synthesize(w.Runtime, p)
	}
	if err != nil {
		return nil, err
	}
	recs, err := scenario.NewRecordTypes(w.Collection.Spec(), nil)
	if err != nil {
		return nil, err
	}
	defer w.Runtime.StopWith(ctx)()
	w.Runtime.Clock.Now = uint64(time.Second)
	res := &scenario.Result{Before: w.Maps.Snap()}
	for i := range max(t.in.Repeat, 1) {
		at := time.Duration(w.Runtime.Clock.Now)
		raw, err := p.Run(in)
		if err != nil {
			return nil, err
		}
		run := contextRun(p, raw, recs, i+1, at)
		run.PID, run.Comm = w.Runtime.Task().PID, w.Runtime.Task().Comm
		res.Events++
		if err := onRun(run); err != nil {
			return nil, err
		}
	}
	res.Maps = w.Maps.Snap()
	res.Changes = scenario.DiffMaps(res.Before, res.Maps)
	return res, nil
}

// contextRun describes a run on a context as those of events are.
func contextRun(p *runtime.Program, raw runtime.Result, recs *scenario.RecordTypes, index int, at time.Duration) *scenario.ProgRun {
	run := &scenario.ProgRun{
		Program: p.Name(), Event: p.Target(), Index: index, Time: at, R0: raw.R0, Insns: raw.Insns, Raw: raw,
	}
	if raw.Trap != nil {
		run.Trap = &scenario.Trap{Kind: raw.Trap.Kind.String(), Slot: int(raw.Trap.PC), Msg: raw.Trap.Error(), Err: raw.Trap}
	} else {
		run.Ret = spec.RetName(p.Type(), raw.R0)
	}
	for _, l := range raw.Trace {
		run.Trace = append(run.Trace, l.String())
	}
	for _, r := range raw.Records {
		run.Records = append(run.Records, recs.Record(r))
	}
	return run
}

// playBare runs a program whose section says no type: R1 points to the bytes of
// Inputs.Ctx and R2 is their number, which engines find in World.R2.
func (t *Trace) playBare(p *spec.ProgramSpec, pl Player) error {
	mem, err := vm.NewMemory(0)
	if err != nil {
		return err
	}
	defer mem.Close()
	m, err := vm.NewMachine(mem)
	if err != nil {
		return err
	}
	if t.in.Budget != 0 {
		m.Limit = t.in.Budget
	}
	w := &World{Memory: mem, R2: uint64(len(t.in.Ctx))}
	var ctx uint64
	if n := uint64(len(t.in.Ctx)); n > 0 {
		r, err := mem.Alloc(vm.Spec{Kind: vm.RegionCtx, Size: n, Perm: vm.PermRW})
		if err != nil {
			return err
		}
		ctx = r.Base
	}
	runner, err := pl.Engine.Compile(&vm.Code{Name: p.Name, Insns: p.Insns, Funcs: p.Funcs, Spec: p})
	if err != nil {
		return err
	}
	if pl.Start != nil {
		pl.Start(w)
	}
	for i := range max(t.in.Repeat, 1) {
		m.Reset()
		copy(mem.Raw(ctx, uint64(len(t.in.Ctx))), t.in.Ctx)
		m.PktData, m.PktEnd = ctx, ctx+uint64(len(t.in.Ctx))
		run := &scenario.ProgRun{Program: p.Name, Event: p.Name, Index: i + 1}
		exit, err := runner.Run(m, ctx)
		run.R0, run.Insns = exit.R0, exit.Insns
		if trap, ok := errors.AsType[*vm.Trap](err); ok {
			run.Trap = &scenario.Trap{Kind: trap.Kind.String(), Slot: int(trap.PC), Msg: trap.Error(), Err: trap}
			run.Insns = trap.Insns
		} else if err != nil {
			return err
		}
		if pl.OnRun != nil {
			if err := pl.OnRun(run); err != nil {
				return err
			}
		}
	}
	if pl.End != nil {
		return pl.End(w, nil)
	}
	return nil
}
