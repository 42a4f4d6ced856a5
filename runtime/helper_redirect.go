package runtime

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_redirect":       tcDoRedirect,
		"bpf_redirect_peer":  redirectPeer,
		"bpf_redirect_neigh": redirectNeigh,
		"bpf_clone_redirect": cloneRedirect,
	}, spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgLWTXmit)
	register(map[string]helperFunc{"bpf_redirect_map": redirectMap}, spec.ProgXDP)
}

// redirectIngress is BPF_F_INGRESS.
const redirectIngress = 1 << 0

// tcShot is TC_ACT_SHOT, the answer to arguments that are not allowed.
const tcShot = 2

// tcDoRedirect is bpf_redirect of tc programs: TC_ACT_REDIRECT, or TC_ACT_SHOT for
// unknown flags.
func tcDoRedirect(e *Env, ifindex, flags, _, _, _ uint64) (uint64, error) {
	if flags&^redirectIngress != 0 {
		return tcShot, nil
	}
	e.redirect = &Redirect{IfIndex: uint32(ifindex), Flags: flags}
	return tcRedirect, nil
}

// redirectPeer is bpf_redirect_peer(ifindex, flags).
func redirectPeer(e *Env, ifindex, flags, _, _, _ uint64) (uint64, error) {
	if flags != 0 {
		return tcShot, nil
	}
	e.redirect = &Redirect{IfIndex: uint32(ifindex), Kind: "peer"}
	return tcRedirect, nil
}

// redirNeighSize is sizeof(struct bpf_redir_neigh): the address family in 4 bytes,
// then an address of 16.
const redirNeighSize = 20

// redirectNeigh is bpf_redirect_neigh(ifindex, params, plen, flags): the kernel looks
// the next hop up, or takes it from params, and writes the link-layer addresses.
func redirectNeigh(e *Env, ifindex, params, plen, flags, _ uint64) (uint64, error) {
	n := int32(plen)
	if n != 0 && uint32(n) < redirNeighSize || flags != 0 {
		return tcShot, nil
	}
	r := &Redirect{IfIndex: uint32(ifindex), Kind: "neigh"}
	if n != 0 {
		b, err := e.read(params, redirNeighSize)
		if err != nil {
			return 0, err
		}
		if family := binary.LittleEndian.Uint32(b); family == afInet6 {
			r.NextHop = netip.AddrFrom16([16]byte(b[4:]))
		} else {
			r.NextHop = netip.AddrFrom4([4]byte(b[4:]))
		}
	}
	e.redirect = r
	return tcRedirect, nil
}

// cloneRedirect is bpf_clone_redirect(skb, ifindex, flags): a copy of the packet is
// sent at once. Nothing refuses it here, so R0 is 0.
func cloneRedirect(e *Env, _, ifindex, flags, _, _ uint64) (uint64, error) {
	s, err := e.skb()
	if err != nil {
		return 0, err
	}
	if flags&^redirectIngress != 0 || e.rt.World.link(uint32(ifindex)) == nil {
		return spec.EINVAL.Ret(), nil
	}
	if !e.spend(int(s.p.linear())) {
		return spec.ENOMEM.Ret(), nil
	}
	e.clones = append(e.clones, Clone{
		Redirect: Redirect{IfIndex: uint32(ifindex), Flags: flags}, Packet: bytes.Clone(s.bytes()),
	})
	return 0, nil
}

// Flags of bpf_redirect_map (include/uapi/linux/bpf.h); the two lowest bits are the
// action to take when there is nothing at the key.
const (
	redirectActions        = 3
	redirectBroadcast      = 1 << 3
	redirectExcludeIngress = 1 << 4
)

// redirectMap is bpf_redirect_map(map, key, flags): XDP_REDIRECT to what the map
// holds at the key, or the action in flags (include/linux/filter.h,
// __bpf_xdp_redirect_map).
func redirectMap(e *Env, handle, key, flags, _, _ uint64) (uint64, error) {
	m, err := e.rt.mapAt(handle)
	if err != nil {
		return 0, err
	}
	allowed := uint64(redirectActions)
	switch m.Spec().Type {
	case spec.MapDevmap, spec.MapDevmapHash:
		allowed |= redirectBroadcast | redirectExcludeIngress
	case spec.MapCPUMap, spec.MapXSKMap:
	default:
		return 0, fmt.Errorf("map %q of type %s redirects nothing", m.Name(), m.Spec().Type)
	}
	if flags&^allowed != 0 {
		return 0, nil // XDP_ABORTED
	}
	value, errno := m.lookupElem(e.cpu, binary.LittleEndian.AppendUint32(nil, uint32(key)))
	if (errno != 0 || value == 0) && flags&redirectBroadcast == 0 {
		e.redirect = nil
		return flags & redirectActions, nil
	}
	e.redirect = &Redirect{Kind: "map", Map: m.Name(), Key: uint64(uint32(key)), Flags: flags &^ redirectActions}
	return xdpRedirect, nil
}
