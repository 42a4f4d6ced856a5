package scenario

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// wordLayer is one part of a packet in words.
type wordLayer struct {
	layout *layerLayout // nil: raw bytes
	head   []byte       // header with its options
	set    map[string]bool
	raw    []byte
}

// PacketWords builds a packet from words:
//
//	eth(src=02:00:00:00:00:01)/vlan(id=5)/ipv4(dst=10.0.0.2,ttl=64)/tcp(dport=80,syn)/"payload"
//
// The parts are separated by "/" and go from the outer header to the payload;
// what is not said gets a sensible value. Types, protocols, lengths and checksums
// are computed, unless the words say otherwise: ipv4(csum=0) is a broken header
// on purpose. The payload is text in quotes, hex(0102ff) or zero(N). A final
// cut(N) throws everything after N bytes away, as a snap length does.
func PacketWords(text string) ([]byte, error) {
	s := &wordScanner{text: text}
	if len(text) > MaxPacket {
		return nil, errPacketSize
	}
	var parts []wordLayer
	cut := -1
	for {
		if cut >= 0 {
			return nil, s.errf("nothing can follow cut(N)")
		}
		if len(parts) == maxLayers {
			return nil, s.errf("more than %d parts", maxLayers)
		}
		part, n, err := s.part()
		if err != nil {
			return nil, err
		}
		if cut = n; cut < 0 {
			parts = append(parts, part)
		}
		if s.space(); s.off == len(s.text) {
			break
		}
		if s.text[s.off] != '/' {
			return nil, s.errf("\"/\" is wanted between the parts of a packet")
		}
		s.off++
	}
	out, err := assemble(parts)
	if err == nil && cut >= 0 {
		if cut > len(out) {
			return nil, fmt.Errorf("cut(%d): the packet has %d bytes", cut, len(out))
		}
		out = out[:cut]
	}
	return out, err
}

// wordScanner reads packets in words.
type wordScanner struct {
	text string
	off  int
}

func (s *wordScanner) errf(format string, args ...any) error {
	return fmt.Errorf("packet, byte %d: %s", s.off+1, fmt.Sprintf(format, args...))
}

func (s *wordScanner) space() {
	for s.off < len(s.text) && strings.IndexByte(" \t\r\n", s.text[s.off]) >= 0 {
		s.off++
	}
}

// until takes text up to one of the bytes, without blanks around it.
func (s *wordScanner) until(stop string) string {
	rest := s.text[s.off:]
	n := strings.IndexAny(rest, stop)
	if n < 0 {
		n = len(rest)
	}
	s.off += n
	return strings.TrimSpace(rest[:n])
}

// part takes one part; n is that of cut(n), else -1.
func (s *wordScanner) part() (part wordLayer, n int, err error) {
	s.space()
	if s.off < len(s.text) && (s.text[s.off] == '"' || s.text[s.off] == '\'') {
		raw, err := s.quoted()
		return wordLayer{raw: raw}, -1, err
	}
	start := s.off
	name := s.until("/(")
	args, err := s.args()
	if err != nil {
		return part, -1, err
	}
	switch name {
	case "hex":
		raw, err := PacketHex(strings.Join(args, " "))
		return wordLayer{raw: raw}, -1, err
	case "zero", "cut":
		n, err := strconv.ParseUint(strings.Join(args, ","), 0, 32)
		if err != nil || n > MaxPacket {
			return part, -1, s.errf("%s wants a number of bytes up to %d", name, MaxPacket)
		}
		if name == "cut" {
			return part, int(n), nil
		}
		return wordLayer{raw: make([]byte, n)}, -1, nil
	}
	l := findLayer(name)
	if l == nil {
		known := []string{"hex", "zero", "cut"}
		for _, l := range protocols {
			known = append(known, l.name)
		}
		s.off = start
		return part, -1, s.errf("unknown part %q%s", name, didYouMean(name, known))
	}
	part = wordLayer{layout: l, head: make([]byte, l.size), set: map[string]bool{}}
	for i := range l.fields {
		part.put(&l.fields[i], l.fields[i].init)
	}
	if l.name == "ipv6" { // 2001:db8::1 and ::2, the documentation prefix
		for _, off := range []int{8, 24} {
			copy(part.head[off:], []byte{0x20, 0x01, 0x0d, 0xb8})
		}
	}
	if l.name == "icmpv6" {
		part.head[0] = 128 // echo request (RFC 4443, 4.1)
	}
	for _, a := range args {
		if err := part.arg(a); err != nil {
			return part, -1, s.errf("%v", err)
		}
	}
	return part, -1, nil
}

// args takes what stands in parentheses, if anything does.
func (s *wordScanner) args() ([]string, error) {
	s.space()
	if s.off == len(s.text) || s.text[s.off] != '(' {
		return nil, nil
	}
	var out []string
	for {
		s.off++ // ( or ,
		a := s.until(",)")
		if s.off == len(s.text) {
			return nil, s.errf("\")\" is missing")
		}
		if a != "" {
			out = append(out, a)
		}
		if s.text[s.off] == ')' {
			s.off++
			return out, nil
		}
	}
}

func (s *wordScanner) quoted() ([]byte, error) {
	if s.text[s.off] == '\'' {
		end := strings.IndexByte(s.text[s.off+1:], '\'')
		if end < 0 {
			return nil, s.errf("the text has no end")
		}
		raw := s.text[s.off+1 : s.off+1+end]
		s.off += end + 2
		return []byte(raw), nil
	}
	q, err := strconv.QuotedPrefix(s.text[s.off:])
	if err != nil {
		return nil, s.errf("the text has no end")
	}
	s.off += len(q)
	raw, err := strconv.Unquote(q)
	return []byte(raw), err
}

// put stores a field; 128-bit ones keep their upper half.
func (w *wordLayer) put(f *fieldLayout, v uint64) {
	off, _ := w.layout.place(f.name)
	if f.name == "" {
		return
	}
	if f.bits > 64 {
		setBits(w.head, off+f.bits-64, 64, v)
		return
	}
	setBits(w.head, off, f.bits, v)
}

// arg stores one FIELD=VALUE or FLAG.
func (w *wordLayer) arg(a string) error {
	name, text, valued := strings.Cut(a, "=")
	name, text = strings.TrimSpace(name), strings.TrimSpace(text)
	l := w.layout
	if !valued {
		if i := slices.Index(tcpFlags, name); i >= 0 && l.name == "tcp" {
			w.head[13] |= 1 << i
			return nil
		}
		if _, f := l.place(name); f != nil && f.bits == 1 {
			w.put(f, 1)
			return nil
		}
	}
	if name == "opt" && (l.name == "ipv4" || l.name == "tcp") {
		return w.options(text)
	}
	off, f := l.place(name)
	if f == nil {
		var known []string
		for _, f := range l.fields {
			known = append(known, f.name)
		}
		if l.name == "tcp" {
			known = append(known, tcpFlags...)
		}
		return fmt.Errorf("%s has no field %q%s", l.name, name, didYouMean(name, known))
	}
	if !valued {
		return fmt.Errorf("%s.%s wants a value", l.name, name)
	}
	w.set[name] = true
	if f.form == formIPv6 {
		addr, err := netip.ParseAddr(text)
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return fmt.Errorf("%s.%s: %q is not an IPv6 address", l.name, name, text)
		}
		b := addr.As16()
		copy(w.head[off/8:], b[:])
		return nil
	}
	v, err := f.parse(text)
	if err == nil && f.bits < 64 && v>>f.bits != 0 {
		err = fmt.Errorf("%s does not fit into %d bits", text, f.bits)
	}
	if err != nil {
		return fmt.Errorf("%s.%s: %w", l.name, name, err)
	}
	setBits(w.head, off, f.bits, v)
	return nil
}

// options appends the options of IPv4 and TCP, filled up to 32-bit words with
// zeros (End of Option List), and counts them in the header's length.
func (w *wordLayer) options(text string) error {
	raw, err := parseHexBytes(text)
	if err != nil {
		return fmt.Errorf("%s.opt: %w", w.layout.name, err)
	}
	raw = append(raw, make([]byte, (4-len(raw)%4)%4)...)
	w.head = append(w.head, raw...)
	if len(w.head) > 60 {
		return fmt.Errorf("%s.opt: more than 40 bytes of options", w.layout.name)
	}
	name := map[string]string{"ipv4": "ihl", "tcp": "off"}[w.layout.name]
	if _, f := w.layout.place(name); !w.set[name] {
		w.put(f, uint64(len(w.head)/4))
	}
	return nil
}

// parse reads a field's value.
func (f *fieldLayout) parse(text string) (uint64, error) {
	byName := func(names map[uint64]string) (uint64, bool) {
		for v, n := range names {
			if n == text {
				return v, true
			}
		}
		return 0, false
	}
	switch f.form {
	case formMAC:
		b, err := parseHexBytes(strings.ReplaceAll(text, "-", ":"))
		if err != nil || len(b) != 6 {
			return 0, fmt.Errorf("%q is not a MAC address", text)
		}
		return getBits(b, 0, 48), nil
	case formIPv4:
		addr, err := netip.ParseAddr(text)
		if err != nil || !addr.Is4() {
			return 0, fmt.Errorf("%q is not an IPv4 address", text)
		}
		b := addr.As4()
		return getBits(b[:], 0, 32), nil
	case formEtherType:
		if v, ok := byName(etherNames); ok {
			return v, nil
		}
	case formIPProto:
		if v, ok := byName(protoNames); ok {
			return v, nil
		}
	case formTCPFlags:
		if v, ok := parseFlags(text); ok {
			return v, nil
		}
	}
	v, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return v, nil
}

func parseFlags(text string) (uint64, bool) {
	var v uint64
	for name := range strings.SplitSeq(text, "|") {
		i := slices.Index(tcpFlags, strings.ToLower(name))
		if i < 0 {
			return 0, false
		}
		v |= 1 << i
	}
	return v, true
}

// assemble joins the parts, from the payload outwards, and computes what the
// words left open.
func assemble(parts []wordLayer) ([]byte, error) {
	if len(parts) == 0 {
		return nil, errors.New("an empty packet")
	}
	size := 0
	for i := range parts {
		size += len(parts[i].head) + len(parts[i].raw)
	}
	if size > MaxPacket {
		return nil, errPacketSize
	}
	if size == 0 {
		return nil, errors.New("an empty packet")
	}
	out := make([]byte, size)
	at := size
	for i := len(parts) - 1; i >= 0; i-- {
		w := &parts[i]
		at -= len(w.head) + len(w.raw)
		copy(out[at:], w.raw)
		if w.layout == nil {
			continue
		}
		inner := size - at // header and everything in it
		if err := w.link(parts[i+1:], inner); err != nil {
			return nil, err
		}
		copy(out[at:], w.head)
		w.checksum(out[at:], parts[:i])
	}
	return out, nil
}

// link fills in what the following parts decide: types and lengths.
func (w *wordLayer) link(after []wordLayer, inner int) error {
	fill := func(name string, v uint64) error {
		_, f := w.layout.place(name)
		if f == nil || w.set[name] {
			return nil
		}
		if v>>f.bits != 0 {
			return fmt.Errorf("%s.%s: %d bytes do not fit into %d bits; say %s=N", w.layout.name, name, v, f.bits, name)
		}
		w.put(f, v)
		return nil
	}
	next := "payload"
	if len(after) == 0 {
		next = ""
	} else if after[0].layout != nil {
		next = after[0].layout.name
	}
	switch w.layout.name {
	case "eth", "vlan", "qinq":
		return fill("type", numberOf(etherNames, next, etherLocal))
	case "ipv4":
		return errors.Join(fill("proto", numberOf(protoNames, next, protoLocal)), fill("len", uint64(inner)))
	case "ipv6":
		return errors.Join(fill("next", nextHeader(next)), fill("len", uint64(inner-40)))
	case "hopopts", "dstopts":
		if !w.set["data"] {
			w.head[2], w.head[3] = 1, 4 // PadN over all of it (RFC 8200, 4.2)
		}
		return fill("next", nextHeader(next))
	case "routing", "frag":
		return fill("next", nextHeader(next))
	case "udp":
		return fill("len", uint64(inner))
	}
	return nil
}

func numberOf(names map[uint64]string, name string, other uint64) uint64 {
	for v, n := range names {
		if n == name {
			return v
		}
	}
	return other
}

func nextHeader(next string) uint64 {
	if next == "" {
		return protoNone
	}
	return numberOf(protoNames, next, protoLocal)
}

// checksum computes the header's checksum over b, which holds the header and all
// that it carries.
func (w *wordLayer) checksum(b []byte, outer []wordLayer) {
	off, f := w.layout.place("csum")
	if f == nil || w.set["csum"] {
		return
	}
	off /= 8
	b[off], b[off+1] = 0, 0
	over, sum := b, uint32(0)
	switch w.layout.name {
	case "ipv4":
		over = b[:len(w.head)]
	case "tcp", "udp", "icmpv6":
		proto := numberOf(protoNames, w.layout.name, 0)
		sum = pseudoSum(outer, proto, len(b))
	}
	c := fold(onesSum(sum, over))
	if c == 0 && w.layout.name == "udp" {
		c = 0xffff // 0 means "no checksum" (RFC 768)
	}
	b[off], b[off+1] = byte(c>>8), byte(c)
}

// pseudoSum sums the pseudo header of the innermost IP header around a transport
// header (RFC 9293, 3.1; RFC 8200, 8.1).
func pseudoSum(outer []wordLayer, proto uint64, size int) uint32 {
	for _, w := range slices.Backward(outer) {
		var addrs []byte
		switch {
		case w.layout == nil:
			continue
		case w.layout.name == "ipv4":
			addrs = w.head[12:20]
		case w.layout.name == "ipv6":
			addrs = w.head[8:40]
		default:
			continue
		}
		sum := onesSum(0, addrs)
		return onesSum(sum, []byte{byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size), 0, byte(proto)})
	}
	return 0
}
