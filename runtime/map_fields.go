package runtime

import (
	"cmp"
	"slices"

	"github.com/cilium/ebpf/btf"

	"bpfvm/spec"
)

// Parts of map values that belong to the kernel: locks, timers, lists, pointers to
// kernel objects. BTF tells where they are (kernel/bpf/btf.c, btf_parse_fields). An
// update leaves them alone, user space reads zeros there, and they are zero in a new
// element. A value with a lock can be updated and read under it (BPF_F_LOCK), which
// also means in place.

// valueField is one of them.
type valueField struct {
	off, size uint32
	kind      fieldKind
}

// fieldKind is the sort of a field, as far as map types differ in what they take.
type fieldKind uint8

const (
	fieldLock  fieldKind = iota + 1 // struct bpf_spin_lock
	fieldTimer                      // struct bpf_timer, bpf_wq
	fieldRoot                       // struct bpf_list_head, bpf_rb_root
	fieldKptr                       // pointers with a type tag, struct bpf_refcount
	fieldNode                       // struct bpf_list_node, bpf_rb_node: not in maps
)

// fieldStructs are the structures that the kernel knows by name (btf_get_field_type).
var fieldStructs = map[string]fieldKind{
	"bpf_spin_lock": fieldLock, "bpf_timer": fieldTimer, "bpf_wq": fieldTimer,
	"bpf_list_head": fieldRoot, "bpf_rb_root": fieldRoot, "bpf_refcount": fieldKptr,
	"bpf_list_node": fieldNode, "bpf_rb_node": fieldNode,
}

// maxFields is BTF_FIELDS_MAX.
const maxFields = 11

// valueFields finds the fields of a value's type. The nesting is bounded because types
// come from objects.
func valueFields(t btf.Type) []valueField {
	var out []valueField
	var walk func(t btf.Type, off uint32, depth int)
	walk = func(t btf.Type, off uint32, depth int) {
		if depth > 8 || len(out) >= maxFields {
			return
		}
		switch t := btf.UnderlyingType(t).(type) {
		case *btf.Struct:
			if kind, ok := fieldStructs[t.Name]; ok {
				out = append(out, valueField{off, t.Size, kind})
				return
			}
			for _, m := range t.Members {
				walk(m.Type, off+m.Offset.Bytes(), depth+1)
			}
		case *btf.Array:
			size, err := btf.Sizeof(t.Type)
			for i := range t.Nelems {
				if err != nil || len(out) >= maxFields || i >= maxFields || len(out) == 0 && i > 0 {
					break
				}
				walk(t.Type, off+i*uint32(size), depth+1)
			}
		case *btf.Pointer:
			if tag, ok := t.Target.(*btf.TypeTag); ok && slices.Contains([]string{"kptr", "kptr_untrusted", "percpu_kptr", "uptr"}, tag.Value) {
				out = append(out, valueField{off, 8, fieldKptr})
			}
		}
	}
	walk(t, 0, 0)
	slices.SortFunc(out, func(a, b valueField) int { return cmp.Compare(a.off, b.off) })
	return out
}

// fieldsOf finds the fields of a map's values; without BTF there are none.
func (l *loader) fieldsOf(s *spec.MapSpec) []valueField {
	if s.ValueTypeID == 0 || l.cs.BTF == nil {
		return nil
	}
	local, err := l.rt.localTypes(l.cs)
	if err != nil {
		return nil // package elf has read them; what needs them says so
	}
	t, err := local.TypeByID(btf.TypeID(s.ValueTypeID))
	if err != nil {
		return nil
	}
	if size, err := btf.Sizeof(t); err != nil || uint32(size) != s.ValueSize {
		return nil
	}
	return valueFields(t)
}

// checkFields judges the fields by map type (kernel/bpf/syscall.c, map_check_btf).
func checkFields(s *spec.MapSpec, fields []valueField) spec.Errno {
	if len(fields) > 0 && s.Flags&(spec.MapRdOnlyProg|spec.MapWrOnlyProg) != 0 {
		return spec.EACCES
	}
	storage := []spec.MapType{spec.MapSKStorage, spec.MapInodeStorage, spec.MapTaskStorage, spec.MapCgrpStorage}
	shared := []spec.MapType{spec.MapHash, spec.MapArray, spec.MapLRUHash}
	for _, f := range fields {
		var allowed []spec.MapType
		switch f.kind {
		case fieldLock:
			allowed = append([]spec.MapType{spec.MapHash, spec.MapArray, spec.MapCgroupStorage, spec.MapPerCPUCgroupStorage}, storage...)
		case fieldTimer, fieldRoot:
			allowed = shared
		case fieldKptr:
			allowed = append([]spec.MapType{spec.MapPerCPUHash, spec.MapLRUPerCPUHash, spec.MapPerCPUArray}, append(shared, storage...)...)
		}
		if !slices.Contains(allowed, s.Type) {
			return spec.EOPNOTSUPP
		}
	}
	return 0
}

// hasLock says whether values have a lock (btf_record_has_field, BPF_SPIN_LOCK).
func (b *mapBase) hasLock() bool {
	return slices.ContainsFunc(b.fields, func(f valueField) bool { return f.kind == fieldLock })
}

// copyIn stores a value but for its fields (copy_map_value).
func (b *mapBase) copyIn(addr uint64, value []byte) {
	to := b.rt.mem.Raw(addr, uint64(len(value)))
	from := uint32(0)
	for _, f := range b.fields {
		copy(to[from:f.off], value[from:f.off])
		from = f.off + f.size
	}
	copy(to[from:], value[from:])
}

// freeFields ends what the fields of a value have begun: its timers are cancelled
// (bpf_obj_free_fields).
func (b *mapBase) freeFields(addr uint64) {
	for _, f := range b.fields {
		if f.kind == fieldTimer {
			delete(b.rt.timers, addr+uint64(f.off))
		}
	}
}

// clearFields makes the fields of a value zero (check_and_init_map_value).
func (b *mapBase) clearFields(value []byte) {
	for _, f := range b.fields {
		clear(value[f.off : f.off+f.size])
	}
}
