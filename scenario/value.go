package scenario

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// ValueKind is the form in which a value is written.
type ValueKind uint8

// Forms of values.
const (
	ValueNumber   ValueKind = iota // 42, -100, 0x2a
	ValueDuration                  // 10ms: a number of nanoseconds
	ValueWord                      // bash, XDP_DROP: text without quotes
	ValueString                    // "ksoftirqd/0"
	ValueCall                      // str("x"), u32(1, 2)
	ValueJSON                      // {"pid": 1} or [1, 2]
	ValueStruct                    // struct filename{name=str("x")}
)

// Value is a value as the script writes it. What it becomes depends on its place:
// a number in a register, bytes in a map, an address of bytes in memory.
type Value struct {
	Pos
	Kind ValueKind
	Num  uint64  // ValueNumber, ValueDuration; a negative number in two's complement
	Neg  bool    // ValueNumber: written with a minus sign
	Hex  bool    // ValueNumber: written in hexadecimal
	Text string  // ValueWord, ValueString, ValueJSON: the text; ValueCall: the function; ValueStruct: "struct filename"
	Args []Value // ValueCall
	// Fields are those of a ValueStruct that are not zero, by paths of names.
	Fields []Arg
}

// Int makes a number.
func Int(n int64) Value { return Value{Num: uint64(n), Neg: n < 0} }

// Hex makes a number that prints in hexadecimal.
func Hex(n uint64) Value { return Value{Num: n, Hex: true} }

// Text makes a quoted string.
func Text(s string) Value { return Value{Kind: ValueString, Text: s} }

// Call makes a function's value: Call("str", Text("x.txt")).
func Call(name string, args ...Value) Value {
	return Value{Kind: ValueCall, Text: name, Args: args}
}

// funcs are the functions of the language, with the least and the greatest number
// of their arguments. Those that make memory are listed in memoryFuncs as well.
var funcs = map[string][2]int{
	"str": {1, 2}, "user_str": {1, 2}, "kernel_str": {1, 2},
	"bytes": {1, 1}, "user_bytes": {1, 1}, "kernel_bytes": {1, 1},
	"ptr": {1, maxArgs}, "user_ptr": {1, maxArgs}, "kernel_ptr": {1, maxArgs},
	"cat": {1, maxArgs},
	"u8":  {1, maxArgs}, "u16": {1, maxArgs}, "u32": {1, maxArgs}, "u64": {1, maxArgs},
	"be16": {1, maxArgs}, "be32": {1, maxArgs}, "be64": {1, maxArgs},
	"zero": {1, 1},
	"task": {1, 1},
	"ip":   {1, 1},
}

// maxArgs bounds the arguments of a function.
const maxArgs = 4096

// maxValueBytes bounds what one value may stand for in memory.
const maxValueBytes = 1 << 20

// IsNumber reports whether the value is a number or a duration.
func (v Value) IsNumber() bool { return v.Kind == ValueNumber || v.Kind == ValueDuration }

// String is the value's text, as Format prints it.
func (v Value) String() string {
	var b strings.Builder
	v.format(&b)
	return b.String()
}

// memory says whether a value in a register or a context field stands for an
// address of memory, and what the function says about whose memory it is.
func (v Value) memory() (is, user, kernel bool) {
	if v.Kind == ValueString {
		return true, false, false
	}
	if v.Kind != ValueCall {
		return false, false, false
	}
	name, user := strings.CutPrefix(v.Text, "user_")
	name, kernel = strings.CutPrefix(name, "kernel_")
	return name == "str" || name == "bytes" || name == "ptr", user, kernel
}

// MemoryBytes is what a str, bytes or ptr value puts into memory: a string with
// its NUL, the bytes, or the arguments one after the other.
func (v Value) MemoryBytes() ([]byte, error) {
	b, err := v.appendBytes(nil)
	if err != nil {
		return nil, err
	}
	if s, ok := v.stringArg(); ok && len(b) == len(s) {
		b = append(b, 0)
	}
	return b, nil
}

// stringArg returns the text of a string without a size: "x" or str("x").
func (v Value) stringArg() (string, bool) {
	switch {
	case v.Kind == ValueString:
		return v.Text, true
	case v.Kind == ValueCall && strings.HasSuffix(v.Text, "str") && len(v.Args) == 1:
		return v.Args[0].Text, true
	}
	return "", false
}

// AppendBytes appends the value in size bytes, as maps hold it: numbers in the
// host's order of the emulated machine (little-endian), strings filled up with
// zeros. It is an error when the value does not fit.
func (v Value) AppendBytes(b []byte, size int) ([]byte, error) {
	if v.IsNumber() {
		return v.appendNumber(b, size, binary.LittleEndian)
	}
	start := len(b)
	b, err := v.appendBytes(b)
	if err != nil {
		return nil, err
	}
	have := len(b) - start
	if have > size {
		return nil, v.errf("%s has %d bytes, here is room for %d", v, have, size)
	}
	if _, isStr := v.stringArg(); have < size && !isStr {
		return nil, v.errf("%s has %d bytes, %d are wanted", v, have, size)
	}
	return append(b, make([]byte, size-have)...), nil
}

// appendBytes appends a value that knows its own size.
func (v Value) appendBytes(b []byte) ([]byte, error) {
	switch v.Kind {
	case ValueNumber, ValueDuration:
		return v.appendNumber(b, 8, binary.LittleEndian)
	case ValueString:
		return append(b, v.Text...), nil
	case ValueWord:
		return nil, v.errf("%s is a word; a number, a string or a function is wanted", v.Text)
	case ValueJSON:
		return nil, v.errf("%s needs a type, and here is none", v)
	case ValueStruct:
		return nil, v.errf("%s is laid out in the arguments of an event only, inside of ptr(..)", v.Text)
	}
	name := strings.TrimPrefix(strings.TrimPrefix(v.Text, "user_"), "kernel_")
	switch name {
	case "task":
		return nil, v.errf("%s is an address, known in the arguments of an event only", v)
	case "str":
		return v.appendStr(b)
	case "bytes":
		raw, err := parseHexBytes(v.Args[0].Text)
		if err != nil {
			return nil, v.Args[0].errf("%v", err)
		}
		return append(b, raw...), nil
	case "ip":
		a, err := netip.ParseAddr(v.Args[0].Text)
		if err != nil {
			return nil, v.Args[0].errf("%s is not an address such as 10.0.0.1 or ::1", v.Args[0])
		}
		return append(b, a.AsSlice()...), nil
	case "zero":
		n := v.Args[0].Num
		if n > maxValueBytes {
			return nil, v.Args[0].errf("%d bytes are more than the limit of %d", n, maxValueBytes)
		}
		return append(b, make([]byte, n)...), nil
	case "ptr", "cat":
		return v.appendArgs(b, func(a Value, b []byte) ([]byte, error) { return a.appendBytes(b) })
	}
	order, bits := binary.ByteOrder(binary.LittleEndian), strings.TrimPrefix(name, "u")
	if rest, ok := strings.CutPrefix(name, "be"); ok {
		order, bits = binary.BigEndian, rest
	}
	size := map[string]int{"8": 1, "16": 2, "32": 4, "64": 8}[bits]
	return v.appendArgs(b, func(a Value, b []byte) ([]byte, error) { return a.appendNumber(b, size, order) })
}

func (v Value) appendArgs(b []byte, one func(Value, []byte) ([]byte, error)) ([]byte, error) {
	start := len(b)
	var err error
	for _, a := range v.Args {
		if b, err = one(a, b); err != nil {
			return nil, err
		}
		if len(b)-start > maxValueBytes {
			return nil, v.errf("more than %d bytes", maxValueBytes)
		}
	}
	return b, nil
}

// appendStr appends str("text") as it is, str("text", SIZE) in SIZE bytes of which
// the last is a NUL.
func (v Value) appendStr(b []byte) ([]byte, error) {
	s := v.Args[0].Text
	if len(v.Args) == 1 {
		return append(b, s...), nil
	}
	size := v.Args[1].Num
	if size > maxValueBytes {
		return nil, v.Args[1].errf("%d bytes are more than the limit of %d", size, maxValueBytes)
	}
	if uint64(len(s)) >= size {
		return nil, v.errf("%q and its NUL do not fit into %d bytes", s, size)
	}
	return append(append(b, s...), make([]byte, size-uint64(len(s)))...), nil
}

// appendNumber appends a number in size bytes.
func (v Value) appendNumber(b []byte, size int, order binary.ByteOrder) ([]byte, error) {
	if !v.IsNumber() {
		return nil, v.errf("%s is not a number", v)
	}
	if size > 8 {
		return nil, v.errf("%s is a number, and here are %d bytes: use str, bytes, cat or {..}", v, size)
	}
	if !v.fits(size) {
		return nil, v.errf("%s does not fit into %d bytes", v, size)
	}
	var raw [8]byte
	order.PutUint64(raw[:], v.Num)
	if order == binary.ByteOrder(binary.BigEndian) {
		return append(b, raw[8-size:]...), nil
	}
	return append(b, raw[:size]...), nil
}

// fits reports whether the number is one of size bytes: signed when written with
// a minus, unsigned else.
func (v Value) fits(size int) bool {
	bits := uint(8 * size)
	if size >= 8 {
		return true
	}
	if v.Neg {
		return int64(v.Num) >= -1<<(bits-1)
	}
	return v.Num < 1<<bits
}

func (v Value) errf(format string, args ...any) error {
	return &Error{Pos: v.Pos, Msg: fmt.Sprintf(format, args...)}
}

// parseHexBytes reads bytes in hexadecimal, with spaces, colons or 0x between them.
func parseHexBytes(s string) ([]byte, error) {
	var digits strings.Builder
	for f := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ':' || r == ' ' || r == '\t' || r == '\n' }) {
		digits.WriteString(strings.TrimPrefix(f, "0x"))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		return nil, fmt.Errorf("%s: two hexadecimal digits a byte are wanted", strings.TrimPrefix(err.Error(), "encoding/hex: "))
	}
	return b, nil
}

// durationUnits are the units of durations, longest word first.
var durationUnits = []struct {
	name string
	ns   int64
}{{"ns", 1}, {"us", 1e3}, {"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}}

// formatDuration prints a duration as one number with the greatest unit that
// needs no fraction: 29500us, 10ms, 1s.
func formatDuration(d time.Duration) string {
	switch {
	case d == 0:
		return "0s"
	case d%time.Second == 0:
		return fmt.Sprintf("%ds", d/time.Second)
	case d%time.Millisecond == 0:
		return fmt.Sprintf("%dms", d/time.Millisecond)
	case d%time.Microsecond == 0:
		return fmt.Sprintf("%dus", d/time.Microsecond)
	}
	return fmt.Sprintf("%dns", d)
}
