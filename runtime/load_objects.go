package runtime

import (
	"fmt"

	"bpfvm/spec"
)

// fillObjects stores the programs and maps that maps start with. Everything has been
// created by now, as in libbpf (bpf_object__init_prog_arrays, init_map_in_map_slots).
func (l *loader) fillObjects() (errs []error) {
	for _, s := range l.cs.Maps {
		m, ok := l.c.maps[s.Name]
		if !ok {
			continue
		}
		for i, kv := range s.Contents {
			var err error
			switch {
			case kv.Program != "":
				err = l.fillProgram(m, kv)
			case kv.Map != "":
				err = l.fillMap(m, kv)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("map %q: initial element %d: %w", s.Name, i, err))
			}
		}
	}
	return errs
}

func (l *loader) fillProgram(m kmap, kv spec.MapKV) error {
	array, ok := m.(*ProgArray)
	if !ok {
		return fmt.Errorf("program %q in a map of type %s: %w", kv.Program, m.Spec().Type, spec.EINVAL)
	}
	if len(kv.Key) != 4 {
		return fmt.Errorf("key of %d bytes, want 4: %w", len(kv.Key), spec.EINVAL)
	}
	p := l.c.Program(kv.Program)
	switch {
	case p != nil:
		return array.set(indexOf(kv.Key), p)
	case l.opts.SkipBroken && l.c.Skipped[kv.Program] != nil:
		return nil // the place stays empty
	}
	return fmt.Errorf("no program is called %q", kv.Program)
}

func (l *loader) fillMap(m kmap, kv spec.MapKV) error {
	if t := m.Spec().Type; t != spec.MapArrayOfMaps && t != spec.MapHashOfMaps {
		return fmt.Errorf("map %q in a map of type %s: %w", kv.Map, t, spec.EINVAL)
	}
	if len(kv.Key) != int(m.Spec().KeySize) {
		return fmt.Errorf("key of %d bytes, want %d: %w", len(kv.Key), m.Spec().KeySize, spec.EINVAL)
	}
	inner, ok := l.c.maps[kv.Map]
	if !ok {
		if l.opts.SkipBroken {
			return nil
		}
		return fmt.Errorf("no map is called %q", kv.Map)
	}
	if err := m.sysUpdate(kv.Key, number(inner.ID()), spec.UpdateAny); err != nil {
		return fmt.Errorf("map %q: %w", kv.Map, err)
	}
	return nil
}
