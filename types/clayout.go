package types

import (
	"fmt"

	"github.com/cilium/ebpf/btf"
)

// cLayout knows where a C compiler for BPF or x86-64 would put the members of a
// struct, so that what is printed can be made to come out as BTF says: with
// __attribute__((packed)) where a member is not aligned, with padding where there
// is a gap.
type cLayout struct {
	known map[btf.Type]cAlign
}

// cAlign is what C's rules give a struct or union.
type cAlign struct {
	align  uint32 // bytes
	packed bool
}

// alignment returns how a type is aligned, in bytes.
func (l *cLayout) alignment(t btf.Type, depth int) uint32 {
	if depth > maxNest {
		return 1
	}
	switch t := strip(t).(type) {
	case *btf.Int:
		return powerBelow(t.Size, 16)
	case *btf.Enum:
		return powerBelow(t.Size, 8)
	case *btf.Float:
		return powerBelow(t.Size, 16)
	case *btf.Pointer:
		return 8
	case *btf.Array:
		return l.alignment(t.Type, depth+1)
	case *btf.Struct, *btf.Union:
		return l.of(t, depth).align
	}
	return 1
}

// powerBelow returns n as an alignment: a power of two, at most limit.
func powerBelow(n, limit uint32) uint32 {
	p := uint32(1)
	for p*2 <= n && p < limit {
		p *= 2
	}
	return p
}

// of returns a struct's or union's alignment and whether it must be packed.
func (l *cLayout) of(t btf.Type, depth int) cAlign {
	if a, ok := l.known[t]; ok {
		return a
	}
	l.known[t] = cAlign{1, false} // for types that contain themselves
	list, size, _ := members(t)
	a := cAlign{align: 1}
	for i := range list {
		m := &list[i]
		bytes := l.alignment(m.Type, depth+1)
		a.align = max(a.align, bytes)
		if m.BitfieldSize == 0 {
			a.packed = a.packed || uint64(m.Offset)%(uint64(bytes)*8) != 0
			continue
		}
		// A bitfield does not cross a unit of its type.
		if n, err := sizeOf(m.Type); err == nil && n > 0 {
			unit := uint64(n) * 8
			a.packed = a.packed || uint64(m.Offset)%unit+uint64(m.BitfieldSize) > unit
		}
	}
	if a.packed = a.packed || size%a.align != 0; a.packed {
		a.align = 1
	}
	l.known[t] = a
	return a
}

// placer follows the members of one struct as a compiler would place them.
type placer struct {
	layout *cLayout
	union  bool
	packed bool
	align  uint32
	bit    uint64 // where the next member may begin
}

func (l *cLayout) placer(t btf.Type) *placer {
	a := l.of(t, 0)
	_, union := t.(*btf.Union)
	return &placer{layout: l, union: union, packed: a.packed, align: a.align}
}

// before returns the padding that a member needs to come where it is.
func (p *placer) before(m *btf.Member) gap {
	if p.union {
		return gap{}
	}
	n, _ := sizeOf(m.Type)
	unit := uint64(n) * 8
	want, natural, width := uint64(m.Offset), p.bit, unit
	switch {
	case m.BitfieldSize > 0:
		width = uint64(m.BitfieldSize)
		if !p.packed && unit > 0 && natural%unit+width > unit {
			natural = roundUp(natural, unit)
		}
	case p.packed:
		natural = roundUp(natural, 8)
	default:
		natural = roundUp(natural, uint64(p.layout.alignment(m.Type, 0))*8)
	}
	var g gap
	if natural < want {
		g = gap{p.bit, want}
	}
	p.bit = max(want, p.bit) + width
	return g
}

// end returns the padding behind the last member.
func (p *placer) end(size uint32) gap {
	if p.union {
		return gap{}
	}
	natural := roundUp(p.bit, uint64(p.align)*8)
	if natural < uint64(size)*8 {
		return gap{p.bit, uint64(size) * 8}
	}
	return gap{}
}

func roundUp(n, unit uint64) uint64 {
	if unit == 0 {
		return n
	}
	return (n + unit - 1) / unit * unit
}

// gap is a range of bits that no member has.
type gap struct{ from, to uint64 }

// bitfieldGap is the largest gap that is filled with bitfields.
const bitfieldGap = 64 * 64

// fill writes the declarations that fill a gap: unnamed bitfields of at most 64
// bits, none of which crosses a unit of 64. They have no name, so that they do not
// count for the struct's alignment. A large gap is an array of bytes.
func (g gap) fill(declare func(text string)) {
	for g.from < g.to {
		if n := g.to - g.from; n > bitfieldGap && g.from%8 == 0 {
			declare(fmt.Sprintf("unsigned char __gap_%d[%d]", g.from/8, n/8))
			g.from += n / 8 * 8
			continue
		}
		n := min(g.to-g.from, 64-g.from%64)
		declare(fmt.Sprintf("unsigned long : %d", n))
		g.from += n
	}
}
