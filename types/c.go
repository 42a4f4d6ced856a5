package types

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// maxText bounds what Define writes for one type.
const maxText = 1 << 20

// Declare writes the declaration of a variable of the type: "struct file *f",
// "int (*op)(void *)", "char comm[16]". With an empty name it writes the type
// alone: "struct file *". Anonymous structures are written out.
func Declare(t btf.Type, name string) string {
	p := cPrinter{}
	p.declare(t, name, 0, 0)
	return p.String()
}

// Define writes the definition of a struct, union, enum, typedef or function,
// with a semicolon at the end. With offsets, each member of a struct has a
// comment with its byte offset and size. Other types are written as Declare does.
func Define(t btf.Type, offsets bool) string {
	p := cPrinter{offsets: offsets}
	switch t := t.(type) {
	case *btf.Struct:
		p.composite(t, t.Name, t.Members, t.Size, 0, 0)
	case *btf.Union:
		p.composite(t, t.Name, t.Members, t.Size, 0, 0)
	case *btf.Enum:
		p.enum(t, t.Name, 0)
	case *btf.Typedef:
		p.put("typedef ")
		p.declare(t.Type, t.Name, 0, 0)
	case *btf.Func:
		if t.Linkage == btf.StaticFunc {
			p.put("static ")
		}
		p.declare(t.Type, t.Name, 0, 0)
	default:
		p.declare(t, "", 0, 0)
	}
	p.put(";")
	return p.String()
}

// cPrinter writes C. Its output is bounded, so that types that contain each
// other by value end.
type cPrinter struct {
	strings.Builder
	offsets bool
	at      uint32  // offset in bytes of the member being written
	d       *dumper // of Dump: names and layout that a compiler gets right; else nil
}

func (p *cPrinter) put(s string) {
	if p.Len() < maxText {
		p.WriteString(s)
	}
}

func (p *cPrinter) indent(n int) { p.put(strings.Repeat("\t", n)) }

// declare writes a declaration around the declarator built so far. C writes
// types inside out: pointers stand before the name and arrays and parameters
// behind it, and a pointer to those needs parentheses.
func (p *cPrinter) declare(t btf.Type, decl string, level, depth int) {
	quals := ""
	for depth <= maxNest {
		depth++
		switch q := t.(type) {
		case *btf.Const:
			quals = qualify(quals, "const ")
			t = q.Type
			continue
		case *btf.Volatile:
			quals = qualify(quals, "volatile ")
			t = q.Type
			continue
		case *btf.Restrict:
			quals = qualify(quals, "restrict ")
			t = q.Type
			continue
		case *btf.TypeTag:
			t = q.Type
			continue
		case *btf.Pointer:
			decl = strings.TrimSuffix("*"+quals+decl, " ")
			quals = ""
			switch stripTags(q.Target).(type) {
			case *btf.Array, *btf.FuncProto:
				decl = "(" + decl + ")"
			}
			t = q.Target
			continue
		case *btf.Array:
			// Qualifiers of an array are those of its elements.
			decl += "[" + strconv.FormatUint(uint64(q.Nelems), 10) + "]"
			t = q.Type
			continue
		case *btf.FuncProto:
			decl += p.params(q, depth)
			t = q.Return
			continue
		}
		break
	}
	p.put(quals)
	p.base(t, level, depth)
	if decl != "" {
		p.put(" " + decl)
	}
}

// qualify adds a qualifier once: BTF may have it on an array and on its elements.
func qualify(quals, q string) string {
	if strings.Contains(quals, q) {
		return quals
	}
	return quals + q
}

// stripTags removes qualifiers and tags but not typedefs.
func stripTags(t btf.Type) btf.Type {
	for range maxNest {
		switch q := t.(type) {
		case *btf.Const:
			t = q.Type
		case *btf.Volatile:
			t = q.Type
		case *btf.Restrict:
			t = q.Type
		case *btf.TypeTag:
			t = q.Type
		default:
			return t
		}
	}
	return nil
}

// base writes a type that needs no declarator.
func (p *cPrinter) base(t btf.Type, level, depth int) {
	switch t := t.(type) {
	case *btf.Void:
		p.put("void")
	case *btf.Struct:
		if t.Name != "" {
			p.put("struct " + p.name(t))
			return
		}
		p.composite(t, "", t.Members, t.Size, level, depth)
	case *btf.Union:
		if t.Name != "" {
			p.put("union " + p.name(t))
			return
		}
		p.composite(t, "", t.Members, t.Size, level, depth)
	case *btf.Enum:
		if t.Name != "" {
			p.put("enum " + p.name(t))
			return
		}
		if p.d != nil && !p.d.inline(t) {
			p.put(intName(t.Size, t.Signed)) // its enumerators are there already
			return
		}
		p.enum(t, "", level)
	case *btf.Fwd:
		p.put(t.Kind.String() + " " + p.name(t))
	case *btf.Int:
		if p.d != nil {
			p.put(cInt(t))
		} else {
			p.put(t.Name)
		}
	case *btf.Float:
		if p.d != nil {
			p.put(cFloat(t))
		} else {
			p.put(t.Name)
		}
	case *btf.Typedef:
		p.put(p.name(t))
	case *btf.Datasec, *btf.Var:
		p.put("/* " + t.TypeName() + " */")
	case nil:
		p.put("void")
	default:
		name := t.TypeName()
		if name == "" {
			name = "/* nested too deep */"
		}
		p.put(name)
	}
}

// name returns what the type is called in the text.
func (p *cPrinter) name(t btf.Type) string {
	if p.d != nil {
		return p.d.name(t)
	}
	return t.TypeName()
}

// ident returns the name of a member, parameter or enumerator.
func (p *cPrinter) ident(name string) string {
	if p.d != nil {
		return cIdent(name)
	}
	return name
}

func (p *cPrinter) params(proto *btf.FuncProto, depth int) string {
	if len(proto.Params) == 0 {
		return "(void)"
	}
	if depth > maxNest {
		return "(/* nested too deep */)"
	}
	var list []string
	for i, param := range proto.Params {
		if _, void := param.Type.(*btf.Void); void && i == len(proto.Params)-1 && param.Name == "" {
			if i == 0 {
				return "()" // parameters that C knows nothing of
			}
			list = append(list, "...")
			continue
		}
		sub := cPrinter{d: p.d}
		sub.declare(param.Type, p.ident(param.Name), 0, depth+1)
		list = append(list, sub.String())
		if p.Len()+sub.Len() > maxText {
			break
		}
	}
	return "(" + strings.Join(list, ", ") + ")"
}

// composite writes a struct or union with its members.
func (p *cPrinter) composite(t btf.Type, name string, list []btf.Member, size uint32, level, depth int) {
	_, union := t.(*btf.Union)
	if union {
		p.put("union ")
	} else {
		p.put("struct ")
	}
	if name != "" {
		p.put(p.name(t) + " ")
	}
	if depth > maxNest || p.Len() >= maxText {
		p.put("{ /* nested too deep */ }")
		if p.d != nil {
			p.d.cut = true
		}
		return
	}
	if len(list) == 0 && (p.d == nil || size == 0) {
		p.put("{}")
		return
	}
	p.put("{\n")
	var place *placer
	if p.d != nil {
		place = p.d.layout.placer(t)
	}
	base := p.at
	for i := range list {
		m := &list[i]
		if place != nil {
			p.pad(place.before(m), level+1)
		}
		p.indent(level + 1)
		p.at = base + uint32(m.Offset/8)
		p.declare(m.Type, p.ident(m.Name), level+1, depth+1)
		if m.BitfieldSize > 0 {
			p.put(fmt.Sprintf(" : %d", m.BitfieldSize))
		}
		p.put(";")
		if p.offsets && m.BitfieldSize > 0 {
			p.put(fmt.Sprintf(" /* %d:%d */", p.at, m.Offset%8))
		} else if p.offsets {
			n, err := sizeOf(m.Type)
			if err == nil {
				p.put(fmt.Sprintf(" /* %d %d */", p.at, n))
			}
		}
		p.put("\n")
		if p.Len() >= maxText {
			break
		}
	}
	p.at = base
	if place != nil {
		p.pad(place.end(size), level+1)
	}
	p.indent(level)
	p.put("}")
	if place != nil && place.packed {
		p.put(" __attribute__((packed))")
	}
	if p.offsets && level == 0 {
		p.put(fmt.Sprintf(" /* size %d */", size))
	}
}

// pad fills a gap between members.
func (p *cPrinter) pad(g gap, level int) {
	g.fill(func(text string) {
		p.indent(level)
		p.put(text + ";\n")
	})
}

func (p *cPrinter) enum(t *btf.Enum, name string, level int) {
	p.put("enum ")
	if name != "" {
		p.put(p.name(t) + " ")
	}
	p.put("{\n")
	suffix := "" // values of 64-bit enums do not fit int
	if t.Size == 8 {
		suffix = "ULL"
		if t.Signed {
			suffix = "LL"
		}
	}
	for _, v := range t.Values {
		p.indent(level + 1)
		name := v.Name
		if p.d != nil {
			name = p.d.enumerator(name)
		}
		if t.Signed {
			p.put(fmt.Sprintf("%s = %d%s,\n", name, int64(v.Value), suffix))
		} else {
			p.put(fmt.Sprintf("%s = %d%s,\n", name, v.Value, suffix))
		}
	}
	p.indent(level)
	p.put("}")
	if p.d != nil {
		p.put(enumMode(t))
	}
}
