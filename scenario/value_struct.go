package scenario

import (
	"encoding/binary"
	"slices"

	"github.com/cilium/ebpf/btf"

	"bpfvm/types"
)

// structValue takes struct NAME{field=value, ..}; the keyword has been taken.
func (s *scanner) structValue(p Pos, keyword string) (Value, *Error) {
	s.space()
	name := s.word()
	if name == "" {
		return Value{}, s.errf(s.pos(), "the name of the %s is missing", keyword)
	}
	v := Value{Pos: p, Kind: ValueStruct, Text: keyword + " " + name}
	if s.space(); !s.accept("{") {
		return v, s.errf(s.pos(), "\"{\" is wanted after %s", v.Text)
	}
	if s.depth++; s.depth > maxDepth {
		return v, s.errf(p, "nested more than %d deep", maxDepth)
	}
	defer func() { s.depth-- }()
	for {
		if s.space(); s.accept("}") {
			return v, nil
		}
		if len(v.Fields) > 0 {
			if !s.accept(",") {
				return v, s.errf(s.pos(), "\",\" or \"}\" is wanted after a field of %s", v.Text)
			}
			s.space()
		}
		at, field := s.pos(), s.path()
		if field == "" || s.peek() != '=' {
			return v, s.errf(at, "field=value is wanted in %s", v.Text)
		}
		if slices.ContainsFunc(v.Fields, func(a Arg) bool { return a.Name == field }) {
			return v, s.errf(at, "%s is given twice", field)
		}
		s.off++ // =
		val, err := s.value()
		if err != nil {
			return v, err
		}
		if v.Fields = append(v.Fields, Arg{Pos: at, Name: field, Value: val}); len(v.Fields) > maxArgs {
			return v, s.errf(at, "more than %d fields", maxArgs)
		}
	}
}

// path takes the name of a field, which may lead into members and arrays:
// f_path.dentry, iov[0].
func (s *scanner) path() string {
	start := s.off
	for s.off < len(s.text) && (isWord(s.text[s.off]) || s.text[s.off] == '[' || s.text[s.off] == ']') {
		s.off++
	}
	return s.text[start:s.off]
}

// hasStruct reports whether the bytes of a value depend on the kernel's types.
func (v Value) hasStruct() bool {
	return v.Kind == ValueStruct || slices.ContainsFunc(v.Args, Value.hasStruct)
}

// memoryBytes is Value.MemoryBytes for values that may hold structures: those are
// laid out by the kernel's BTF, and what their fields point to gets a place.
func (p *planner) memoryBytes(v Value) ([]byte, error) {
	if !v.hasStruct() {
		return v.MemoryBytes()
	}
	var out []byte
	for _, a := range v.Args {
		var b []byte
		var err error
		switch {
		case a.Kind == ValueStruct:
			b, err = p.structBytes(a)
		case a.hasStruct():
			b, err = p.memoryBytes(a)
		default:
			b, err = a.appendBytes(nil)
		}
		if err != nil {
			return nil, err
		}
		if out = append(out, b...); len(out) > maxValueBytes {
			return nil, v.errf("more than %d bytes", maxValueBytes)
		}
	}
	return out, nil
}

// structBytes lays a structure out.
func (p *planner) structBytes(v Value) ([]byte, error) {
	kernel, err := p.kernel()
	if err != nil {
		return nil, err
	}
	t, err := types.TypeByName(kernel, v.Text)
	if err != nil {
		return nil, v.errf("%v", err)
	}
	size, err := btf.Sizeof(t)
	if err != nil {
		return nil, v.errf("%v", err)
	}
	if size > maxValueBytes {
		return nil, v.errf("%s has %d bytes, the limit is %d", v.Text, size, maxValueBytes)
	}
	if p.laid += size; p.laid > maxForeign {
		return nil, v.errf("the structures of the script have more than %d bytes", maxForeign)
	}
	out := make([]byte, size)
	for _, a := range v.Fields {
		f, err := types.FindField(kernel, v.Text, a.Name)
		if err != nil {
			return nil, &Error{Pos: a.Pos, Msg: err.Error() + p.nearField(t, a.Name)}
		}
		if err := p.putStructField(out, &f, a); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// nearField is the end of a message about a field that there is not.
func (p *planner) nearField(t btf.Type, name string) string {
	fields, err := types.Fields(t)
	if err != nil {
		return ""
	}
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].Name
	}
	return didYouMean(name, names)
}

// putStructField stores one field.
func (p *planner) putStructField(out []byte, f *types.Field, a Arg) error {
	v := a.Value
	if uint64(f.Off)+uint64(f.Size) > uint64(len(out)) {
		return &Error{Pos: a.Pos, Msg: a.Name + " lies behind the end of the structure"}
	}
	place := out[f.Off : f.Off+f.Size]
	if f.Bits != 0 {
		return putBits(place, f, v)
	}
	_, points := btf.UnderlyingType(f.Type).(*btf.Pointer)
	switch is, user, _ := v.memory(); {
	case v.Kind == ValueStruct:
		b, err := p.structBytes(v)
		if err == nil && len(b) != len(place) {
			err = v.errf("%s has %d bytes, %s has %d", v.Text, len(b), a.Name, len(place))
		}
		copy(place, b)
		return err
	case is && points:
		b, err := p.memoryBytes(v)
		if err != nil {
			return err
		}
		addr, err := p.memory.add(b, user)
		binary.LittleEndian.PutUint64(place, addr)
		return err
	case v.Kind == ValueCall && v.Text == "task" && points:
		if p.rt != nil {
			binary.LittleEndian.PutUint64(place, p.rt.TaskAddr(uint32(v.Args[0].Num)))
		}
		return nil
	}
	b, err := p.fieldBytes(v, len(place))
	copy(place, b)
	return err
}

// putBits stores a bitfield.
func putBits(place []byte, f *types.Field, v Value) error {
	if !v.IsNumber() || len(place) > 8 {
		return v.errf("%s is a bitfield of %d bits: a number is wanted", f.Name, f.Bits)
	}
	mask := uint64(1)<<f.Bits - 1
	if f.Bits < 64 && v.Num > mask && !v.Neg {
		return v.errf("%s does not fit into %d bits", v, f.Bits)
	}
	var raw [8]byte
	copy(raw[:], place)
	word := binary.LittleEndian.Uint64(raw[:])
	word = word&^(mask<<f.BitOff) | v.Num&mask<<f.BitOff
	binary.LittleEndian.PutUint64(raw[:], word)
	copy(place, raw[:])
	return nil
}
