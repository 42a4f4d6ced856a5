package types

import (
	"debug/dwarf"
	"errors"
	"fmt"

	"github.com/cilium/ebpf/btf"
)

// Bounds on DWARF that comes from outside.
const (
	maxDIEs     = 4 << 20   // entries looked at
	maxDIETypes = 128 << 10 // types made of them, and as many members and parameters again
	maxDIEText  = 32 << 20  // bytes of names and other text, as often as it is used
)

// FromDWARF returns the types of debugging information, for objects that have no
// BTF: those of all compilation units, functions and global variables included, in
// the order of the file. DWARF says more than BTF can; what is kept is what C can
// be written from.
//
// Each entry becomes one type at once, and references are filled in afterwards, so
// that entries that refer to each other in long chains cost no stack.
func FromDWARF(data *dwarf.Data) (list []btf.Type, err error) {
	defer func() {
		if r := recover(); r != nil { // the reader reports bad input with errors; should it panic, the input is to blame
			list, err = nil, fmt.Errorf("read DWARF: %w: %v", ErrFormat, r)
		}
	}()
	c := &dieReader{at: make(map[dwarf.Offset]btf.Type)}
	if err := c.read(data.Reader()); err != nil {
		return nil, fmt.Errorf("read DWARF: %w", err)
	}
	for _, link := range c.links {
		link()
	}
	return c.list, nil
}

// dieReader turns debugging information entries into types.
type dieReader struct {
	list  []btf.Type
	at    map[dwarf.Offset]btf.Type
	links []func()   // fill in references once all entries are known
	open  []btf.Type // the types whose children are being read; nil for other entries
	parts int        // members, parameters, enumerators, dimensions
	text  int
}

func (c *dieReader) read(r *dwarf.Reader) error {
	for n := 0; ; n++ {
		e, err := r.Next()
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w", ErrFormat, err)
		case e == nil:
			return nil
		case n > maxDIEs || len(c.list) > maxDIETypes || c.parts > maxDIETypes:
			return fmt.Errorf("more than %d entries or %d types: %w", maxDIEs, maxDIETypes, ErrTooLarge)
		case e.Tag == 0:
			if len(c.open) > 0 {
				c.open = c.open[:len(c.open)-1]
			}
			continue
		}
		for _, f := range e.Field {
			if s, ok := f.Val.(string); ok {
				c.text += len(s)
			}
		}
		if c.text > maxDIEText {
			return fmt.Errorf("more than %d bytes of names: %w", maxDIEText, ErrTooLarge)
		}
		t := c.entry(e)
		if t != nil {
			c.at[e.Offset] = t
			c.list = append(c.list, t)
		}
		if !e.Children {
			continue
		}
		if keepsChildren(e.Tag) {
			c.open = append(c.open, t)
			continue
		}
		r.SkipChildren() // what is inside of functions
	}
}

// keepsChildren tells whether what is below an entry matters.
func keepsChildren(tag dwarf.Tag) bool {
	switch tag {
	case dwarf.TagCompileUnit, dwarf.TagPartialUnit, dwarf.TagNamespace, dwarf.TagStructType, dwarf.TagClassType,
		dwarf.TagUnionType, dwarf.TagEnumerationType, dwarf.TagArrayType, dwarf.TagSubroutineType, dwarf.TagSubprogram:
		return true
	}
	return false
}

// parent is the type that the current entry is a part of, or nil.
func (c *dieReader) parent() btf.Type {
	if len(c.open) == 0 {
		return nil
	}
	return c.open[len(c.open)-1]
}

// entry makes the type of an entry, or adds it to its parent and returns nil.
func (c *dieReader) entry(e *dwarf.Entry) btf.Type {
	name, _ := e.Val(dwarf.AttrName).(string)
	size := number[uint32](e, dwarf.AttrByteSize)
	switch e.Tag {
	case dwarf.TagBaseType:
		return baseType(e, name, size)
	case dwarf.TagUnspecifiedType:
		return &btf.Void{}
	case dwarf.TagStructType, dwarf.TagClassType:
		if decl, _ := e.Val(dwarf.AttrDeclaration).(bool); decl {
			return &btf.Fwd{Name: name, Kind: btf.FwdStruct}
		}
		return &btf.Struct{Name: name, Size: size}
	case dwarf.TagUnionType:
		if decl, _ := e.Val(dwarf.AttrDeclaration).(bool); decl {
			return &btf.Fwd{Name: name, Kind: btf.FwdUnion}
		}
		return &btf.Union{Name: name, Size: size}
	case dwarf.TagEnumerationType:
		return &btf.Enum{Name: name, Size: size}
	case dwarf.TagPointerType, dwarf.TagReferenceType, dwarf.TagRvalueReferenceType:
		t := &btf.Pointer{}
		c.refer(e, &t.Target)
		return t
	case dwarf.TagTypedef:
		t := &btf.Typedef{Name: name}
		c.refer(e, &t.Type)
		return t
	case dwarf.TagConstType:
		t := &btf.Const{}
		c.refer(e, &t.Type)
		return t
	case dwarf.TagVolatileType, dwarf.TagAtomicType:
		t := &btf.Volatile{}
		c.refer(e, &t.Type)
		return t
	case dwarf.TagRestrictType:
		t := &btf.Restrict{}
		c.refer(e, &t.Type)
		return t
	case dwarf.TagArrayType:
		t := &btf.Array{Index: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}}
		c.refer(e, &t.Type)
		return t
	case dwarf.TagSubroutineType:
		t := &btf.FuncProto{}
		c.refer(e, &t.Return)
		return t
	case dwarf.TagSubprogram:
		if name == "" {
			return nil // says more of a function that is declared elsewhere
		}
		proto := &btf.FuncProto{}
		c.refer(e, &proto.Return)
		t := &btf.Func{Name: name, Type: proto, Linkage: btf.StaticFunc}
		if external, _ := e.Val(dwarf.AttrExternal).(bool); external {
			t.Linkage = btf.GlobalFunc
		}
		return t
	case dwarf.TagVariable:
		if _, ok := c.parent().(*btf.Func); ok || name == "" {
			return nil // a local one
		}
		t := &btf.Var{Name: name, Linkage: btf.StaticVar}
		if external, _ := e.Val(dwarf.AttrExternal).(bool); external {
			t.Linkage = btf.GlobalVar
		}
		c.refer(e, &t.Type)
		return t
	}
	c.part(e, name)
	return nil
}

// part adds a member, parameter, enumerator or dimension to the type it belongs to.
func (c *dieReader) part(e *dwarf.Entry, name string) {
	c.parts++
	switch p := c.parent().(type) {
	case *btf.Struct:
		if e.Tag == dwarf.TagMember {
			c.member(e, name, &p.Members)
		}
	case *btf.Union:
		if e.Tag == dwarf.TagMember {
			c.member(e, name, &p.Members)
		}
	case *btf.Enum:
		if e.Tag == dwarf.TagEnumerator {
			v := number[int64](e, dwarf.AttrConstValue)
			p.Signed = p.Signed || v < 0
			p.Values = append(p.Values, btf.EnumValue{Name: name, Value: uint64(v)})
		}
	case *btf.Array:
		c.dimension(e, p)
	case *btf.FuncProto:
		c.param(e, name, p)
	case *btf.Func:
		c.param(e, name, p.Type.(*btf.FuncProto))
	}
}

// param adds a parameter; "..." is one without name and type.
func (c *dieReader) param(e *dwarf.Entry, name string, to *btf.FuncProto) {
	switch e.Tag {
	case dwarf.TagFormalParameter:
		i := len(to.Params)
		to.Params = append(to.Params, btf.FuncParam{Name: name, Type: &btf.Void{}})
		if ref, ok := e.Val(dwarf.AttrType).(dwarf.Offset); ok {
			c.links = append(c.links, func() { to.Params[i].Type = c.typeAt(ref) })
		}
	case dwarf.TagUnspecifiedParameters:
		to.Params = append(to.Params, btf.FuncParam{Type: &btf.Void{}})
	}
}

// dimension gives an array its length. Further dimensions are arrays of arrays,
// the last one innermost.
func (c *dieReader) dimension(e *dwarf.Entry, arr *btf.Array) {
	if e.Tag != dwarf.TagSubrangeType {
		return
	}
	n := number[uint32](e, dwarf.AttrCount)
	if e.Val(dwarf.AttrCount) == nil && e.Val(dwarf.AttrUpperBound) != nil {
		n = number[uint32](e, dwarf.AttrUpperBound) + 1
	}
	// The first dimension is the array's own. A later one is pushed in between the
	// array and its elements, which are known once everything is read.
	seen := arr.Index.TypeName() == "dim"
	if !seen {
		arr.Nelems, arr.Index = n, &btf.Int{Name: "dim", Size: 4}
		return
	}
	c.links = append(c.links, func() {
		last := arr
		for range maxNest {
			next, ok := last.Type.(*btf.Array)
			if !ok || next.Index != arr.Index {
				break
			}
			last = next
		}
		last.Type = &btf.Array{Index: arr.Index, Type: last.Type, Nelems: n}
	})
}

// member adds a member of a struct or union. Where a bitfield lies, DWARF 4 says as
// bits from the start of the struct, earlier versions as bits from the high end of
// the storage unit (DWARF 4, section 5.5.6).
func (c *dieReader) member(e *dwarf.Entry, name string, to *[]btf.Member) {
	m := btf.Member{Name: name, Type: &btf.Void{}, Offset: btf.Bits(number[uint32](e, dwarf.AttrDataMemberLoc)) * 8,
		BitfieldSize: btf.Bits(number[uint32](e, dwarf.AttrBitSize))}
	switch {
	case e.Val(dwarf.AttrDataBitOffset) != nil:
		m.Offset = btf.Bits(number[uint32](e, dwarf.AttrDataBitOffset))
	case e.Val(dwarf.AttrBitOffset) != nil:
		unit := btf.Bits(number[uint32](e, dwarf.AttrByteSize)) * 8
		m.Offset += unit - btf.Bits(number[uint32](e, dwarf.AttrBitOffset)) - m.BitfieldSize
	}
	*to = append(*to, m)
	i := len(*to) - 1
	if ref, ok := e.Val(dwarf.AttrType).(dwarf.Offset); ok {
		c.links = append(c.links, func() { (*to)[i].Type = c.typeAt(ref) })
	}
}

// refer fills a reference in, once all types are known.
func (c *dieReader) refer(e *dwarf.Entry, to *btf.Type) {
	*to = &btf.Void{}
	if ref, ok := e.Val(dwarf.AttrType).(dwarf.Offset); ok {
		c.links = append(c.links, func() { *to = c.typeAt(ref) })
	}
}

func (c *dieReader) typeAt(ref dwarf.Offset) btf.Type {
	if t := c.at[ref]; t != nil {
		return t
	}
	return &btf.Void{}
}

// Encodings of base types (DWARF 5, table 7.11).
const (
	dwAteBoolean    = 0x02
	dwAteFloat      = 0x04
	dwAteSigned     = 0x05
	dwAteSignedChar = 0x06
)

func baseType(e *dwarf.Entry, name string, size uint32) btf.Type {
	t := &btf.Int{Name: name, Size: size}
	switch number[uint32](e, dwarf.AttrEncoding) {
	case dwAteBoolean:
		t.Encoding = btf.Bool
	case dwAteFloat:
		return &btf.Float{Name: name, Size: size}
	case dwAteSigned, dwAteSignedChar:
		t.Encoding = btf.Signed
	}
	return t
}

// number returns an attribute's value where it is a constant, else 0.
func number[T uint32 | int64](e *dwarf.Entry, attr dwarf.Attr) T {
	switch v := e.Val(attr).(type) {
	case int64:
		return T(v)
	case uint64:
		return T(v)
	}
	return 0
}

// ErrNoDWARF is wrapped where an object has no debugging information.
var ErrNoDWARF = errors.New("no DWARF")
