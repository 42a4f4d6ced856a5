package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_skb_change_proto": onSKB(skbChangeProto),
		"bpf_skb_change_type":  onSKB(skbChangeType),
		"bpf_skb_change_tail":  onSKB(skbChangeTail),
		"bpf_skb_change_head":  onSKB(skbChangeHead),
		"bpf_skb_adjust_room":  onSKB(skbAdjustRoom),
		"bpf_skb_vlan_push":    onSKB(skbVLANPush),
		"bpf_skb_vlan_pop":     onSKB(skbVLANPop),
	})
	register(map[string]helperFunc{
		"bpf_skb_adjust_room": onSKB(skSKBAdjustRoom),
	}, spec.ProgSKSKB)
}

// onSKB makes a helper of a function on the socket buffer, with R2 to R5, whose
// result is 0 or an error number.
func onSKB(fn func(s *skb, a2, a3, a4, a5 uint64) spec.Errno) helperFunc {
	return func(e *Env, _, a2, a3, a4, a5 uint64) (uint64, error) {
		s, err := e.skb()
		if err != nil {
			return 0, err
		}
		return fn(s, a2, a3, a4, a5).Ret(), nil
	}
}

// Ethernet's numbers for protocols (include/uapi/linux/if_ether.h).
const (
	ethPIP     = 0x0800
	ethPIPv6   = 0x86dd
	ethP8021AD = 0x88a8
	ethP802_3  = 0x0001
	ethP802_2  = 0x0004
	// ethMinType is ETH_P_802_3_MIN: smaller numbers are lengths.
	ethMinType = 0x0600
)

// skbMaxAlloc is BPF_SKB_MAX_LEN (net/core/filter.c): SKB_MAX_ALLOC, four pages less
// the shared info.
const skbMaxAlloc = 4*pageSize - xdpSharedInfo

// Lengths of IP headers without options.
const (
	ipv4Header = 20
	ipv6Header = 40
)

// skbChangeProto is bpf_skb_change_proto(skb, proto, flags): it makes room for a
// longer IP header, or takes the difference away, and leaves it to the program to
// write the new header (bpf_skb_proto_xlat).
func skbChangeProto(s *skb, proto, flags, _, _ uint64) spec.Errno {
	if flags != 0 {
		return spec.EINVAL
	}
	to := uint16(proto)>>8 | uint16(proto)<<8
	var errno spec.Errno
	switch from := s.protocol(); {
	case from == ethPIP && to == ethPIPv6:
		errno = s.push(s.p.network, ipv6Header-ipv4Header)
	case from == ethPIPv6 && to == ethPIP:
		errno = s.pop(s.p.network, ipv6Header-ipv4Header)
	default:
		return spec.ENOTSUPP
	}
	if errno == 0 {
		s.setProtocol(to)
		s.clearHash()
	}
	return errno
}

// packetOtherHost is PACKET_OTHERHOST, the last kind that a program may set.
const packetOtherHost = 3

// skbChangeType is bpf_skb_change_type(skb, type).
func skbChangeType(s *skb, typ, _, _, _ uint64) spec.Errno {
	now := s.field(skbPktType)
	if uint32(typ) > packetOtherHost || binary.LittleEndian.Uint32(now) > packetOtherHost {
		return spec.EINVAL
	}
	binary.LittleEndian.PutUint32(now, uint32(typ))
	return 0
}

// skbChangeTail is bpf_skb_change_tail(skb, len, flags): the packet ends after len
// bytes; new ones are zero.
func skbChangeTail(s *skb, size, flags, _, _ uint64) spec.Errno {
	size = uint64(uint32(size))
	if flags != 0 || size > skbMaxAlloc || size < s.p.network {
		return spec.EINVAL
	}
	if s.encap {
		return spec.ENOTSUPP
	}
	if old := s.p.linear(); size > old {
		if errno := s.p.reserve(0, size-old); errno != 0 {
			return errno
		}
		clear(s.e.rt.mem.Raw(s.p.r.End, size-old))
	}
	s.p.move(s.p.meta, s.p.r.Start, s.p.r.Start+size)
	return 0
}

// skbChangeHead is bpf_skb_change_head(skb, len, flags): room for a link-layer
// header before the packet.
func skbChangeHead(s *skb, room, flags, _, _ uint64) spec.Errno {
	room = uint64(uint32(room))
	if flags != 0 || s.p.linear()+room > skbMaxAlloc {
		return spec.EINVAL
	}
	if errno := s.push(0, room); errno != 0 {
		return errno
	}
	s.p.network += room
	return 0
}

// Modes and flags of bpf_skb_adjust_room (include/uapi/linux/bpf.h).
const (
	roomNet = 0 // BPF_ADJ_ROOM_NET: behind the network header
	roomMAC = 1 // BPF_ADJ_ROOM_MAC: behind the link-layer header

	roomFixedGSO    = 1 << 0
	roomEncapIPv4   = 1 << 1
	roomEncapIPv6   = 1 << 2
	roomEncapGRE    = 1 << 3
	roomEncapUDP    = 1 << 4
	roomNoCsumReset = 1 << 5
	roomEncapEth    = 1 << 6
	roomDecapIPv4   = 1 << 7
	roomDecapIPv6   = 1 << 8
	roomEncapL2     = 0xff << 56 // length of the inner link-layer header

	roomEncap = roomEncapIPv4 | roomEncapIPv6
	roomDecap = roomDecapIPv4 | roomDecapIPv6
	roomFlags = roomFixedGSO | roomEncap | roomEncapGRE | roomEncapUDP | roomEncapEth | roomDecap | roomEncapL2
)

// baseLen is bpf_skb_net_base_len: the least network header of the protocol.
func (s *skb) baseLen() uint64 {
	if s.protocol() == ethPIP {
		return ipv4Header
	}
	return ipv6Header
}

// skbAdjustRoom is bpf_skb_adjust_room(skb, len_diff, mode, flags).
func skbAdjustRoom(s *skb, diff, mode, flags, _ uint64) spec.Errno {
	n := int64(int32(diff))
	shrink, size := n < 0, uint64(max(n, -n))
	switch proto := s.protocol(); {
	case flags&^(roomFlags|roomNoCsumReset) != 0:
		return spec.EINVAL
	case size > 0xfff:
		return spec.EFAULT
	case proto != ethPIP && proto != ethPIPv6:
		return spec.ENOTSUPP
	}
	off, least := s.p.network, s.baseLen()
	switch uint32(mode) {
	case roomNet:
		off += least
	case roomMAC:
	default:
		return spec.ENOTSUPP
	}
	switch decap := flags & roomDecap; {
	case decap == 0:
	case !shrink || decap == roomDecap:
		return spec.EINVAL
	case decap == roomDecapIPv4:
		least = ipv4Header
	default:
		least = ipv6Header
	}
	var errno spec.Errno
	if shrink {
		now := s.p.linear() - s.p.network
		if s.p.linear() < s.p.network || size >= now || now-size < least {
			return spec.ENOTSUPP
		}
		errno = s.shrink(off, size, flags)
	} else {
		if s.p.linear()+size > skbMaxAlloc {
			return spec.ENOTSUPP
		}
		errno = s.grow(off, size, flags)
	}
	if errno == 0 && flags&roomNoCsumReset == 0 {
		s.summed, s.level = false, 0
	}
	return errno
}

// grow is bpf_skb_net_grow.
func (s *skb) grow(off, n, flags uint64) spec.Errno {
	encap, inner := flags&roomEncap != 0, flags>>56
	if encap {
		switch {
		case flags&roomEncap == roomEncap,
			flags&(roomEncapGRE|roomEncapUDP) == roomEncapGRE|roomEncapUDP,
			flags&roomEncapEth != 0 && inner < ethHeader:
			return spec.EINVAL
		case s.encap:
			return spec.EALREADY
		case inner > n:
			return spec.EINVAL
		}
	}
	if errno := s.push(off, n); errno != 0 {
		return errno
	}
	if encap {
		s.encap = true
		if flags&roomEncapIPv6 != 0 {
			s.setProtocol(ethPIPv6)
		} else {
			s.setProtocol(ethPIP)
		}
	}
	return 0
}

// shrink is bpf_skb_net_shrink.
func (s *skb) shrink(off, n, flags uint64) spec.Errno {
	if flags&^(roomFixedGSO|roomDecap|roomNoCsumReset) != 0 {
		return spec.EINVAL
	}
	if errno := s.pop(off, n); errno != 0 {
		return errno
	}
	switch flags & roomDecap {
	case roomDecapIPv6:
		s.setProtocol(ethPIPv6)
	case roomDecapIPv4:
		s.setProtocol(ethPIP)
	}
	return 0
}

// skSKBAdjustRoom is sk_skb_adjust_room: at the start of the data, without flags.
func skSKBAdjustRoom(s *skb, diff, mode, flags, _ uint64) spec.Errno {
	n := int64(int32(diff))
	switch {
	case flags != 0 || uint32(mode) != 0:
		return spec.EINVAL
	case n > 0xfff || n < -0xfff:
		return spec.EFAULT
	case n >= 0:
		return s.push(0, uint64(n))
	}
	return s.pop(0, uint64(-n))
}

// The outer VLAN tag is kept beside the packet, others are in it. vlanHeader is
// VLAN_HLEN.
const vlanHeader = 4

// skbVLANPush is bpf_skb_vlan_push(skb, proto, tci): a tag that was beside the packet
// goes into it, the new one is beside it.
func skbVLANPush(s *skb, proto, tci, _, _ uint64) spec.Errno {
	outer := uint16(proto)>>8 | uint16(proto)<<8
	if outer != ethP8021Q && outer != ethP8021AD {
		outer = ethP8021Q
	}
	if p, t, ok := s.vlan(); ok { // __vlan_insert_tag
		if errno := s.push(2*6, vlanHeader); errno != 0 {
			return errno
		}
		binary.BigEndian.PutUint16(s.bytes()[12:], p)
		binary.BigEndian.PutUint16(s.bytes()[14:], t)
		s.setProtocol(p)
	}
	s.setVLAN(outer, uint16(tci), true)
	return 0
}

// skbVLANPop is bpf_skb_vlan_pop(skb): it drops the outer tag; the next one, if there
// is one, comes out of the packet.
func skbVLANPop(s *skb, _, _, _, _ uint64) spec.Errno {
	if _, _, ok := s.vlan(); ok {
		s.setVLAN(0, 0, false)
	} else {
		if !isVLAN(s.protocol()) {
			return 0
		}
		if _, errno := s.untag(); errno != 0 {
			return errno
		}
	}
	proto := s.protocol()
	if !isVLAN(proto) {
		return 0
	}
	tci, errno := s.untag()
	if errno == 0 {
		s.setVLAN(proto, tci, true)
	}
	return errno
}

func isVLAN(proto uint16) bool { return proto == ethP8021Q || proto == ethP8021AD }

// untag is __skb_vlan_pop: it takes the first tag out of the packet.
func (s *skb) untag() (tci uint16, errno spec.Errno) {
	if s.p.linear() < ethHeader+vlanHeader {
		return 0, spec.ENOMEM
	}
	b := s.bytes()
	tci = binary.BigEndian.Uint16(b[14:])
	proto := binary.BigEndian.Uint16(b[16:])
	if proto < ethMinType { // vlan_set_encap_proto
		proto = ethP802_2
		if len(b) >= 20 && b[18] == 0xff && b[19] == 0xff {
			proto = ethP802_3
		}
	}
	s.setProtocol(proto)
	return tci, s.pop(2*6, vlanHeader)
}
