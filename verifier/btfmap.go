package verifier

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// Some fields of map values and of objects that programs allocate belong to the
// kernel: locks, timers, roots and nodes of lists and trees, kernel pointers.
// Programs touch them through helpers only (struct btf_record).

// fieldKind tells special fields apart (enum btf_field_type).
type fieldKind uint8

const (
	fieldSpinLock fieldKind = iota + 1
	fieldResSpinLock
	fieldTimer
	fieldWorkqueue
	fieldTaskWork
	fieldListHead
	fieldListNode
	fieldRBRoot
	fieldRBNode
	fieldRefcount
	fieldKptrUnref
	fieldKptrRef
	fieldKptrPerCPU
	fieldUptr
)

var fieldNames = [...]string{
	fieldSpinLock: "bpf_spin_lock", fieldResSpinLock: "bpf_res_spin_lock", fieldTimer: "bpf_timer",
	fieldWorkqueue: "bpf_wq", fieldTaskWork: "bpf_task_work", fieldListHead: "bpf_list_head",
	fieldListNode: "bpf_list_node", fieldRBRoot: "bpf_rb_root", fieldRBNode: "bpf_rb_node",
	fieldRefcount: "bpf_refcount", fieldKptrUnref: "kptr", fieldKptrRef: "kptr",
	fieldKptrPerCPU: "percpu_kptr", fieldUptr: "uptr",
}

// String is the name that messages use (btf_field_type_name).
func (k fieldKind) String() string { return fieldNames[k] }

func (k fieldKind) isKptr() bool { return k >= fieldKptrUnref && k <= fieldUptr }

// structFields are the kinds that are structures, by their name.
var structFields = map[string]fieldKind{
	"bpf_spin_lock": fieldSpinLock, "bpf_res_spin_lock": fieldResSpinLock, "bpf_timer": fieldTimer,
	"bpf_wq": fieldWorkqueue, "bpf_task_work": fieldTaskWork, "bpf_list_head": fieldListHead,
	"bpf_list_node": fieldListNode, "bpf_rb_root": fieldRBRoot, "bpf_rb_node": fieldRBNode,
	"bpf_refcount": fieldRefcount,
}

// kptrTags are the kinds that are pointers, by the tag of their type.
var kptrTags = map[string]fieldKind{
	"kptr_untrusted": fieldKptrUnref, "kptr": fieldKptrRef, "percpu_kptr": fieldKptrPerCPU, "uptr": fieldUptr,
}

// specialField is one of them, at its place (struct btf_field).
type specialField struct {
	kind      fieldKind
	off, size int
	// target is the structure behind a kernel pointer, or the one whose objects are
	// in the list or tree; local says that it is the program's.
	target btf.Type
	local  bool
	// nodeOff is where in these objects the node is.
	nodeOff int
}

// record lists the special fields of a type by offset.
type record struct {
	fields []specialField
}

// find returns the field of one of the kinds at that offset, or nil
// (btf_record_find).
func (rec *record) find(off int, kinds ...fieldKind) *specialField {
	if rec == nil {
		return nil
	}
	for i := range rec.fields {
		if f := &rec.fields[i]; f.off == off && slices.Contains(kinds, f.kind) {
			return f
		}
	}
	return nil
}

// first returns the first field of one of the kinds, or nil.
func (rec *record) first(kinds ...fieldKind) *specialField {
	if rec == nil {
		return nil
	}
	for i := range rec.fields {
		if f := &rec.fields[i]; slices.Contains(kinds, f.kind) {
			return f
		}
	}
	return nil
}

// has reports whether there is a field of one of the kinds.
func (rec *record) has(kinds ...fieldKind) bool { return rec.first(kinds...) != nil }

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

// mapRecord is what a map's values hold, nil for nothing. Without BTF there is
// nothing of the kind.
func (env *env) mapRecord(m *spec.MapSpec) *record {
	if m == nil || m.ValueTypeID == 0 || len(env.opts.BTF) == 0 || env.loadTypes() != nil {
		return nil
	}
	t, err := env.types.TypeByID(btf.TypeID(m.ValueTypeID))
	if err != nil {
		return nil
	}
	return env.recordOf(t)
}

// recordOf finds the special fields of a type of the program (btf_parse_fields).
func (env *env) recordOf(t btf.Type) *record {
	if t == nil {
		return nil
	}
	if rec, ok := env.records[t]; ok {
		return rec
	}
	if env.records == nil {
		env.records = map[btf.Type]*record{}
	}
	env.records[t] = nil // a list of objects of its own type ends here
	var rec record
	if !env.collectFields(&rec, t, 0, nil, 0) || len(rec.fields) > maxFields {
		return nil // the kernel takes no map of the type
	}
	slices.SortStableFunc(rec.fields, func(a, b specialField) int { return a.off - b.off })
	if len(rec.fields) > 0 {
		env.records[t] = &rec
	}
	return env.records[t]
}

// regRecord is what the object behind a register holds (reg_btf_record).
func (env *env) regRecord(r *RegState) *record {
	switch {
	case r.Type == PtrToMapValue:
		return env.mapRecord(r.Map)
	case r.Type.base() == PtrToBTFID && r.Type&MemAlloc != 0:
		return env.recordOf(r.BTF)
	}
	return nil
}

// maxFieldDepth and maxFields bound the search (MAX_RESOLVE_DEPTH and
// BTF_FIELDS_MAX of kernel/bpf/btf.c, include/linux/bpf.h).
const (
	maxFieldDepth = 32
	maxFields     = 11
)

// collectFields searches a type that lies at an offset of the whole; tags are the
// declaration tags of the member or variable.
// It returns false for what the kernel refuses.
func (env *env) collectFields(rec *record, t btf.Type, off int, tags []string, depth int) bool {
	if len(rec.fields) > maxFields {
		return false
	}
	if depth > maxFieldDepth {
		return true
	}
	n := 1
	t = bare(t)
	for range maxFieldDepth {
		a, ok := t.(*btf.Array)
		if !ok {
			break
		}
		n *= int(a.Nelems)
		t = bare(a.Type)
	}
	if n <= 0 {
		return true
	}
	switch t := t.(type) {
	case *btf.Datasec:
		for _, v := range t.Vars {
			if va, ok := v.Type.(*btf.Var); ok && !env.collectFields(rec, va.Type, int(v.Offset), va.Tags, depth+1) {
				return false
			}
		}
	case *btf.Struct:
		first := len(rec.fields)
		if kind, ok := structFields[t.Name]; ok {
			f := specialField{kind: kind, off: off, size: int(t.Size), local: true}
			if (kind == fieldListHead || kind == fieldRBRoot) && !env.graphRoot(&f, tags) {
				return false
			}
			rec.fields = append(rec.fields, f)
		} else {
			for _, m := range t.Members {
				if m.BitfieldSize == 0 && !env.collectFields(rec, m.Type, off+int(m.Offset)/8, m.Tags, depth+1) {
					return false
				}
			}
		}
		env.repeatFields(rec, first, n, int(t.Size))
	case *btf.Pointer:
		kind, ok := kptrTags[typeTag(t)]
		if !ok {
			return true
		}
		first := len(rec.fields)
		f := specialField{kind: kind, off: off, size: regSize}
		target := bare(t.Target)
		// What the kernel knows by that name is the kernel's.
		if f.target = env.kernelStruct(target.TypeName()); f.target == nil || target.TypeName() == "" {
			f.target, f.local = target, true
		}
		rec.fields = append(rec.fields, f)
		env.repeatFields(rec, first, n, regSize)
	}
	return true
}

// repeatFields copies what was found in an array's first element for the others.
func (env *env) repeatFields(rec *record, first, n, size int) {
	one := slices.Clone(rec.fields[first:])
	for i := 1; i < n && len(rec.fields) <= maxFields && len(one) > 0; i++ {
		for _, f := range one {
			f.off += i * size
			rec.fields = append(rec.fields, f)
		}
	}
}

// graphRoot reads the tag "contains:STRUCT:NODE" of a list's head or a tree's root
// (btf_find_graph_root).
func (env *env) graphRoot(f *specialField, tags []string) bool {
	for _, tag := range tags {
		what, ok := strings.CutPrefix(tag, "contains:")
		if !ok {
			continue
		}
		name, node, ok := strings.Cut(what, ":")
		var s *btf.Struct
		if !ok || env.loadTypes() != nil || env.types.TypeByName(name, &s) != nil {
			return false
		}
		for _, m := range s.Members {
			want := "bpf_list_node"
			if f.kind == fieldRBRoot {
				want = "bpf_rb_node"
			}
			if m.Name == node && typeName(bare(m.Type)) == want {
				f.target, f.nodeOff = s, int(m.Offset)/8
				return true
			}
		}
	}
	return false
}
