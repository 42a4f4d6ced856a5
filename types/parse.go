package types

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// ErrValue is wrapped by errors about JSON that does not fit its type.
var ErrValue = errors.New("value does not fit")

// maxValueSize bounds the memory that Parse takes for one value; the kernel's
// maps allow no more either (INT_MAX rounded down to what is sensible here).
const maxValueSize = 64 << 20

// Parse turns JSON into the bytes of a value of the type; it is the inverse of
// Format and takes more forms: integers also as strings ("0x10", "-1", "'a'"),
// enums as numbers, pointers as numbers, booleans as 0 and 1, char arrays as
// arrays of numbers, arrays with fewer elements than the type, and objects with
// fewer members. What is not given is zero; so is padding. A member that the
// type does not have is an error, and so is a number that does not fit.
func Parse(t btf.Type, text []byte) ([]byte, error) {
	data, err := parse(t, text)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", Declare(t, ""), err)
	}
	return data, nil
}

func parse(t btf.Type, text []byte) ([]byte, error) {
	size, err := valueSize(t)
	if err != nil {
		return nil, err
	}
	if size > maxValueSize {
		return nil, fmt.Errorf("%w: %d bytes are too many", ErrSize, size)
	}
	v, err := decodeJSON(text)
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if err := new(parser).put(t, v, data, 0); err != nil {
		return nil, err
	}
	return data, nil
}

// member is a key of an object with its value. Objects keep their order, so that
// the last of several union members wins.
type member struct {
	key   string
	value any
}

// decodeJSON reads one JSON value: nil, bool, json.Number, string, []any or
// []member.
func decodeJSON(text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	v, err := decodeValue(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("more than one JSON value: %w", ErrValue)
	}
	return v, nil
}

func decodeValue(dec *json.Decoder, depth int) (any, error) {
	if depth > 2*maxNest {
		return nil, fmt.Errorf("JSON nested too deep: %w", ErrValue)
	}
	tok, err := dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("%w: %w", ErrValue, err)
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return tok, nil
	}
	if delim == '[' {
		list := []any{}
		for dec.More() {
			v, err := decodeValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, wrapJSON(err)
	}
	object := []member{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, wrapJSON(err)
		}
		v, err := decodeValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		name, _ := key.(string)
		object = append(object, member{name, v})
	}
	_, err = dec.Token()
	return object, wrapJSON(err)
}

func wrapJSON(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrValue, err)
}

// parser counts how many members it looked at, as maxValues bounds them.
type parser struct{ visits int }

// put writes a value into data, which has the size of the type.
func (p *parser) put(t btf.Type, v any, data []byte, depth int) error {
	if depth > maxNest {
		return errors.New("nested too deep")
	}
	switch t := strip(t).(type) {
	case *btf.Int:
		if t.Size == 16 {
			return putBig(v, data)
		}
		n, err := integer(v, t.Size*8, t.Encoding == btf.Signed || t.Encoding == btf.Char)
		if err != nil {
			return err
		}
		return storeInt(data, t.Size, n)
	case *btf.Enum:
		n, err := enumNumber(t, v, t.Size*8)
		if err != nil {
			return err
		}
		return storeInt(data, t.Size, n)
	case *btf.Pointer:
		n, err := integer(v, 64, false)
		if err != nil {
			return err
		}
		return storeInt(data, 8, n)
	case *btf.Float:
		return putFloat(t, v, data)
	case *btf.Array:
		return p.putArray(t, v, data, depth)
	case *btf.Struct, *btf.Union:
		object, ok := v.([]member)
		if !ok {
			return fmt.Errorf("%s for a struct or union: %w", describe(v), ErrValue)
		}
		for _, m := range object {
			found, err := p.putMember(t, m, data, depth)
			if err != nil {
				return fmt.Errorf("%s: %w", m.key, err)
			}
			if !found {
				return fmt.Errorf("%s: %w; there are %s", m.key, ErrNoField, memberList(t))
			}
		}
		return nil
	case *btf.Datasec:
		return p.putDatasec(t, v, data, depth)
	case *btf.Var:
		return p.put(t.Type, v, data, depth+1)
	}
	return fmt.Errorf("no value: %w", errors.ErrUnsupported)
}

// putMember looks a member up by name, through anonymous members.
func (p *parser) putMember(t btf.Type, v member, data []byte, depth int) (bool, error) {
	if depth > maxNest {
		return false, errors.New("nested too deep")
	}
	list, size, _ := members(t)
	if uint64(size) > uint64(len(data)) {
		return false, fmt.Errorf("%w: %d bytes in %d", ErrSize, size, len(data))
	}
	data = data[:size]
	for i := range list {
		m := &list[i]
		if p.visits++; p.visits > maxValues {
			return false, errors.New("too many members")
		}
		if m.Name != v.key && m.Name != "" {
			continue
		}
		part, err := memberData(m, data)
		if err != nil {
			return false, err
		}
		switch {
		case m.Name != "" && m.BitfieldSize > 0:
			return true, putBitfield(m, v.value, data)
		case m.Name != "":
			return true, p.put(m.Type, v.value, part, depth+1)
		}
		if _, _, ok := members(m.Type); ok {
			found, err := p.putMember(m.Type, v, part, depth+1)
			if found || err != nil {
				return found, err
			}
		}
	}
	return false, nil
}

func memberList(t btf.Type) string {
	fields, err := Fields(t)
	if err != nil || len(fields) == 0 {
		return "none"
	}
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
		if len(names) == 12 && len(fields) > 12 {
			names = append(names, "...")
			break
		}
	}
	return strings.Join(names, ", ")
}

func putBitfield(m *btf.Member, v any, data []byte) error {
	var n uint64
	var err error
	switch t := strip(m.Type).(type) {
	case *btf.Int:
		n, err = integer(v, uint32(m.BitfieldSize), t.Encoding == btf.Signed || t.Encoding == btf.Char)
	case *btf.Enum:
		n, err = enumNumber(t, v, uint32(m.BitfieldSize))
	default:
		err = fmt.Errorf("a bitfield of another type than an integer: %w", errors.ErrUnsupported)
	}
	if err != nil {
		return err
	}
	for i := range uint32(m.BitfieldSize) {
		at := uint64(m.Offset) + uint64(i)
		data[at/8] = data[at/8]&^(1<<(at%8)) | byte(n>>i&1)<<(at%8)
	}
	return nil
}

func (p *parser) putArray(t *btf.Array, v any, data []byte, depth int) error {
	size, err := valueSize(t.Type)
	if err != nil {
		return err
	}
	if uint64(size)*uint64(t.Nelems) > uint64(len(data)) {
		return fmt.Errorf("%w: %d elements of %d bytes in %d", ErrSize, t.Nelems, size, len(data))
	}
	if s, ok := v.(string); ok && isChar(t.Type) {
		if uint64(len(s)) > uint64(t.Nelems) {
			return fmt.Errorf("string of %d bytes for %d: %w", len(s), t.Nelems, ErrValue)
		}
		clear(data)
		copy(data, s)
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		return fmt.Errorf("%s for an array: %w", describe(v), ErrValue)
	}
	if uint64(len(list)) > uint64(t.Nelems) {
		return fmt.Errorf("%d elements for %d: %w", len(list), t.Nelems, ErrValue)
	}
	for i, e := range list {
		if err := p.put(t.Type, e, data[i*int(size):(i+1)*int(size)], depth+1); err != nil {
			return fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return nil
}

func (p *parser) putDatasec(t *btf.Datasec, v any, data []byte, depth int) error {
	object, ok := v.([]member)
	if !ok {
		return fmt.Errorf("%s for a section: %w", describe(v), ErrValue)
	}
	for _, m := range object {
		i := slices.IndexFunc(t.Vars, func(s btf.VarSecinfo) bool { return s.Type.TypeName() == m.key })
		if i < 0 {
			return fmt.Errorf("%s: %w", m.key, ErrNoField)
		}
		s := t.Vars[i]
		size, err := valueSize(s.Type)
		if err != nil || size > s.Size || uint64(s.Offset)+uint64(size) > uint64(len(data)) {
			return fmt.Errorf("%s: %w", m.key, ErrSize)
		}
		if err := p.put(s.Type, m.value, data[s.Offset:s.Offset+size], depth+1); err != nil {
			return fmt.Errorf("%s: %w", m.key, err)
		}
	}
	return nil
}

func putFloat(t *btf.Float, v any, data []byte) error {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = v
	default:
		return fmt.Errorf("%s for a float: %w", describe(v), ErrValue)
	}
	n, err := strconv.ParseFloat(text, int(t.Size)*8)
	if err != nil {
		return fmt.Errorf("%s: %w", text, ErrValue)
	}
	switch t.Size {
	case 4:
		binary.LittleEndian.PutUint32(data, math.Float32bits(float32(n)))
	case 8:
		binary.LittleEndian.PutUint64(data, math.Float64bits(n))
	default:
		return fmt.Errorf("a float of %d bytes: %w", t.Size, errors.ErrUnsupported)
	}
	return nil
}

func enumNumber(t *btf.Enum, v any, bits uint32) (uint64, error) {
	if s, ok := v.(string); ok {
		for _, e := range t.Values {
			if e.Name == s {
				return e.Value, nil
			}
		}
		if n, err := integer(v, bits, t.Signed); err == nil {
			return n, nil
		}
		return 0, fmt.Errorf("%q is no value of enum %s: %w", s, t.Name, ErrValue)
	}
	return integer(v, bits, t.Signed)
}

// integer reads a number that must fit into so many bits. Unsigned types also
// take negative numbers that fit as signed ones, as C does.
func integer(v any, bits uint32, signed bool) (uint64, error) {
	n, err := bigInteger(v)
	if err != nil {
		return 0, err
	}
	if bits == 0 || bits > 64 {
		return 0, fmt.Errorf("an integer of %d bits: %w", bits, errors.ErrUnsupported)
	}
	lo := new(big.Int).Neg(new(big.Int).Lsh(big.NewInt(1), uint(bits-1)))
	hi := new(big.Int).Lsh(big.NewInt(1), uint(bits))
	if signed {
		hi = new(big.Int).Neg(lo)
	}
	if n.Cmp(lo) < 0 || n.Cmp(hi) >= 0 {
		return 0, fmt.Errorf("%s in %d bits: %w", n, bits, ErrValue)
	}
	if n.Sign() < 0 {
		n.Add(n, new(big.Int).Lsh(big.NewInt(1), 64))
	}
	return n.Uint64(), nil
}

// maxDigits bounds numbers in JSON; 128 bits have 39 decimal digits.
const maxDigits = 64

func bigInteger(v any) (*big.Int, error) {
	text := ""
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case bool:
		if v {
			return big.NewInt(1), nil
		}
		return new(big.Int), nil
	case string:
		if text = v; len(v) == 3 && v[0] == '\'' && v[2] == '\'' {
			return big.NewInt(int64(v[1])), nil
		}
	default:
		return nil, fmt.Errorf("%s for an integer: %w", describe(v), ErrValue)
	}
	if len(text) > maxDigits {
		return nil, fmt.Errorf("a number of %d digits: %w", len(text), ErrValue)
	}
	n, ok := new(big.Int).SetString(text, 0)
	if !ok {
		return nil, fmt.Errorf("%q is not an integer: %w", text, ErrValue)
	}
	return n, nil
}

func putBig(v any, data []byte) error {
	n, err := bigInteger(v)
	if err != nil {
		return err
	}
	if n.Sign() < 0 {
		n.Add(n, new(big.Int).Lsh(big.NewInt(1), 128))
	}
	if n.Sign() < 0 || n.BitLen() > 128 {
		return fmt.Errorf("%v in 128 bits: %w", v, ErrValue)
	}
	n.FillBytes(data[:16])
	slices.Reverse(data[:16])
	return nil
}

func storeInt(data []byte, size uint32, v uint64) error {
	switch size {
	case 1, 2, 4, 8:
		for i := range size {
			data[i] = byte(v >> (8 * i))
		}
		return nil
	}
	return fmt.Errorf("an integer of %d bytes: %w", size, errors.ErrUnsupported)
}

// describe names a JSON value in messages.
func describe(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "an array"
	}
	return "an object"
}
