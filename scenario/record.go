package scenario

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf/btf"

	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/types"
)

// Record is what a program sent to user space through a ring buffer or a perf
// event array.
type Record struct {
	Map  string
	CPU  int
	Time uint64 // of the virtual clock, in nanoseconds
	Data []byte
	// Type is what the data is, as far as the object's BTF says so; else nil.
	Type btf.Type
}

// Typed returns the data as the type has it, and its name in C; ok is false where
// there is no type. A record may be shorter than its type: programs send only the
// part of a buffer that is filled.
func (r *Record) Typed() (name string, data []byte, ok bool) {
	if r.Type == nil {
		return "", nil, false
	}
	size, err := btf.Sizeof(r.Type)
	if err != nil || size == 0 {
		return "", nil, false
	}
	data = r.Data[:min(len(r.Data), size)]
	if len(data) < size {
		data = append(slices.Clone(data), make([]byte, size-len(data))...)
	}
	return types.Declare(r.Type, ""), data, true
}

// Text is the data by its type on one line, as C would initialise it; empty where
// there is no type.
func (r *Record) Text() string {
	_, data, ok := r.Typed()
	if !ok {
		return ""
	}
	text, err := types.Text(r.Type, data)
	if err != nil {
		return ""
	}
	return text
}

// MarshalJSON gives the data in hexadecimal, and by its type where that is known.
func (r Record) MarshalJSON() ([]byte, error) {
	out := struct {
		Map   string          `json:"map"`
		CPU   int             `json:"cpu"`
		Time  uint64          `json:"time_ns"`
		Data  string          `json:"data"`
		Type  string          `json:"type,omitempty"`
		Value json.RawMessage `json:"value,omitempty"`
	}{Map: r.Map, CPU: r.CPU, Time: r.Time, Data: hex.EncodeToString(r.Data)}
	if name, data, ok := r.Typed(); ok {
		value, err := types.Format(r.Type, data)
		if err == nil {
			out.Type, out.Value = name, value
		}
	}
	return json.Marshal(out)
}

// RecordTypes knows the types of the records that the programs of an object send.
// They are, from the surest to the last resort:
//
//   - what the caller says;
//   - the type of the map's value, in maps defined with __type(value, struct event);
//   - the structures that global pointers name which nothing uses,
//     "const struct event *unused __attribute__((unused))": the one whose size the
//     record has.
type RecordTypes struct {
	said   map[string]btf.Type // by map; "" for all
	values map[string]btf.Type
	unused []btf.Type
}

// NewRecordTypes looks the types up. Said has names of types by maps; the empty name
// stands for all maps that have none of their own.
func NewRecordTypes(cs *spec.CollectionSpec, said map[string]string) (*RecordTypes, error) {
	r := &RecordTypes{said: map[string]btf.Type{}, values: map[string]btf.Type{}}
	if cs.BTF == nil {
		if len(said) > 0 {
			return nil, fmt.Errorf("record types: the object has no BTF")
		}
		return r, nil
	}
	own, err := types.Load(cs.BTF)
	if err != nil {
		return nil, fmt.Errorf("record types: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		if name != "" && cs.Map(name) == nil {
			return nil, fmt.Errorf("record types: there is no map %s%s", name, didYouMean(name, mapNames(cs)))
		}
		t, err := types.TypeByName(own, said[name])
		if err != nil {
			return nil, fmt.Errorf("record types: %w", err)
		}
		r.said[name] = t
	}
	for _, m := range cs.Maps {
		if m.ValueTypeID == 0 || m.Type != spec.MapRingBuf && m.Type != spec.MapPerfEventArray {
			continue
		}
		if t, err := own.TypeByID(btf.TypeID(m.ValueTypeID)); err == nil && isStruct(t) {
			r.values[m.Name] = t
		}
	}
	for t, err := range own.All() {
		if err != nil {
			break
		}
		v, ok := t.(*btf.Var)
		if !ok {
			continue
		}
		if to := runtime.PointsTo(v.Type); to != nil && to.TypeName() != "" {
			r.unused = append(r.unused, to)
		}
	}
	return r, nil
}

func mapNames(cs *spec.CollectionSpec) []string {
	names := make([]string, len(cs.Maps))
	for i, m := range cs.Maps {
		names[i] = m.Name
	}
	return names
}

func isStruct(t btf.Type) bool {
	switch btf.UnderlyingType(t).(type) {
	case *btf.Struct, *btf.Union:
		return true
	}
	return false
}

// Record is a record of the runtime with its type.
func (r *RecordTypes) Record(rec runtime.Record) Record {
	return Record{Map: rec.Map, CPU: rec.CPU, Time: rec.Time, Data: rec.Data, Type: r.typeOf(rec.Map, len(rec.Data))}
}

func (r *RecordTypes) typeOf(name string, size int) btf.Type {
	switch {
	case r == nil:
		return nil
	case r.said[name] != nil:
		return r.said[name]
	case r.values[name] != nil:
		return r.values[name]
	case r.said[""] != nil:
		return r.said[""]
	}
	for _, t := range r.unused {
		if n, err := btf.Sizeof(t); err == nil && n == size {
			return t
		}
	}
	return nil
}
