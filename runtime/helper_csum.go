package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_l3_csum_replace": l3CsumReplace,
		"bpf_l4_csum_replace": l4CsumReplace,
		"bpf_csum_diff":       csumDiff,
		"bpf_csum_update":     csumUpdate,
		"bpf_csum_level":      csumLevel,
	})
}

// Flags of bpf_l3_csum_replace and bpf_l4_csum_replace (include/uapi/linux/bpf.h).
const (
	csumFieldMask = 0xf    // BPF_F_HDR_FIELD_MASK: size of what changed
	csumPseudo    = 1 << 4 // BPF_F_PSEUDO_HDR
	csumMangled0  = 1 << 5 // BPF_F_MARK_MANGLED_0
	csumEnforce   = 1 << 6 // BPF_F_MARK_ENFORCE
	csumIPv6      = 1 << 7 // BPF_F_IPV6
)

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

// csumUpdate is bpf_csum_update: it adds to the sum over the packet that the network
// card computed (CHECKSUM_COMPLETE). Packets here carry none.
func csumUpdate(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) {
	return spec.ENOTSUPP.Ret(), nil
}

// What bpf_csum_level does (include/uapi/linux/bpf.h, BPF_CSUM_LEVEL_*).
const (
	levelQuery = 0
	levelInc   = 1
	levelDec   = 2
	levelReset = 3
	// maxCsumLevel is SKB_MAX_CSUM_LEVEL.
	maxCsumLevel = 3
)

// csumLevel is bpf_csum_level(skb, level): of how many nested checksums the network
// card has said that they are right (include/linux/skbuff.h,
// __skb_incr_checksum_unnecessary and its siblings).
func csumLevel(e *Env, _, level, _, _, _ uint64) (uint64, error) {
	s, err := e.skb()
	if err != nil {
		return 0, err
	}
	switch level {
	case levelQuery:
		if !s.summed {
			return spec.EACCES.Ret(), nil
		}
		return s.level, nil
	case levelInc:
		if s.summed {
			s.level = min(s.level+1, maxCsumLevel)
		}
		s.summed = true
	case levelDec:
		if s.level == 0 {
			s.summed = false
		} else {
			s.level--
		}
	case levelReset:
		s.summed, s.level = false, 0
	default:
		return spec.EINVAL.Ret(), nil
	}
	return 0, nil
}
