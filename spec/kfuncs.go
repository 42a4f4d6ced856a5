package spec

import (
	"cmp"
	"slices"
)

// kfuncHook is a set under which the kernel registers kfuncs.
type kfuncHook struct {
	name string
	all  bool // every program type
	of   []ProgType
}

// kptrDtor names the function that releases what a map value owns.
type kptrDtor struct{ of, fn string }

// Kfuncs returns all kfuncs of the 6.18 kernel that the tables were read from, by
// name. The slice is shared: do not change it.
func Kfuncs() []Kfunc { return kfuncs[:] }

// KfuncByName returns the kfunc of that name, or nil. Kfuncs that other
// configurations and modules bring (sched_ext, HID, the kernel's test module)
// are not in the table.
func KfuncByName(name string) *Kfunc {
	i, ok := slices.BinarySearchFunc(kfuncs[:], name, func(k Kfunc, name string) int { return cmp.Compare(k.Name, name) })
	if !ok {
		return nil
	}
	return &kfuncs[i]
}

// KfuncHook returns the program types of a set that Kfunc.Hooks names, after
// enum btf_kfunc_hook. For "common" types is nil, which stands for all; ok is
// false for other words.
func KfuncHook(name string) (types []ProgType, ok bool) {
	for i := range kfuncHooks {
		if h := &kfuncHooks[i]; h.name == name {
			return h.of, true
		}
	}
	return nil, false
}

// Allowed reports whether programs of the type, attached so, may call the kfunc
// (kernel/bpf/btf.c, btf_kfunc_id_set_contains). It speaks about registration:
// that the program's license is GPL-compatible, that it is sleepable where the
// kfunc sleeps, and what a kfunc wants of its callers besides is for the verifier.
// An ext program is what its target is: ask with the target's type.
func (k *Kfunc) Allowed(t ProgType, attach AttachType) bool {
	if k.OnlyTypes != nil && !slices.Contains(k.OnlyTypes, t) {
		return false
	}
	if k.OnlyAttach != nil && !slices.Contains(k.OnlyAttach, attach) {
		return false
	}
	return slices.ContainsFunc(kfuncHooks[:], func(h kfuncHook) bool {
		return slices.Contains(k.Hooks, h.name) && (h.all || slices.Contains(h.of, t))
	})
}

// Types returns the program types that may call the kfunc in at least one attach
// type, in the order of their numbers.
func (k *Kfunc) Types() []ProgType {
	var types []ProgType
	for i := range progTypes {
		t := progTypes[i].Type
		if t == ProgUnspec || t == ProgExt {
			continue
		}
		attach := AttachType(0)
		if len(k.OnlyAttach) > 0 {
			attach = k.OnlyAttach[0]
		}
		if k.Allowed(t, attach) {
			types = append(types, t)
		}
	}
	return types
}

// KptrDtor returns the function that the kernel calls to release an owned pointer
// to the struct when the map value that holds it goes away, or "" where maps
// cannot own such pointers (struct btf's dtor_kfunc_tab).
func KptrDtor(structName string) string {
	for _, d := range kptrDtors {
		if d.of == structName {
			return d.fn
		}
	}
	return ""
}

// FmodRetTargets returns the functions that are registered for fmod_ret programs.
// Such programs may also be attached to security_* functions and to those that
// error injection is allowed for (kernel/bpf/verifier.c, check_attach_modify_return).
func FmodRetTargets() []string { return fmodRetTargets[:] }
