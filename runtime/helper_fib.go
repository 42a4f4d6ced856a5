package runtime

import (
	"encoding/binary"
	"net/netip"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_fib_lookup": fibLookup,
		"bpf_check_mtu":  checkMTU,
	})
}

// struct bpf_fib_lookup (include/uapi/linux/bpf.h): offsets of its fields, several of
// which are one thing before the call and another after it.
const (
	fibFamily  = 0
	fibTotLen  = 6 // after: the MTU
	fibIfIndex = 8
	fibTos     = 12 // after: the route's metric
	fibSrc     = 16
	fibDst     = 32
	fibTable   = 48 // after: the VLAN tag
	fibSmac    = 52
	fibDmac    = 58
	fibSize    = 64
)

// Flags of bpf_fib_lookup (BPF_FIB_LOOKUP_*).
const (
	fibDirect    = 1 << 0 // ask one table, without the rules
	fibOutput    = 1 << 1 // ifindex is where the packet is to leave
	fibSkipNeigh = 1 << 2
	fibTBID      = 1 << 3
	fibWantSrc   = 1 << 4
	fibMark      = 1 << 5
	fibFlags     = 1<<6 - 1
)

// Answers of bpf_fib_lookup (BPF_FIB_LKUP_RET_*).
const (
	fibBlackhole   = 1
	fibUnreachable = 2
	fibProhibit    = 3
	fibNotFwded    = 4
	fibFwdDisabled = 5
	fibNoNeigh     = 7
	fibFragNeeded  = 8
	fibNoSrcAddr   = 9
)

// fibLookup is bpf_fib_lookup(ctx, params, plen, flags): how the kernel would forward
// a packet, by the routes and neighbours of the scenario's [World].
func fibLookup(e *Env, _, params, plen, flags, _ uint64) (uint64, error) {
	flags = uint64(uint32(flags))
	b, err := e.write(params, max(uint64(uint32(plen)), 0))
	if err != nil {
		return 0, err
	}
	family := byte(0)
	switch {
	case len(b) < fibSize || flags&^fibFlags != 0:
		return spec.EINVAL.Ret(), nil
	default:
		family = b[fibFamily]
	}
	if family != afInet && family != afInet6 {
		return spec.EAFNOSUPPORT.Ret(), nil
	}
	// XDP checks the MTU in any case, tc the length that the program gives, or else
	// that of the packet.
	xdp := e.prog.Type() == spec.ProgXDP
	total := uint32(binary.LittleEndian.Uint16(b[fibTotLen:]))
	ret := e.rt.World.forward(b, family == afInet6, flags, xdp || total != 0)
	if ret == 0 && !xdp && total == 0 {
		dev := e.rt.World.link(binary.LittleEndian.Uint32(b[fibIfIndex:]))
		if e.packet.len() > uint64(dev.MTU)+ethHeader+vlanHeader { // is_skb_forwardable
			ret = fibFragNeeded
		}
		binary.LittleEndian.PutUint16(b[fibTotLen:], uint16(dev.MTU))
	}
	return uint64(ret), nil
}

// forward is bpf_ipv4_fib_lookup and bpf_ipv6_fib_lookup: it fills the structure in.
func (w *World) forward(b []byte, v6 bool, flags uint64, checkMTU bool) int64 {
	src, dst := fibAddr(b[fibSrc:], v6), fibAddr(b[fibDst:], v6)
	if v6 && (needsStrict(src) || needsStrict(dst)) {
		return fibNotFwded
	}
	index := binary.LittleEndian.Uint32(b[fibIfIndex:])
	dev := w.link(index)
	switch {
	case dev == nil:
		return -int64(spec.ENODEV)
	case dev.NoForward:
		return fibFwdDisabled
	}
	table, out := uint32(0), uint32(0)
	if flags&fibDirect != 0 {
		if table = mainTable; flags&fibTBID != 0 {
			table = binary.LittleEndian.Uint32(b[fibTable:])
			binary.LittleEndian.PutUint32(b[fibTable:], 0)
		}
	}
	if flags&fibOutput != 0 {
		out = index
	}
	r := w.route(dst, table, out)
	if r == nil {
		return fibNotFwded
	}
	switch r.Type {
	case 0, RouteUnicast:
	case RouteBlackhole:
		return fibBlackhole
	case RouteUnreachable:
		return fibUnreachable
	case RouteProhibit:
		return fibProhibit
	default:
		return fibNotFwded
	}
	if dev = w.link(r.Link); dev == nil {
		return fibNotFwded
	}
	mtu := r.MTU
	if mtu == 0 {
		mtu = min(dev.MTU, 0xffff) // IP_MAX_MTU
	}
	if checkMTU && uint32(binary.LittleEndian.Uint16(b[fibTotLen:])) > mtu {
		binary.LittleEndian.PutUint16(b[fibTotLen:], uint16(mtu))
		return fibFragNeeded
	}
	binary.LittleEndian.PutUint32(b[fibTos:], r.Metric)
	binary.LittleEndian.PutUint32(b[fibIfIndex:], dev.Index)
	if flags&fibWantSrc != 0 && !w.source(b, r, dev, v6) {
		return fibNoSrcAddr
	}
	next := dst
	if r.Via.IsValid() {
		next = r.Via
		if next.Is6() && !v6 { // an IPv4 route by way of an IPv6 router
			b[fibFamily] = afInet6
		}
		putAddr(b[fibDst:], next)
	}
	if flags&fibSkipNeigh == 0 {
		n := w.neighbour(next, dev.Index)
		if n == nil {
			return fibNoNeigh
		}
		copy(b[fibDmac:], n.MAC[:])
		copy(b[fibSmac:], dev.MAC[:])
	}
	binary.LittleEndian.PutUint32(b[fibTable:], 0) // bpf_fib_set_fwd_params
	if checkMTU {
		binary.LittleEndian.PutUint16(b[fibTotLen:], uint16(mtu))
	}
	return 0
}

// source fills in the source address for a route: the preferred one, or an address of
// the interface. IPv4 goes without where there is none.
func (w *World) source(b []byte, r *Route, dev *NetLink, v6 bool) bool {
	src := r.Src
	for _, a := range dev.Addrs {
		if !src.IsValid() && a.Is6() == v6 {
			src = a
		}
	}
	switch {
	case src.IsValid():
		putAddr(b[fibSrc:], src)
	case v6:
		return false
	default:
		clear(b[fibSrc : fibSrc+4])
	}
	return true
}

// fibAddr reads an address of the lookup.
func fibAddr(b []byte, v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte(b))
	}
	return netip.AddrFrom4([4]byte(b))
}

func putAddr(b []byte, a netip.Addr) { copy(b, a.AsSlice()) }

// needsStrict is rt6_need_strict: addresses that are never forwarded.
func needsStrict(a netip.Addr) bool {
	return a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsLoopback()
}

// checkMTU is bpf_check_mtu(ctx, ifindex, mtu_len, len_diff, flags): 0 when the packet,
// or one of the length in *mtu_len, fits the interface, 1
// (BPF_MTU_CHK_RET_FRAG_NEEDED) when not; *mtu_len becomes the MTU.
func checkMTU(e *Env, _, ifindex, mtuLen, diff, flags uint64) (uint64, error) {
	const segments = 1 // BPF_MTU_CHK_SEGS
	p, err := e.write(mtuLen, 4)
	if err != nil {
		return 0, err
	}
	want := binary.LittleEndian.Uint32(p)
	xdp := e.prog.Type() == spec.ProgXDP
	switch {
	case xdp && flags != 0, flags&^segments != 0, flags&segments != 0 && (int32(diff) != 0 || want != 0):
		return spec.EINVAL.Ret(), nil
	}
	if uint32(ifindex) == 0 {
		ifindex = uint64(e.ifindex())
	}
	dev := e.rt.World.link(uint32(ifindex))
	if dev == nil {
		return spec.ENODEV.Ret(), nil
	}
	size := int32(e.packet.linear())
	if want != 0 {
		size = int32(want) + ethHeader
	}
	binary.LittleEndian.PutUint32(p, dev.MTU)
	if size+int32(diff) > int32(dev.MTU)+ethHeader {
		return 1, nil
	}
	return 0, nil
}

// ifindex is the interface of the packet.
func (e *Env) ifindex() uint32 {
	off := uint64(skbIfIndex)
	if e.prog.Type() == spec.ProgXDP {
		off = xdpMDIngress
	}
	return binary.LittleEndian.Uint32(e.rt.mem.Raw(e.ctx.Base+off, 4))
}
