package kernel

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"bpfvm/isa"
	"bpfvm/spec"
)

// preparer turns a job into what the worker needs: the program, the maps that it
// names, and the programs in those maps.
type preparer struct {
	job     *Job
	out     *wireJob
	mapAt   map[string]int // place in out.Maps
	progAt  map[string]int // place in out.Progs
	types   *typesBlob
	pending []string // programs to add
}

// prepare resolves the names of a job. With run, programs in prog arrays are taken
// along; a verdict does not need them.
func prepare(job *Job, run bool) (*wireJob, error) {
	if job.Spec == nil {
		return nil, fmt.Errorf("kernel job: no collection")
	}
	p := &preparer{
		job: job,
		out: &wireJob{
			Log: job.Log, MaxLog: cmp.Or(job.MaxLog, defaultMaxLog), Want: job.Want, Fresh: job.Fresh,
			MaxEntries: cmp.Or(job.MaxEntries, defaultMaxEntries), Unprivileged: job.Unprivileged,
		},
		mapAt:  make(map[string]int),
		progAt: make(map[string]int),
	}
	if job.Spec.BTF != nil && !job.NoBTF {
		types, err := parseTypes(job.Spec.BTF)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", job.Spec.Name, err)
		}
		p.types = types
	}
	if err := p.needMaps(run); err != nil {
		return nil, fmt.Errorf("%s: %w", job.Program, err)
	}
	for _, name := range p.pending {
		prog, err := p.program(job.Spec.Program(name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		p.out.Progs = append(p.out.Progs, prog)
	}
	if p.types != nil {
		p.out.BTF = p.types.bytes()
	}
	return p.out, nil
}

// needMaps finds the programs and maps that the job's program reaches, and places
// the maps in the order of the collection.
func (p *preparer) needMaps(run bool) error {
	need := make(map[string]bool)
	var todo []string // maps whose contents are to be looked at
	addMap := func(name string) error {
		if p.job.Spec.Map(name) == nil {
			return fmt.Errorf("the collection has no map %q", name)
		}
		if !need[name] {
			need[name] = true
			todo = append(todo, name)
		}
		return nil
	}
	addProg := func(name string) error {
		if p.job.Spec.Program(name) == nil {
			return fmt.Errorf("the collection has no program %q", name)
		}
		if _, ok := p.progAt[name]; !ok {
			p.progAt[name] = len(p.pending)
			p.pending = append(p.pending, name)
		}
		return nil
	}
	if err := addProg(p.job.Program); err != nil {
		return err
	}
	for _, name := range p.job.more {
		if err := addProg(name); err != nil {
			return err
		}
	}
	for done := 0; done < len(p.pending) || len(todo) > 0; {
		for ; done < len(p.pending); done++ {
			for _, r := range p.job.Spec.Program(p.pending[done]).Refs {
				if r.Kind == spec.RefMap || r.Kind == spec.RefMapValue {
					if err := addMap(r.Name); err != nil {
						return err
					}
				}
			}
		}
		for len(todo) > 0 {
			name := todo[0]
			todo = todo[1:]
			for _, kv := range p.contents(p.job.Spec.Map(name)) {
				var err error
				switch {
				case kv.Map != "":
					err = addMap(kv.Map)
				case kv.Program != "" && run:
					err = addProg(kv.Program)
				}
				if err != nil {
					return fmt.Errorf("contents of map %s: %w", name, err)
				}
			}
		}
	}
	for name := range p.job.Contents {
		if p.job.Spec.Map(name) == nil {
			return fmt.Errorf("contents: the collection has no map %q", name)
		}
	}
	for _, m := range p.job.Spec.Maps {
		if _, dup := p.mapAt[m.Name]; need[m.Name] && !dup {
			p.mapAt[m.Name] = len(p.out.Maps)
			made := *m
			made.Contents = p.contents(m)
			if !run {
				made.Contents = slices.DeleteFunc(slices.Clone(made.Contents), func(kv spec.MapKV) bool { return kv.Program != "" })
			}
			if p.types == nil {
				made.KeyTypeID, made.ValueTypeID = 0, 0
			}
			p.out.Maps = append(p.out.Maps, &made)
		}
	}
	return nil
}

// contents returns what a map holds before the first run.
func (p *preparer) contents(m *spec.MapSpec) []spec.MapKV {
	if kvs, ok := p.job.Contents[m.Name]; ok {
		return kvs
	}
	return m.Contents
}

// program resolves what can be without the kernel.
func (p *preparer) program(s *spec.ProgramSpec) (wireProg, error) {
	w := wireProg{
		Name: s.Name, Type: s.Type, Attach: s.Attach, AttachTo: s.AttachTo, Flags: s.Flags,
		License: s.License, Version: s.Version, Insns: isa.Encode(s.Insns),
	}
	for _, r := range s.Refs {
		if uint64(r.PC) >= uint64(len(s.Insns)) {
			return w, fmt.Errorf("reference to %s at insn %d, beyond the program's %d slots", r.Name, r.PC, len(s.Insns))
		}
		in := s.Insns[r.PC]
		wide := in.IsWide() && uint64(r.PC)+1 < uint64(len(s.Insns))
		fix := kernelFixup{PC: uint32(r.PC), Name: r.Name, Weak: r.Weak}
		switch {
		case r.Kind == spec.RefKfunc && in.Op == isa.OpCall:
			fix.Kind = fixKfuncCall
		case !wide:
			return w, fmt.Errorf("insn %d refers to %s but is neither a wide instruction nor a call", r.PC, r.Name)
		case r.Kind == spec.RefMap || r.Kind == spec.RefMapValue:
			w.Maps = append(w.Maps, mapFixup{PC: uint32(r.PC), Map: p.mapAt[r.Name]})
			src := isa.PseudoMapFD
			if r.Kind == spec.RefMapValue {
				src = isa.PseudoMapValue
				binary.LittleEndian.PutUint32(w.Insns[(r.PC+1)*isa.SlotSize+4:], r.Off)
			}
			w.Insns[r.PC*isa.SlotSize+1] = uint8(in.WithSrc(isa.Register(src)).Regs)
			continue
		case r.Kind == spec.RefKfunc:
			fix.Kind = fixKfuncAddr
		case isa.Pseudo(in.Src()) == isa.PseudoBTFID:
			fix.Kind = fixKsymBTF
		default:
			fix.Kind = fixKsymAddr
		}
		w.Kernel = append(w.Kernel, fix)
	}
	if p.types != nil {
		w.FuncInfo, w.LineInfo = p.types.extInfo(s)
		for _, f := range s.Funcs {
			w.Funcs = append(w.Funcs, f.Name)
			if !f.Global {
				p.types.makeStatic(f.TypeID)
			}
		}
	}
	return w, nil
}
