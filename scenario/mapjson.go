package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// ElemJSON is an element in JSON: {"key": .., "value": ..}. The value of a per-CPU
// map is an array with one for each CPU; that of a prog array or a map of maps is the
// name of a program or a map. Elements of queues, stacks and bloom filters have no key;
// those of queues and stacks come in the order in which they would be popped.
type ElemJSON struct {
	Key   json.RawMessage `json:"key,omitempty"`
	Value json.RawMessage `json:"value"`
}

// JSON gives the elements of the map.
func (m *MapState) JSON() ([]ElemJSON, error) {
	out := make([]ElemJSON, 0, len(m.Elems))
	for _, e := range m.Elems {
		var key json.RawMessage
		var err error
		if !keyless(m.Spec.Type) {
			key, err = m.keyJSON(e.Key)
		}
		if err != nil {
			return nil, fmt.Errorf("map %s: key: %w", m.Spec.Name, err)
		}
		value, err := m.valueJSON(e.Value)
		if err != nil {
			return nil, fmt.Errorf("map %s: value of %s: %w", m.Spec.Name, key, err)
		}
		out = append(out, ElemJSON{Key: key, Value: value})
	}
	return out, nil
}

func (m *MapState) keyJSON(b []byte) (json.RawMessage, error) { return m.key.encode(b) }

func (m *MapState) valueJSON(b []byte) (json.RawMessage, error) {
	if !isPerCPU(m.Spec.Type) {
		return m.value.encode(b)
	}
	parts := m.perCPU(b)
	all := make([]json.RawMessage, len(parts))
	for i, p := range parts {
		var err error
		if all[i], err = m.value.encode(p); err != nil {
			return nil, err
		}
	}
	return json.Marshal(all)
}

// ValueText is a value on one line, as changes print it.
func (m *MapState) ValueText(b []byte) string { return m.valueText(b) }

func (m *MapState) keyText(b []byte) string { return m.key.text(b) }

func (m *MapState) valueText(b []byte) string {
	if !isPerCPU(m.Spec.Type) {
		return m.value.text(b)
	}
	var texts []string
	for _, p := range m.perCPU(b) {
		texts = append(texts, m.value.text(p))
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// DumpMaps gives a snapshot as JSON: {"counts": [{"key": .., "value": ..}]}.
func DumpMaps(s Snapshot) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("{")
	for i := range s {
		elems, err := s[i].JSON()
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "\n  %s: [", quoteJSON(s[i].Spec.Name))
		for j, e := range elems {
			if j > 0 {
				b.WriteString(",")
			}
			b.WriteString("\n    {")
			if e.Key != nil {
				fmt.Fprintf(&b, "\"key\": %s, ", e.Key)
			}
			fmt.Fprintf(&b, "\"value\": %s}", e.Value)
		}
		if len(elems) > 0 {
			b.WriteString("\n  ")
		}
		b.WriteString("]")
	}
	b.WriteString("\n}\n")
	return b.Bytes(), nil
}

func quoteJSON(s string) string {
	b, _ := json.Marshal(s) // a string always marshals
	return string(b)
}

// MarshalJSON gives the snapshot as [DumpMaps] does.
func (s Snapshot) MarshalJSON() ([]byte, error) { return DumpMaps(s) }

// MaxMapJSON bounds the contents of maps that are read from JSON, in bytes.
const MaxMapJSON = 64 << 20

// Load stores elements given as JSON, in the form that [DumpMaps] writes. What the
// maps hold otherwise stays. The error joins everything that is wrong; elements
// that are right are stored all the same.
func (m *Maps) Load(data []byte) error {
	if len(data) > MaxMapJSON {
		return fmt.Errorf("maps: %d bytes, the limit is %d", len(data), MaxMapJSON)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return fmt.Errorf("maps: %w", err)
	}
	var errs []error
	for _, name := range keys(all) {
		if err := m.LoadMap(name, all[name]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// LoadMap stores the elements of one map, a JSON array of {"key", "value"}.
func (m *Maps) LoadMap(name string, data []byte) error {
	mp, err := m.findWritable(name)
	if err != nil {
		return err
	}
	if len(data) > MaxMapJSON {
		return fmt.Errorf("map %s: %d bytes, the limit is %d", name, len(data), MaxMapJSON)
	}
	var elems []ElemJSON
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&elems); err != nil {
		return fmt.Errorf("map %s: %w", name, err)
	}
	var errs []error
	st := m.state(mp)
	for at := range elems {
		i := at
		if st.Spec.Type == spec.MapStack { // what is on top is pushed last
			i = len(elems) - 1 - at
		}
		e := elems[i]
		if err := st.load(mp, e); err != nil {
			errs = append(errs, fmt.Errorf("map %s: element %d: %w", name, i+1, err))
		}
		if len(errs) == maxErrors {
			break
		}
	}
	return errors.Join(errs...)
}

func (m *MapState) load(mp runtime.Map, e ElemJSON) error {
	var k []byte
	var err error
	switch {
	case !keyless(m.Spec.Type):
		if k, err = m.key.decode(e.Key); err != nil {
			return fmt.Errorf("key: %w", err)
		}
	case e.Key != nil:
		return fmt.Errorf("a %s has no keys", m.Spec.Type)
	}
	var v []byte
	if m.Spec.Type == spec.MapUserRingBuf {
		v, err = decodeSample(e.Value)
	} else {
		v, err = m.decodeValue(e.Value)
	}
	if err != nil {
		return fmt.Errorf("value: %w", err)
	}
	return runtime.Restore(mp, k, v)
}

// decodeValue reads the value of a map; one of a per-CPU map is an array with a
// value for each CPU, or one value, which is that of CPU 0.
func (m *MapState) decodeValue(j []byte) ([]byte, error) {
	if !isPerCPU(m.Spec.Type) {
		return m.value.decode(j)
	}
	parts := []json.RawMessage{j}
	if bytes.HasPrefix(bytes.TrimSpace(j), []byte("[")) {
		if err := json.Unmarshal(j, &parts); err != nil {
			return nil, err
		}
		if len(parts) > m.CPUs {
			return nil, fmt.Errorf("values for %d CPUs, there are %d", len(parts), m.CPUs)
		}
	}
	slot := int(round8(m.Spec.ValueSize))
	out := make([]byte, slot*m.CPUs)
	for i, p := range parts {
		b, err := m.value.decode(p)
		if err != nil {
			return nil, fmt.Errorf("cpu %d: %w", i, err)
		}
		copy(out[i*slot:], b)
	}
	return out, nil
}

// Set stores one element, as the statement "map NAME[KEY] = VALUE" says.
func (m *Maps) Set(set *MapSet) error {
	mp, err := m.findWritable(set.Map)
	if err != nil {
		return err
	}
	st := m.state(mp)
	if st.Spec.Type == spec.MapUserRingBuf {
		return setSample(mp, set.Value)
	}
	if keyless(st.Spec.Type) { // the key says how the statements follow each other
		set.Key = Int(0)
		st.key.size = 4
	}
	k, err := st.key.of(set.Key)
	if err != nil {
		return err
	}
	var v []byte
	if set.Value.Kind == ValueJSON {
		v, err = st.decodeValue([]byte(set.Value.Text))
	} else if v, err = st.value.of(set.Value); err == nil && isPerCPU(st.Spec.Type) {
		v = append(v, make([]byte, int(round8(st.Spec.ValueSize))*st.CPUs-len(v))...)
	}
	if err != nil {
		return err
	}
	return runtime.Restore(mp, k, v)
}

// sameJSON compares two JSON texts by what they say.
func sameJSON(a, b []byte) bool {
	x, err := decodeJSON(a)
	if err != nil {
		return false
	}
	y, err := decodeJSON(b)
	return err == nil && reflect.DeepEqual(x, y)
}

// decodeJSON keeps numbers as they are written.
func decodeJSON(j []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(j))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}
