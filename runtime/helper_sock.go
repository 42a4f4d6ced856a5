package runtime

import (
	"encoding/binary"
	"net/netip"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_sk_lookup_tcp":         skLookup(protoTCP, true),
		"bpf_sk_lookup_udp":         skLookup(protoUDP, true),
		"bpf_skc_lookup_tcp":        skLookup(protoTCP, false),
		"bpf_sk_release":            skRelease,
		"bpf_sk_fullsock":           skFullsock,
		"bpf_tcp_sock":              tcpSock,
		"bpf_get_listener_sock":     getListenerSock,
		"bpf_sk_cgroup_id":          skCgroupID,
		"bpf_sk_ancestor_cgroup_id": skAncestorCgroupID,
	})
	register(map[string]helperFunc{"bpf_sk_assign": skAssign}, spec.ProgSchedCls, spec.ProgSchedAct)
	register(map[string]helperFunc{"bpf_sk_assign": skLookupAssign}, spec.ProgSKLookup)
}

// Sizes of the two forms of struct bpf_sock_tuple: two addresses and two ports.
const (
	tuple4 = 2*4 + 2*2
	tuple6 = 2*16 + 2*2
)

// skLookup makes bpf_sk_lookup_tcp and its siblings (ctx, tuple, tuple_size, netns,
// flags): the socket that a packet with these addresses is for, or NULL. There is one
// network namespace, the program's own, which a negative netns asks for. With full, a
// connection that is only beginning or has ended is not found, but its listener.
func skLookup(proto uint8, full bool) helperFunc {
	return func(e *Env, _, tuple, size, netns, flags uint64) (uint64, error) {
		b, err := e.read(tuple, uint64(uint32(size)))
		if err != nil {
			return 0, err
		}
		n := 4
		switch len(b) {
		case tuple4:
		case tuple6:
			n = 16
		default:
			return 0, nil
		}
		if flags != 0 || int32(netns) >= 0 {
			return 0, nil
		}
		at := func(i int) netip.AddrPort {
			a, _ := netip.AddrFromSlice(b[i*n : (i+1)*n])
			return netip.AddrPortFrom(a, binary.BigEndian.Uint16(b[2*n+2*i:]))
		}
		link := uint32(0)
		if e.packet != nil {
			link = e.ifindex()
		}
		s := e.rt.World.lookup(proto, at(0), at(1), link)
		if s == nil || full && !s.full() {
			return 0, nil
		}
		ref, err := e.rt.sockAddr(s)
		if err != nil {
			return 0, nil
		}
		return ref.sock, nil
	}
}

// skRelease is bpf_sk_release(sock).
func skRelease(e *Env, addr, _, _, _, _ uint64) (uint64, error) {
	_, err := e.sock(addr)
	return 0, err
}

// skFullsock is bpf_sk_fullsock(sk).
func skFullsock(e *Env, addr, _, _, _, _ uint64) (uint64, error) {
	r, err := e.sock(addr)
	if err != nil || !r.s.full() {
		return 0, err
	}
	return r.sock, nil
}

// tcpSock is bpf_tcp_sock(sk).
func tcpSock(e *Env, addr, _, _, _, _ uint64) (uint64, error) {
	r, err := e.sock(addr)
	if err != nil || !r.s.full() || r.s.Protocol != protoTCP {
		return 0, err
	}
	return r.tcp, nil
}

// getListenerSock is bpf_get_listener_sock(sk).
func getListenerSock(e *Env, addr, _, _, _, _ uint64) (uint64, error) {
	r, err := e.sock(addr)
	if err != nil || r.s.state() != TCPListen {
		return 0, err
	}
	return r.sock, nil
}

func skCgroupID(e *Env, addr, _, _, _, _ uint64) (uint64, error) {
	r, err := e.sock(addr)
	if err != nil {
		return 0, err
	}
	return r.s.CgroupID, nil
}

// skAncestorCgroupID is bpf_sk_ancestor_cgroup_id(sk, level).
func skAncestorCgroupID(e *Env, addr, level, _, _, _ uint64) (uint64, error) {
	r, err := e.sock(addr)
	if err != nil {
		return 0, err
	}
	return e.rt.ancestor(r.s.CgroupID, level), nil
}

// skAssign is bpf_sk_assign of tc programs (skb, sk, flags): the packet goes to the
// socket, past the lookup.
func skAssign(e *Env, _, addr, flags, _, _ uint64) (uint64, error) {
	if addr == 0 || flags != 0 {
		return spec.EINVAL.Ret(), nil
	}
	r, err := e.sock(addr)
	if err != nil {
		return 0, err
	}
	e.assigned = r.s
	return 0, nil
}

// Flags of bpf_sk_assign of sk_lookup programs.
const (
	lookupReplace     = 1 << 0 // BPF_SK_LOOKUP_F_REPLACE
	lookupNoReuseport = 1 << 1 // BPF_SK_LOOKUP_F_NO_REUSEPORT
)

// Fields of struct bpf_sk_lookup: u64 cookie or sk; then
const (
	skLookupFamily   = 8
	skLookupProtocol = 12
)

// skLookupAssign is bpf_sk_assign of sk_lookup programs (ctx, sk, flags): the result
// of the lookup (bpf_sk_lookup_assign).
func skLookupAssign(e *Env, ctx, addr, flags, _, _ uint64) (uint64, error) {
	if flags&^(lookupReplace|lookupNoReuseport) != 0 {
		return spec.EINVAL.Ret(), nil
	}
	var s *Socket
	if addr != 0 {
		r, err := e.sock(addr)
		if err != nil {
			return 0, err
		}
		s = r.s
		b, err := e.read(ctx, 16)
		if err != nil {
			return 0, err
		}
		family, proto := binary.LittleEndian.Uint32(b[skLookupFamily:]), binary.LittleEndian.Uint32(b[skLookupProtocol:])
		want := uint32(TCPListen)
		if s.Protocol == protoUDP {
			want = TCPClose
		}
		v4 := s.Local.Addr().Is4()
		switch {
		case s.state() != want:
			return spec.ESOCKTNOSUPPORT.Ret(), nil
		case uint32(s.Protocol) != proto:
			return spec.EPROTOTYPE.Ret(), nil
		case v4 != (family == afInet) && (v4 || s.V6Only):
			return spec.EAFNOSUPPORT.Ret(), nil
		}
	}
	if e.assigned != nil && flags&lookupReplace == 0 {
		return spec.EEXIST.Ret(), nil
	}
	e.assigned = s
	return 0, nil
}
