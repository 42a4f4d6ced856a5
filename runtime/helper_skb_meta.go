package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_get_hash_recalc":    getHashRecalc,
		"bpf_set_hash":           onSKB(setHash),
		"bpf_set_hash_invalid":   onSKB(setHashInvalid),
		"bpf_skb_set_tstamp":     onSKB(skbSetTstamp),
		"bpf_skb_ecn_set_ce":     skbECNSetCE,
		"bpf_skb_get_xfrm_state": skbGetXfrmState,
		"bpf_get_cgroup_classid": noClass,
		"bpf_skb_cgroup_classid": noClass,
		"bpf_get_route_realm":    noClass,
	})
}

// noClass is the answer of helpers about traffic control classes and realms, of which
// there are none.
func noClass(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil }

// setHash is bpf_set_hash(skb, hash).
func setHash(s *skb, hash, _, _, _ uint64) spec.Errno {
	binary.LittleEndian.PutUint32(s.field(skbHash), uint32(hash))
	return 0
}

// setHashInvalid is bpf_set_hash_invalid(skb).
func setHashInvalid(s *skb, _, _, _, _ uint64) spec.Errno {
	s.clearHash()
	return 0
}

// getHashRecalc is bpf_get_hash_recalc(skb): the hash of the packet's flow, computed
// when there is none. The kernel's depends on a random key, ours on the addresses,
// the protocol and the ports alone.
func getHashRecalc(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	s, err := e.skb()
	if err != nil {
		return 0, err
	}
	h := s.field(skbHash)
	if binary.LittleEndian.Uint32(h) == 0 {
		binary.LittleEndian.PutUint32(h, max(jhash(s.flow()), 1))
	}
	return uint64(binary.LittleEndian.Uint32(h)), nil
}

// flow returns what identifies the packet's flow: addresses, protocol and ports as
// far as they are there.
func (s *skb) flow() []byte {
	b := s.bytes()
	b = b[min(s.p.network, uint64(len(b))):]
	var key []byte
	proto, ports := byte(0), 0
	switch {
	case s.protocol() == ethPIP && len(b) >= ipv4Header:
		key, proto, ports = append(key, b[12:20]...), b[9], int(b[0]&0xf)*4
	case s.protocol() == ethPIPv6 && len(b) >= ipv6Header:
		key, proto, ports = append(key, b[8:40]...), b[6], ipv6Header
	}
	key = append(key, proto)
	if (proto == protoTCP || proto == protoUDP) && len(b) >= ports+4 {
		key = append(key, b[ports:ports+4]...)
	}
	return append(key, make([]byte, -len(key)&3)...)
}

// Clocks of bpf_skb_set_tstamp (include/uapi/linux/bpf.h).
const (
	clockRealtime  = 0
	clockMonotonic = 1
	clockTAI       = 2

	skbTstampType = 180 // offset in struct __sk_buff
)

// skbSetTstamp is bpf_skb_set_tstamp(skb, tstamp, tstamp_type).
func skbSetTstamp(s *skb, tstamp, clock, _, _ uint64) spec.Errno {
	switch proto := s.protocol(); {
	case proto != ethPIP && proto != ethPIPv6:
		return spec.EOPNOTSUPP
	case uint32(clock) > clockTAI || uint32(clock) != clockRealtime && tstamp == 0:
		return spec.EINVAL
	}
	binary.LittleEndian.PutUint64(s.e.rt.mem.Raw(s.e.ctx.Base+skbTstamp, 8), tstamp)
	s.field(skbTstampType)[0] = byte(clock)
	return 0
}

// skbECNSetCE is bpf_skb_ecn_set_ce(skb): it marks the packet as having met
// congestion; 1 when it is marked, 0 when its sender does not take part
// (include/net/inet_ecn.h, INET_ECN_set_ce).
func skbECNSetCE(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	s, err := e.skb()
	if err != nil {
		return 0, err
	}
	b := s.bytes()
	ip := b[min(s.p.network, uint64(len(b))):]
	switch proto := s.protocol(); {
	case proto == ethPIP && len(ip) >= ipv4Header:
		ecn := (ip[1] + 1) & 3 // not taking part: 1, taking part: 2 or 3, marked: 0
		if ecn&2 == 0 {
			return uint64(1 &^ (ecn & 1)), nil
		}
		// The checksum grows by what the field grows by.
		sum := uint64(binary.BigEndian.Uint16(ip[10:])) + 0xfffb + uint64(ecn)
		binary.BigEndian.PutUint16(ip[10:], fold(sum))
		ip[1] |= 3
		return 1, nil
	case proto == ethPIPv6 && len(ip) >= ipv6Header:
		if ip[1]>>4&3 == 0 {
			return 0, nil
		}
		ip[1] |= 3 << 4
		return 1, nil
	}
	return 0, nil
}

// skbGetXfrmState is bpf_skb_get_xfrm_state: no packet here came through IPsec.
func skbGetXfrmState(e *Env, _, _, state, size, _ uint64) (uint64, error) {
	b, err := e.write(state, uint64(uint32(size)))
	clear(b)
	return spec.EINVAL.Ret(), err
}
