package scenario

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf/btf"

	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/types"
)

// MapState is the contents of one map at one moment.
type MapState struct {
	Spec *spec.MapSpec
	CPUs int // values of a per-CPU map, one after the other, each padded to 8 bytes
	// Elems are in order of key. Elements of an array that are all zeros are left
	// out: an array has them from the start.
	Elems []Elem

	key, value valueType
}

// Elem is one element of a map.
type Elem struct{ Key, Value []byte }

// perCPU splits a value into those of the CPUs; a value of another map is alone.
func (m *MapState) perCPU(value []byte) [][]byte {
	if !isPerCPU(m.Spec.Type) {
		return [][]byte{value}
	}
	var out [][]byte
	for part := range slices.Chunk(value, int(round8(m.Spec.ValueSize))) {
		out = append(out, part[:min(len(part), int(m.Spec.ValueSize))])
	}
	return out
}

func isPerCPU(t spec.MapType) bool {
	return t.PerCPU()
}

func isArray(t spec.MapType) bool { return t == spec.MapArray || t == spec.MapPerCPUArray }

func round8(n uint32) uint32 { return (n + 7) &^ 7 }

// getLE reads a little-endian number of up to 8 bytes.
func getLE(b []byte) uint64 {
	var v uint64
	for i, c := range b[:min(len(b), 8)] {
		v |= uint64(c) << (8 * i)
	}
	return v
}

// compareKeys orders keys as numbers where they have the size of one.
func compareKeys(a, b []byte) int {
	switch {
	case len(a) == len(b) && len(a) <= 8:
		return cmp.Compare(getLE(a), getLE(b))
	}
	return bytes.Compare(a, b)
}

// Snapshot is the contents of several maps at one moment, in the order of the
// collection.
type Snapshot []MapState

// Map returns the state of the map, or nil.
func (s Snapshot) Map(name string) *MapState {
	for i := range s {
		if s[i].Spec.Name == name {
			return &s[i]
		}
	}
	return nil
}

// Maps gives access to the maps of a collection by the types of their keys and
// values.
type Maps struct {
	rt   *runtime.Runtime
	list []runtime.Map
	btf  *btf.Spec // nil: the object has none

	names, progs objectNames
}

// NewMaps prepares the maps of a collection that was loaded into the runtime. The
// error is about the object's BTF.
func NewMaps(rt *runtime.Runtime, c *runtime.Collection) (*Maps, error) {
	m := &Maps{rt: rt, list: c.Maps()}
	m.collectNames(c)
	if raw := c.Spec().BTF; raw != nil {
		var err error
		if m.btf, err = types.Load(raw); err != nil {
			return nil, fmt.Errorf("maps: %w", err)
		}
	}
	return m, nil
}

// find returns the map of a name.
func (m *Maps) find(name string) (runtime.Map, error) {
	var names []string
	for _, mp := range m.list {
		if mp.Name() == name {
			return mp, nil
		}
		names = append(names, mp.Name())
	}
	return nil, fmt.Errorf("no map %s%s", name, didYouMean(name, names))
}

// findData returns a map that has elements.
func (m *Maps) findData(name string) (runtime.Map, error) {
	mp, err := m.find(name)
	if err == nil && !hasElements(mp.Spec().Type) {
		return nil, fmt.Errorf("map %s: contents of a map of type %s: %w", name, mp.Spec().Type, errors.ErrUnsupported)
	}
	return mp, err
}

// Snap copies the contents of all maps that have elements and can change.
func (m *Maps) Snap() Snapshot {
	var out Snapshot
	for _, mp := range m.list {
		if s := mp.Spec(); hasElements(s.Type) && s.Type != spec.MapBloomFilter && !s.Frozen {
			out = append(out, m.snap(mp))
		}
	}
	return out
}

// state is the map's state without elements.
func (m *Maps) state(mp runtime.Map) MapState {
	st := MapState{Spec: mp.Spec(), CPUs: m.rt.CPUs()}
	st.key, st.value = mapTypes(m.btf, st.Spec)
	st.value.names = m.namesFor(st.Spec.Type)
	return st
}

func (m *Maps) snap(mp runtime.Map) MapState {
	st := m.state(mp)
	array := isArray(st.Spec.Type)
	for key, value := range runtime.Elements(mp) {
		if array && !slices.ContainsFunc(value, func(c byte) bool { return c != 0 }) {
			continue
		}
		st.Elems = append(st.Elems, Elem{Key: bytes.Clone(key), Value: bytes.Clone(value)})
	}
	slices.SortFunc(st.Elems, func(a, b Elem) int { return compareKeys(a.Key, b.Key) })
	return st
}

// MapChange is one element that is not as it was.
type MapChange struct {
	Map    string
	Key    []byte
	Before []byte // nil: the element is new
	After  []byte // nil: the element is gone

	state *MapState // how to print it
}

// Kind is "added", "removed" or "changed".
func (c *MapChange) Kind() string {
	switch {
	case c.Before == nil:
		return "added"
	case c.After == nil:
		return "removed"
	}
	return "changed"
}

// String is the change on one line: "counts[42] 1->2", "+objs[0x10] 5".
func (c *MapChange) String() string {
	key := c.state.keyText(c.Key)
	switch c.Kind() {
	case "added":
		return fmt.Sprintf("+%s[%s] %s", c.Map, key, c.state.valueText(c.After))
	case "removed":
		return fmt.Sprintf("-%s[%s] %s", c.Map, key, c.state.valueText(c.Before))
	}
	return fmt.Sprintf("%s[%s] %s->%s", c.Map, key, c.state.valueText(c.Before), c.state.valueText(c.After))
}

// DiffMaps returns what changed between two snapshots of the same maps, in order
// of map and key.
func DiffMaps(before, after Snapshot) []MapChange {
	var out []MapChange
	for i := range after {
		b := &after[i]
		a := before.Map(b.Spec.Name)
		if a == nil {
			a = &MapState{Spec: b.Spec}
		}
		out = append(out, diffMap(a, b)...)
	}
	return out
}

func diffMap(a, b *MapState) []MapChange {
	var out []MapChange
	array := isArray(b.Spec.Type)
	add := func(key, before, after []byte) {
		if array && before == nil {
			before = make([]byte, len(after))
		}
		if array && after == nil {
			after = make([]byte, len(before))
		}
		if !bytes.Equal(before, after) || (before == nil) != (after == nil) {
			out = append(out, MapChange{Map: b.Spec.Name, Key: key, Before: before, After: after, state: b})
		}
	}
	i, j := 0, 0
	for i < len(a.Elems) || j < len(b.Elems) {
		order := 0
		switch {
		case i == len(a.Elems):
			order = 1
		case j == len(b.Elems):
			order = -1
		default:
			order = compareKeys(a.Elems[i].Key, b.Elems[j].Key)
		}
		switch {
		case order < 0:
			add(a.Elems[i].Key, a.Elems[i].Value, nil)
			i++
		case order > 0:
			add(b.Elems[j].Key, nil, b.Elems[j].Value)
			j++
		default:
			add(a.Elems[i].Key, a.Elems[i].Value, b.Elems[j].Value)
			i, j = i+1, j+1
		}
	}
	return out
}
