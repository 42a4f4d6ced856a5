package elf

import (
	"bytes"
	"encoding/binary"

	"github.com/cilium/ebpf/btf"
)

// objectBTF is the object's .BTF section: C types and strings
// (Documentation/bpf/btf.rst).
type objectBTF struct {
	raw     []byte
	strings string // the string section, shared by every name taken from it
	spec    *btf.Spec
	types   int // number of types, void included
	kinds   [btfKinds]int
}

// BTF kinds (include/uapi/linux/btf.h, BTF_KIND_*).
const (
	kindInt = iota + 1
	kindPtr
	kindArray
	kindStruct
	kindUnion
	kindEnum
	kindFwd
	kindTypedef
	kindVolatile
	kindConst
	kindRestrict
	kindFunc
	kindFuncProto
	kindVar
	kindDatasec
	kindFloat
	kindDeclTag
	kindTypeTag
	kindEnum64
	btfKinds
)

var kindNames = [btfKinds]string{"void", "int", "ptr", "array", "struct", "union", "enum", "fwd",
	"typedef", "volatile", "const", "restrict", "func", "func_proto", "var", "datasec", "float",
	"decl_tag", "type_tag", "enum64"}

const (
	btfMagic      = 0xeb9f
	btfHeaderSize = 24 // sizeof(struct btf_header)

	// maxTypeDepth bounds how far types may refer to types that refer to types.
	// The parser that follows recurses along these references. The deepest seen
	// in a real object is below 1000.
	maxTypeDepth = 4096

	// maxNameLen bounds names of types, members and enumerators; the kernel allows
	// 511 bytes (KSYM_NAME_LEN), C++ makes longer ones. Names are compared and
	// quoted often. Tags are text and may have any length.
	maxNameLen = 4096

	// typeCost and memberCost are what a type and a member, parameter, enumerator
	// or variable take once parsed.
	typeCost   = 192
	memberCost = 80
)

// parseBTF checks raw BTF and parses it. The check comes first because the
// parser expects what a compiler writes: it copies a name each time that it is
// used and recurses from type to type, which a crafted section turns into
// gigabytes. After the check both are bounded by the section's size.
func parseBTF(raw []byte, b *budget) (*objectBTF, error) {
	o := &objectBTF{raw: raw}
	types, err := o.header()
	if err != nil {
		return nil, err
	}
	graph, err := o.checkTypes(types, b)
	if err != nil {
		return nil, err
	}
	if d := graph.depth(); d > maxTypeDepth {
		return nil, formatErr("types refer to each other %d levels deep, at most %d are read", d, maxTypeDepth)
	}
	o.spec, err = btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		return nil, formatErr("%v", err)
	}
	// Every type is parsed now and in order, so that a fault in any of them is
	// found here and no half-parsed type is met later.
	for id := range o.types {
		if _, err := o.spec.TypeByID(btf.TypeID(id)); err != nil {
			return nil, formatErr("type %d: %v", id, err)
		}
	}
	return o, nil
}

// header checks struct btf_header and returns the type section.
func (o *objectBTF) header() ([]byte, error) {
	raw, le := o.raw, binary.LittleEndian
	if len(raw) < btfHeaderSize {
		return nil, formatErr("%d bytes are less than a BTF header", len(raw))
	}
	switch magic := le.Uint16(raw); magic {
	case btfMagic:
	case btfMagic<<8&0xff00 | btfMagic>>8:
		return nil, unsupported("big-endian BTF")
	default:
		return nil, formatErr("BTF magic is %#x", magic)
	}
	if raw[2] != 1 {
		return nil, unsupported("BTF version %d", raw[2])
	}
	hdr := uint64(le.Uint32(raw[4:]))
	if hdr < btfHeaderSize || hdr > uint64(len(raw)) {
		return nil, formatErr("BTF header of %d bytes", hdr)
	}
	rest := raw[hdr:]
	part := func(at int, what string) ([]byte, error) {
		off, n := uint64(le.Uint32(raw[at:])), uint64(le.Uint32(raw[at+4:]))
		if off+n > uint64(len(rest)) {
			return nil, formatErr("BTF %s of %#x bytes at %#x reach past the section's end", what, n, off)
		}
		return rest[off : off+n], nil
	}
	types, err := part(8, "types")
	if err != nil {
		return nil, err
	}
	text, err := part(16, "strings")
	if err != nil {
		return nil, err
	}
	if len(text) == 0 || text[0] != 0 || text[len(text)-1] != 0 {
		return nil, formatErr("BTF strings do not begin and end with NUL")
	}
	o.strings = string(text)
	return types, nil
}

// name returns the string at off of the BTF string section.
func (o *objectBTF) name(off uint32) (string, bool) { return stringAt(o.strings, off) }

// typeGraph lists for each type the types that it mentions.
type typeGraph struct {
	first []int32 // by id: where its references begin in refs
	refs  []uint32
}

// checkTypes checks each type record: its length, its names, the ids it mentions
// (Documentation/bpf/btf.rst, "Type Encoding").
func (o *objectBTF) checkTypes(types []byte, b *budget) (*typeGraph, error) {
	le := binary.LittleEndian
	g := &typeGraph{first: []int32{0, 0}}
	tags := make(map[uint32][]uint32)
	members := int64(0)
	o.types = 1
	for off := 0; off < len(types); o.types++ {
		id := uint32(o.types)
		at := off
		if len(types)-off < 12 {
			return nil, formatErr("BTF type %d at %#x is cut off", id, at)
		}
		nameOff, info, size := le.Uint32(types[off:]), le.Uint32(types[off+4:]), le.Uint32(types[off+8:])
		off += 12
		kind, vlen := int(info>>24&0x1f), int(info&0xffff)
		if kind == 0 || kind >= btfKinds {
			return nil, unsupported("BTF kind %d of type %d", kind, id)
		}
		o.kinds[kind]++
		each, n := recordShape(kind, vlen)
		if n*each > len(types)-off {
			return nil, formatErr("BTF type %d (%s) at %#x is cut off", id, kindNames[kind], at)
		}
		rec := types[off : off+n*each]
		off += n * each
		named := func(strOff uint32) error {
			s, ok := o.name(strOff)
			if !ok {
				return formatErr("BTF type %d (%s): name at %#x, outside the strings", id, kindNames[kind], strOff)
			}
			if len(s) > maxNameLen && kind != kindDeclTag && kind != kindTypeTag {
				return formatErr("BTF type %d (%s): name of %d bytes", id, kindNames[kind], len(s))
			}
			// Charged at once: looking for the ends of long names takes time, too.
			return b.take("BTF names", int64(len(s)), 1)
		}
		if err := named(nameOff); err != nil {
			return nil, err
		}
		switch kind {
		case kindPtr, kindTypedef, kindVolatile, kindConst, kindRestrict, kindFunc, kindFuncProto,
			kindVar, kindTypeTag, kindDeclTag:
			g.refs = append(g.refs, size)
		case kindArray:
			g.refs = append(g.refs, le.Uint32(rec[4:]), le.Uint32(rec))
		}
		if kind == kindDeclTag {
			tags[size] = append(tags[size], id)
		}
		if vlen > 0 && each > 0 && kind != kindInt && kind != kindArray && kind != kindVar && kind != kindDeclTag {
			members += int64(n)
			for i := range n {
				m := rec[i*each:]
				switch kind {
				case kindStruct, kindUnion, kindFuncProto:
					g.refs = append(g.refs, le.Uint32(m[4:]))
				case kindDatasec:
					g.refs = append(g.refs, le.Uint32(m))
					continue // the first word is a type, not a name
				}
				if err := named(le.Uint32(m)); err != nil {
					return nil, err
				}
			}
		}
		g.first = append(g.first, int32(len(g.refs)))
	}
	for i, ref := range g.refs {
		if int64(ref) >= int64(o.types) {
			return nil, formatErr("BTF type %d mentions type %d, the last one is %d", g.owner(i), ref, o.types-1)
		}
	}
	if len(tags) > 0 {
		g = g.withTags(tags)
	}
	if err := b.take("BTF types", int64(o.types), typeCost); err != nil {
		return nil, err
	}
	return g, b.take("BTF members", members, memberCost)
}

// recordShape returns what follows the 12 bytes common to all types: n records
// of each bytes.
func recordShape(kind, vlen int) (each, n int) {
	switch kind {
	case kindInt, kindVar, kindDeclTag:
		return 4, 1
	case kindArray:
		return 12, 1
	case kindStruct, kindUnion, kindDatasec, kindEnum64:
		return 12, vlen
	case kindEnum, kindFuncProto:
		return 8, vlen
	}
	return 0, 0
}

// owner returns the type that the i-th reference belongs to.
func (g *typeGraph) owner(i int) int {
	id := 0
	for id+1 < len(g.first) && int(g.first[id+1]) <= i {
		id++
	}
	return id
}

// withTags adds the way from a type to the declaration tags that name it, which
// the parser takes as well.
func (g *typeGraph) withTags(tags map[uint32][]uint32) *typeGraph {
	out := &typeGraph{first: []int32{0}}
	for id := 0; id+1 < len(g.first); id++ {
		out.refs = append(out.refs, g.refs[g.first[id]:g.first[id+1]]...)
		out.refs = append(out.refs, tags[uint32(id)]...)
		out.first = append(out.first, int32(len(out.refs)))
	}
	return out
}

// depth returns the length of the longest chain of first visits when the types
// are visited in the order of their ids, each with all that it mentions: the
// recursion depth of the parser.
func (g *typeGraph) depth() int {
	seen := make([]bool, len(g.first))
	type frame struct{ id, next int32 }
	var stack []frame
	deepest := 0
	visit := func(id int32) {
		if !seen[id] {
			seen[id] = true
			stack = append(stack, frame{id, g.first[id]})
			deepest = max(deepest, len(stack))
		}
	}
	for id := int32(0); int(id)+1 < len(g.first); id++ {
		for visit(id); len(stack) > 0; {
			top := &stack[len(stack)-1]
			if top.next == g.first[top.id+1] {
				stack = stack[:len(stack)-1]
				continue
			}
			ref := g.refs[top.next]
			top.next++
			visit(int32(ref))
		}
	}
	return deepest
}
