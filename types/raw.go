package types

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// FormatRaw is Format for data without a type: 1, 2, 4 and 8 bytes are unsigned
// little-endian integers, everything else is a string of hexadecimal digits.
func FormatRaw(data []byte) []byte {
	switch len(data) {
	case 1, 2, 4, 8:
		return strconv.AppendUint(nil, loadBits(data, 0, uint32(len(data))*8), 10)
	}
	return strconv.AppendQuote(nil, hex.EncodeToString(data))
}

// TextRaw is Text for data without a type: integers as FormatRaw has them,
// kernel addresses and other sizes in hexadecimal, bytes in groups of eight.
func TextRaw(data []byte) string {
	switch len(data) {
	case 1, 2, 4, 8:
		f := formatter{}
		f.number(loadBits(data, 0, uint32(len(data))*8), uint32(len(data))*8, 0)
		return string(f.out)
	}
	var b strings.Builder
	for i, c := range data {
		if i > 0 && i%8 == 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%02x", c)
	}
	return b.String()
}

// ParseRaw turns JSON into size bytes without a type. Values of 1, 2, 4 or 8
// bytes are integers: numbers, or strings that hold one ("0x10"). Values of any
// size may be a string of bytes in hexadecimal, which for those four sizes needs
// a space or colon between the bytes to be told from a number ("0a 00"), or an
// array of at most size byte values.
func ParseRaw(text []byte, size uint32) ([]byte, error) {
	data, err := parseRaw(text, size)
	if err != nil {
		return nil, fmt.Errorf("parse %d bytes: %w", size, err)
	}
	return data, nil
}

func parseRaw(text []byte, size uint32) ([]byte, error) {
	if size > maxValueSize {
		return nil, fmt.Errorf("%w: too many", ErrSize)
	}
	v, err := decodeJSON(text)
	if err != nil {
		return nil, err
	}
	isInt := size == 1 || size == 2 || size == 4 || size == 8
	switch v := v.(type) {
	case []any:
		if uint64(len(v)) > uint64(size) {
			return nil, fmt.Errorf("%d elements: %w", len(v), ErrValue)
		}
		data := make([]byte, size)
		for i, e := range v {
			n, err := integer(e, 8, false)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			data[i] = byte(n)
		}
		return data, nil
	case string:
		if !isInt || strings.ContainsAny(v, " :") {
			data, err := hex.DecodeString(strings.NewReplacer(" ", "", ":", "").Replace(v))
			if err != nil || uint64(len(data)) != uint64(size) {
				return nil, fmt.Errorf("want %d hexadecimal digits: %w", 2*uint64(size), ErrValue)
			}
			return data, nil
		}
	case json.Number, bool:
		if !isInt {
			return nil, fmt.Errorf("%s: want %d hexadecimal digits: %w", describe(v), 2*uint64(size), ErrValue)
		}
	default:
		return nil, fmt.Errorf("%s: %w", describe(v), ErrValue)
	}
	n, err := integer(v, size*8, false)
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	return data, storeInt(data, size, n)
}
