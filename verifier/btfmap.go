package verifier

import (
	"bytes"
	"fmt"
	"strings"

	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// specialTypes are structures in map values that only helpers may touch
// (btf_get_field_type).
var specialTypes = map[string]bool{
	"bpf_spin_lock": true, "bpf_res_spin_lock": true, "bpf_timer": true, "bpf_wq": true, "bpf_task_work": true,
	"bpf_list_head": true, "bpf_list_node": true, "bpf_rb_root": true, "bpf_rb_node": true, "bpf_refcount": true,
}

// plainMap names what a map's value holds that is not modelled: locks, timers,
// kernel pointers. Without BTF there is nothing of the kind.
func (env *env) plainMap(m *spec.MapSpec) error {
	if m.ValueTypeID == 0 || len(env.opts.BTF) == 0 {
		return nil
	}
	what, ok := env.special[m]
	if !ok {
		if env.special == nil {
			env.special = map[*spec.MapSpec]string{}
		}
		what = env.findSpecial(m)
		env.special[m] = what
	}
	if what != "" {
		return notModelled("%s in the value of a map", what)
	}
	return nil
}

// loadTypes parses the object's BTF once.
func (env *env) loadTypes() error {
	if env.types != nil {
		return nil
	}
	types, err := btf.LoadSpecFromReader(bytes.NewReader(env.opts.BTF))
	if err != nil {
		return fmt.Errorf("parse BTF: %w", err)
	}
	env.types = types
	return nil
}

func (env *env) findSpecial(m *spec.MapSpec) string {
	if env.loadTypes() != nil {
		return "malformed BTF"
	}
	t, err := env.types.TypeByID(btf.TypeID(m.ValueTypeID))
	if err != nil {
		return "unknown BTF type"
	}
	return specialIn(t, 0)
}

// specialIn searches a type, not through pointers.
func specialIn(t btf.Type, depth int) string {
	if depth > 16 {
		return ""
	}
	switch t := t.(type) {
	case *btf.Struct:
		if specialTypes[t.Name] {
			return t.Name
		}
		return specialMembers(t.Members, depth)
	case *btf.Union:
		return specialMembers(t.Members, depth)
	case *btf.Array:
		return specialIn(t.Type, depth+1)
	case *btf.Typedef:
		return specialIn(t.Type, depth+1)
	case *btf.Const:
		return specialIn(t.Type, depth+1)
	case *btf.Volatile:
		return specialIn(t.Type, depth+1)
	case *btf.Datasec:
		for _, v := range t.Vars {
			if s := specialIn(v.Type, depth+1); s != "" {
				return s
			}
		}
	case *btf.Var:
		return specialIn(t.Type, depth+1)
	case *btf.Pointer:
		if tag, ok := t.Target.(*btf.TypeTag); ok && (strings.Contains(tag.Value, "kptr") || tag.Value == "uptr") {
			return "kernel pointer (" + tag.Value + ")"
		}
	}
	return ""
}

func specialMembers(members []btf.Member, depth int) string {
	for _, m := range members {
		if s := specialIn(m.Type, depth+1); s != "" {
			return s
		}
	}
	return ""
}
