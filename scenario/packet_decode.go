package scenario

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxLayers bounds the headers of one packet.
const maxLayers = 64

// Packet is a decoded packet: its headers from the outermost on, and the payload.
type Packet struct {
	Size    int      `json:"size"`
	Headers []Header `json:"headers"`
	// Payload is what the last header carries: its place in the packet.
	PayloadOff int `json:"payload_off"`
	PayloadLen int `json:"payload_len"`
	// Note says why decoding stopped early: "tcp: cut off, 10 of 20 bytes".
	Note string `json:"note,omitempty"`
}

// Header is one protocol's header in a packet.
type Header struct {
	Proto  string  `json:"proto"` // "eth", "ipv4", ...
	Off    int     `json:"off"`   // bytes from the start of the packet
	Len    int     `json:"len"`   // bytes, options included
	Fields []Field `json:"fields"`
}

// Field is one field of a header. Bits of less than a byte count from the most
// significant bit of the byte at Off.
type Field struct {
	Name  string `json:"name"`
	Off   int    `json:"off"` // bytes from the start of the packet
	Bit   int    `json:"bit,omitempty"`
	Bits  int    `json:"bits"`
	Value string `json:"value"`
}

// Bytes returns how many bytes the field touches.
func (f *Field) Bytes() int { return (f.Bit + f.Bits + 7) / 8 }

// Field returns the header's field of that name, or nil.
func (h *Header) Field(name string) *Field {
	for i := range h.Fields {
		if h.Fields[i].Name == name {
			return &h.Fields[i]
		}
	}
	return nil
}

// DecodePacket decodes an Ethernet frame. Any bytes decode to something: what is
// cut off or contradicts itself ends the headers, and Note says why.
func DecodePacket(b []byte) *Packet { return DecodePacketAs("eth", b) }

// DecodePacketAs decodes a packet that begins with another header: "ipv4", "ipv6",
// or "ip" where the first byte tells which.
func DecodePacketAs(first string, b []byte) *Packet {
	if first == "ip" {
		first = "ipv4"
		if len(b) > 0 && b[0]>>4 == 6 {
			first = "ipv6"
		}
	}
	d := decoder{b: b, p: &Packet{Size: len(b)}, end: len(b)}
	for next := first; next != ""; {
		if len(d.p.Headers) == maxLayers {
			d.p.Note = fmt.Sprintf("more than %d headers", maxLayers)
			break
		}
		next = d.header(next)
	}
	d.p.PayloadOff, d.p.PayloadLen = d.off, max(0, d.end-d.off)
	return d.p
}

type decoder struct {
	b   []byte
	p   *Packet
	off int
	end int // what the IP length leaves of the packet; after it comes padding
}

func (d *decoder) note(format string, args ...any) string {
	d.p.Note = fmt.Sprintf(format, args...)
	return ""
}

// header decodes one header and returns the name of the next, "" at the end.
func (d *decoder) header(name string) string {
	l := findLayer(name)
	if l == nil {
		return d.note("%s: unknown", name)
	}
	if rest := d.end - d.off; rest < l.size {
		if rest <= 0 {
			return d.note("%s: cut off, nothing of it is there", name)
		}
		return d.note("%s: cut off, %d of %d bytes", name, rest, l.size)
	}
	h := Header{Proto: name, Off: d.off, Len: l.size}
	raw := d.b[d.off:d.end]
	bit := 0
	for _, f := range l.fields {
		if f.name != "" {
			h.Fields = append(h.Fields, Field{
				Name: f.name, Off: d.off + bit/8, Bit: bit % 8, Bits: f.bits, Value: f.show(raw, bit),
			})
		}
		bit += f.bits
	}
	next := d.follow(&h, raw)
	d.p.Headers = append(d.p.Headers, h)
	d.off += h.Len
	return next
}

// follow looks at a header's own lengths and says what comes after it.
func (d *decoder) follow(h *Header, raw []byte) string {
	l := findLayer(h.Proto)
	get := func(name string) uint64 {
		off, f := l.place(name)
		return getBits(raw, off, f.bits)
	}
	switch h.Proto {
	case "eth", "vlan", "qinq":
		return etherNames[get("type")]
	case "ipv4":
		d.options(h, raw, "ihl", int(get("ihl")))
		d.limit("ipv4.len", int(get("len")))
		if get("frag") != 0 {
			return d.note("ipv4: a later fragment, its bytes belong to the middle of a packet")
		}
		return d.transport(get("proto"))
	case "ipv6":
		d.limit("ipv6.len", 40+int(get("len")))
		return d.transport(get("next"))
	case "hopopts", "dstopts", "routing":
		size := 8 * (1 + int(get("len"))) // RFC 8200, 4.3: in 8 bytes, without the first 8
		d.grow(h, raw, size, "data")
		return d.transport(get("next"))
	case "frag":
		if get("off") != 0 {
			return d.note("frag: a later fragment, its bytes belong to the middle of a packet")
		}
		return d.transport(get("next"))
	case "tcp":
		d.options(h, raw, "off", int(get("off")))
	}
	return ""
}

func (d *decoder) transport(proto uint64) string {
	return protoNames[proto]
}

// limit ends the packet where the IP header says.
func (d *decoder) limit(name string, size int) {
	switch have := d.end - d.off; {
	case size > have:
		d.note("%s says %d bytes, %d are there", name, size, have)
	case size > 0:
		d.end = d.off + size
	}
}

// options decodes what stands between the fixed header and the length in 32-bit
// words.
func (d *decoder) options(h *Header, raw []byte, field string, words int) {
	fixed := h.Len
	if 4*words < fixed {
		d.note("%s.%s is %d, less than the %d words of the header", h.Proto, field, words, fixed/4)
		return
	}
	d.grow(h, raw, 4*words, "opt")
	if h.Proto == "tcp" && h.Len > fixed {
		d.tcpOptions(h, raw[fixed:h.Len])
	}
}

// grow makes a header longer than its fixed part.
func (d *decoder) grow(h *Header, raw []byte, size int, name string) {
	fixed := h.Len
	if size > len(raw) {
		d.note("%s: cut off, %d of %d bytes", h.Proto, len(raw), size)
		size = len(raw)
	}
	if size <= fixed {
		return
	}
	h.Len = size
	if f := h.Field(name); f != nil {
		f.Bits = 8 * (size - (f.Off - h.Off))
		f.Value = hex.EncodeToString(raw[f.Off-h.Off : size])
		return
	}
	h.Fields = append(h.Fields, Field{Name: name, Off: h.Off + fixed, Bits: 8 * (size - fixed), Value: hex.EncodeToString(raw[fixed:size])})
}

// tcpOptions adds a field for each option that is known (RFC 9293, 3.2; RFC 7323).
func (d *decoder) tcpOptions(h *Header, opts []byte) {
	base := h.Off + h.Len - len(opts)
	for i := 0; i < len(opts) && opts[i] != 0; {
		if opts[i] == 1 {
			i++
			continue
		}
		if i+1 == len(opts) || opts[i+1] < 2 || i+int(opts[i+1]) > len(opts) {
			d.note("tcp: option %d has no valid length", opts[i])
			return
		}
		kind, body := opts[i], opts[i+2:i+int(opts[i+1])]
		name, value := "", ""
		switch {
		case kind == 2 && len(body) == 2:
			name, value = "opt.mss", strconv.FormatUint(getBits(body, 0, 16), 10)
		case kind == 3 && len(body) == 1:
			name, value = "opt.wscale", strconv.Itoa(int(body[0]))
		case kind == 4 && len(body) == 0:
			name, value = "opt.sackok", "1"
		case kind == 8 && len(body) == 8:
			name, value = "opt.ts", fmt.Sprintf("%d/%d", getBits(body, 0, 32), getBits(body, 32, 32))
		}
		if name != "" {
			h.Fields = append(h.Fields, Field{Name: name, Off: base + i, Bits: 8 * (len(body) + 2), Value: value})
		}
		i += len(body) + 2
	}
}

// show prints a field's value.
func (f *fieldLayout) show(raw []byte, bit int) string {
	b := raw[bit/8:]
	switch f.form {
	case formMAC:
		return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5])
	case formIPv4:
		return netip.AddrFrom4([4]byte(b[:4])).String()
	case formIPv6:
		return netip.AddrFrom16([16]byte(b[:16])).String()
	}
	v := getBits(raw, bit, f.bits)
	switch f.form {
	case formEtherType:
		if n, ok := etherNames[v]; ok {
			return n
		}
		return fmt.Sprintf("%#04x", v)
	case formIPProto:
		if n, ok := protoNames[v]; ok {
			return n
		}
	case formHex:
		return fmt.Sprintf("%#x", v)
	case formTCPFlags:
		return showFlags(v)
	}
	return strconv.FormatUint(v, 10)
}

func showFlags(v uint64) string {
	var names []string
	for i, n := range tcpFlags {
		if v>>i&1 != 0 {
			names = append(names, n)
		}
	}
	if names == nil {
		return "0"
	}
	return strings.Join(names, "|")
}

// Stack is the chain of protocols: "eth/vlan/ipv4/tcp".
func (p *Packet) Stack() string {
	names := make([]string, len(p.Headers))
	for i, h := range p.Headers {
		names[i] = h.Proto
	}
	return strings.Join(names, "/")
}

// Summary is the packet in a few words: "60B eth/arp", "44B eth/ipv4 (tcp: cut
// off, 10 of 20 bytes)".
func (p *Packet) Summary() string {
	s := strconv.Itoa(p.Size) + "B"
	if len(p.Headers) > 0 {
		s += " " + p.Stack()
	}
	if p.Note != "" {
		s += " (" + p.Note + ")"
	}
	return s
}

// String is the packet as a tree of headers and fields, with the offset of each
// header.
func (p *Packet) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, p.Summary())
	for _, h := range p.Headers {
		fmt.Fprintf(&b, "%4d %s:", h.Off, h.Proto)
		for _, f := range h.Fields {
			fmt.Fprintf(&b, " %s=%s", f.Name, f.Value)
		}
		b.WriteByte('\n')
	}
	if p.PayloadLen > 0 {
		fmt.Fprintf(&b, "%4d payload: %d bytes\n", p.PayloadOff, p.PayloadLen)
	}
	if end := p.PayloadOff + p.PayloadLen; end < p.Size {
		fmt.Fprintf(&b, "%4d padding: %d bytes\n", end, p.Size-end)
	}
	return b.String()
}
