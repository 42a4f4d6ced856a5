package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_skb_get_tunnel_key": skbGetTunnelKey,
		"bpf_skb_set_tunnel_key": skbSetTunnelKey,
		"bpf_skb_get_tunnel_opt": skbGetTunnelOpt,
		"bpf_skb_set_tunnel_opt": skbSetTunnelOpt,
	})
}

// tunnelInfo is struct ip_tunnel_info (include/net/ip_tunnels.h): through which
// tunnel a packet came, or is to go. Addresses are in network order.
type tunnelInfo struct {
	id       uint32
	v6       bool
	src, dst [16]byte
	tos, ttl byte
	label    uint32
	flags    uint16 // bits by IP_TUNNEL_*_BIT
	opts     []byte
	tx       bool // made by bpf_skb_set_tunnel_key
}

// struct bpf_tunnel_key (include/uapi/linux/bpf.h); older forms end earlier.
//
//	0         4           20  21  22        24           28         44
//	| id      | remote    |tos|ttl| flags   | label      | local    |
const (
	tunKeySize   = 44
	tunKeyLocal  = 28 // the end of a form without the local address
	tunKeyLabel  = 24
	tunKeyExt    = 22
	tunKeyOldest = 8 // tunnel_id and remote_ipv4
)

// Flags of the tunnel helpers (include/uapi/linux/bpf.h).
const (
	tunIPv6      = 1 << 0 // BPF_F_TUNINFO_IPV6
	tunZeroCsum  = 1 << 1 // BPF_F_ZERO_CSUM_TX
	tunDontFrag  = 1 << 2 // BPF_F_DONT_FRAGMENT
	tunSeq       = 1 << 3 // BPF_F_SEQ_NUMBER
	tunNoKey     = 1 << 4 // BPF_F_NO_TUNNEL_KEY
	tunWantFlags = 1 << 4 // BPF_F_TUNINFO_FLAGS
)

// Bits of tunnelInfo.flags (include/net/ip_tunnels.h, IP_TUNNEL_*_BIT).
const (
	tunBitCsum     = 1 << 0
	tunBitKey      = 1 << 2
	tunBitSeq      = 1 << 3
	tunBitDontFrag = 1 << 8
	tunBitNoCache  = 1 << 13
	// tunBitOptions are IP_TUNNEL_OPTIONS_PRESENT: Geneve, VXLAN, ERSPAN, GTP.
	tunBitOptions = 1<<11 | 1<<12 | 1<<14 | 1<<15
	// tunOptsMax is IP_TUNNEL_OPTS_MAX.
	tunOptsMax = 255
)

// ipv6FlowLabel is IPV6_FLOWLABEL_MASK as a number.
const ipv6FlowLabel = 0xfffff

// skbGetTunnelKey is bpf_skb_get_tunnel_key(skb, key, size, flags).
func skbGetTunnelKey(e *Env, _, key, size, flags, _ uint64) (uint64, error) {
	s, err := e.skb()
	if err != nil {
		return 0, err
	}
	size = uint64(uint32(size))
	dst, err := e.write(key, size)
	if err != nil {
		return 0, err
	}
	clear(dst)
	t := s.tunnel
	switch {
	case t == nil || flags&^(tunIPv6|tunWantFlags) != 0:
		return spec.EINVAL.Ret(), nil
	case t.v6 != (flags&tunIPv6 != 0):
		return spec.EPROTO.Ret(), nil
	}
	switch size {
	case tunKeySize, tunKeyLocal, tunKeyLabel, tunKeyExt:
	case tunKeyOldest:
		if t.v6 {
			return spec.EINVAL.Ret(), nil
		}
	default:
		return spec.EINVAL.Ret(), nil
	}
	var b [tunKeySize]byte
	binary.LittleEndian.PutUint32(b[0:], t.id)
	b[20], b[21] = t.tos, t.ttl
	if flags&tunWantFlags != 0 {
		binary.BigEndian.PutUint16(b[22:], t.flags)
	}
	if t.v6 {
		copy(b[4:20], t.src[:])
		copy(b[28:], t.dst[:])
		binary.LittleEndian.PutUint32(b[24:], t.label)
	} else {
		binary.LittleEndian.PutUint32(b[4:], binary.BigEndian.Uint32(t.src[:]))
		binary.LittleEndian.PutUint32(b[28:], binary.BigEndian.Uint32(t.dst[:]))
	}
	copy(dst, b[:])
	return 0, nil
}

// skbSetTunnelKey is bpf_skb_set_tunnel_key(skb, key, size, flags): the packet goes
// through a tunnel to key's remote address when a collect_md device sends it.
func skbSetTunnelKey(e *Env, _, key, size, flags, _ uint64) (uint64, error) {
	s, err := e.skb()
	if err != nil {
		return 0, err
	}
	size = uint64(uint32(size))
	src, err := e.read(key, size)
	if err != nil {
		return 0, err
	}
	if flags&^(tunIPv6|tunZeroCsum|tunDontFrag|tunSeq|tunNoKey) != 0 {
		return spec.EINVAL.Ret(), nil
	}
	switch size {
	case tunKeySize, tunKeyLocal, tunKeyLabel, tunKeyExt, tunKeyOldest:
	default:
		return spec.EINVAL.Ret(), nil
	}
	var b [tunKeySize]byte
	copy(b[:], src)
	label, ext := binary.LittleEndian.Uint32(b[24:]), binary.LittleEndian.Uint16(b[22:])
	if flags&tunIPv6 == 0 && label != 0 || ext != 0 {
		return spec.EINVAL.Ret(), nil
	}
	t := &tunnelInfo{
		id: binary.LittleEndian.Uint32(b[0:]), v6: flags&tunIPv6 != 0, tos: b[20], ttl: b[21],
		flags: tunBitNoCache, tx: true,
	}
	for _, f := range []struct {
		bit uint16
		on  bool
	}{
		{tunBitDontFrag, flags&tunDontFrag != 0}, {tunBitCsum, flags&tunZeroCsum == 0},
		{tunBitSeq, flags&tunSeq != 0}, {tunBitKey, flags&tunNoKey == 0},
	} {
		if f.on {
			t.flags |= f.bit
		}
	}
	if t.v6 {
		copy(t.dst[:], b[4:20])
		copy(t.src[:], b[28:])
		t.label = label & ipv6FlowLabel
	} else {
		binary.BigEndian.PutUint32(t.dst[:], binary.LittleEndian.Uint32(b[4:]))
		binary.BigEndian.PutUint32(t.src[:], binary.LittleEndian.Uint32(b[28:]))
	}
	s.tunnel = t
	return 0, nil
}

// skbGetTunnelOpt is bpf_skb_get_tunnel_opt(skb, opt, size): the number of bytes of
// options, the rest of the memory is zeroed.
func skbGetTunnelOpt(e *Env, _, opt, size, _, _ uint64) (uint64, error) {
	s, err := e.skb()
	if err != nil {
		return 0, err
	}
	dst, err := e.write(opt, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	clear(dst)
	switch t := s.tunnel; {
	case t == nil || t.flags&tunBitOptions == 0:
		return spec.ENOENT.Ret(), nil
	case len(dst) < len(t.opts):
		return spec.ENOMEM.Ret(), nil
	default:
		return uint64(copy(dst, t.opts)), nil
	}
}

// skbSetTunnelOpt is bpf_skb_set_tunnel_opt(skb, opt, size), after
// bpf_skb_set_tunnel_key.
func skbSetTunnelOpt(e *Env, _, opt, size, _, _ uint64) (uint64, error) {
	s, err := e.skb()
	if err != nil {
		return 0, err
	}
	src, err := e.read(opt, uint64(uint32(size)))
	switch t := s.tunnel; {
	case err != nil:
		return 0, err
	case t == nil || !t.tx || len(src)%4 != 0:
		return spec.EINVAL.Ret(), nil
	case len(src) > tunOptsMax:
		return spec.ENOMEM.Ret(), nil
	default:
		t.opts = append([]byte(nil), src...)
		t.flags |= tunBitOptions
		return 0, nil
	}
}
