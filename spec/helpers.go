package spec

import (
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Helpers returns the prototypes of all helpers in the order of their numbers;
// the helper of number n is at index n-1. The slice is shared: do not change it.
func Helpers() []HelperProto { return helpers[:] }

// HelperByID returns the helper of that number, or nil.
func HelperByID(id HelperID) *HelperProto {
	if id < 1 || int64(id) > int64(len(helpers)) {
		return nil
	}
	return &helpers[id-1]
}

var helperIndex = sync.OnceValue(func() []int16 {
	return sortedBy(helpers[:], func(h *HelperProto) string { return h.Name })
})

// HelperByName returns the helper of that name, with or without "bpf_", or nil.
func HelperByName(name string) *HelperProto {
	if !strings.HasPrefix(name, "bpf_") {
		name = "bpf_" + name
	}
	h, _ := byName(helperIndex(), helpers[:], name, func(h *HelperProto) string { return h.Name })
	return h
}

// String returns the helper's name with its prefix. Unknown numbers print as
// "helper#999".
func (id HelperID) String() string {
	if h := HelperByID(id); h != nil {
		return h.Name
	}
	return "helper#" + strconv.Itoa(int(id))
}

// helperGroup names a set of program types that are given helpers together.
type helperGroup struct {
	name string
	of   []ProgType
	doc  string
}

// HelperGroup returns the program types of a group that HelperProto.Groups names,
// and what it stands for; nil for other words.
func HelperGroup(name string) (types []ProgType, doc string) {
	for _, g := range helperGroups {
		if g.name == name {
			return g.of, g.doc
		}
	}
	return nil, ""
}

// allowedHelpers holds a bit for each helper, by program type.
var allowedHelpers = sync.OnceValue(func() [][]uint64 {
	sets := make([][]uint64, len(progTypes))
	for i := range sets {
		sets[i] = make([]uint64, (len(helpers)+64)/64)
	}
	allow := func(t ProgType, id HelperID) { sets[t][id/64] |= 1 << (id % 64) }
	for i := range helpers {
		h := &helpers[i]
		for _, word := range h.Groups {
			if types, _ := HelperGroup(word); types != nil {
				for _, t := range types {
					allow(t, h.ID)
				}
			} else if t, ok := ProgTypeByName(word); ok {
				allow(t, h.ID)
			}
		}
		allow(ProgExt, h.ID) // its target decides
	}
	return sets
})

// HelperAllowed reports whether programs of the type may call the helper, in at
// least one of the type's attach types. It says nothing about the license.
func HelperAllowed(t ProgType, id HelperID) bool {
	if t.Info() == nil || HelperByID(id) == nil {
		return false
	}
	return allowedHelpers()[t][id/64]&(1<<(id%64)) != 0
}

// HelperAllowedAt is HelperAllowed for one attach type: set_retval belongs to
// hooks that have a return value, seq_printf to iterators.
func HelperAllowedAt(t ProgType, attach AttachType, id HelperID) bool {
	if !HelperAllowed(t, id) {
		return false
	}
	for _, a := range helpers[id-1].Attach {
		if a.Type == t {
			return slices.Contains(a.Attach, attach)
		}
	}
	return true
}

// helperKey names the form of a helper.
type helperKey struct {
	id HelperID
	t  ProgType
}

var helperForms = sync.OnceValue(func() map[helperKey]*HelperProto {
	forms := map[helperKey]*HelperProto{}
	for i := range helpers {
		for _, f := range helpers[i].Forms {
			h := helpers[i]
			h.Args, h.ArgOf = f.Args, f.ArgOf
			for _, t := range f.Types {
				forms[helperKey{h.ID, t}] = &h
			}
		}
	}
	return forms
})

// HelperFor returns the helper's prototype as programs of the type have it, or
// nil for an unknown number. Some take the context in one type and a socket in
// another: setsockopt, get_socket_cookie, sk_storage_get.
func HelperFor(id HelperID, t ProgType) *HelperProto {
	if h := helperForms()[helperKey{id, t}]; h != nil {
		return h
	}
	return HelperByID(id)
}

// TakesMap reports whether programs of the type, attached so, may call the helper
// with a map of that type (kernel/bpf/verifier.c, check_map_func_compatibility).
func (h *HelperProto) TakesMap(m MapType, t ProgType, attach AttachType) bool {
	info := m.Info()
	switch {
	case info == nil:
		return false
	case h.MapTypes != nil && !slices.Contains(h.MapTypes, m):
		return false
	case info.Helpers == nil || slices.Contains(info.Helpers, h.Name):
		return true
	}
	return (m == MapSockmap || m == MapSockhash) && updatesSockmap(h.Name, t, attach)
}

// updatesSockmap reports whether programs of the type may change maps of sockets:
// where no socket that they could hold is locked (may_update_sockmap).
func updatesSockmap(helper string, t ProgType, attach AttachType) bool {
	switch t {
	case ProgTracing:
		if attach != AttachTraceIter {
			return false
		}
	case ProgSockOps:
		return helper == "bpf_map_delete_elem"
	case ProgSocketFilter, ProgSchedCls, ProgSchedAct, ProgXDP, ProgSKReuseport, ProgFlowDissector, ProgSKLookup:
	default:
		return false
	}
	return helper == "bpf_map_update_elem" || helper == "bpf_map_delete_elem"
}

// NeedsGPL reports whether programs of the type need a GPL-compatible license to
// call the helper.
func (h *HelperProto) NeedsGPL(t ProgType) bool {
	return h.GPLOnly && !slices.Contains(h.FreeFor, t)
}

// Types returns the program types that may call the helper, by number.
func (h *HelperProto) Types() []ProgType {
	var types []ProgType
	for i := range progTypes {
		if t := ProgType(i); t != ProgExt && HelperAllowed(t, h.ID) {
			types = append(types, t)
		}
	}
	return slices.Clip(types)
}
