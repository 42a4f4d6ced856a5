package scenario

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxPacket bounds the size of one packet in bytes: more than any frame that
// Linux hands to a program (GSO_MAX_SIZE is 512 KiB of which a driver's frame is
// a fraction; BPF_PROG_TEST_RUN refuses more than 70,000 here).
const MaxPacket = 256 << 10

var errPacketSize = fmt.Errorf("more than %d bytes", MaxPacket)

// PacketHex reads a packet from text in hexadecimal. It takes bare digits with
// blanks, colons, commas or 0x between the bytes, and dumps with offsets as
// tcpdump -xx, xxd, hexdump -C and Wireshark print them. Lines that begin with #
// are comments.
func PacketHex(text string) ([]byte, error) {
	if len(text) > 16*MaxPacket {
		return nil, errPacketSize
	}
	var out []byte
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if line == "*" {
			return nil, fmt.Errorf("line %d: repeated lines left out (*): dump with hexdump -v: %w", n, errors.ErrUnsupported)
		}
		digits, err := dumpLine(line, len(out))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fmt.Errorf("line %d: %s: two hexadecimal digits a byte are wanted", n,
				strings.TrimPrefix(err.Error(), "encoding/hex: "))
		}
		if out = append(out, b...); len(out) > MaxPacket {
			return nil, errPacketSize
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no bytes")
	}
	return out, nil
}

// dumpLine returns the hexadecimal digits of a line, without its offset and the
// text at its right. have is the number of bytes before it.
func dumpLine(line string, have int) (string, error) {
	line, _, _ = strings.Cut(line, "|") // hexdump -C
	first, rest, _ := strings.Cut(line, " ")
	if off, ok := strings.CutSuffix(first, ":"); ok && len(off) >= 4 { // tcpdump, xxd
		if err := checkOffset(off, have); err != nil {
			return "", err
		}
		rest, _, _ = strings.Cut(strings.TrimLeft(rest, " "), "  ")
		return strings.ReplaceAll(rest, " ", ""), nil
	}
	if len(first) >= 4 && (strings.HasPrefix(rest, " ") || rest == "" && have > 0) && checkOffset(first, have) == nil {
		var digits strings.Builder
		count := 0
		for f := range strings.FieldsSeq(rest) {
			if len(f) != 2 || count == 16 || strings.Trim(f, "0123456789abcdefABCDEF") != "" {
				break
			}
			digits.WriteString(f)
			count++
		}
		return digits.String(), nil
	}
	var digits strings.Builder
	for f := range strings.FieldsFuncSeq(line, func(r rune) bool { return strings.ContainsRune(" \t:,-", r) }) {
		if h, ok := strings.CutPrefix(f, "0x"); ok && len(h)%2 == 1 {
			digits.WriteByte('0')
		}
		digits.WriteString(strings.TrimPrefix(f, "0x"))
	}
	return digits.String(), nil
}

func checkOffset(text string, have int) error {
	off, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 32)
	if err != nil {
		return fmt.Errorf("%q is not an offset", text)
	}
	if off != uint64(have) {
		return fmt.Errorf("offset %#x, but %#x bytes stand before it", off, have)
	}
	return nil
}
