package runtime

import (
	"fmt"
	"slices"

	"bpfvm/spec"
)

// Collection is what came of loading a spec.CollectionSpec.
type Collection struct {
	rt    *Runtime
	spec  *spec.CollectionSpec
	maps  map[string]kmap
	progs []*Program

	// Skipped holds, by program, why it was left out; see LoadOptions.
	Skipped map[string]error
}

// LoadOptions chooses what to load.
type LoadOptions struct {
	// Programs names the programs to load; empty means all. Programs that a
	// loaded prog array holds are loaded too, and only the maps that the loaded
	// programs use are created.
	Programs []string
	// SkipBroken leaves programs out that cannot be loaded and notes the reason
	// in Collection.Skipped, instead of loading nothing.
	SkipBroken bool
}

// Load creates all maps and loads all programs of a collection, or nothing.
func (rt *Runtime) Load(cs *spec.CollectionSpec) (*Collection, error) {
	return rt.LoadWith(cs, LoadOptions{})
}

// LoadWith loads a part of a collection. The error joins what is wrong with each
// map and each program: [UnsupportedError] for what is missing here, [ProgError]
// and errors that wrap a spec.Errno for what the kernel refuses too.
//
// What a failed load has put into the arena stays there: load into a new runtime.
func (rt *Runtime) LoadWith(cs *spec.CollectionSpec, o LoadOptions) (*Collection, error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	l := &loader{
		rt: rt, cs: cs, opts: o, broken: map[*spec.ProgramSpec]error{},
		c: &Collection{rt: rt, spec: cs, maps: map[string]kmap{}, Skipped: map[string]error{}},
	}
	return l.run()
}

// Spec is what the collection was made from.
func (c *Collection) Spec() *spec.CollectionSpec { return c.spec }

// Map returns the map of a name, or nil.
func (c *Collection) Map(name string) Map {
	if m, ok := c.maps[name]; ok {
		return m
	}
	return nil
}

// Maps returns the maps in the order of the object.
func (c *Collection) Maps() []Map {
	var all []Map
	for _, s := range c.spec.Maps {
		if m, ok := c.maps[s.Name]; ok {
			all = append(all, m)
		}
	}
	return all
}

// Program returns the program of a name, or nil.
func (c *Collection) Program(name string) *Program {
	for _, p := range c.progs {
		if p.Name() == name {
			return p
		}
	}
	return nil
}

// Programs returns the programs in the order of the object.
func (c *Collection) Programs() []*Program { return c.progs }

// AttachAll attaches every program to its own target. Programs without one (an
// unknown section) are an error.
func (c *Collection) AttachAll() ([]*Link, error) {
	var links []*Link
	for _, p := range c.progs {
		l, err := c.rt.Attach(p, "")
		if err != nil {
			return links, err
		}
		links = append(links, l)
	}
	return links, nil
}

// loader is one load under way.
type loader struct {
	rt     *Runtime
	cs     *spec.CollectionSpec
	opts   LoadOptions
	c      *Collection
	broken map[*spec.ProgramSpec]error // what is wrong with a program
}

func (l *loader) run() (*Collection, error) {
	progs, err := l.choose()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, p := range progs {
		if err := l.checkProgram(p); err != nil {
			l.broken[p] = err
		}
	}
	mapErrs := l.createMaps(progs)
	for _, s := range l.cs.Maps {
		if err := mapErrs[s.Name]; err != nil && !l.opts.SkipBroken {
			errs = append(errs, err)
		}
	}
	for _, p := range progs {
		err := l.broken[p]
		if err == nil && l.opts.SkipBroken {
			err = l.missingMaps(p, mapErrs)
			l.broken[p] = err
		}
		switch {
		case err == nil:
		case l.opts.SkipBroken:
			l.c.Skipped[p.Name] = err
		default:
			errs = append(errs, err)
		}
	}
	if errs != nil {
		return nil, joinErrors(errs)
	}
	for _, p := range progs {
		if l.broken[p] != nil {
			continue
		}
		prog, err := l.loadProgram(p)
		switch {
		case err == nil:
			l.c.progs = append(l.c.progs, prog)
		case l.opts.SkipBroken:
			l.c.Skipped[p.Name] = err
		default:
			errs = append(errs, err)
		}
	}
	if errs == nil {
		errs = l.fillObjects()
	}
	if errs != nil {
		return nil, joinErrors(errs)
	}
	return l.c, nil
}

// choose returns the programs to load in the order of the object.
func (l *loader) choose() ([]*spec.ProgramSpec, error) {
	if len(l.opts.Programs) == 0 {
		return l.cs.Programs, nil
	}
	wanted := map[string]bool{}
	todo := slices.Clone(l.opts.Programs)
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if wanted[name] {
			continue
		}
		p := l.cs.Program(name)
		if p == nil {
			return nil, fmt.Errorf("load: no program is called %q", name)
		}
		wanted[name] = true
		for _, ref := range p.Refs {
			if m := l.cs.Map(ref.Name); m != nil && ref.Kind == spec.RefMap {
				for _, kv := range m.Contents {
					if kv.Program != "" {
						todo = append(todo, kv.Program)
					}
				}
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(l.cs.Programs), func(p *spec.ProgramSpec) bool { return !wanted[p.Name] }), nil
}

// createMaps creates the maps: all of them, or those that the chosen programs
// use. It returns what went wrong by map.
func (l *loader) createMaps(progs []*spec.ProgramSpec) map[string]error {
	used := map[string]bool{}
	for _, p := range progs {
		if l.broken[p] != nil && l.opts.SkipBroken {
			continue
		}
		for _, ref := range p.Refs {
			l.use(ref.Name, used)
		}
	}
	errs := map[string]error{}
	for _, s := range l.cs.Maps {
		if l.c.maps[s.Name] != nil {
			errs[s.Name] = fmt.Errorf("map %q: there are two of that name: %w", s.Name, spec.EEXIST)
			continue
		}
		if (len(l.opts.Programs) > 0 || l.opts.SkipBroken) && !used[s.Name] {
			continue
		}
		m, err := l.rt.newMap(l.adjust(s), l.fieldsOf(s))
		if err != nil {
			errs[s.Name] = err
			continue
		}
		l.c.maps[s.Name] = m
		if err := l.fillValues(m); err != nil {
			errs[s.Name] = err
		}
	}
	return errs
}

// use notes that a map is needed, and the maps that it holds or may hold: a scenario can
// put those into it by name.
func (l *loader) use(name string, used map[string]bool) {
	if used[name] {
		return
	}
	used[name] = true
	if m := l.cs.Map(name); m != nil {
		for _, kv := range m.Contents {
			if kv.Map != "" {
				l.use(kv.Map, used)
			}
		}
		for _, s := range l.cs.Maps {
			if m.Inner != nil && checkInner(l.adjust(m).Inner, l.adjust(s)) {
				l.use(s.Name, used)
			}
		}
	}
}

// adjust does what libbpf does before BPF_MAP_CREATE (tools/lib/bpf/libbpf.c,
// bpf_object__create_map): a perf event array without a size gets a place for each
// CPU, and the size of a ring buffer is rounded up to what the kernel takes.
func (l *loader) adjust(s *spec.MapSpec) *spec.MapSpec {
	if s.Inner != nil {
		if inner := l.adjust(s.Inner); inner != s.Inner {
			c := *s
			c.Inner = inner
			return &c
		}
	}
	switch {
	case s.Type == spec.MapPerfEventArray && s.MaxEntries == 0:
		c := *s
		c.MaxEntries = uint32(len(l.rt.cpus))
		return &c
	case (s.Type == spec.MapRingBuf || s.Type == spec.MapUserRingBuf) && s.MaxEntries != 0 && s.MaxEntries <= 1<<31:
		c := *s
		c.MaxEntries = pageSize
		for c.MaxEntries < s.MaxEntries {
			c.MaxEntries *= 2
		}
		return &c
	}
	return s
}

// missingMaps says which map keeps the program from being loaded.
func (l *loader) missingMaps(p *spec.ProgramSpec, mapErrs map[string]error) error {
	for _, ref := range p.Refs {
		if err := mapErrs[ref.Name]; err != nil {
			return err
		}
	}
	return nil
}

// fillValues stores the initial elements that are bytes.
func (l *loader) fillValues(m kmap) error {
	b := m.base()
	for i, kv := range m.Spec().Contents {
		switch {
		case kv.Map != "" || kv.Program != "":
			continue
		case len(kv.Key) != int(b.spec.KeySize):
			return fmt.Errorf("map %q: initial element %d: key of %d bytes, want %d: %w",
				m.Name(), i, len(kv.Key), b.spec.KeySize, spec.EINVAL)
		case uint64(len(kv.Value)) > uint64(b.spec.ValueSize):
			return fmt.Errorf("map %q: initial element %d: value of %d bytes, want %d: %w",
				m.Name(), i, len(kv.Value), b.spec.ValueSize, spec.EINVAL)
		}
		value := make([]byte, b.spec.ValueSize)
		copy(value, kv.Value)
		if e := m.updateElem(0, kv.Key, value, spec.UpdateAny); e != 0 {
			return fmt.Errorf("map %q: initial element %d: %w", m.Name(), i, e)
		}
	}
	b.frozen = b.spec.Frozen
	return nil
}
