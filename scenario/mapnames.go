package scenario

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"

	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/types"
)

// Values that stand for something else. A prog array holds ids of programs, a map of
// maps ids of maps: here they are written by name. The values of devmaps and cpumaps
// are structures that objects have no BTF for, and stacks are lists of addresses.

// objectNames are the numbers of objects by name.
type objectNames struct {
	what string // for errors: "map", "program"
	ids  map[string]uint32
}

func (n *objectNames) name(id uint32) string {
	for name, i := range n.ids {
		if i == id {
			return name
		}
	}
	return ""
}

// namesFor returns the names of what a map's values stand for, or nil.
func (m *Maps) namesFor(t spec.MapType) *objectNames {
	switch t {
	case spec.MapProgArray:
		return &m.progs
	case spec.MapArrayOfMaps, spec.MapHashOfMaps:
		return &m.names
	}
	return nil
}

// collectNames notes the numbers of programs and maps.
func (m *Maps) collectNames(c *runtime.Collection) {
	m.names = objectNames{"map", map[string]uint32{}}
	for _, mp := range m.list {
		m.names.ids[mp.Name()] = mp.ID()
	}
	m.progs = objectNames{"program", map[string]uint32{}}
	for _, p := range c.Programs() {
		m.progs.ids[p.Name()] = p.ID()
	}
}

// encode gives a number as the name that it stands for.
func (n *objectNames) encode(b []byte) (json.RawMessage, error) {
	id := binary.LittleEndian.Uint32(b)
	if name := n.name(id); name != "" {
		return json.Marshal(name)
	}
	return json.Marshal(id)
}

// decode takes a name, or a number as it is.
func (n *objectNames) decode(j []byte) ([]byte, error) {
	var name string
	if json.Unmarshal(j, &name) == nil {
		return n.find(name)
	}
	var id uint32
	if err := json.Unmarshal(j, &id); err != nil {
		return nil, fmt.Errorf("%s is no name of a %s", j, n.what)
	}
	return binary.LittleEndian.AppendUint32(nil, id), nil
}

func (n *objectNames) find(name string) ([]byte, error) {
	id, ok := n.ids[name]
	if !ok {
		return nil, fmt.Errorf("no %s %s%s", n.what, name, didYouMean(name, keys(n.ids)))
	}
	return binary.LittleEndian.AppendUint32(nil, id), nil
}

// knownType is the type of values that the kernel gives a meaning, where the object
// has none.
func knownType(s *spec.MapSpec) btf.Type {
	u32 := &btf.Int{Name: "__u32", Size: 4}
	pair := func(name, first string) btf.Type {
		if s.ValueSize != 8 {
			return u32
		}
		return &btf.Struct{Name: name, Size: 8, Members: []btf.Member{
			{Name: first, Type: u32}, {Name: "prog", Type: u32, Offset: 32},
		}}
	}
	switch s.Type {
	case spec.MapDevmap, spec.MapDevmapHash:
		return pair("bpf_devmap_val", "ifindex")
	case spec.MapCPUMap:
		return pair("bpf_cpumap_val", "qsize")
	}
	return nil
}

// stackJSON gives a stack as an array of addresses, without the zeros behind it.
func stackJSON(b []byte) (json.RawMessage, error) { return json.Marshal(stackTexts(b)) }

func stackTexts(b []byte) []string {
	out := []string{}
	for frame := range slices.Chunk(b, 8) {
		ip := getLE(frame)
		if ip == 0 {
			break
		}
		out = append(out, "0x"+strconv.FormatUint(ip, 16))
	}
	return out
}

// stackText is a stack on one line, the innermost address first.
func stackText(b []byte) string { return strings.Join(stackTexts(b), " < ") }

// isStack says whether values are stacks of plain addresses.
func isStack(s *spec.MapSpec) bool {
	return s.Type == spec.MapStackTrace && s.Flags&spec.MapStackBuildID == 0
}

// keyless says whether a map has values and no keys.
func keyless(t spec.MapType) bool {
	return t == spec.MapQueue || t == spec.MapStack || t == spec.MapBloomFilter || t == spec.MapUserRingBuf
}

// HoldsData says whether the elements of maps of a type are bytes that user space
// reads and writes as they are: not those of maps without keys, and not numbers of
// objects, which differ from kernel to kernel.
func HoldsData(t spec.MapType) bool {
	switch t {
	case spec.MapProgArray, spec.MapStackTrace, spec.MapCgroupArray, spec.MapArrayOfMaps, spec.MapHashOfMaps,
		spec.MapDevmap, spec.MapDevmapHash, spec.MapSockmap, spec.MapSockhash, spec.MapCPUMap, spec.MapXSKMap,
		spec.MapReuseportSockarray, spec.MapSKStorage, spec.MapInodeStorage, spec.MapTaskStorage, spec.MapCgrpStorage:
		return false
	}
	return hasElements(t) && !keyless(t)
}

// hasElements says whether there is anything in maps of a type that can be shown or
// set: rings and perf events are read otherwise.
func hasElements(t spec.MapType) bool {
	switch t {
	case spec.MapPerfEventArray, spec.MapRingBuf, spec.MapUserRingBuf, spec.MapArena, spec.MapStructOps:
		return false
	}
	return true
}

// findWritable returns a map that contents can be given to: one with elements, or a ring
// buffer that user space writes.
func (m *Maps) findWritable(name string) (runtime.Map, error) {
	mp, err := m.find(name)
	if err == nil && mp.Spec().Type == spec.MapUserRingBuf {
		return mp, nil
	}
	return m.findData(name)
}

// decodeSample reads the bytes of a sample of a user ring buffer: an array of bytes, or
// a string of them in hexadecimal.
func decodeSample(j []byte) ([]byte, error) {
	var list []json.RawMessage
	var text string
	size := 0
	switch {
	case json.Unmarshal(j, &list) == nil:
		size = len(list)
	case json.Unmarshal(j, &text) == nil:
		text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ':' }), "")
		b, err := hex.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("a sample is an array of bytes or a string of them in hexadecimal: %w", err)
		}
		return b, nil
	default:
		return nil, fmt.Errorf("a sample is an array of bytes or a string of them in hexadecimal, not %s", j)
	}
	return types.ParseRaw(j, uint32(size))
}

// setSample writes one as a script gives it.
func setSample(mp runtime.Map, v Value) error {
	if v.Kind == ValueJSON {
		b, err := decodeSample([]byte(v.Text))
		if err != nil {
			return v.errf("%v", err)
		}
		return runtime.Restore(mp, nil, b)
	}
	if v.IsNumber() {
		return v.errf("a sample has no size of its own: say u32(%s) or u64(%s)", v, v)
	}
	b, err := v.appendBytes(nil)
	if err != nil {
		return err
	}
	return runtime.Restore(mp, nil, b)
}
