package runtime

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
	"bpfvm/vm"
)

// SKB is a packet in a socket buffer: for socket filters, tc, cgroup_skb, lwt_*,
// sk_skb and flow dissectors. What the buffer begins with depends on the hook:
//
//	tc, flow_dissector   the Ethernet header
//	cgroup_skb, lwt_*    the network header
//	sk_skb               the payload of the stream
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
	// Fields are further fields by name (struct __sk_buff): family, remote_ip4.
	Fields []FieldValue
	// Sock are fields of the socket that sk points to. It is NULL without any,
	// except for the types that only see packets of sockets.
	Sock []FieldValue
	CPU  int
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
	skbFlowKeys  = 144
	skbTstamp    = 152
	skbWireLen   = 160
	skbSock      = 168
	skbSize      = 192
)

// struct bpf_flow_keys: its size and two of its fields (include/uapi/linux/bpf.h).
const (
	flowKeysNhoff  = 0
	flowKeysNProto = 10
	flowKeysSize   = 56
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

// skbAccess says how programs of a type reach the packet's bytes through data and
// data_end (net/core/filter.c and kernel/bpf/verifier.c, may_access_direct_pkt_data).
var skbAccess = map[spec.ProgType]vm.Perm{
	spec.ProgSocketFilter: vm.PermNone,
	spec.ProgSchedCls:     vm.PermRW, spec.ProgSchedAct: vm.PermRW,
	spec.ProgLWTXmit: vm.PermRW, spec.ProgSKSKB: vm.PermRW,
	spec.ProgCgroupSKB: vm.PermRead, spec.ProgFlowDissector: vm.PermRead,
	spec.ProgLWTIn: vm.PermRead, spec.ProgLWTOut: vm.PermRead, spec.ProgLWTSeg6Local: vm.PermRead,
}

// hasSocket reports whether buffers of the type always belong to a socket.
func hasSocket(t spec.ProgType) bool { return t == spec.ProgCgroupSKB || t == spec.ProgSKSKB }

// hasEthernet reports whether the types' packets begin with an Ethernet header.
func hasEthernet(t spec.ProgType) bool {
	return t == spec.ProgSocketFilter || t == spec.ProgSchedCls || t == spec.ProgSchedAct || t == spec.ProgFlowDissector
}

func (s *SKB) accepts(t spec.ProgType) bool {
	_, ok := skbAccess[t]
	return ok
}

func (s *SKB) on() int { return s.CPU }

func (s *SKB) setup(e *Env, p *Program) (*vm.Region, error) {
	if len(s.Data) > skbMaxLen {
		return nil, fmt.Errorf("packet of %d bytes: at most %d: %w", len(s.Data), skbMaxLen, spec.EINVAL)
	}
	perm := skbAccess[p.Type()]
	direct := perm != vm.PermNone
	pkt, err := e.newPacket(s.Data, skbHeadroom, skbTailroom, perm)
	if err != nil {
		return nil, err
	}
	if e.packet = pkt; hasEthernet(p.Type()) {
		pkt.network = ethHeader
	}
	if !direct {
		// LD_ABS reads the packet although the program has no pointer to it.
		pkt.write = vm.PermRead
		pkt.protect()
	}
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, skbSize, vm.PermRead)
	if err != nil {
		return nil, err
	}
	layout := p.Type().Ctx()
	s.fill(e.rt.mem.Raw(ctx.Base, skbSize))
	if p.Type() == spec.ProgCgroupSKB || p.Type() == spec.ProgSKSKB {
		family := uint64(afInet)
		if len(s.Data) > 0 && s.Data[0]>>4 == 6 {
			family = afInet6
		}
		put := []FieldValue{Number("family", family)}
		if err := putFields(e.rt.mem.Raw(ctx.Base, skbSize), layout, put); err != nil {
			return nil, err
		}
	}
	if err := putFields(e.rt.mem.Raw(ctx.Base, skbSize), layout, s.Fields); err != nil {
		return nil, err
	}
	e.openWritable(ctx, layout, p.Type())
	if err := s.pointers(e, ctx, p.Type()); err != nil {
		return nil, err
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

// pointers fills the fields that point to other structures.
func (s *SKB) pointers(e *Env, ctx *vm.Region, t spec.ProgType) error {
	put := func(off, v uint64) { binary.LittleEndian.PutUint64(e.rt.mem.Raw(ctx.Base+off, 8), v) }
	if s.Sock != nil || hasSocket(t) {
		sk, err := e.newSock(s.Sock)
		if err != nil {
			return err
		}
		put(skbSock, sk)
	}
	if t != spec.ProgFlowDissector {
		return nil
	}
	keys, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionScratch, flowKeysSize, vm.PermRW)
	if err != nil {
		return err
	}
	// net/bpf/test_run.c, bpf_prog_test_run_flow_dissector
	b := e.rt.mem.Raw(keys.Base, keys.Size)
	binary.LittleEndian.PutUint16(b[flowKeysNhoff:], ethHeader)
	if len(s.Data) >= ethHeader {
		copy(b[flowKeysNProto:flowKeysNProto+2], s.Data[12:14])
	}
	e.flowKeys = keys
	put(skbFlowKeys, keys.Base)
	return nil
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
	switch res.Prog.Type() {
	case spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgLWTXmit: // BPF_REDIRECT is the same number
		if uint32(res.R0) == tcRedirect {
			res.Redirect = e.redirect
		}
	case spec.ProgFlowDissector:
		res.Output = bytes.Clone(e.rt.mem.Raw(e.flowKeys.Base, flowKeysSize))
	}
}
