package debug

import (
	"encoding/hex"
	"fmt"
	"strconv"
)

// number prints a value: small ones in decimal with their sign, others in
// hexadecimal.
func number(v uint64) string {
	if s := int64(v); s > -4096 && s < 1<<20 {
		return strconv.FormatInt(s, 10)
	}
	return fmt.Sprintf("%#x", v)
}

// signedNumber prints an offset with its sign where it has one.
func signedNumber(v int64) string { return strconv.FormatInt(v, 10) }

// little reads a little-endian number of up to 8 bytes.
func little(b []byte) uint64 {
	var v uint64
	for i, c := range b[:min(len(b), 8)] {
		v |= uint64(c) << (8 * i)
	}
	return v
}

// maxShown bounds the bytes that one line shows.
const maxShown = 32

// hexBytes prints bytes in pairs of digits.
func hexBytes(b []byte) string {
	more := ""
	if len(b) > maxShown {
		b, more = b[:maxShown], ".."
	}
	return hex.EncodeToString(b) + more
}

// valueWords prints the value of a map element; nil is none.
func valueWords(b []byte) string {
	switch {
	case b == nil:
		return "none"
	case len(b) <= 8:
		return number(little(b))
	}
	return hexBytes(b)
}
