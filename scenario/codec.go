package scenario

import (
	"encoding/json"
	"fmt"

	"github.com/cilium/ebpf/btf"

	"bpfvm/spec"
	"bpfvm/types"
)

// valueType writes the bytes of a map's key or value as JSON and reads them back:
// by their BTF type where the object has one, by their size else (package types:
// Format and FormatRaw).
type valueType struct {
	typ   btf.Type     // nil: unknown
	size  uint32       // bytes
	names *objectNames // of what the value stands for, or nil
	stack bool         // a list of addresses
}

// mapTypes returns the types of a map's keys and values.
func mapTypes(b *btf.Spec, m *spec.MapSpec) (key, value valueType) {
	key, value = typeByID(b, m.KeyTypeID, m.KeySize), typeByID(b, m.ValueTypeID, m.ValueSize)
	if value.typ == nil {
		value.typ = knownType(m)
	}
	value.stack = isStack(m)
	return key, value
}

func typeByID(b *btf.Spec, id, size uint32) valueType {
	v := valueType{size: size}
	if b == nil || id == 0 {
		return v
	}
	t, err := b.TypeByID(btf.TypeID(id))
	if err != nil {
		return v
	}
	if sec, ok := t.(*btf.Datasec); ok {
		t = section(sec)
	}
	// A type that says another size than the map, or has no values, is no help.
	if _, err := types.Format(t, make([]byte, size)); err == nil {
		v.typ = t
	}
	return v
}

// section makes a structure of a section of variables, one member for each.
func section(sec *btf.Datasec) *btf.Struct {
	st := &btf.Struct{Name: sec.Name, Size: sec.Size}
	for _, info := range sec.Vars {
		if v, ok := info.Type.(*btf.Var); ok {
			st.Members = append(st.Members, btf.Member{Name: v.Name, Type: v.Type, Offset: btf.Bits(info.Offset) * 8})
		}
	}
	return st
}

func (v valueType) encode(b []byte) (json.RawMessage, error) {
	switch {
	case v.names != nil && len(b) == 4:
		return v.names.encode(b)
	case v.stack:
		return stackJSON(b)
	case v.typ == nil || len(b) != int(v.size): // the key of an object that has no number
		return types.FormatRaw(b), nil
	}
	return types.Format(v.typ, b)
}

func (v valueType) decode(j []byte) ([]byte, error) {
	if len(j) == 0 {
		return nil, fmt.Errorf("no value, %d bytes are wanted", v.size)
	}
	if v.names != nil {
		return v.names.decode(j)
	}
	if v.typ == nil {
		return types.ParseRaw(j, v.size)
	}
	return types.Parse(v.typ, j)
}

// text is the value as people read it, on one line.
func (v valueType) text(b []byte) string {
	if v.names != nil && len(b) == 4 {
		if name := v.names.name(uint32(getLE(b))); name != "" {
			return name
		}
	}
	if v.stack {
		return stackText(b)
	}
	if v.typ != nil && len(b) == int(v.size) {
		if s, err := types.Text(v.typ, b); err == nil {
			return s
		}
	}
	return types.TextRaw(b)
}

// of gives the bytes of a value from a script.
func (v valueType) of(val Value) ([]byte, error) {
	if v.names != nil && (val.Kind == ValueString || val.Kind == ValueWord) {
		b, err := v.names.find(val.Text)
		if err != nil {
			return nil, val.errf("%v", err)
		}
		return b, nil
	}
	if val.Kind != ValueJSON {
		return val.AppendBytes(nil, int(v.size))
	}
	b, err := v.decode([]byte(val.Text))
	if err != nil {
		return nil, val.errf("%v", err)
	}
	return b, nil
}
