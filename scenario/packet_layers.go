package scenario

// form is how a field of a header is written.
type form uint8

const (
	formNumber form = iota
	formHex         // a number, printed in hexadecimal
	formMAC
	formIPv4
	formIPv6
	formEtherType
	formIPProto
	formTCPFlags
)

// fieldLayout is one field of a header. Fields follow each other without gaps, in
// the order of the wire; those without a name are reserved bits.
type fieldLayout struct {
	name string
	bits int
	form form
	init uint64 // what the builder puts there when nothing is said
}

// layerLayout is the fixed part of a protocol's header.
type layerLayout struct {
	name   string
	fields []fieldLayout
	size   int // bytes of the fixed part
}

// EtherTypes that the decoder follows (IEEE 802 numbers; include/uapi/linux/if_ether.h).
const (
	etherIPv4  = 0x0800
	etherARP   = 0x0806
	etherVLAN  = 0x8100
	etherIPv6  = 0x86dd
	etherQinQ  = 0x88a8
	etherLocal = 0x88b5 // local experimental: payload of our own
)

// IP protocol numbers (include/uapi/linux/in.h, in6.h).
const (
	protoHopOpts  = 0
	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoRouting  = 43
	protoFragment = 44
	protoICMPv6   = 58
	protoNone     = 59
	protoDstOpts  = 60
	protoLocal    = 253 // experimental (RFC 3692): payload of our own
)

var etherNames = map[uint64]string{
	etherIPv4: "ipv4", etherARP: "arp", etherVLAN: "vlan", etherIPv6: "ipv6", etherQinQ: "qinq",
}

var protoNames = map[uint64]string{
	protoHopOpts: "hopopts", protoICMP: "icmp", protoTCP: "tcp", protoUDP: "udp", protoRouting: "routing",
	protoFragment: "frag", protoICMPv6: "icmpv6", protoDstOpts: "dstopts",
}

// tcpFlags are the flag bits from the least significant on (RFC 9293, 3.1).
var tcpFlags = []string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"}

var vlanFields = []fieldLayout{
	{name: "pcp", bits: 3}, {name: "dei", bits: 1}, {name: "id", bits: 12, init: 1}, {name: "type", bits: 16, form: formEtherType},
}

var icmpFields = []fieldLayout{
	{name: "type", bits: 8, init: 8}, {name: "code", bits: 8}, {name: "csum", bits: 16, form: formHex},
	{name: "id", bits: 16}, {name: "seq", bits: 16},
}

var optionFields = []fieldLayout{{name: "next", bits: 8, form: formIPProto}, {name: "len", bits: 8}, {name: "data", bits: 48, form: formHex}}

// protocols are all headers, each with its fields as the RFCs draw them: Ethernet
// (IEEE 802.3), 802.1Q, ARP (RFC 826), IPv4 (RFC 791), IPv6 (RFC 8200), TCP
// (RFC 9293), UDP (RFC 768), ICMP (RFC 792), ICMPv6 (RFC 4443).
var protocols = withSizes([]layerLayout{
	{name: "eth", fields: []fieldLayout{
		{name: "dst", bits: 48, form: formMAC, init: 0x020000000002},
		{name: "src", bits: 48, form: formMAC, init: 0x020000000001},
		{name: "type", bits: 16, form: formEtherType},
	}},
	{name: "vlan", fields: vlanFields},
	{name: "qinq", fields: vlanFields},
	{name: "arp", fields: []fieldLayout{
		{name: "htype", bits: 16, init: 1}, {name: "ptype", bits: 16, form: formEtherType, init: etherIPv4},
		{name: "hlen", bits: 8, init: 6}, {name: "plen", bits: 8, init: 4}, {name: "op", bits: 16, init: 1},
		{name: "sha", bits: 48, form: formMAC, init: 0x020000000001}, {name: "spa", bits: 32, form: formIPv4, init: 0x0a000001},
		{name: "tha", bits: 48, form: formMAC}, {name: "tpa", bits: 32, form: formIPv4, init: 0x0a000002},
	}},
	{name: "ipv4", fields: []fieldLayout{
		{name: "version", bits: 4, init: 4}, {name: "ihl", bits: 4, init: 5}, {name: "tos", bits: 8, form: formHex}, {name: "len", bits: 16},
		{name: "id", bits: 16}, {name: "rf", bits: 1}, {name: "df", bits: 1}, {name: "mf", bits: 1}, {name: "frag", bits: 13},
		{name: "ttl", bits: 8, init: 64}, {name: "proto", bits: 8, form: formIPProto}, {name: "csum", bits: 16, form: formHex},
		{name: "src", bits: 32, form: formIPv4, init: 0x0a000001}, {name: "dst", bits: 32, form: formIPv4, init: 0x0a000002},
	}},
	{name: "ipv6", fields: []fieldLayout{
		{name: "version", bits: 4, init: 6}, {name: "tclass", bits: 8, form: formHex}, {name: "flow", bits: 20, form: formHex},
		{name: "len", bits: 16}, {name: "next", bits: 8, form: formIPProto, init: protoNone}, {name: "hlim", bits: 8, init: 64},
		{name: "src", bits: 128, form: formIPv6, init: 1}, {name: "dst", bits: 128, form: formIPv6, init: 2},
	}},
	{name: "hopopts", fields: optionFields},
	{name: "dstopts", fields: optionFields},
	{name: "routing", fields: []fieldLayout{
		{name: "next", bits: 8, form: formIPProto}, {name: "len", bits: 8}, {name: "type", bits: 8, init: 253}, {name: "left", bits: 8},
		{name: "data", bits: 32, form: formHex},
	}},
	{name: "frag", fields: []fieldLayout{
		{name: "next", bits: 8, form: formIPProto}, {bits: 8}, {name: "off", bits: 13}, {bits: 2}, {name: "mf", bits: 1}, {name: "id", bits: 32},
	}},
	{name: "tcp", fields: []fieldLayout{
		{name: "sport", bits: 16, init: 12345}, {name: "dport", bits: 16, init: 80}, {name: "seq", bits: 32}, {name: "ack", bits: 32},
		{name: "off", bits: 4, init: 5}, {bits: 4}, {name: "flags", bits: 8, form: formTCPFlags}, {name: "window", bits: 16, init: 65535},
		{name: "csum", bits: 16, form: formHex}, {name: "urgent", bits: 16},
	}},
	{name: "udp", fields: []fieldLayout{
		{name: "sport", bits: 16, init: 12345}, {name: "dport", bits: 16, init: 53}, {name: "len", bits: 16}, {name: "csum", bits: 16, form: formHex},
	}},
	{name: "icmp", fields: icmpFields},
	{name: "icmpv6", fields: icmpFields},
})

func withSizes(ls []layerLayout) []layerLayout {
	for i := range ls {
		bits := 0
		for _, f := range ls[i].fields {
			bits += f.bits
		}
		ls[i].size = bits / 8
	}
	return ls
}

func findLayer(name string) *layerLayout {
	for i := range protocols {
		if protocols[i].name == name {
			return &protocols[i]
		}
	}
	return nil
}

// place returns the bit offset of a field in its header, and the field.
func (l *layerLayout) place(name string) (int, *fieldLayout) {
	bit := 0
	for i := range l.fields {
		if f := &l.fields[i]; f.name == name && name != "" {
			return bit, f
		}
		bit += l.fields[i].bits
	}
	return 0, nil
}

// getBits reads a field of at most 64 bits in network order.
func getBits(b []byte, off, n int) uint64 {
	var v uint64
	for i := off; i < off+n; {
		take := min(8-i%8, off+n-i)
		part := b[i/8] >> (8 - i%8 - take) & byte(1<<take-1)
		v = v<<take | uint64(part)
		i += take
	}
	return v
}

// setBits stores a field of at most 64 bits in network order.
func setBits(b []byte, off, n int, v uint64) {
	for i := off + n; i > off; {
		take := min((i-1)%8+1, i-off)
		shift := (8 - i%8) % 8
		mask := byte(1<<take-1) << shift
		b[(i-1)/8] = b[(i-1)/8]&^mask | byte(v)<<shift&mask
		v >>= take
		i -= take
	}
}

// onesSum is the sum of the Internet checksum (RFC 1071), continued from a
// partial sum; fold ends it.
func onesSum(sum uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
		sum = sum&0xffff + sum>>16
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// fold ends an Internet checksum.
func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
