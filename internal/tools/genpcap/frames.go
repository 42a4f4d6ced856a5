package main

import (
	"encoding/binary"
	"math"
	"slices"
)

// frame is one packet with what it is there for.
type frame struct {
	what    string
	verdict uint32 // what the firewall returns (enum xdp_action)
	data    []byte
}

// Verdicts (include/uapi/linux/bpf.h, enum xdp_action).
const (
	xdpAborted = iota
	xdpDrop
	xdpPass
	xdpTX
)

// Ethernet types and IP protocol numbers (IANA).
const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806
	typeVLAN = 0x8100
	typeQinQ = 0x88a8
	typeIPv6 = 0x86dd
	typeLLDP = 0x88cc

	protoICMP = 1
	protoTCP  = 6
	protoUDP  = 17
)

// firewallFrames takes each path through testdata/xdp/firewall.c once.
func firewallFrames() []frame {
	return []frame{
		{"ARP request, dropped", xdpDrop, eth(typeARP, arp())},
		{"ICMP echo, forwarded", xdpPass, eth(typeIPv4, ipv4(protoICMP, 64, nil, icmp()))},
		{"TCP to 443, forwarded", xdpPass, eth(typeIPv4, ipv4(protoTCP, 64, nil, tcp(443, nil)))},
		{"TCP to 7, sent back", xdpTX, eth(typeIPv4, ipv4(protoTCP, 64, nil, tcp(7, nil)))},
		{"UDP to 5353, blocked", xdpDrop, eth(typeIPv4, ipv4(protoUDP, 255, nil, udp(5353, "mdns")))},
		{"UDP to 53, forwarded", xdpPass, eth(typeIPv4, ipv4(protoUDP, 64, nil, udp(53, "query")))},
		{"UDP to 53 in a VLAN, forwarded", xdpPass, eth(typeVLAN, vlan(100, typeIPv4, ipv4(protoUDP, 64, nil, udp(53, "query"))))},
		{"ARP in two VLANs, dropped", xdpDrop, eth(typeQinQ, vlan(7, typeVLAN, vlan(8, typeARP, arp())))},
		{"TCP to 443 over IPv6, passed", xdpPass, eth(typeIPv6, ipv6(protoTCP, tcp(443, nil)))},
		{"UDP to 5353 over IPv6, blocked", xdpDrop, eth(typeIPv6, ipv6(protoUDP, udp(5353, "mdns")))},
		{"TTL runs out, dropped", xdpDrop, eth(typeIPv4, ipv4(protoUDP, 1, nil, udp(53, "query")))},
		{"cut off in the TCP header, aborted", xdpAborted, eth(typeIPv4, ipv4(protoTCP, 64, nil, tcp(443, nil)))[:44]},
		{"UDP to 53 behind IP options, forwarded", xdpPass, eth(typeIPv4, ipv4(protoUDP, 64, []byte{1, 1, 1, 0, 0, 0, 0, 0}, udp(53, "query")))},
		{"first fragment of UDP to 53, forwarded", xdpPass, eth(typeIPv4, fragment(ipv4(protoUDP, 64, nil, udp(53, "first half"))))},
		{"LLDP, passed", xdpPass, eth(typeLLDP, make([]byte, 46))},
	}
}

// benchFrames holds a frame of the greatest usual size, and one whose headers are
// as long as they get in practice.
func benchFrames() []frame {
	payload := make([]byte, 1472)
	for i := range payload {
		payload[i] = byte(i*7 + i>>8)
	}
	options := []byte{
		2, 4, 0x05, 0xb4, // maximum segment size 1460
		4, 2, // selective acknowledgements permitted
		8, 10, 0, 0, 0x12, 0x34, 0, 0, 0x56, 0x78, // timestamps
		1,       // no operation
		3, 3, 7, // window scale
	}
	return []frame{
		{what: "UDP, 1514 bytes", data: eth(typeIPv4, ipv4(protoUDP, 64, nil, udp(9, string(payload))))},
		{what: "two VLANs, IP options, TCP options", data: eth(typeQinQ, vlan(7, typeVLAN, vlan(100, typeIPv4,
			ipv4(protoTCP, 64, []byte{1, 1, 1, 0}, tcp(443, options)))))},
	}
}

// operandFrames holds edge values for the programs of testdata/insn: struct
// operands {s64 a, b; s32 c, d; s16 e; s8 f} and padding to a valid frame.
func operandFrames() []frame {
	table := []struct {
		a, b int64
		c, d int32
		e    int16
		f    int8
	}{
		{100, 7, 100, 7, 100, 100},
		{-100, 7, -100, 7, -100, -100},
		{100, -7, 100, -7, -1, 1},
		{math.MinInt64, -1, math.MinInt32, -1, math.MinInt16, math.MinInt8},
		{-5, 0, -5, 0, 0, 0}, // division by zero: 0; modulo by zero: the dividend
		{math.MaxInt64, math.MinInt64, math.MaxInt32, math.MinInt32, math.MaxInt16, math.MaxInt8},
		{0x0123456789abcdef, 0x1122334455667788, 0x12345678, 0x7fff8000, 0x1234, 0x56},
		{0x80, 0x8000, 0x8080, 1, -0x80, -1}, // sign bits of the narrow moves
	}
	var frames []frame
	for _, o := range table {
		b := make([]byte, 0, 64)
		b = binary.LittleEndian.AppendUint64(b, uint64(o.a))
		b = binary.LittleEndian.AppendUint64(b, uint64(o.b))
		b = binary.LittleEndian.AppendUint32(b, uint32(o.c))
		b = binary.LittleEndian.AppendUint32(b, uint32(o.d))
		b = binary.LittleEndian.AppendUint16(b, uint16(o.e))
		b = append(b, uint8(o.f))
		frames = append(frames, frame{data: append(b, make([]byte, 64-len(b))...)})
	}
	return frames
}

func eth(typ uint16, payload []byte) []byte {
	b := []byte{0x02, 0, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0x02}
	b = binary.BigEndian.AppendUint16(b, typ)
	return append(b, payload...)
}

func vlan(id, typ uint16, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = binary.BigEndian.AppendUint16(b, typ)
	return append(b, payload...)
}

// arp asks who has 192.0.2.1.
func arp() []byte {
	return []byte{
		0, 1, 8, 0, 6, 4, 0, 1,
		0x02, 0, 0, 0, 0, 0x02, 192, 0, 2, 2,
		0, 0, 0, 0, 0, 0, 192, 0, 2, 1,
	}
}

// ipv4 goes from 192.0.2.N to 198.51.100.1, N being the protocol, so that the
// firewall's map of sources has several keys.
func ipv4(proto, ttl byte, options, payload []byte) []byte {
	size := 20 + len(options)
	b := []byte{4<<4 | byte(size/4), 0}
	b = binary.BigEndian.AppendUint16(b, uint16(size+len(payload)))
	b = append(b, 0x12, 0x34, 0x40, 0, ttl, proto, 0, 0)
	b = append(b, 192, 0, 2, proto, 198, 51, 100, 1)
	b = append(b, options...)
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	fillChecksum(proto, b[12:20], payload)
	return append(b, payload...)
}

// fragment sets "more fragments" in an IPv4 header without options.
func fragment(ip []byte) []byte {
	ip[6], ip[7], ip[10], ip[11] = 0x20, 0, 0, 0
	binary.BigEndian.PutUint16(ip[10:], checksum(ip[:20]))
	return ip
}

// ipv6 goes from 2001:db8::2 to 2001:db8::1.
func ipv6(next byte, payload []byte) []byte {
	b := []byte{6 << 4, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, next, 64)
	for _, last := range []byte{2, 1} {
		b = append(b, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last)
	}
	fillChecksum(next, b[8:40], payload)
	return append(b, payload...)
}

func icmp() []byte {
	b := []byte{8, 0, 0, 0, 0, 1, 0, 1, 'p', 'i', 'n', 'g'}
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return b
}

func udp(port uint16, payload string) []byte {
	b := binary.BigEndian.AppendUint16(nil, 40000)
	b = binary.BigEndian.AppendUint16(b, port)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}

// tcp is a SYN.
func tcp(port uint16, options []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, 40000)
	b = binary.BigEndian.AppendUint16(b, port)
	b = append(b, 0, 0, 0x10, 0, 0, 0, 0, 0)
	b = append(b, byte((20+len(options))/4)<<4, 0x02, 0xfa, 0xf0, 0, 0, 0, 0)
	return append(b, options...)
}

// fillChecksum completes a TCP or UDP header, over the pseudo header too
// (RFC 9293, section 3.1; RFC 768).
func fillChecksum(proto byte, addrs, segment []byte) {
	at := map[byte]int{protoTCP: 16, protoUDP: 6}[proto]
	if at == 0 {
		return
	}
	pseudo := slices.Concat(addrs, []byte{0, proto, byte(len(segment) >> 8), byte(len(segment))}, segment)
	binary.BigEndian.PutUint16(segment[at:], checksum(pseudo))
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for i, c := range b {
		sum += uint32(c) << (8 * (1 - i&1))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
