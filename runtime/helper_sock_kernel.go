package runtime

import (
	"encoding/binary"
	"net/netip"

	"github.com/cilium/ebpf/btf"

	"bpfvm/spec"
	"bpfvm/types"
)

func init() {
	isTCP := func(s *Socket) bool { return s.full() && s.Protocol == protoTCP }
	v6 := func(s *Socket) bool { return s.Local.Addr().Is6() }
	register(map[string]helperFunc{
		"bpf_skc_to_tcp_sock":  skcTo("tcp_sock", isTCP),
		"bpf_skc_to_tcp6_sock": skcTo("tcp6_sock", func(s *Socket) bool { return isTCP(s) && v6(s) }),
		"bpf_skc_to_udp6_sock": skcTo("udp6_sock", func(s *Socket) bool { return s.Protocol == protoUDP && v6(s) }),
		"bpf_skc_to_tcp_timewait_sock": skcTo("tcp_timewait_sock", func(s *Socket) bool {
			return s.Protocol == protoTCP && s.state() == TCPTimeWait
		}),
		"bpf_skc_to_tcp_request_sock": skcTo("tcp_request_sock", func(s *Socket) bool {
			return s.Protocol == protoTCP && s.state() == TCPNewSynRecv
		}),
		"bpf_task_pt_regs":        taskPtRegs,
		"bpf_override_return":     overrideReturn,
		"bpf_read_branch_records": noBranches(4, branchRecordsSize),
		"bpf_get_branch_snapshot": noBranches(3, 0),
	})
}

// skcTo makes a helper of the bpf_skc_to_* family: the socket as a structure of the
// kernel, or NULL when it is of another kind. A socket of the scenario is laid out by
// the target's BTF with its addresses, protocol and state; a pointer that a tracing
// program has got stays what it is.
func skcTo(typ string, is func(*Socket) bool) helperFunc {
	return func(e *Env, addr, _, _, _, _ uint64) (uint64, error) {
		if addr == 0 {
			return 0, nil
		}
		if e.rt.mem.Find(addr) == nil {
			if s, ok := e.kernelSocket(addr); ok && is(s) {
				return addr, nil
			}
			return 0, nil
		}
		r, err := e.sock(addr)
		if err != nil || !is(r.s) {
			return 0, err
		}
		return e.layOutSocket(typ, r.s)
	}
}

// sockFields are where struct sock keeps what programs look at first.
var sockFields = []string{
	"__sk_common.skc_family", "__sk_common.skc_state", "__sk_common.skc_num", "__sk_common.skc_dport",
	"__sk_common.skc_rcv_saddr", "__sk_common.skc_daddr", "sk_protocol",
}

// sockField reads or writes a field of a struct sock of up to 8 bytes.
func (e *Env) sockField(addr uint64, field string, v *uint64, write bool) bool {
	off, size, err := types.FieldOffset(e.rt.opts.Target, "sock", field)
	if err != nil || size > 8 {
		return false
	}
	var b [8]byte
	if write {
		binary.LittleEndian.PutUint64(b[:], *v)
		return e.rt.mem.Foreign.Write(addr+uint64(off), b[:size]) == int(size)
	}
	ok := e.probeRead(b[:size], addr+uint64(off), kernelSpace)
	*v = binary.LittleEndian.Uint64(b[:])
	return ok
}

// kernelSocket reads the family, protocol and state of a struct sock.
func (e *Env) kernelSocket(addr uint64) (*Socket, bool) {
	var family, state, proto uint64
	ok := e.sockField(addr, sockFields[0], &family, false) && e.sockField(addr, sockFields[1], &state, false) &&
		e.sockField(addr, "sk_protocol", &proto, false)
	s := &Socket{Protocol: uint8(proto), State: uint32(state)}
	if family == afInet6 {
		s.Local = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	}
	return s, ok
}

// layOutSocket writes a socket as a structure that begins with a struct sock. There is
// one place for each type, which the last one asked for has.
func (e *Env) layOutSocket(typ string, s *Socket) (uint64, error) {
	var t *btf.Struct
	if err := e.rt.opts.Target.TypeByName(typ, &t); err != nil {
		return 0, nil // the target has no such sockets
	}
	addr, err := e.rt.kernelObject(t)
	if err != nil {
		return 0, err
	}
	family := uint64(afInet)
	if s.Local.Addr().Is6() {
		family = afInet6
	}
	dport := s.Remote.Port()
	values := []uint64{
		family, uint64(s.state()), uint64(s.Local.Port()), uint64(dport>>8 | dport<<8), 0, 0, uint64(s.Protocol),
	}
	if a := s.Local.Addr(); a.Is4() {
		values[4] = uint64(binary.LittleEndian.Uint32(a.AsSlice()))
	}
	if a := s.Remote.Addr(); a.Is4() {
		values[5] = uint64(binary.LittleEndian.Uint32(a.AsSlice()))
	}
	for i, f := range sockFields {
		e.sockField(addr, f, &values[i], true)
	}
	return addr, nil
}

// taskPtRegs is bpf_task_pt_regs(task): the registers with which the task came into
// the kernel, of which a scenario knows nothing: zeroes.
func taskPtRegs(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	var t *btf.Struct
	if err := e.rt.opts.Target.TypeByName("pt_regs", &t); err != nil {
		return 0, err
	}
	return e.rt.kernelObject(t)
}

// ptRegsAX is the offset of ax in struct pt_regs (arch/x86/include/asm/ptrace.h).
const ptRegsAX = 80

// overrideReturn is bpf_override_return(regs, rc): the probed function does not run and
// returns rc, which is then in the context.
func overrideReturn(e *Env, _, rc, _, _, _ uint64) (uint64, error) {
	binary.LittleEndian.PutUint64(e.rt.mem.Raw(e.ctx.Base+ptRegsAX, 8), rc)
	return 0, nil
}

// branchRecordsSize is BPF_F_GET_BRANCH_RECORDS_SIZE.
const branchRecordsSize = 1 << 0

// noBranches makes the helpers that ask the processor for its last branches: it keeps
// none here, as most virtual machines do. The flags are in an argument.
func noBranches(arg int, allowed uint64) helperFunc {
	return func(_ *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
		if [5]uint64{r1, r2, r3, r4, r5}[arg-1]&^allowed != 0 {
			return spec.EINVAL.Ret(), nil
		}
		return spec.ENOENT.Ret(), nil
	}
}
