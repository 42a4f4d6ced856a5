package types

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"

	"github.com/cilium/ebpf/btf"
)

// ErrSize is wrapped by errors about data that is not as long as its type.
var ErrSize = errors.New("wrong size")

// maxValues bounds the scalars in one value, against types that overlap
// themselves so often that a few bytes would print without end.
const maxValues = 1 << 20

// Format returns the value of a type in memory as JSON:
//
//	integers           numbers; 128-bit ones as strings in hexadecimal
//	bool               true or false
//	enums              the name as a string; a number when there is no name
//	pointers           strings in hexadecimal: "0xffff888003a80000"
//	floats             numbers; strings for NaN and infinity
//	char arrays        strings, when everything after the first NUL is zero
//	other arrays       arrays
//	structs, unions    objects in the order of the members; those of anonymous
//	                   members stand in the object around them
//
// data must be exactly as long as the type and in little-endian order. Types
// without values (void, functions, forward declarations) give an error that
// wraps errors.ErrUnsupported.
func Format(t btf.Type, data []byte) ([]byte, error) {
	f := formatter{json: true}
	if err := f.whole(t, data); err != nil {
		return nil, fmt.Errorf("format %s: %w", Declare(t, ""), err)
	}
	return f.out, nil
}

// Text returns the value on one line in the style of a C initialiser:
//
//	{ts=1000, ip=0xffffffff81000000, comm="bash", state=TCP_LISTEN, a={1, 2}}
//
// Unsigned 64-bit integers that look like kernel addresses are hexadecimal. Char
// arrays end at their first NUL.
func Text(t btf.Type, data []byte) (string, error) {
	f := formatter{}
	if err := f.whole(t, data); err != nil {
		return "", fmt.Errorf("format %s: %w", Declare(t, ""), err)
	}
	return string(f.out), nil
}

type formatter struct {
	out    []byte
	json   bool
	values int
}

func (f *formatter) whole(t btf.Type, data []byte) error {
	size, err := valueSize(t)
	if err != nil {
		return err
	}
	if uint64(size) != uint64(len(data)) {
		return fmt.Errorf("%w: %d bytes for a type of %d", ErrSize, len(data), size)
	}
	return f.value(t, data, 0)
}

// valueSize is sizeOf for types that have values.
func valueSize(t btf.Type) (uint32, error) {
	switch s := strip(t).(type) {
	case nil, *btf.Void, *btf.Fwd, *btf.Func, *btf.FuncProto:
		return 0, fmt.Errorf("it has no value: %w", errors.ErrUnsupported)
	case *btf.Var:
		return valueSize(s.Type)
	}
	return sizeOf(t)
}

func (f *formatter) put(s string) { f.out = append(f.out, s...) }

// putEither writes the form of the output's language.
func (f *formatter) putEither(inJSON, inC string) {
	if f.json {
		f.put(inJSON)
		return
	}
	f.put(inC)
}

// separator stands between elements.
func (f *formatter) separator(first bool) {
	if first {
		return
	}
	f.put(",")
	if !f.json {
		f.put(" ")
	}
}

// value writes the value that begins at data; data holds at least its size.
func (f *formatter) value(t btf.Type, data []byte, depth int) error {
	if depth > maxNest {
		return errors.New("nested too deep")
	}
	if f.values++; f.values > maxValues {
		return errors.New("too many values")
	}
	switch t := strip(t).(type) {
	case *btf.Int:
		return f.integer(t, data)
	case *btf.Enum:
		return f.enum(t, data)
	case *btf.Pointer:
		f.quoted("0x" + strconv.FormatUint(binary.LittleEndian.Uint64(data), 16))
	case *btf.Float:
		return f.float(t, data)
	case *btf.Array:
		return f.array(t, data, depth)
	case *btf.Struct, *btf.Union:
		return f.composite(t, data, depth)
	case *btf.Datasec:
		return f.datasec(t, data, depth)
	case *btf.Var:
		return f.value(t.Type, data, depth+1)
	default:
		return fmt.Errorf("no value: %w", errors.ErrUnsupported)
	}
	return nil
}

// quoted writes a word that JSON needs quotes for.
func (f *formatter) quoted(s string) {
	if f.json {
		s = `"` + s + `"`
	}
	f.put(s)
}

func (f *formatter) integer(t *btf.Int, data []byte) error {
	if t.Size == 16 {
		f.quoted("0x" + bigLE(data[:16]).Text(16))
		return nil
	}
	v, err := loadInt(data, t.Size)
	if err != nil {
		return err
	}
	f.number(v, t.Size*8, t.Encoding)
	return nil
}

// number writes an integer of so many bits.
func (f *formatter) number(v uint64, bits uint32, enc btf.IntEncoding) {
	switch {
	case enc == btf.Bool && v <= 1:
		f.put(strconv.FormatBool(v == 1))
	case enc == btf.Signed || enc == btf.Char:
		f.put(strconv.FormatInt(signExtend(v, bits), 10))
	case !f.json && v >= 0xffff_8000_0000_0000:
		f.put("0x" + strconv.FormatUint(v, 16))
	default:
		f.put(strconv.FormatUint(v, 10))
	}
}

func (f *formatter) enum(t *btf.Enum, data []byte) error {
	v, err := loadInt(data, t.Size)
	if err != nil {
		return err
	}
	f.enumValue(t, v, t.Size*8)
	return nil
}

func (f *formatter) enumValue(t *btf.Enum, v uint64, bits uint32) {
	if t.Signed {
		v = uint64(signExtend(v, bits))
	}
	for _, e := range t.Values {
		if e.Value == v {
			f.quoted(e.Name)
			return
		}
	}
	if t.Signed {
		f.put(strconv.FormatInt(int64(v), 10))
		return
	}
	f.put(strconv.FormatUint(v, 10))
}

func (f *formatter) float(t *btf.Float, data []byte) error {
	var v float64
	bits := 64
	switch t.Size {
	case 4:
		v, bits = float64(math.Float32frombits(binary.LittleEndian.Uint32(data))), 32
	case 8:
		v = math.Float64frombits(binary.LittleEndian.Uint64(data))
	default:
		return fmt.Errorf("a float of %d bytes: %w", t.Size, errors.ErrUnsupported)
	}
	s := strconv.FormatFloat(v, 'g', -1, bits)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		f.quoted(s)
		return nil
	}
	f.put(s)
	return nil
}

func (f *formatter) array(t *btf.Array, data []byte, depth int) error {
	size, err := valueSize(t.Type)
	if err != nil {
		return err
	}
	total := uint64(size) * uint64(t.Nelems)
	if total > uint64(len(data)) {
		return fmt.Errorf("%w: array of %d bytes in %d", ErrSize, total, len(data))
	}
	if isChar(t.Type) && t.Nelems > 0 {
		if s, ok := cString(data[:total], f.json); ok {
			f.out = appendQuoted(f.out, s)
			return nil
		}
	}
	n := int(t.Nelems)
	if size == 0 {
		n = 0 // elements without bytes say nothing
	}
	f.putEither("[", "{")
	for i := range n {
		f.separator(i == 0)
		if err := f.value(t.Type, data[i*int(size):(i+1)*int(size)], depth+1); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	f.putEither("]", "}")
	return nil
}

// isChar reports whether the type is C's char, whose arrays are text.
func isChar(t btf.Type) bool {
	i, ok := strip(t).(*btf.Int)
	return ok && i.Size == 1 && (i.Encoding == btf.Char || i.Name == "char")
}

// cString returns the text before the first NUL. It fails for text that is not
// UTF-8, and if lossless for arrays with something other than zeros behind it.
func cString(data []byte, lossless bool) (string, bool) {
	end := len(data)
	for i, c := range data {
		if c == 0 {
			end = i
			break
		}
	}
	if lossless {
		for _, c := range data[end:] {
			if c != 0 {
				return "", false
			}
		}
	}
	return string(data[:end]), utf8.Valid(data[:end])
}

// appendQuoted writes a string so that both JSON and C read it.
func appendQuoted(out []byte, s string) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n':
			out = append(out, `\n`...)
		case r == '\t':
			out = append(out, `\t`...)
		case r == '\r':
			out = append(out, `\r`...)
		case r < 0x20 || r >= 0x7f && r < 0xa0:
			out = append(out, '\\', 'u', '0', '0', hex[r>>4&15], hex[r&15])
		case r == 0x2028 || r == 0x2029: // line ends in JavaScript
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return append(out, '"')
}

func (f *formatter) composite(t btf.Type, data []byte, depth int) error {
	f.put("{")
	first := true
	if err := f.members(t, data, depth, &first); err != nil {
		return err
	}
	f.put("}")
	return nil
}

// members writes the members of a struct or union, those of anonymous members
// included, as one list.
func (f *formatter) members(t btf.Type, data []byte, depth int, first *bool) error {
	if depth > maxNest {
		return errors.New("nested too deep")
	}
	list, size, _ := members(t)
	if uint64(size) > uint64(len(data)) {
		return fmt.Errorf("%w: %d bytes in %d", ErrSize, size, len(data))
	}
	for i := range list {
		m := &list[i]
		if f.values++; f.values > maxValues {
			return errors.New("too many values")
		}
		part, err := memberData(m, data[:size])
		if err != nil {
			return err
		}
		if m.Name == "" {
			if _, _, ok := members(m.Type); ok {
				if err := f.members(m.Type, part, depth+1, first); err != nil {
					return err
				}
			}
			continue
		}
		f.separator(*first)
		*first = false
		if f.json {
			f.out = appendQuoted(f.out, m.Name)
			f.put(":")
		} else {
			f.put(m.Name + "=")
		}
		if m.BitfieldSize > 0 {
			err = f.bitfield(m, data)
		} else {
			err = f.value(m.Type, part, depth+1)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return nil
}

// memberData returns the bytes of a member; none for bitfields.
func memberData(m *btf.Member, data []byte) ([]byte, error) {
	if m.BitfieldSize > 0 {
		if uint64(m.Offset)+uint64(m.BitfieldSize) > uint64(len(data))*8 || m.BitfieldSize > 64 {
			return nil, fmt.Errorf("%s: %w: bits %d to %d of %d bytes", m.Name, ErrSize, m.Offset, m.Offset+m.BitfieldSize-1, len(data))
		}
		return nil, nil
	}
	size, err := valueSize(m.Type)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	off := uint64(m.Offset / 8)
	if m.Offset%8 != 0 || off+uint64(size) > uint64(len(data)) {
		return nil, fmt.Errorf("%s: %w: %d bytes at bit %d of %d bytes", m.Name, ErrSize, size, m.Offset, len(data))
	}
	return data[off : off+uint64(size)], nil
}

func (f *formatter) bitfield(m *btf.Member, data []byte) error {
	v := loadBits(data, uint64(m.Offset), uint32(m.BitfieldSize))
	switch t := strip(m.Type).(type) {
	case *btf.Int:
		f.number(v, uint32(m.BitfieldSize), t.Encoding)
	case *btf.Enum:
		f.enumValue(t, v, uint32(m.BitfieldSize))
	default:
		return fmt.Errorf("a bitfield of another type than an integer: %w", errors.ErrUnsupported)
	}
	return nil
}

// datasec writes the variables of a data section, .bss for instance.
func (f *formatter) datasec(t *btf.Datasec, data []byte, depth int) error {
	f.put("{")
	for i, v := range t.Vars {
		f.separator(i == 0)
		name := v.Type.TypeName()
		if uint64(v.Offset)+uint64(v.Size) > uint64(len(data)) {
			return fmt.Errorf("%s: %w: %d bytes at %d of %d", name, ErrSize, v.Size, v.Offset, len(data))
		}
		if f.json {
			f.out = appendQuoted(f.out, name)
			f.put(":")
		} else {
			f.put(name + "=")
		}
		size, err := valueSize(v.Type)
		if err != nil || size > v.Size {
			return fmt.Errorf("%s: %w", name, ErrSize)
		}
		if err := f.value(v.Type, data[v.Offset:v.Offset+size], depth+1); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	f.put("}")
	return nil
}

// loadInt reads a little-endian integer of 1, 2, 4 or 8 bytes.
func loadInt(data []byte, size uint32) (uint64, error) {
	switch size {
	case 1, 2, 4, 8:
		return loadBits(data, 0, size*8), nil
	}
	return 0, fmt.Errorf("an integer of %d bytes: %w", size, errors.ErrUnsupported)
}

// loadBits reads up to 64 bits that begin at a bit offset, lowest bit first.
func loadBits(data []byte, off uint64, bits uint32) uint64 {
	var v uint64
	for i := range bits {
		at := off + uint64(i)
		v |= uint64(data[at/8]>>(at%8)&1) << i
	}
	return v
}

func signExtend(v uint64, bits uint32) int64 {
	shift := 64 - bits
	return int64(v<<shift) >> shift
}

func bigLE(data []byte) *big.Int {
	be := make([]byte, len(data))
	for i, c := range data {
		be[len(data)-1-i] = c
	}
	return new(big.Int).SetBytes(be)
}
