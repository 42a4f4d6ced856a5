package verifier

import (
	"github.com/cilium/ebpf/btf"

	"bpfvm/types"
)

// Pointers into the kernel have a structure as their type, and what a load
// through one gives is told by the kernel's BTF: a number, or a pointer to another
// structure (kernel/bpf/btf.c, btf_struct_access).

// kernelTypes is the kernel's BTF.
func (env *env) kernelTypes() (*btf.Spec, error) {
	if env.target == nil {
		env.target = env.opts.Target
	}
	if env.target == nil {
		t, err := types.Target()
		if err != nil {
			return nil, err
		}
		env.target = t
	}
	return env.target, nil
}

// kernelStruct finds a structure or union of the kernel by name, nil if it has
// none.
func (env *env) kernelStruct(name string) btf.Type {
	k, err := env.kernelTypes()
	if err != nil {
		return nil
	}
	var s *btf.Struct
	if k.TypeByName(name, &s) == nil {
		return s
	}
	var u *btf.Union
	if k.TypeByName(name, &u) == nil {
		return u
	}
	return nil
}

// kernelFunc finds the prototype of a kernel function.
func (env *env) kernelFunc(name string) *btf.Func {
	k, err := env.kernelTypes()
	if err != nil {
		return nil
	}
	var f *btf.Func
	if k.TypeByName(name, &f) != nil {
		return nil
	}
	return f
}

// bare strips modifiers and typedefs (btf_type_skip_modifiers).
func bare(t btf.Type) btf.Type { return btf.UnderlyingType(t) }

// members returns what a structure or union is made of; ok is false for others.
func members(t btf.Type) (m []btf.Member, size uint32, ok bool) {
	switch t := t.(type) {
	case *btf.Struct:
		return t.Members, t.Size, true
	case *btf.Union:
		return t.Members, t.Size, true
	}
	return nil, 0, false
}

func isStruct(t btf.Type) bool {
	_, _, ok := members(t)
	return ok
}

func isScalarType(t btf.Type) bool {
	switch t.(type) {
	case *btf.Int, *btf.Enum:
		return true
	}
	return false
}

// typeName is the name as messages have it (btf_type_name).
func typeName(t btf.Type) string {
	if t == nil {
		return "(null)"
	}
	if n := t.TypeName(); n != "" {
		return n
	}
	return "(anon)"
}

// kindName is the kind as messages have it (btf_type_str).
func kindName(t btf.Type) string {
	switch t := t.(type) {
	case *btf.Void:
		return "UNKNOWN"
	case *btf.Int:
		return "INT"
	case *btf.Pointer:
		return "PTR"
	case *btf.Array:
		return "ARRAY"
	case *btf.Struct:
		return "STRUCT"
	case *btf.Union:
		return "UNION"
	case *btf.Enum:
		if t.Size == 8 {
			return "ENUM64"
		}
		return "ENUM"
	case *btf.Fwd:
		return "FWD"
	case *btf.FuncProto:
		return "FUNC_PROTO"
	case *btf.Func:
		return "FUNC"
	case *btf.Float:
		return "FLOAT"
	}
	return "UNKNOWN"
}

// typeTag is the type tag directly behind a pointer, "" if it has none.
func typeTag(p *btf.Pointer) string {
	if tag, ok := p.Target.(*btf.TypeTag); ok {
		return tag.Value
	}
	return ""
}

// flagOfTag is what a tag says of a pointer.
func flagOfTag(tag string) RegType {
	switch tag {
	case "user":
		return MemUser
	case "percpu":
		return MemPerCPU
	case "rcu":
		return MemRCU
	}
	return 0
}

// walkResult is what lies at an offset of a structure.
type walkResult uint8

const (
	walkError  walkResult = iota
	walkScalar            // a number
	walkPtr               // a pointer to a structure
	walkMem               // a pointer to something else, of which nothing is known
	walkStruct            // a structure within the structure
)

// walked is where a step of a walk came to.
type walked struct {
	what  walkResult
	next  btf.Type
	flags RegType
	field string // name of the pointer
}

// walkType looks at what size bytes at an offset of the type are
// (btf_struct_walk). flex allows to go into a flexible array at the end. The
// rejection has been said when what is walkError, unless quiet.
func (env *env) walkType(t btf.Type, off, size int, w *walked, flex, quiet bool) error {
	fail := func(format string, args ...any) error {
		w.what = walkError
		if quiet {
			return &rejection{code: CodeBTFAccess}
		}
		return env.reject(CodeBTFAccess, format, args...)
	}
	for {
		t = bare(t)
		list, tsize, ok := members(t)
		name := typeName(t)
		if !ok {
			return fail("Type '%s' is not a struct\n", name)
		}
		if _, union := t.(*btf.Union); union && len(list) != 1 {
			w.flags |= Untrusted // who knows which member it is
		}
		if off+size > int(tsize) {
			elem, at := flexElement(list)
			beyond := func() error {
				return fail("access beyond struct %s at off %d size %d\n", name, uint32(off), uint32(size))
			}
			if !flex || elem == nil || off < at {
				return beyond()
			}
			if _, ok := elem.(*btf.Int); ok {
				w.what = walkScalar
				return nil
			}
			_, esize, ok := members(elem)
			if !ok || esize == 0 {
				return beyond()
			}
			off = (off - at) % int(esize)
			t = elem
			continue
		}
		inner, err := env.walkMembers(t, name, list, off, size, w, fail)
		if err != nil || inner == nil {
			return err
		}
		t, off = inner.t, inner.off
	}
}

// flexElement is the type of a flexible array at a structure's end, and where it
// begins.
func flexElement(list []btf.Member) (btf.Type, int) {
	if len(list) == 0 {
		return nil, 0
	}
	last := &list[len(list)-1]
	a, ok := bare(last.Type).(*btf.Array)
	if !ok || a.Nelems != 0 {
		return nil, 0
	}
	return bare(a.Type), int(last.Offset) / 8
}

// walkInto says to go on within a member.
type walkInto struct {
	t   btf.Type
	off int
}

func (env *env) walkMembers(t btf.Type, name string, list []btf.Member, off, size int, w *walked,
	fail func(string, ...any) error) (*walkInto, error) {
	for i := range list {
		m := &list[i]
		at := int(m.Offset) / 8
		if off+size <= at {
			break
		}
		if m.BitfieldSize > 0 {
			end := (int(m.Offset) + int(m.BitfieldSize) + 7) / 8
			if off <= at && end <= off+size {
				w.what = walkScalar
				return nil, nil
			}
			continue
		}
		if off < at {
			break // a hole
		}
		mt := bare(m.Type)
		msize, err := btf.Sizeof(mt)
		if err != nil {
			return nil, fail("field %s doesn't have size\n", m.Name)
		}
		end := at + msize
		if off >= end {
			continue
		}
		if _, ok := mt.(*btf.Array); ok {
			// One element after the other, however many dimensions there are.
			n := 1
			for {
				a, ok := mt.(*btf.Array)
				if !ok {
					break
				}
				n *= int(a.Nelems)
				mt = bare(a.Type)
			}
			if n == 0 || msize == 0 {
				continue
			}
			msize /= n
			if msize == 0 {
				continue
			}
			at += (off - at) / msize * msize
		}
		if isStruct(mt) {
			if off == at {
				w.what, w.next = walkStruct, mt
				return nil, nil
			}
			return &walkInto{mt, off - at}, nil
		}
		if p, ok := mt.(*btf.Pointer); ok {
			if msize != size || off != at {
				return nil, fail("cannot access ptr member %s with moff %d in struct %s with off %d size %d\n",
					m.Name, at, name, off, size)
			}
			if target := bare(p.Target); isStruct(target) {
				w.what, w.next, w.field = walkPtr, target, m.Name
				w.flags |= flagOfTag(typeTag(p))
				return nil, nil
			}
			w.what = walkMem
			return nil, nil
		}
		if off+size > end && w.flags&Untrusted == 0 {
			return nil, fail("access beyond the end of member %s (mend:%d) in struct %s with off %d size %d\n",
				m.Name, end, name, off, size)
		}
		w.what = walkScalar
		return nil, nil
	}
	return nil, fail("struct %s doesn't have field at offset %d\n", name, off)
}

// accessStruct walks down to what a load of size bytes at an offset gives: Scalar,
// PtrToBTFID with its structure and flags, or PtrToMem (btf_struct_access).
func (env *env) accessStruct(r *RegState, off, size int) (RegType, walked, error) {
	alloc := r.Type&MemAlloc != 0
	if alloc {
		if rec := env.recordOf(r.BTF); rec != nil {
			for i := range rec.fields {
				f := &rec.fields[i]
				if off < f.off+f.size && f.off < off+size {
					return 0, walked{}, env.reject(CodeSpecialField, "direct access to %s is disallowed\n", f.kind)
				}
			}
		}
	}
	t := r.BTF
	var w walked
	for {
		if err := env.walkType(t, off, size, &w, !alloc, false); err != nil {
			return 0, w, err
		}
		switch w.what {
		case walkPtr:
			if alloc {
				return Scalar, w, nil // what the program stored is a number
			}
			return PtrToBTFID, w, nil
		case walkMem:
			w.flags = RdOnly | Untrusted
			return PtrToMem, w, nil
		case walkScalar:
			return Scalar, w, nil
		}
		t, off = w.next, 0
	}
}

// sameStruct reports whether a pointer at an offset into one structure is one to
// the other: the same, or (unless strict) one that begins there
// (btf_struct_ids_match).
func (env *env) sameStruct(t btf.Type, off int, want btf.Type, strict, flex bool) bool {
	if off == 0 && t == want {
		return true
	}
	if strict || t == nil || want == nil {
		return false
	}
	for range 64 {
		var w walked
		if env.walkType(t, off, 1, &w, flex, true) != nil || w.what != walkStruct {
			return false
		}
		if w.next == want {
			return true
		}
		t, off = w.next, 0
	}
	return false
}

// nestedTrust reports whether the kernel names the field of the structure as one
// that may be trusted, in a structure of its own beside it: "task_struct__safe_rcu"
// (btf_nested_type_is_trusted).
func (env *env) nestedTrust(t btf.Type, field string, target btf.Type, suffix string) bool {
	safe := env.kernelStruct(t.TypeName() + suffix)
	if safe == nil {
		return false
	}
	list, _, _ := members(safe)
	for i := range list {
		if list[i].Name != field {
			continue
		}
		p, ok := bare(list[i].Type).(*btf.Pointer)
		return ok && bare(p.Target) == target
	}
	return false
}
