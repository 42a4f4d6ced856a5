package runtime

import (
	"encoding/binary"
	"net/netip"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_setsockopt":            setSockopt,
		"bpf_getsockopt":            getSockopt,
		"bpf_bind":                  bind,
		"bpf_get_socket_cookie":     getSocketCookie,
		"bpf_get_socket_uid":        getSocketUID,
		"bpf_get_netns_cookie":      getNetnsCookie,
		"bpf_sock_ops_cb_flags_set": sockOpsCbFlagsSet,
	})
}

// Levels of socket options (include/linux/socket.h) and the options that programs can
// reach (net/core/filter.c, sol_socket_sockopt and its siblings).
const (
	solIP   = 0
	solTCP  = 6
	solIPv6 = 41

	soBindToDevice  = 25
	tcpCongestion   = 13
	tcpSavedSyn     = 28
	tcpCongestionNo = 2 // the least size for a name
)

// sockIntOpts are the options of 4 bytes, with the value of a new socket.
var sockIntOpts = map[SockOpt]uint32{
	{solSocket, 2}:  0,         // SO_REUSEADDR
	{solSocket, 7}:  212992,    // SO_SNDBUF, net.core.wmem_default
	{solSocket, 8}:  212992,    // SO_RCVBUF
	{solSocket, 9}:  0,         // SO_KEEPALIVE
	{solSocket, 12}: 0,         // SO_PRIORITY
	{solSocket, 15}: 0,         // SO_REUSEPORT
	{solSocket, 18}: 1,         // SO_RCVLOWAT
	{solSocket, 36}: 0,         // SO_MARK
	{solSocket, 47}: 1<<32 - 1, // SO_MAX_PACING_RATE
	{solSocket, 62}: 0,         // SO_BINDTOIFINDEX
	{solSocket, 74}: 1,         // SO_TXREHASH
	{solIP, 1}:      0,         // IP_TOS
	{solIPv6, 67}:   0,         // IPV6_TCLASS
	{solIPv6, 70}:   1,         // IPV6_AUTOFLOWLABEL
	{solTCP, 1}:     0,         // TCP_NODELAY
	{solTCP, 2}:     536,       // TCP_MAXSEG, TCP_MSS_DEFAULT
	{solTCP, 4}:     7200,      // TCP_KEEPIDLE
	{solTCP, 5}:     75,        // TCP_KEEPINTVL
	{solTCP, 6}:     9,         // TCP_KEEPCNT
	{solTCP, 7}:     6,         // TCP_SYNCNT
	{solTCP, 10}:    0,         // TCP_WINDOW_CLAMP
	{solTCP, 16}:    0,         // TCP_THIN_LINEAR_TIMEOUTS
	{solTCP, 18}:    0,         // TCP_USER_TIMEOUT
	{solTCP, 25}:    0,         // TCP_NOTSENT_LOWAT
	{solTCP, 27}:    0,         // TCP_SAVE_SYN
	{solTCP, 1008}:  0,         // TCP_BPF_SOCK_OPS_CB_FLAGS
}

// tcpSetOnly are the options of TCP that can only be set (bpf_sol_tcp_setsockopt):
// TCP_BPF_IW, TCP_BPF_SNDCWND_CLAMP, TCP_BPF_DELACK_MAX, TCP_BPF_RTO_MIN.
var tcpSetOnly = map[int32]bool{1001: true, 1002: true, 1003: true, 1004: true}

// sockoptTarget is the socket that R1 means: one of its own, or that of the context.
func (e *Env) sockoptTarget(r1 uint64) *Socket {
	if r1 != e.ctx.Base {
		if r, err := e.sock(r1); err == nil {
			return r.s
		}
	}
	return e.socket()
}

// checkSockopt judges level, name and size as __bpf_setsockopt does.
func checkSockopt(s *Socket, o SockOpt, size int, get bool) spec.Errno {
	switch {
	case s == nil || !s.full():
		return spec.EINVAL
	case o.Level == solTCP && s.Protocol != protoTCP, o.Level == solIPv6 && !s.Local.Addr().Is6():
		return spec.EINVAL
	case o == SockOpt{solSocket, soBindToDevice} && !get:
		return 0
	case o == SockOpt{solTCP, tcpCongestion} && size >= tcpCongestionNo:
		return 0
	case o == SockOpt{solTCP, tcpSavedSyn} && get && len(s.Options[o]) >= size:
		return 0
	case o.Level == solTCP && tcpSetOnly[o.Name] && !get && size == 4:
		return 0
	}
	if _, ok := sockIntOpts[o]; ok && size == 4 {
		return 0
	}
	return spec.EINVAL
}

// setSockopt is bpf_setsockopt(socket, level, optname, optval, optlen).
func setSockopt(e *Env, sock, level, name, val, size uint64) (uint64, error) {
	b, err := e.read(val, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	s, o := e.sockoptTarget(sock), SockOpt{int32(level), int32(name)}
	if errno := checkSockopt(s, o, len(b), false); errno != 0 {
		return errno.Ret(), nil
	}
	if !e.spend(len(b)) {
		return spec.ENOMEM.Ret(), nil
	}
	if s.Options == nil {
		s.Options = map[SockOpt][]byte{}
	}
	s.Options[o] = append([]byte(nil), b...)
	e.sockopts = append(e.sockopts, SetSockopt{o, s.Options[o]})
	return 0, nil
}

// SetSockopt is an option that a program set.
type SetSockopt struct {
	SockOpt
	Value []byte
}

// getSockopt is bpf_getsockopt(socket, level, optname, optval, optlen): what the
// scenario says, or what a program has set, or the value of a new socket.
func getSockopt(e *Env, sock, level, name, val, size uint64) (uint64, error) {
	b, err := e.write(val, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	clear(b)
	s, o := e.sockoptTarget(sock), SockOpt{int32(level), int32(name)}
	if errno := checkSockopt(s, o, len(b), true); errno != 0 {
		return errno.Ret(), nil
	}
	v, ok := s.Options[o]
	switch {
	case ok && o == SockOpt{solTCP, tcpCongestion}:
		copy(b[:len(b)-1], untilNUL(v))
	case ok:
		copy(b, v)
	case o == SockOpt{solTCP, tcpCongestion}:
		copy(b[:len(b)-1], "cubic")
	default:
		binary.LittleEndian.PutUint32(b, sockIntOpts[o])
	}
	return 0, nil
}

// Sizes of addresses (include/uapi/linux/in.h, include/linux/in6.h).
const (
	sockaddrIn    = 16
	sockaddrIn6   = 24 // SIN6_LEN_RFC2133, without the scope
	sockaddrFam   = 2  // the family
	sockaddrAddr4 = 4
	sockaddrAddr6 = 8
)

// bind is bpf_bind(ctx, addr, addr_len): the address that the socket will connect
// from. No address is taken here, so R0 is 0.
func bind(e *Env, _, addr, size, _, _ uint64) (uint64, error) {
	b, err := e.read(addr, uint64(uint32(size)))
	switch {
	case err != nil:
		return 0, err
	case len(b) < sockaddrFam:
		return spec.EINVAL.Ret(), nil
	}
	var to netip.Addr
	switch binary.LittleEndian.Uint16(b) {
	case afInet:
		if len(b) < sockaddrIn {
			return spec.EINVAL.Ret(), nil
		}
		to = fibAddr(b[sockaddrAddr4:], false)
	case afInet6:
		if len(b) < sockaddrIn6 {
			return spec.EINVAL.Ret(), nil
		}
		to = fibAddr(b[sockaddrAddr6:], true)
	default:
		return spec.EAFNOSUPPORT.Ret(), nil
	}
	e.bound = netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[2:]))
	return 0, nil
}

// getSocketCookie is bpf_get_socket_cookie(ctx): the number of the event's socket, or
// of the one that a tracing program passes; 0 without a socket.
func getSocketCookie(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	var key any
	switch s := e.sockoptTarget(r1); {
	case r1 != e.ctx.Base && e.rt.mem.Find(r1) == nil: // a struct sock of the kernel
		if r1 == 0 {
			return 0, nil
		}
		key = r1
	case s == nil:
		return 0, nil
	default:
		return e.rt.cookieOf(s), nil
	}
	return e.rt.newCookie(key), nil
}

// cookieOf is the number of a socket; the same connection has the same one in every
// event.
func (rt *Runtime) cookieOf(s *Socket) uint64 {
	if s.Cookie != 0 {
		return s.Cookie
	}
	return rt.newCookie([3]any{s.Protocol, s.Local, s.Remote})
}

// newCookie gives a number to what a key identifies, once.
func (rt *Runtime) newCookie(key any) uint64 {
	if rt.cookies[key] == 0 {
		if rt.cookies == nil || len(rt.cookies) >= maxObjects {
			rt.cookies = map[any]uint64{}
		}
		rt.cookie++
		rt.cookies[key] = rt.cookie
	}
	return rt.cookies[key]
}

// overflowUID is DEFAULT_OVERFLOWUID: nobody.
const overflowUID = 65534

// getSocketUID is bpf_get_socket_uid(skb).
func getSocketUID(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	if s := e.socket(); s != nil && s.full() {
		return uint64(s.UID), nil
	}
	return overflowUID, nil
}

// netnsCookie is the number of the one network namespace.
const netnsCookie = 1

func getNetnsCookie(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) {
	return netnsCookie, nil
}

// sockOpsAllFlags are BPF_SOCK_OPS_ALL_CB_FLAGS.
const sockOpsAllFlags = 0x7f

// sockOpsCbFlagsSet is bpf_sock_ops_cb_flags_set(bpf_sock, argval): which further
// events of the connection the program wants; R0 are the bits that do not exist.
func sockOpsCbFlagsSet(e *Env, ctx, flags, _, _, _ uint64) (uint64, error) {
	layout := spec.ProgSockOps.Ctx()
	full, own := layout.Field("is_fullsock"), layout.Field("bpf_sock_ops_cb_flags")
	b := e.rt.mem.Raw(e.ctx.Base, e.ctx.Size)
	if b[full.Off] == 0 {
		return spec.EINVAL.Ret(), nil
	}
	binary.LittleEndian.PutUint32(b[own.Off:], uint32(flags)&sockOpsAllFlags)
	return uint64(int64(int32(flags) &^ sockOpsAllFlags)), nil
}
