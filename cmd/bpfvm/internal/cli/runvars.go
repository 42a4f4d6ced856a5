package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bpfvm/spec"
	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// variable is a global variable of the object.
type variable struct {
	name string
	m    *spec.MapSpec // its data section
	off  uint32
	size uint32
	typ  btf.Type // nil without BTF
}

// variables lists the global variables, by the object's BTF where it has them and
// by its symbols else.
func variables(o *object) []variable {
	var out []variable
	s, _ := o.objectTypes() // without BTF there are symbols
	for _, m := range o.coll.Maps {
		sec := o.file.Section(m.Section)
		if sec == nil || !isDataSection(m.Section) {
			continue
		}
		if s != nil && m.ValueTypeID != 0 {
			if t, err := s.TypeByID(btf.TypeID(m.ValueTypeID)); err == nil {
				if ds, ok := t.(*btf.Datasec); ok {
					for _, v := range ds.Vars {
						if bv, ok := v.Type.(*btf.Var); ok {
							out = append(out, variable{bv.Name, m, v.Offset, v.Size, bv.Type})
						}
					}
					continue
				}
			}
		}
		for _, sym := range o.file.Symbols {
			if sym.Section == sec.Index && sym.Name != "" && sym.Size > 0 && sym.Value+sym.Size <= uint64(m.ValueSize) {
				out = append(out, variable{sym.Name, m, uint32(sym.Value), uint32(sym.Size), nil})
			}
		}
	}
	return out
}

// setVariables applies --set to the data sections before they are loaded, so that
// also variables in .rodata can be set, as a loader can.
func (r *running) setVariables() error {
	vars := variables(r.o)
	for _, arg := range r.f.sets {
		name, text, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return usageErr("--set %q: want VAR=VALUE", arg)
		}
		i := slices.IndexFunc(vars, func(v variable) bool { return v.name == name })
		if i < 0 {
			return inputErr("--set %s: no such global variable%s", name, didYouMean(name, r.o.variableNames()))
		}
		if err := vars[i].set(text); err != nil {
			return inputErr("--set %s: %w", arg, err)
		}
	}
	return nil
}

// set stores the value in the section's initial contents.
func (v *variable) set(text string) error {
	b, err := v.parse(text)
	if err != nil {
		return err
	}
	if len(v.m.Contents) == 0 {
		v.m.Contents = []spec.MapKV{{Key: make([]byte, 4), Value: make([]byte, v.m.ValueSize)}}
	}
	data := bytes.Clone(v.m.Contents[0].Value) // it may be the file's own memory
	if int(v.off)+len(b) > len(data) {
		return fmt.Errorf("%d bytes at %d do not fit section %s", len(b), v.off, v.m.Section)
	}
	copy(data[v.off:], b)
	v.m.Contents[0].Value = data
	return nil
}

func (v *variable) parse(text string) ([]byte, error) {
	if v.typ == nil {
		return types.ParseRaw([]byte(jsonOf(text)), v.size)
	}
	b, err := types.Parse(v.typ, []byte(jsonOf(text)))
	if err != nil && !json.Valid([]byte(text)) {
		return nil, err
	}
	return b, err
}

// jsonOf takes a value as people type it: JSON as it is, numbers in any base, and
// everything else as text.
func jsonOf(text string) string {
	if json.Valid([]byte(text)) {
		return text
	}
	return strconv.Quote(text)
}

// mapTypes knows the types of keys and values.
type mapTypes struct {
	spec *btf.Spec // nil without BTF
}

func newMapTypes(o *object) *mapTypes {
	s, _ := o.objectTypes() // without BTF, maps are shown by size
	return &mapTypes{s}
}

func (t *mapTypes) of(id uint32) btf.Type {
	if t.spec == nil || id == 0 {
		return nil
	}
	typ, err := t.spec.TypeByID(btf.TypeID(id))
	if err != nil {
		return nil
	}
	return typ
}

// text prints bytes of a type on one line.
func (t *mapTypes) text(id uint32, b []byte) string {
	if typ := t.of(id); typ != nil {
		if s, err := types.Text(typ, b); err == nil {
			return printable(s)
		}
	}
	return types.TextRaw(b)
}
