package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_skb_load_bytes":          skbLoadBytes,
		"bpf_skb_load_bytes_relative": skbLoadBytesRelative,
	}, spec.ProgSocketFilter, spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgCgroupSKB, spec.ProgSKSKB, spec.ProgFlowDissector,
		spec.ProgLWTIn, spec.ProgLWTOut, spec.ProgLWTXmit, spec.ProgLWTSeg6Local)
	register(map[string]helperFunc{
		"bpf_skb_store_bytes": skbStoreBytes,
		"bpf_skb_pull_data":   skbPullData,
		"bpf_l3_csum_replace": l3CsumReplace,
		"bpf_l4_csum_replace": l4CsumReplace,
		"bpf_csum_update":     csumUpdate,
		"bpf_redirect":        tcDoRedirect,
	}, spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgLWTXmit)
	register(map[string]helperFunc{"bpf_skb_store_bytes": skbStoreBytes, "bpf_skb_pull_data": skbPullData}, spec.ProgSKSKB)
	register(map[string]helperFunc{"bpf_skb_pull_data": skbPullData}, spec.ProgLWTIn, spec.ProgLWTOut, spec.ProgLWTSeg6Local)
	register(map[string]helperFunc{"bpf_csum_diff": csumDiff},
		spec.ProgXDP, spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgLWTIn, spec.ProgLWTOut, spec.ProgLWTXmit, spec.ProgLWTSeg6Local)
}

// Flags of the helpers on socket buffers (include/uapi/linux/bpf.h).
const (
	skbRecompute      = 1 << 0 // BPF_F_RECOMPUTE_CSUM
	skbInvalidateHash = 1 << 1 // BPF_F_INVALIDATE_HASH
	csumFieldMask     = 0xf    // BPF_F_HDR_FIELD_MASK: size of what changed
	csumPseudo        = 1 << 4 // BPF_F_PSEUDO_HDR
	csumMangled0      = 1 << 5 // BPF_F_MARK_MANGLED_0
	csumEnforce       = 1 << 6 // BPF_F_MARK_ENFORCE
	csumIPv6          = 1 << 7 // BPF_F_IPV6
)

// maxOffset is INT_MAX, the largest offset into a packet.
const maxOffset = 1<<31 - 1

// skbLoadBytes is bpf_skb_load_bytes(skb, offset, to, len): on failure the memory
// is zeroed.
func skbLoadBytes(e *Env, _, offset, to, size, _ uint64) (uint64, error) {
	dst, err := e.write(to, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	off := uint64(uint32(offset))
	if off > maxOffset || !e.packet.has(off, uint64(len(dst))) {
		clear(dst)
		return spec.EFAULT.Ret(), nil
	}
	e.packet.copyOut(dst, off)
	return 0, nil
}

// skbLoadBytesRelative is bpf_skb_load_bytes_relative(skb, offset, to, len, start):
// from the link-layer header (0), where the packet begins here, or from the network
// header (1): 14 bytes on, or where the packet begins on hooks without Ethernet.
func skbLoadBytesRelative(e *Env, ctx, offset, to, size, start uint64) (uint64, error) {
	dst, err := e.write(to, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	if uint32(offset) > 0xffff || uint32(start) > 1 {
		clear(dst)
		return spec.EFAULT.Ret(), nil
	}
	return skbLoadBytes(e, ctx, uint64(uint32(offset))+e.packet.network*uint64(uint32(start)), to, size, 0)
}

// skbStoreBytes is bpf_skb_store_bytes(skb, offset, from, len, flags). The flags
// concern the checksum and the hash that the socket buffer carries, not the packet.
func skbStoreBytes(e *Env, _, offset, from, size, flags uint64) (uint64, error) {
	src, err := e.read(from, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	off := uint64(uint32(offset))
	switch {
	case flags&^(skbRecompute|skbInvalidateHash) != 0:
		return spec.EINVAL.Ret(), nil
	case off > maxOffset || !e.packet.has(off, uint64(len(src))):
		return spec.EFAULT.Ret(), nil
	}
	e.packet.copyIn(off, src)
	if flags&skbInvalidateHash != 0 {
		binary.LittleEndian.PutUint32(e.rt.mem.Raw(e.ctx.Base+skbHash, 4), 0)
	}
	return 0, nil
}

// skbPullData is bpf_skb_pull_data: packets here lie in one piece and are
// writable, so there is nothing to pull.
func skbPullData(e *Env, _, size, _, _, _ uint64) (uint64, error) {
	if !e.packet.has(0, uint64(uint32(size))) {
		return spec.ENOMEM.Ret(), nil
	}
	return 0, nil
}

// field returns the two bytes of a checksum in the packet.
func (p *packet) field(offset uint64) ([]byte, spec.Errno) {
	off := uint64(uint32(offset))
	if off > 0xffff || off&1 != 0 || !p.has(off, 2) {
		return nil, spec.EFAULT
	}
	return p.e.rt.mem.Raw(p.r.Start+off, 2), 0
}

// l3CsumReplace is bpf_l3_csum_replace(skb, offset, from, to, flags): it corrects
// the checksum at an offset for a field that changes from one value to another, of
// 2 or 4 bytes, or for a difference (0) that bpf_csum_diff computed.
func l3CsumReplace(e *Env, _, offset, from, to, flags uint64) (uint64, error) {
	if flags&^csumFieldMask != 0 {
		return spec.EINVAL.Ret(), nil
	}
	sum, errno := e.packet.field(offset)
	if errno == 0 {
		errno = replaceCsum(sum, from, to, flags&csumFieldMask)
	}
	return errno.Ret(), nil
}

// l4CsumReplace is bpf_l4_csum_replace: the same for TCP and UDP, where a checksum
// of 0 means that there is none.
func l4CsumReplace(e *Env, _, offset, from, to, flags uint64) (uint64, error) {
	if flags&^(csumFieldMask|csumPseudo|csumMangled0|csumEnforce|csumIPv6) != 0 {
		return spec.EINVAL.Ret(), nil
	}
	sum, errno := e.packet.field(offset)
	if errno != 0 {
		return errno.Ret(), nil
	}
	isZero := func() bool { return sum[0] == 0 && sum[1] == 0 }
	if flags&csumMangled0 != 0 && flags&csumEnforce == 0 && isZero() {
		return 0, nil
	}
	if errno := replaceCsum(sum, from, to, flags&csumFieldMask); errno != 0 {
		return errno.Ret(), nil
	}
	if flags&csumMangled0 != 0 && isZero() {
		sum[0], sum[1] = 0xff, 0xff // CSUM_MANGLED_0
	}
	return 0, nil
}

// replaceCsum updates an Internet checksum (RFC 1624, equation 3:
// HC' = ~(~HC + ~m + m')).
func replaceCsum(sum []byte, from, to, size uint64) spec.Errno {
	old := uint64(^binary.LittleEndian.Uint16(sum))
	switch size {
	case 0:
		if from != 0 {
			return spec.EINVAL
		}
		old += uint64(uint32(to))
	case 2:
		old += uint64(^uint16(from)) + uint64(uint16(to))
	case 4:
		old += uint64(^uint32(from)) + uint64(uint32(to))
	default:
		return spec.EINVAL
	}
	binary.LittleEndian.PutUint16(sum, ^fold(old))
	return 0
}

// fold adds the carries of a ones' complement sum into 16 bits.
func fold(sum uint64) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// csumUpdate is bpf_csum_update: it adds to the checksum that the network card
// computed. Packets here carry none.
func csumUpdate(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) {
	return spec.ENOTSUPP.Ret(), nil
}

// csumDiff is bpf_csum_diff(from, from_size, to, to_size, seed): the difference of
// two ones' complement sums, to be given to bpf_l3_csum_replace or
// bpf_l4_csum_replace. Since Linux 6.13 it is folded to 16 bits and the sizes need
// not be multiples of 4.
func csumDiff(e *Env, from, fromSize, to, toSize, seed uint64) (uint64, error) {
	add, err := e.csumPartial(to, toSize)
	if err != nil {
		return 0, err
	}
	sub, err := e.csumPartial(from, fromSize)
	if err != nil {
		return 0, err
	}
	sum := uint64(uint32(seed)) + uint64(add)
	switch {
	case uint32(fromSize) == 0:
	case uint32(toSize) == 0: // ~csum_partial(from, ~seed)
		sum = uint64(^fold32(uint64(^uint32(seed)) + uint64(sub)))
	default:
		sum = uint64(fold32(sum)) + uint64(^sub)
	}
	return uint64(fold(uint64(fold32(sum)))), nil
}

// csumPartial adds memory up as little-endian words of 4 bytes, the last padded
// with zeroes.
func (e *Env) csumPartial(addr, size uint64) (uint32, error) {
	size = uint64(uint32(size))
	if size == 0 {
		return 0, nil
	}
	b, err := e.read(addr, size)
	sum := uint64(0)
	for ; len(b) >= 4; b = b[4:] {
		sum += uint64(binary.LittleEndian.Uint32(b))
	}
	var last [4]byte
	copy(last[:], b)
	return fold32(sum + uint64(binary.LittleEndian.Uint32(last[:]))), err
}

// fold32 adds the carries of a ones' complement sum into 32 bits.
func fold32(sum uint64) uint32 {
	for sum > 1<<32-1 {
		sum = sum>>32 + sum&(1<<32-1)
	}
	return uint32(sum)
}

// redirectIngress is BPF_F_INGRESS.
const redirectIngress = 1 << 0

// tcDoRedirect is bpf_redirect of tc programs: TC_ACT_REDIRECT, or TC_ACT_SHOT (2)
// for unknown flags.
func tcDoRedirect(e *Env, ifindex, flags, _, _, _ uint64) (uint64, error) {
	if flags&^redirectIngress != 0 {
		return 2, nil
	}
	e.redirect = &Redirect{IfIndex: uint32(ifindex), Flags: flags}
	return tcRedirect, nil
}
