package runtime

import (
	"encoding/binary"
	"errors"

	"bpfvm/spec"
	"bpfvm/vm"
)

// skb is what a socket buffer has besides its bytes and the fields of its context: what is attached to it.
type skb struct {
	e *Env
	p *packet
	// encap is skb->encapsulation: a tunnel header has been put in front.
	encap bool
	// summed says that the network card has found the checksum to be right
	// (CHECKSUM_UNNECESSARY), level how many more after it.
	summed bool
	level  uint64
	tunnel *tunnelInfo
}

var errNoSKB = errors.New("the event has no socket buffer")

// skb returns the socket buffer of the run.
func (e *Env) skb() (*skb, error) {
	if e.socketBuffer != nil {
		return e.socketBuffer, nil
	}
	if e.packet == nil || e.ctx.Size < skbSize {
		return nil, errNoSKB
	}
	e.socketBuffer = &skb{e: e, p: e.packet}
	return e.socketBuffer, nil
}

// field returns a field of the context, 4 bytes.
func (s *skb) field(off uint64) []byte { return s.e.rt.mem.Raw(s.e.ctx.Base+off, 4) }

// protocol is skb->protocol as a number; the context has it in network order.
func (s *skb) protocol() uint16 { return binary.BigEndian.Uint16(s.field(skbProtocol)) }

func (s *skb) setProtocol(v uint16) { binary.BigEndian.PutUint16(s.field(skbProtocol), v) }

// vlan returns the tag that is kept beside the packet.
func (s *skb) vlan() (proto, tci uint16, ok bool) {
	return binary.BigEndian.Uint16(s.field(skbVLANProto)), binary.LittleEndian.Uint16(s.field(skbVLANTCI)), s.field(skbVLANHave)[0] != 0
}

// setVLAN keeps a tag beside the packet (__vlan_hwaccel_put_tag).
func (s *skb) setVLAN(proto, tci uint16, have bool) {
	for _, off := range []uint64{skbVLANHave, skbVLANTCI, skbVLANProto} {
		clear(s.field(off))
	}
	if have {
		s.field(skbVLANHave)[0] = 1
		binary.LittleEndian.PutUint16(s.field(skbVLANTCI), tci)
		binary.BigEndian.PutUint16(s.field(skbVLANProto), proto)
	}
}

// clearHash is skb_clear_hash.
func (s *skb) clearHash() { clear(s.field(skbHash)) }

// bytes are the packet, in the arena.
func (s *skb) bytes() []byte { return s.e.rt.mem.Raw(s.p.r.Start, s.p.linear()) }

// push makes room of n zero bytes, off bytes behind the packet's start: what is
// before them moves down (bpf_skb_generic_push).
func (s *skb) push(off, n uint64) spec.Errno {
	if errno := s.p.reserve(n, 0); errno != 0 {
		return errno
	}
	p := s.p
	whole := p.e.rt.mem.Raw(p.r.Start-n, p.linear()+n)
	copy(whole, whole[n:n+off])
	clear(whole[off : off+n])
	p.move(p.r.Start-n, p.r.Start-n, p.r.End)
	return 0
}

// pop takes n bytes away, off bytes behind the start (bpf_skb_generic_pop).
func (s *skb) pop(off, n uint64) spec.Errno {
	if off+n > s.p.linear() {
		return spec.ENOMEM
	}
	b := s.bytes()
	copy(b[n:], b[:off])
	s.p.move(s.p.r.Start+n, s.p.r.Start+n, s.p.r.End)
	return 0
}

// reserve makes sure that there are so many bytes before and behind the packet; it
// moves to a larger place when there are not (pskb_expand_head). Metadata before the
// packet does not survive that.
func (p *packet) reserve(head, tail uint64) spec.Errno {
	if p.meta-p.r.Base >= head && p.r.Base+p.r.Size-p.r.End >= tail {
		return 0
	}
	data := p.bytes()
	if uint64(len(data))+head+tail > skbMaxLen {
		return spec.ENOMEM
	}
	head, tail = max(head, skbHeadroom), max(tail, skbTailroom)
	r, err := p.e.rt.windowAt(p.e.rt.cpus[p.e.cpu], vm.RegionPacket, head+uint64(len(data))+tail, vm.PermNone)
	if err != nil {
		return spec.ENOMEM
	}
	p.r = r
	r.Start, r.End = r.Base+head, r.Base+head+uint64(len(data))
	copy(p.e.rt.mem.Raw(r.Start, uint64(len(data))), data)
	p.move(r.Start, r.Start, r.End)
	return 0
}
