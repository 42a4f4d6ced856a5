package runtime

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
	"bpfvm/vm"
)

// XDP is a frame that a network driver received.
type XDP struct {
	Data    []byte // from the Ethernet header on, at least 14 bytes
	Meta    []byte // metadata before the packet; a multiple of 4, at most 216 bytes
	IfIndex uint32 // of the receiving interface; 0 means 1, the loopback device
	Queue   uint32 // receive queue
	Egress  uint32 // interface that the frame leaves by, devmap programs only
	CPU     int
}

// The layout of an XDP frame, one page:
//
//	0        40               256                3776       4096
//	+--------+----------------+------------------+----------+
//	| frame  | headroom       | packet, tailroom | shared   |
//	| header | (metadata)     |                  | info     |
//	+--------+----------------+------------------+----------+
const (
	// xdpHeadroom is XDP_PACKET_HEADROOM (include/uapi/linux/bpf.h).
	xdpHeadroom = 256
	// xdpFrameHeader is sizeof(struct xdp_frame), which stays free at the start of
	// the headroom (net/core/filter.c, bpf_xdp_adjust_head).
	xdpFrameHeader = 40
	// xdpSharedInfo is sizeof(struct skb_shared_info), kept free at the end
	// (include/net/xdp.h, xdp_data_hard_end).
	xdpSharedInfo = 320
	// xdpLinear is the largest packet that lies in one piece.
	xdpLinear = pageSize - xdpHeadroom - xdpSharedInfo
	// xdpMaxFrags is MAX_SKB_FRAGS (include/linux/skbuff.h).
	xdpMaxFrags = 17
	// xdpMaxMeta bounds the metadata (include/net/xdp.h, xdp_metalen_invalid).
	xdpMaxMeta = xdpHeadroom - xdpFrameHeader
	// ethHeader is ETH_HLEN.
	ethHeader = 14
)

// Fields of struct xdp_md (include/uapi/linux/bpf.h), all of 4 bytes.
const (
	xdpMDData    = 0
	xdpMDDataEnd = 4
	xdpMDMeta    = 8
	xdpMDIngress = 12
	xdpMDQueue   = 16
	xdpMDEgress  = 20
	xdpMDSize    = 24
)

func (x *XDP) accepts(t spec.ProgType) bool { return t == spec.ProgXDP }
func (x *XDP) on() int                      { return x.CPU }

func (x *XDP) setup(e *Env, _ *Program) (*vm.Region, error) {
	switch {
	case len(x.Data) < ethHeader:
		return nil, fmt.Errorf("frame of %d bytes: an Ethernet header has %d: %w", len(x.Data), ethHeader, spec.EINVAL)
	case len(x.Data) > xdpLinear+xdpMaxFrags*pageSize:
		return nil, fmt.Errorf("frame of %d bytes: at most %d: %w", len(x.Data), xdpLinear+xdpMaxFrags*pageSize, spec.ENOMEM)
	case len(x.Meta)%4 != 0 || len(x.Meta) > xdpMaxMeta:
		return nil, fmt.Errorf("metadata of %d bytes: want a multiple of 4 up to %d: %w", len(x.Meta), xdpMaxMeta, spec.EINVAL)
	}
	linear := min(len(x.Data), xdpLinear)
	p, err := e.newPacket(x.Data[:linear], xdpHeadroom, uint64(pageSize-xdpHeadroom-linear), vm.PermRW)
	if err != nil {
		return nil, err
	}
	for rest := x.Data[linear:]; len(rest) > 0; rest = rest[min(len(rest), pageSize):] {
		p.frags = append(p.frags, bytes.Clone(rest[:min(len(rest), pageSize)]))
	}
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, xdpMDSize, vm.PermRead)
	if err != nil {
		return nil, err
	}
	e.packet = p
	p.sync = func() {
		b := e.rt.mem.Raw(ctx.Base, xdpMDSize)
		binary.LittleEndian.PutUint32(b[xdpMDData:], uint32(p.r.Start))
		binary.LittleEndian.PutUint32(b[xdpMDDataEnd:], uint32(p.r.End))
		binary.LittleEndian.PutUint32(b[xdpMDMeta:], uint32(p.meta))
	}
	copy(e.rt.mem.Raw(p.r.Start-uint64(len(x.Meta)), uint64(len(x.Meta))), x.Meta)
	p.move(p.r.Start-uint64(len(x.Meta)), p.r.Start, p.r.End)
	b := e.rt.mem.Raw(ctx.Base, xdpMDSize)
	ifindex := x.IfIndex
	if ifindex == 0 {
		ifindex = 1
	}
	binary.LittleEndian.PutUint32(b[xdpMDIngress:], ifindex)
	binary.LittleEndian.PutUint32(b[xdpMDQueue:], x.Queue)
	binary.LittleEndian.PutUint32(b[xdpMDEgress:], x.Egress)
	return ctx, nil
}

// xdpRedirect is the action that asks for a redirect (enum xdp_action).
const xdpRedirect = 4

func (x *XDP) finish(e *Env, res *Result) {
	p := e.packet
	res.Packet = p.bytes()
	res.Meta = bytes.Clone(e.rt.mem.Raw(p.meta, p.r.Start-p.meta))
	if uint32(res.R0) == xdpRedirect {
		res.Redirect = e.redirect
	}
}
