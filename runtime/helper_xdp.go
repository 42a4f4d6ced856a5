package runtime

import (
	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_xdp_adjust_head": xdpAdjustHead,
		"bpf_xdp_adjust_tail": xdpAdjustTail,
		"bpf_xdp_adjust_meta": xdpAdjustMeta,
		"bpf_xdp_get_buff_len": func(e *Env, _, _, _, _, _ uint64) (uint64, error) {
			return e.packet.len(), nil
		},
		"bpf_xdp_load_bytes":  xdpLoadBytes,
		"bpf_xdp_store_bytes": xdpStoreBytes,
		"bpf_redirect":        xdpDoRedirect,
	}, spec.ProgXDP)
}

// xdpAdjustHead is bpf_xdp_adjust_head (net/core/filter.c): it moves the start of
// the packet, and the metadata with it.
func xdpAdjustHead(e *Env, _, offset, _, _, _ uint64) (uint64, error) {
	p, off := e.packet, int64(int32(offset))
	metaLen := p.r.Start - p.meta
	start := int64(p.r.Start) + off
	if start < int64(p.r.Base+xdpFrameHeader+metaLen) || start > int64(p.r.End)-ethHeader {
		return spec.EINVAL.Ret(), nil
	}
	meta := uint64(start) - metaLen
	copy(e.rt.mem.Raw(meta, metaLen), e.rt.mem.Raw(p.meta, metaLen))
	p.move(meta, uint64(start), p.r.End)
	return 0, nil
}

// xdpAdjustTail is bpf_xdp_adjust_tail: it moves the end of the packet; new bytes
// are zero.
func xdpAdjustTail(e *Env, _, offset, _, _, _ uint64) (uint64, error) {
	p, off := e.packet, int64(int32(offset))
	if len(p.frags) > 0 {
		return p.adjustFrags(off).Ret(), nil
	}
	end := int64(p.r.End) + off
	if end > int64(p.r.Base+pageSize-xdpSharedInfo) || end < int64(p.r.Start)+ethHeader {
		return spec.EINVAL.Ret(), nil
	}
	if off > 0 {
		clear(e.rt.mem.Raw(p.r.End, uint64(off)))
	}
	p.move(p.meta, p.r.Start, uint64(end))
	return 0, nil
}

// adjustFrags moves the end of a packet with fragments: it grows within the last
// one's page (bpf_xdp_frags_increase_tail) and shrinks over as many as needed
// (bpf_xdp_frags_shrink_tail).
func (p *packet) adjustFrags(off int64) spec.Errno {
	last := len(p.frags) - 1
	if off >= 0 {
		if int64(len(p.frags[last]))+off > pageSize {
			return spec.EINVAL
		}
		p.frags[last] = append(p.frags[last], make([]byte, off)...)
		p.sync()
		return 0
	}
	n := uint64(-off)
	if n > p.len()-ethHeader {
		return spec.EINVAL
	}
	for last >= 0 && n > 0 {
		cut := min(n, uint64(len(p.frags[last])))
		p.frags[last] = p.frags[last][:uint64(len(p.frags[last]))-cut]
		n -= cut
		if len(p.frags[last]) == 0 {
			p.frags = p.frags[:last]
		}
		last--
	}
	p.move(p.meta, p.r.Start, p.r.End-n)
	return 0
}

// xdpAdjustMeta is bpf_xdp_adjust_meta: it moves the start of the metadata.
func xdpAdjustMeta(e *Env, _, offset, _, _, _ uint64) (uint64, error) {
	p := e.packet
	meta := int64(p.meta) + int64(int32(offset))
	if meta < int64(p.r.Base+xdpFrameHeader) || meta > int64(p.r.Start) {
		return spec.EINVAL.Ret(), nil
	}
	// xdp_metalen_invalid: a multiple of 4 that fits 8 bits.
	if n := int64(p.r.Start) - meta; n%4 != 0 || n > 255 {
		return spec.EACCES.Ret(), nil
	}
	p.move(uint64(meta), p.r.Start, p.r.End)
	return 0, nil
}

// xdpRange judges an access to the packet (bpf_xdp_pointer).
func (p *packet) xdpRange(offset, size uint64) spec.Errno {
	switch {
	case offset > 0xffff || size > 0xffff:
		return spec.EFAULT
	case !p.has(offset, size):
		return spec.EINVAL
	}
	return 0
}

// xdpLoadBytes is bpf_xdp_load_bytes(ctx, offset, buf, len).
func xdpLoadBytes(e *Env, _, offset, buf, size, _ uint64) (uint64, error) {
	offset, size = uint64(uint32(offset)), uint64(uint32(size))
	dst, err := e.write(buf, size)
	if err != nil {
		return 0, err
	}
	if errno := e.packet.xdpRange(offset, size); errno != 0 {
		return errno.Ret(), nil
	}
	e.packet.copyOut(dst, offset)
	return 0, nil
}

// xdpStoreBytes is bpf_xdp_store_bytes(ctx, offset, buf, len).
func xdpStoreBytes(e *Env, _, offset, buf, size, _ uint64) (uint64, error) {
	offset, size = uint64(uint32(offset)), uint64(uint32(size))
	src, err := e.read(buf, size)
	if err != nil {
		return 0, err
	}
	if errno := e.packet.xdpRange(offset, size); errno != 0 {
		return errno.Ret(), nil
	}
	e.packet.copyIn(offset, src)
	return 0, nil
}

// xdpDoRedirect is bpf_redirect of XDP programs: it remembers the interface and
// returns XDP_REDIRECT, or XDP_ABORTED for unknown flags.
func xdpDoRedirect(e *Env, ifindex, flags, _, _, _ uint64) (uint64, error) {
	if flags != 0 {
		return 0, nil
	}
	e.redirect = &Redirect{IfIndex: uint32(ifindex)}
	return xdpRedirect, nil
}
