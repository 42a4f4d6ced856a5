package difftest

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"bpfvm/runtime"
	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/vm"
)

// Case is a collection of programs and what happens to them.
type Case struct {
	Name string
	Spec *spec.CollectionSpec
	// Programs names those to run; empty: all that can be loaded.
	Programs []string

	// Script, Frames and Files are as in scenario.Options.
	Script *scenario.Script
	Frames []scenario.Frame
	Files  fs.FS
	Repeat int
	// Prepare, when set, is called on each runtime before anything happens: it fills
	// maps, for example.
	Prepare func(*runtime.Runtime, *runtime.Collection) error

	// Runtime are the options of the small kernel that our engines run in; its
	// Engine is set by each of them.
	Runtime runtime.Options

	// shift moves all memory but the stacks up by so many bytes.
	shift uint64
}

// with returns a copy of the case with another version of one program.
func (c *Case) with(p *spec.ProgramSpec) *Case {
	d, cs := *c, *c.Spec
	cs.Programs = nil
	for _, old := range c.Spec.Programs {
		if old.Name == p.Name {
			old = p
		}
		cs.Programs = append(cs.Programs, old)
	}
	d.Spec, d.Script = &cs, usedMaps(c.Script, &cs)
	return &d
}

// usedMaps leaves out of a script the elements of maps that no program refers to:
// such maps are not created.
func usedMaps(s *scenario.Script, cs *spec.CollectionSpec) *scenario.Script {
	if s == nil {
		return nil
	}
	out := &scenario.Script{Name: s.Name}
	for _, st := range s.Stmts {
		if m, ok := st.(*scenario.MapSet); ok && !refersTo(cs, m.Map) {
			continue
		}
		out.Stmts = append(out.Stmts, st)
	}
	return out
}

func refersTo(cs *spec.CollectionSpec, name string) bool {
	for _, p := range cs.Programs {
		if slices.ContainsFunc(p.Refs, func(r spec.Ref) bool { return r.Name == name }) {
			return true
		}
	}
	return false
}

// program returns the only program of the case, which shrinking needs.
func (c *Case) program() (*spec.ProgramSpec, error) {
	switch {
	case len(c.Programs) == 1:
		if p := c.Spec.Program(c.Programs[0]); p != nil {
			return p, nil
		}
		return nil, fmt.Errorf("%s: no program %s", c.Name, c.Programs[0])
	case len(c.Programs) == 0 && len(c.Spec.Programs) == 1:
		return c.Spec.Programs[0], nil
	}
	return nil, fmt.Errorf("%s: several programs run", c.Name)
}

// loaded is a case in a runtime of its own.
type loaded struct {
	rt   *runtime.Runtime
	coll *runtime.Collection
	opts scenario.Options
}

// load prepares a runtime. The caller closes it.
func (c *Case) load(o runtime.Options) (_ *loaded, err error) {
	if c.Script != nil {
		o.CPUs = max(o.CPUs, c.Script.CPUs())
	}
	rt, err := runtime.New(o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			rt.Close()
		}
	}()
	if c.shift > 0 {
		if _, err := rt.Memory().Alloc(vm.Spec{Kind: vm.RegionScratch, Size: c.shift}); err != nil {
			return nil, err
		}
	}
	if c.Script != nil {
		if err := scenario.InstallMocks(rt, c.Script); err != nil {
			return nil, err
		}
	}
	coll, err := rt.LoadWith(c.Spec, runtime.LoadOptions{Programs: c.Programs, SkipBroken: len(c.Programs) == 0})
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if len(coll.Programs()) == 0 {
		var all []error
		for _, p := range c.Spec.Programs {
			all = append(all, coll.Skipped[p.Name])
		}
		return nil, fmt.Errorf("load: %w", errors.Join(all...))
	}
	if c.Prepare != nil {
		if err := c.Prepare(rt, coll); err != nil {
			return nil, err
		}
	}
	return &loaded{rt, coll, scenario.Options{
		Runtime: rt, Collection: coll, Script: c.Script, Frames: c.Frames, Files: c.Files,
		Programs: c.Programs, Repeat: c.Repeat,
	}}, nil
}
