package runtime

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
	"bpfvm/vm"
)

// SKB is a packet in a socket buffer, for socket filters and tc programs.
//
// A tc program sees it from the Ethernet header on. A socket filter in the kernel
// sees what its socket receives: on a packet socket that is the same; a datagram
// socket strips headers, and BPF_PROG_TEST_RUN takes the Ethernet header off. Give
// Data as the program is to see it; Protocol is then needed too.
type SKB struct {
	Data     []byte
	Protocol uint16 // EtherType, as a number; 0: taken from an Ethernet header
	PktType  uint32 // PACKET_*; 0: for this host, unless the Ethernet address is one for many
	Mark     uint32
	Priority uint32
	IfIndex  uint32 // 0 means 1, the loopback device
	Ingress  uint32 // ingress_ifindex
	VLAN     uint32 // vlan_tci; not 0 means that vlan_present is 1
	Hash     uint32
	Queue    uint32
	Tstamp   uint64
	CB       [5]uint32
	CPU      int
}

// Fields of struct __sk_buff (include/uapi/linux/bpf.h).
const (
	skbLen       = 0
	skbPktType   = 4
	skbMark      = 8
	skbQueue     = 12
	skbProtocol  = 16
	skbVLANHave  = 20
	skbVLANTCI   = 24
	skbVLANProto = 28
	skbPriority  = 32
	skbIngress   = 36
	skbIfIndex   = 40
	skbCB        = 48
	skbHash      = 68
	skbData      = 76
	skbDataEnd   = 80
	skbDataMeta  = 140
	skbTstamp    = 152
	skbWireLen   = 160
	skbSize      = 192
)

const (
	// skbHeadroom is NET_SKB_PAD + NET_IP_ALIGN on x86-64.
	skbHeadroom = 64
	// skbTailroom is what helpers can add behind the packet.
	skbTailroom = 320
	// skbMaxLen bounds a packet as the largest GSO packet is (GSO_MAX_SIZE).
	skbMaxLen = 8 * 65535
	// ethP8021Q is ETH_P_8021Q.
	ethP8021Q = 0x8100
)

func (s *SKB) accepts(t spec.ProgType) bool {
	return t == spec.ProgSocketFilter || t == spec.ProgSchedCls || t == spec.ProgSchedAct
}

func (s *SKB) on() int { return s.CPU }

func (s *SKB) setup(e *Env, p *Program) (*vm.Region, error) {
	if len(s.Data) > skbMaxLen {
		return nil, fmt.Errorf("packet of %d bytes: at most %d: %w", len(s.Data), skbMaxLen, spec.EINVAL)
	}
	direct := p.Type() != spec.ProgSocketFilter
	perm := vm.PermNone
	if direct {
		perm = vm.PermRW
	}
	pkt, err := e.newPacket(s.Data, skbHeadroom, skbTailroom, perm)
	if err != nil {
		return nil, err
	}
	e.packet = pkt
	if !direct {
		// LD_ABS reads the packet although the program has no pointer to it.
		pkt.write = vm.PermRead
		pkt.protect()
	}
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, skbSize, vm.PermRead)
	if err != nil {
		return nil, err
	}
	s.fill(e.rt.mem.Raw(ctx.Base, skbSize))
	layout := p.Type().Ctx()
	for i := range layout.Fields {
		if f := &layout.Fields[i]; f.WritableBy(p.Type()) {
			e.rt.mem.Protect(ctx.Base+uint64(f.Off), uint64(f.Size), vm.PermRW)
		}
	}
	pkt.sync = func() {
		b := e.rt.mem.Raw(ctx.Base, skbSize)
		binary.LittleEndian.PutUint32(b[skbLen:], uint32(pkt.len()))
		e.m.PktData, e.m.PktEnd = pkt.r.Start, pkt.r.End
		if direct {
			binary.LittleEndian.PutUint32(b[skbData:], uint32(pkt.r.Start))
			binary.LittleEndian.PutUint32(b[skbDataEnd:], uint32(pkt.r.End))
			binary.LittleEndian.PutUint32(b[skbDataMeta:], uint32(pkt.meta))
		}
	}
	pkt.sync()
	return ctx, nil
}

// fill writes the fields that do not depend on where the packet lies.
func (s *SKB) fill(b []byte) {
	put := func(off int, v uint32) { binary.LittleEndian.PutUint32(b[off:], v) }
	proto := s.Protocol
	if proto == 0 && len(s.Data) >= ethHeader {
		proto = binary.BigEndian.Uint16(s.Data[12:])
	}
	put(skbProtocol, uint32(proto>>8|proto<<8)) // network order, in a little-endian field
	put(skbPktType, s.pktType(proto))
	put(skbMark, s.Mark)
	put(skbPriority, s.Priority)
	ifindex := s.IfIndex
	if ifindex == 0 {
		ifindex = 1
	}
	put(skbIfIndex, ifindex)
	put(skbIngress, s.Ingress)
	put(skbQueue, s.Queue)
	put(skbHash, s.Hash)
	if s.VLAN != 0 {
		put(skbVLANHave, 1)
		put(skbVLANTCI, s.VLAN)
		put(skbVLANProto, ethP8021Q&0xff<<8|ethP8021Q>>8)
	}
	for i, v := range s.CB {
		put(skbCB+4*i, v)
	}
	binary.LittleEndian.PutUint64(b[skbTstamp:], s.Tstamp)
	put(skbWireLen, uint32(len(s.Data)))
}

// Kinds of packets by their destination (include/uapi/linux/if_packet.h).
const (
	packetBroadcast = 1
	packetMulticast = 2
)

// pktType is what eth_type_trans finds in the destination address.
func (s *SKB) pktType(proto uint16) uint32 {
	hasEther := len(s.Data) >= ethHeader && binary.BigEndian.Uint16(s.Data[12:]) == proto
	switch {
	case s.PktType != 0 || !hasEther || s.Data[0]&1 == 0:
		return s.PktType
	case bytes.Equal(s.Data[:6], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}):
		return packetBroadcast
	}
	return packetMulticast
}

// tcRedirect is the verdict that asks for a redirect (TC_ACT_REDIRECT).
const tcRedirect = 7

func (s *SKB) finish(e *Env, res *Result) {
	res.Packet = e.packet.bytes()
	if res.Prog.Type() != spec.ProgSocketFilter && uint32(res.R0) == tcRedirect {
		res.Redirect = e.redirect
	}
}
