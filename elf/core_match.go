package elf

import (
	"fmt"
	"reflect"

	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

func noMatch(format string, args ...any) error { return &errPoison{fmt.Sprintf(format, args...)} }

// sameKind reports whether two types are of one kind. Enums of 32 and of 64 bits
// count as one kind (relo_core.c, btf_kind_core_compat).
func sameKind(a, b btf.Type) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b)
}

// match follows the local way through a target type by the names on it. What the
// target lacks is an *errPoison (relo_core.c, bpf_core_spec_match).
func (c *coreResolver) match(local *coreSpec, kind coreKind, target btf.Type) (*coreSpec, error) {
	out := &coreSpec{root: target}
	switch {
	case kind == coreTypeMatches:
		return out, c.typesMatch(local.root, target, false, maxMatchDepth)
	case kind.isType():
		return out, c.typesCompatible(local.root, target, maxMatchDepth)
	case kind.isEnumval():
		enum, ok := btf.UnderlyingType(target).(*btf.Enum)
		if !ok {
			return nil, noMatch("%s is no enum in the target", typeText(target))
		}
		want := types.EssentialName(local.steps[0].name)
		for i, v := range enum.Values {
			if types.EssentialName(v.Name) == want {
				out.steps = []coreStep{{enum, i, v.Name}}
				return out, nil
			}
		}
		return nil, noMatch("the target's %s has no value %s", typeText(target), shortName(want))
	}

	cur := btf.UnderlyingType(target)
	for i, st := range local.steps {
		if st.name != "" {
			m, ok, err := c.findMember(out, cur, st.name)
			if err != nil {
				return nil, err
			}
			if !ok {
				return nil, noMatch("the target's %s has no member %s", typeText(cur), shortName(st.name))
			}
			if !c.fieldsCompatible(st.member().Type, m.Type) {
				return nil, noMatch("member %s of %s is %s in the target, not %s", shortName(st.name), typeText(cur), typeText(m.Type), typeText(st.member().Type))
			}
			cur = btf.UnderlyingType(m.Type)
			continue
		}
		if i > 0 { // at i == 0 the target is the element already
			arr, ok := cur.(*btf.Array)
			if !ok {
				return nil, noMatch("the target has %s where the program has an array", typeText(cur))
			}
			if st.idx >= int(arr.Nelems) && !flexible(out.steps[len(out.steps)-1], arr) {
				return nil, noMatch("the target's array has %d elements, element %d is used", arr.Nelems, st.idx)
			}
			cur = btf.UnderlyingType(arr.Type)
		}
		if out.raw++; out.raw > maxAccess {
			return nil, formatErr("target types nested more than %d deep", maxAccess)
		}
		out.steps = append(out.steps, coreStep{typ: cur, idx: st.idx})
		if err := out.advance(cur, st.idx); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// findMember looks for a named member of a structure or union, also inside its
// unnamed members, and adds the way to it (relo_core.c, bpf_core_match_member).
func (c *coreResolver) findMember(s *coreSpec, t btf.Type, name string) (btf.Member, bool, error) {
	mems, ok := members(t)
	if !ok {
		return btf.Member{}, false, nil
	}
	for i, m := range mems {
		if err := c.step(); err != nil {
			return btf.Member{}, false, err
		}
		if m.Name != "" && m.Name != name {
			continue
		}
		if s.raw++; s.raw > maxAccess {
			return btf.Member{}, false, formatErr("target types nested more than %d deep", maxAccess)
		}
		before := s.bits
		if err := s.skip(uint64(m.Offset)); err != nil {
			return btf.Member{}, false, err
		}
		if m.Name == name {
			s.steps = append(s.steps, coreStep{btf.UnderlyingType(t), i, name})
			return m, true, nil
		}
		found, ok, err := c.findMember(s, m.Type, name)
		if ok || err != nil {
			return found, ok, err
		}
		s.bits = before
		s.raw--
	}
	return btf.Member{}, false, nil
}

// fieldsCompatible reports whether a member of the one type can stand for one of
// the other (relo_core.c, bpf_core_fields_are_compat): structures and unions
// mix, integers of any size and sign do, pointers point to anything; enums and
// forward declarations agree in name, arrays in what they hold.
func (c *coreResolver) fieldsCompatible(local, target btf.Type) bool {
	for range maxMatchDepth {
		local, target = btf.UnderlyingType(local), btf.UnderlyingType(target)
		_, a := members(local)
		_, b := members(target)
		if a && b {
			return true
		}
		if !sameKind(local, target) {
			return false
		}
		switch l := local.(type) {
		case *btf.Pointer, *btf.Float, *btf.Int:
			return true
		case *btf.Enum, *btf.Fwd:
			return namesAgree(l.TypeName(), target.TypeName())
		case *btf.Array:
			local, target = l.Type, target.(*btf.Array).Type
		default:
			return false
		}
	}
	return false
}

// namesAgree compares names without flavours; an unnamed type agrees with any.
func namesAgree(a, b string) bool {
	a, b = types.EssentialName(a), types.EssentialName(b)
	return a == "" || b == "" || a == b
}

// maxMatchDepth is how deep whole types are compared (relo_core.c: level 32).
const maxMatchDepth = 32

// typesCompatible compares two types of the same name by shape, without looking
// at members (relo_core.c, __bpf_core_types_are_compat).
func (c *coreResolver) typesCompatible(local, target btf.Type, level int) error {
	for depth := maxMatchDepth; ; depth-- {
		if err := c.step(); err != nil {
			return err
		}
		if depth < 0 || level <= 0 {
			return formatErr("types nested more than %d deep", maxMatchDepth)
		}
		local, target = btf.UnderlyingType(local), btf.UnderlyingType(target)
		if !sameKind(local, target) {
			return noMatch("%s is %s in the target", typeText(local), typeText(target))
		}
		switch l := local.(type) {
		case *btf.Void, *btf.Struct, *btf.Union, *btf.Enum, *btf.Fwd, *btf.Int:
			return nil
		case *btf.Pointer:
			local, target = l.Target, target.(*btf.Pointer).Target
		case *btf.Array:
			local, target = l.Type, target.(*btf.Array).Type
		case *btf.FuncProto:
			t := target.(*btf.FuncProto)
			if len(l.Params) != len(t.Params) {
				return noMatch("function with %d parameters, %d in the target", len(l.Params), len(t.Params))
			}
			for i := range l.Params {
				if err := c.typesCompatible(l.Params[i].Type, t.Params[i].Type, level-1); err != nil {
					return err
				}
			}
			local, target = l.Return, t.Return
		default:
			return noMatch("%s cannot be compared", typeText(local))
		}
	}
}

// typesMatch compares two types with the members that the local one has
// (relo_core.c, __bpf_core_types_match). Behind a pointer structures need only
// agree in name and kind, which also ends recursion.
func (c *coreResolver) typesMatch(local, target btf.Type, behindPtr bool, level int) error {
	for depth := maxMatchDepth; ; depth-- {
		if err := c.step(); err != nil {
			return err
		}
		if depth < 0 || level <= 0 {
			return formatErr("types nested more than %d deep", maxMatchDepth)
		}
		local, target = btf.UnderlyingType(local), btf.UnderlyingType(target)
		if types.EssentialName(local.TypeName()) != types.EssentialName(target.TypeName()) {
			return noMatch("%s is %s in the target", typeText(local), typeText(target))
		}
		differ := noMatch("%s has another shape in the target", typeText(local))
		switch l := local.(type) {
		case *btf.Fwd:
			if !fwdMatches(l, target, behindPtr) {
				return differ
			}
			return nil
		case *btf.Struct, *btf.Union:
			if behindPtr {
				if f, ok := target.(*btf.Fwd); ok && fwdMatches(f, local, true) || sameKind(local, target) {
					return nil
				}
				return differ
			}
			if !sameKind(local, target) {
				return differ
			}
			return c.membersMatch(local, target, level)
		}
		if !sameKind(local, target) {
			return differ
		}
		switch l := local.(type) {
		case *btf.Void:
			return nil
		case *btf.Enum:
			return c.enumsMatch(l, target.(*btf.Enum))
		case *btf.Int:
			t := target.(*btf.Int)
			if l.Size != t.Size || (l.Encoding == btf.Signed) != (t.Encoding == btf.Signed) {
				return differ
			}
			return nil
		case *btf.Pointer:
			behindPtr = true
			local, target = l.Target, target.(*btf.Pointer).Target
		case *btf.Array:
			t := target.(*btf.Array)
			if l.Nelems != t.Nelems {
				return noMatch("array of %d elements, %d in the target", l.Nelems, t.Nelems)
			}
			local, target = l.Type, t.Type
		case *btf.FuncProto:
			t := target.(*btf.FuncProto)
			if len(l.Params) != len(t.Params) {
				return noMatch("function with %d parameters, %d in the target", len(l.Params), len(t.Params))
			}
			for i := range l.Params {
				if err := c.typesMatch(l.Params[i].Type, t.Params[i].Type, behindPtr, level-1); err != nil {
					return err
				}
			}
			local, target = l.Return, t.Return
		default:
			return noMatch("%s cannot be compared", typeText(local))
		}
	}
}

// fwdMatches reports whether a forward declaration declares the type: a pointer
// to "struct foo" matches one to its definition.
func fwdMatches(f *btf.Fwd, t btf.Type, behindPtr bool) bool {
	switch t := t.(type) {
	case *btf.Fwd:
		return f.Kind == t.Kind
	case *btf.Struct:
		return behindPtr && f.Kind == btf.FwdStruct
	case *btf.Union:
		return behindPtr && f.Kind == btf.FwdUnion
	}
	return false
}

// membersMatch looks for each local member in the target.
func (c *coreResolver) membersMatch(local, target btf.Type, level int) error {
	lm, _ := members(local)
	tm, _ := members(target)
	if len(lm) > len(tm) {
		return noMatch("%s has %d members, %d in the target", typeText(local), len(lm), len(tm))
	}
	for _, l := range lm {
		var err error = noMatch("the target's %s has no member %s", typeText(target), shortName(l.Name))
		for _, t := range tm {
			if types.EssentialName(l.Name) != types.EssentialName(t.Name) {
				if serr := c.step(); serr != nil {
					return serr
				}
				continue
			}
			err = c.typesMatch(l.Type, t.Type, false, level-1)
			if _, ok := err.(*errPoison); !ok { // found, or cannot be told
				break
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// enumsMatch looks for each local value's name in the target; numbers may differ.
func (c *coreResolver) enumsMatch(local, target *btf.Enum) error {
	if local.Size != target.Size || len(local.Values) > len(target.Values) {
		return noMatch("%s has another shape in the target", typeText(local))
	}
	names := make(map[string]bool, len(target.Values))
	for _, v := range target.Values {
		names[types.EssentialName(v.Name)] = true
	}
	for _, v := range local.Values {
		if err := c.step(); err != nil {
			return err
		}
		if !names[types.EssentialName(v.Name)] {
			return noMatch("the target's %s has no value %s", typeText(target), shortName(v.Name))
		}
	}
	return nil
}
