package unittest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"bpfvm/interp"
	"bpfvm/jit"
	"bpfvm/runtime"
	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/verifier"
	"bpfvm/vm"

	"github.com/cilium/ebpf/btf"
)

// DefaultBudget bounds the instructions that one run of a program may execute.
const DefaultBudget = 100_000_000

// Options of a run of tests.
type Options struct {
	// Read reads a file that the archive does not hold; its path is the one in the
	// test, joined to the test file's directory. Nil: there are no such files.
	Read func(path string) ([]byte, error)
	// Engine returns the engine of a name. An error that wraps
	// errors.ErrUnsupported skips the case. Nil means EngineByName.
	Engine func(name string) (vm.Engine, error)
	// Loaded, when set, is told of each program that a case loads.
	Loaded func(*spec.ProgramSpec)
	// Engines takes the place of the engines that the files name.
	Engines []string
	// Match chooses cases by their name; nil: all.
	Match *regexp.Regexp
	// Target is the BTF of the kernel to play; nil: the embedded one.
	Target *btf.Spec
	// Budget bounds the instructions of one run; 0 means DefaultBudget.
	Budget uint64
}

// defaultEngines run the cases that name none.
var defaultEngines = []string{"step", "interp"}

// EngineByName returns an engine: step, interp or jit. The error of one that cannot
// run on this host wraps errors.ErrUnsupported.
func EngineByName(name string) (vm.Engine, error) {
	switch name {
	case "step":
		return interp.Step, nil
	case "interp":
		return interp.Fast, nil
	case "jit":
		if jit.Native() {
			return jit.Engine, nil
		}
		return nil, fmt.Errorf("engine jit: machine code runs on linux/amd64 only: %w", errors.ErrUnsupported)
	}
	return nil, fmt.Errorf("no engine %q: want step, interp or jit", name)
}

// Run runs the cases of the file, each on each of its engines, in their order. Every
// case has its result; those not begun when ctx ends have none.
func (f *File) Run(ctx context.Context, o Options) []*Result {
	if o.Engine == nil {
		o.Engine = EngineByName
	}
	if o.Budget == 0 {
		o.Budget = DefaultBudget
	}
	var out []*Result
	seen := map[string]*loaded{}
	for _, c := range f.Cases {
		if o.Match != nil && !o.Match.MatchString(c.Name) {
			continue
		}
		engines := c.Engines
		if len(o.Engines) > 0 {
			engines = o.Engines
		}
		if len(engines) == 0 {
			engines = defaultEngines
		}
		if c.Skip != "" || !c.runs() {
			engines = []string{""}
		}
		for _, e := range engines {
			if ctx.Err() != nil {
				return out
			}
			r := &running{file: f, c: c, o: o, engine: e, seen: seen, res: &Result{
				File: f.Name, Pos: c.Pos, Case: c.Name, Engine: e, Failures: []Failure{}, Notes: []string{}}}
			r.run(ctx)
			out = append(out, r.res)
		}
	}
	return out
}

// runs reports whether the case runs programs, or only asks the verifier.
func (c *Case) runs() bool {
	if c.Events != "" || len(c.Goldens) > 0 {
		return true
	}
	for _, st := range c.Script.Stmts {
		switch st.(type) {
		case *scenario.Event, *scenario.Expect:
			return true
		}
	}
	return false
}

// running is one case under way.
type running struct {
	file   *File
	c      *Case
	o      Options
	engine string
	res    *Result
	coll   *spec.CollectionSpec
	seen   map[string]*loaded // by the object's name
}

// loaded is an object that an earlier case of the file needed too.
type loaded struct {
	coll    *spec.CollectionSpec
	reports map[string]*verifier.Report // by program
}

func (r *running) run(ctx context.Context) {
	res := r.res
	if r.c.Skip != "" {
		res.Status, res.Reason = Skip, r.c.Skip
		return
	}
	err := r.attempt(ctx)
	switch {
	case errors.Is(err, errEngine):
		res.Status, res.Reason = Skip, err.Error()
	case err != nil:
		res.Status, res.Reason = Error, err.Error()
	case len(res.Failures) > 0:
		res.Status = Fail
	default:
		res.Status = Pass
	}
}

// errEngine marks an engine that cannot be had here.
var errEngine = errors.New("engine")

// engineError is such an engine with the reason.
type engineError struct{ err error }

func (e *engineError) Error() string   { return e.err.Error() }
func (e *engineError) Unwrap() []error { return []error{errEngine, e.err} }

func (r *running) attempt(ctx context.Context) error {
	l := r.seen[r.c.Object]
	if l == nil {
		coll, err := r.file.load(r.c.Object, r.read, r.o.Target)
		if err != nil {
			return err
		}
		l = &loaded{coll, map[string]*verifier.Report{}}
		r.seen[r.c.Object] = l
	}
	r.coll = l.coll
	if err := r.verdicts(); err != nil {
		return err
	}
	if !r.c.runs() {
		return nil
	}
	engine, err := r.o.Engine(r.engine)
	if err != nil {
		if errors.Is(err, errors.ErrUnsupported) {
			return &engineError{err}
		}
		return err
	}
	script, own, err := r.script()
	if err != nil {
		return err
	}
	rt, err := runtime.New(runtime.Options{Engine: engine, CPUs: max(script.CPUs(), 1), Target: r.o.Target, Budget: r.o.Budget})
	if err != nil {
		return err
	}
	defer rt.Close()
	if err := scenario.InstallMocks(rt, script); err != nil {
		return err
	}
	coll, err := rt.LoadWith(r.coll, runtime.LoadOptions{Programs: r.c.Programs})
	if err != nil {
		return fmt.Errorf("%s: load: %w", r.c.Object, err)
	}
	if r.o.Loaded != nil {
		for _, p := range coll.Programs() {
			r.o.Loaded(p.Spec())
		}
	}
	if err := r.fillMaps(rt, coll); err != nil {
		return err
	}
	out, err := scenario.Run(ctx, scenario.Options{
		Runtime: rt, Collection: coll, Script: script, Expect: own, Files: files{r}, Programs: r.c.Programs,
	})
	if err != nil {
		return err
	}
	return r.compare(out)
}

// script returns what happens and, where the events are in a file of their own, the
// case's expectations apart.
func (r *running) script() (script, own *scenario.Script, err error) {
	if r.c.Events == "" {
		return r.c.Script, nil, nil
	}
	text, err := r.read(r.c.Events)
	if err != nil {
		return nil, nil, err
	}
	events, err := scenario.Parse(r.c.Events, text)
	if err != nil {
		return nil, nil, err
	}
	own = &scenario.Script{Name: r.file.Name}
	script = &scenario.Script{Name: r.c.Events}
	var after []scenario.Stmt
	for _, st := range r.c.Script.Stmts {
		switch st := st.(type) {
		case *scenario.Expect:
			own.Stmts = append(own.Stmts, st)
		case *scenario.Event:
			after = append(after, st)
		case *scenario.Comment:
		default:
			script.Stmts = append(script.Stmts, st)
		}
	}
	script.Stmts = append(append(script.Stmts, events.Stmts...), after...)
	return script, own, nil
}

func (r *running) fillMaps(rt *runtime.Runtime, coll *runtime.Collection) error {
	if len(r.c.Maps) == 0 {
		return nil
	}
	m, err := scenario.NewMaps(rt, coll)
	if err != nil {
		return err
	}
	for _, name := range r.c.Maps {
		b, err := r.read(name)
		if err != nil {
			return err
		}
		if err := m.Load(b); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// read returns a file of the archive, or one beside the test file.
func (r *running) read(name string) ([]byte, error) { return r.file.read(name, r.o.Read) }

func (f *File) read(name string, outside func(string) ([]byte, error)) ([]byte, error) {
	if b, ok := f.parts[name]; ok {
		return b, nil
	}
	if outside == nil {
		return nil, fmt.Errorf("%s: not in the archive", name)
	}
	if path.IsAbs(name) || strings.Contains(name, `\`) || len(name) > 1 && name[1] == ':' {
		return nil, fmt.Errorf("%s: want a path relative to the test file, with slashes", name)
	}
	b, err := outside(path.Join(path.Dir(f.Name), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: neither in the archive nor beside the test file: %w", name, fs.ErrNotExist)
	}
	return b, err
}
