package runtime

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"bpfvm/spec"
	"bpfvm/vm"
)

// Socket is a socket of the machine: what bpf_sk_lookup_tcp finds, and what programs
// read of it.
type Socket struct {
	Protocol uint8          // 6 is TCP, 17 UDP
	Local    netip.AddrPort // its own address; the unspecified one is any
	Remote   netip.AddrPort // the other end; invalid when it is not connected
	// State is the state of a TCP socket (include/net/tcp_states.h); 0 means
	// listening without a remote end and established with one.
	State    uint32
	Link     uint32 // the interface that it is bound to, 0 is none
	Mark     uint32
	Priority uint32
	Cookie   uint64
	UID      uint32
	CgroupID uint64
	// V6Only says that a socket on [::] takes no IPv4 packets.
	V6Only bool
	// Options are answers of bpf_getsockopt by level and option; bpf_setsockopt
	// changes them.
	Options map[SockOpt][]byte
	// TCP are the fields of struct bpf_tcp_sock by name.
	TCP map[string]uint64
}

// SockOpt names a socket option.
type SockOpt struct{ Level, Name int32 }

// States of sockets (include/net/tcp_states.h).
const (
	TCPEstablished = 1
	TCPTimeWait    = 6
	TCPClose       = 7
	TCPListen      = 10
	TCPNewSynRecv  = 12
)

// state is the socket's state; one of UDP is established when it is connected.
func (s *Socket) state() uint32 {
	switch {
	case s.State != 0:
		return s.State
	case s.Remote.IsValid():
		return TCPEstablished
	case s.Protocol == protoTCP:
		return TCPListen
	}
	return TCPClose
}

// full is sk_fullsock: not the small form of a connection that begins or has ended.
func (s *Socket) full() bool {
	st := s.state()
	return st != TCPTimeWait && st != TCPNewSynRecv
}

// lookup finds the socket that a packet from src to dst is for: a connected one, then
// one that waits on that very address, then one on any (__inet_lookup).
func (w *World) lookup(proto uint8, src, dst netip.AddrPort, link uint32) *Socket {
	var best *Socket
	score := 0
	for i := range w.Sockets {
		s := &w.Sockets[i]
		if s.Protocol != proto || s.Local.Port() != dst.Port() || s.Link != 0 && s.Link != link {
			continue
		}
		local := s.Local.Addr()
		n := 1
		switch {
		case local == dst.Addr():
			n = 2
		case !local.IsUnspecified() || local.Is4() && dst.Addr().Is6() || local.Is6() && dst.Addr().Is4() && s.V6Only:
			continue
		}
		if s.Remote.IsValid() {
			if s.Remote != src || n < 2 {
				continue
			}
			n = 3
		}
		if n > score {
			best, score = s, n
		}
	}
	return best
}

// sockRef is what stands behind the address of a socket: the owner of its memory.
type sockRef struct {
	s *Socket
	// sock and tcp are where its struct bpf_sock and struct bpf_tcp_sock lie.
	sock, tcp uint64
}

// struct bpf_sock (include/uapi/linux/bpf.h): offsets of its fields.
const (
	bpfSockDev      = 0
	bpfSockFamily   = 4
	bpfSockType     = 8
	bpfSockProtocol = 12
	bpfSockMark     = 16
	bpfSockPriority = 20
	bpfSockSrc4     = 24
	bpfSockSrc6     = 28
	bpfSockSrcPort  = 44
	bpfSockDstPort  = 48
	bpfSockDst4     = 52
	bpfSockDst6     = 56
	bpfSockState    = 72
	bpfSockRxQueue  = 76
	bpfSockSize     = 80
)

// tcpSockFields are the fields of struct bpf_tcp_sock in order; the two counters of
// bytes have 8 bytes, the others 4.
var tcpSockFields = []string{
	"snd_cwnd", "srtt_us", "rtt_min", "snd_ssthresh", "rcv_nxt", "snd_nxt", "snd_una", "mss_cache", "ecn_flags",
	"rate_delivered", "rate_interval_us", "packets_out", "retrans_out", "total_retrans", "segs_in", "data_segs_in",
	"segs_out", "data_segs_out", "lost_out", "sacked_out", "bytes_received", "bytes_acked", "dsack_dups", "delivered",
	"delivered_ce", "icsk_retransmits",
}

const tcpSockSize = 112

// sockAddr returns where a socket lies, and lays it out.
func (rt *Runtime) sockAddr(s *Socket) (*sockRef, error) {
	ref := rt.socks[s]
	if ref == nil {
		if len(rt.socks) >= maxObjects {
			return nil, fmt.Errorf("more than %d sockets: %w", maxObjects, spec.ENOMEM)
		}
		ref = &sockRef{s: s}
		for _, part := range []struct {
			addr *uint64
			size uint64
			name string
		}{{&ref.sock, bpfSockSize, "sock"}, {&ref.tcp, tcpSockSize, "tcp_sock"}} {
			r, err := rt.mem.Alloc(vm.Spec{Kind: vm.RegionSock, Name: part.name, Size: part.size, Perm: vm.PermRead, Owner: ref})
			if err != nil {
				return nil, allocErr(err)
			}
			*part.addr = r.Base
		}
		if rt.socks == nil {
			rt.socks = map[*Socket]*sockRef{}
		}
		rt.socks[s] = ref
	}
	ref.fill(rt)
	return ref, nil
}

// fill writes both forms of a socket.
func (r *sockRef) fill(rt *Runtime) {
	s, b := r.s, rt.mem.Raw(r.sock, bpfSockSize)
	put := func(off int, v uint32) { binary.LittleEndian.PutUint32(b[off:], v) }
	family, typ := uint32(afInet), uint32(1) // SOCK_STREAM
	if s.Local.Addr().Is6() {
		family = afInet6
	}
	if s.Protocol != protoTCP {
		typ = 2 // SOCK_DGRAM
	}
	put(bpfSockDev, s.Link)
	put(bpfSockFamily, family)
	put(bpfSockType, typ)
	put(bpfSockProtocol, uint32(s.Protocol))
	put(bpfSockMark, s.Mark)
	put(bpfSockPriority, s.Priority)
	for _, end := range []struct {
		at     netip.AddrPort
		v4, v6 int
	}{{s.Local, bpfSockSrc4, bpfSockSrc6}, {s.Remote, bpfSockDst4, bpfSockDst6}} {
		if a := end.at.Addr(); a.Is6() {
			putAddr(b[end.v6:], a)
		} else if a.IsValid() {
			putAddr(b[end.v4:], a)
		}
	}
	put(bpfSockSrcPort, uint32(s.Local.Port()))
	if s.Remote.IsValid() {
		binary.BigEndian.PutUint16(b[bpfSockDstPort:], s.Remote.Port())
	}
	put(bpfSockState, s.state())
	put(bpfSockRxQueue, ^uint32(0)) // no queue is known
	t, off := rt.mem.Raw(r.tcp, tcpSockSize), 0
	for _, name := range tcpSockFields {
		if name == "bytes_received" || name == "bytes_acked" {
			binary.LittleEndian.PutUint64(t[off:], s.TCP[name])
			off += 8
			continue
		}
		binary.LittleEndian.PutUint32(t[off:], uint32(s.TCP[name]))
		off += 4
	}
}

// socket is the socket of the event, the one that the context's sk points to; nil
// when it has none.
func (e *Env) socket() *Socket {
	layout := e.prog.Type().Ctx()
	if e.sk != nil || layout == nil {
		return e.sk
	}
	addr := e.ctx.Base // of a program whose context is a socket
	if e.prog.Type() != spec.ProgCgroupSock {
		f := layout.Field("sk")
		if f == nil || uint64(f.Off)+8 > e.ctx.Size {
			return nil
		}
		addr = binary.LittleEndian.Uint64(e.rt.mem.Raw(e.ctx.Base+uint64(f.Off), 8))
	}
	if r := e.rt.mem.Find(addr); r != nil && addr+bpfSockSize <= r.Base+r.Size {
		e.sk = e.contextSocket(addr)
	}
	return e.sk
}

// contextSocket makes a socket of what an event says that its socket is: the fields
// of a struct bpf_sock.
func (e *Env) contextSocket(addr uint64) *Socket {
	b := e.rt.mem.Raw(addr, bpfSockSize)
	at := func(off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }
	v6 := at(bpfSockFamily) == afInet6
	end := func(v4at, v6at int, port uint16) netip.AddrPort {
		if v6 {
			return netip.AddrPortFrom(fibAddr(b[v6at:], true), port)
		}
		return netip.AddrPortFrom(fibAddr(b[v4at:], false), port)
	}
	s := &Socket{
		Protocol: uint8(at(bpfSockProtocol)), State: at(bpfSockState), Link: at(bpfSockDev), Mark: at(bpfSockMark),
		Priority: at(bpfSockPriority), Local: end(bpfSockSrc4, bpfSockSrc6, uint16(at(bpfSockSrcPort))),
	}
	if port := binary.BigEndian.Uint16(b[bpfSockDstPort:]); port != 0 {
		s.Remote = end(bpfSockDst4, bpfSockDst6, port)
	}
	return s
}

// sock returns the socket that an address of either form means.
func (e *Env) sock(addr uint64) (*sockRef, error) {
	if r := e.rt.mem.Find(addr); r != nil && r.Base == addr {
		if ref, ok := r.Owner.(*sockRef); ok {
			return ref, nil
		}
		if s := e.socket(); s != nil && r.Kind == vm.RegionSock {
			// Its other form is an empty one, in the run's own memory.
			tcp, err := e.rt.nestedWindow(e.rt.cpus[e.cpu], windowKey{vm.RegionSock, 1}, tcpSockSize, vm.PermRead)
			if err != nil {
				return nil, err
			}
			return &sockRef{s: s, sock: addr, tcp: tcp.Base}, nil
		}
	}
	return nil, &vm.Fault{Addr: addr, Size: 8, Need: vm.PermRead, Where: e.rt.mem.Symbolize(addr), Why: "not a socket"}
}
