package elf

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// coreSpec is an access string with its meaning: the way from a type to a member
// of it (relo_core.h, struct bpf_core_spec).
type coreSpec struct {
	root btf.Type
	// steps are the turning points of the way: named members and array elements.
	// Unnamed structures and unions on the way are passed through, since they may
	// come and go from kernel to kernel.
	steps []coreStep
	bits  uint64 // offset of what the way leads to, in bits from the root
	raw   int    // elements of the access string, unnamed members included
}

// coreStep is one turning point.
type coreStep struct {
	typ  btf.Type // the type that has the member, or that the element is of
	idx  int
	name string // empty for an array element
}

// member returns the member that a named step leads to.
func (s coreStep) member() btf.Member {
	m, _ := members(s.typ)
	return m[s.idx]
}

// members returns the members of a structure or union.
func members(t btf.Type) ([]btf.Member, bool) {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		return t.Members, true
	case *btf.Union:
		return t.Members, true
	}
	return nil, false
}

// maxTypeBits bounds offsets: no type is larger than 4 GiB.
const maxTypeBits = math.MaxUint32 * 8

// advance adds the offset of the idx-th element of a type.
func (s *coreSpec) advance(t btf.Type, idx int) error {
	size, err := btf.Sizeof(t)
	if err != nil || size < 0 {
		return formatErr("size of %s is unknown", typeText(t))
	}
	if idx > 0 && uint64(size) > maxTypeBits/8/uint64(idx) {
		return formatErr("element %d of %s is beyond 4 GiB", idx, typeText(t))
	}
	return s.skip(uint64(idx) * uint64(size) * 8)
}

func (s *coreSpec) skip(bits uint64) error {
	if s.bits += bits; s.bits > maxTypeBits {
		return formatErr("member beyond 4 GiB")
	}
	return nil
}

// parseAccess follows an access string through the local types (relo_core.c,
// bpf_core_parse_spec).
func (c *coreResolver) parseAccess(r *coreRelo, typ btf.Type) (*coreSpec, error) {
	s := &coreSpec{root: typ}
	if r.kind.isType() {
		if r.access != "0" {
			return nil, formatErr("access string %s of a relocation of the whole type", quoteName(r.access))
		}
		return s, nil
	}
	var idxs []int
	for part := range strings.SplitSeq(r.access, ":") {
		i, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return nil, formatErr("access string %s", quoteName(r.access))
		}
		if idxs = append(idxs, int(i)); len(idxs) > maxAccess {
			return nil, formatErr("access string of more than %d elements", maxAccess)
		}
	}
	s.raw = len(idxs)
	cur := btf.UnderlyingType(typ)

	if r.kind.isEnumval() {
		enum, ok := cur.(*btf.Enum)
		if !ok || len(idxs) != 1 || idxs[0] >= len(enum.Values) {
			return nil, formatErr("access string %s of %s", quoteName(r.access), typeText(cur))
		}
		s.steps = []coreStep{{enum, idxs[0], enum.Values[idxs[0]].Name}}
		return s, nil
	}

	s.steps = []coreStep{{typ: cur, idx: idxs[0]}}
	if err := s.advance(cur, idxs[0]); err != nil {
		return nil, err
	}
	for i, idx := range idxs[1:] {
		if mems, ok := members(cur); ok {
			if idx >= len(mems) {
				return nil, formatErr("access string %s: %s has %d members", quoteName(r.access), typeText(cur), len(mems))
			}
			m := mems[idx]
			if err := s.skip(uint64(m.Offset)); err != nil {
				return nil, err
			}
			if m.Name != "" {
				s.steps = append(s.steps, coreStep{cur, idx, m.Name})
			}
			cur = btf.UnderlyingType(m.Type)
			continue
		}
		arr, ok := cur.(*btf.Array)
		if !ok {
			return nil, formatErr("access string %s: element %d goes into %s", quoteName(r.access), i+1, typeText(cur))
		}
		if idx >= int(arr.Nelems) && !flexible(s.steps[len(s.steps)-1], arr) {
			return nil, formatErr("access string %s: the array has %d elements", quoteName(r.access), arr.Nelems)
		}
		cur = btf.UnderlyingType(arr.Type)
		s.steps = append(s.steps, coreStep{typ: cur, idx: idx})
		if err := s.advance(cur, idx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// flexible reports whether an array reached by the step has as many elements as
// are accessed: it has no length and is the last member of its structure.
func flexible(at coreStep, arr *btf.Array) bool {
	if at.name == "" || arr.Nelems > 0 {
		return false
	}
	mems, _ := members(at.typ)
	return at.idx == len(mems)-1
}

// textLen returns a bound on the length of text, before it is made.
func (s *coreSpec) textLen() int64 {
	n := len(s.root.TypeName())
	for _, st := range s.steps {
		n += len(st.name) + 12
	}
	return int64(n)
}

// text returns the access as one writes it in C.
func (s *coreSpec) text(r *coreRelo) string {
	var b strings.Builder
	b.WriteString(s.root.TypeName())
	for i, st := range s.steps {
		switch {
		case r.kind.isEnumval():
			b.WriteString("::" + st.name)
		case st.name != "":
			b.WriteString("." + st.name)
		case i > 0 || st.idx > 0:
			fmt.Fprintf(&b, "[%d]", st.idx)
		}
	}
	return b.String()
}
