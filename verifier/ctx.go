package verifier

import (
	"bpfvm/isa"
	"bpfvm/spec"
)

// perfMaxTrace bounds the record of a trace event (PERF_MAX_TRACE_SIZE).
const perfMaxTrace = 8192

// checkCtx checks an access to the program's context and returns what a load
// gives (check_ctx_access and the program types' is_valid_access).
func (env *env) checkCtx(regno isa.Register, off, size int, t spec.Access, sx bool) (RegState, error) {
	bad := func() (RegState, error) {
		return RegState{}, env.reject(CodeCtxAccess, "invalid bpf_context access off=%d size=%d\n", off, size)
	}
	scalar := unknownScalar()
	if off < 0 {
		return bad()
	}
	switch env.prog.Type {
	case spec.ProgTracepoint:
		// The layout belongs to the event; any byte after the common fields
		// will do.
		if off < 8 || off >= perfMaxTrace || t == spec.Write || off%size != 0 {
			return bad()
		}
		return scalar, nil
	case spec.ProgTracing, spec.ProgLSM, spec.ProgNetfilter, spec.ProgRawTracepointWritable:
		r, ok, err := env.checkTypedCtx(off, size, t)
		if err != nil || !ok {
			if err == nil {
				return bad()
			}
			return r, err
		}
		return r, nil
	case spec.ProgSyscall:
		if off >= 1<<16-1 || off%size != 0 {
			return bad()
		}
		return scalar, nil
	}
	layout := env.prog.Type.Ctx()
	if layout == nil {
		return RegState{}, notModelled("context of %v programs", env.prog.Type)
	}
	f, ok := layout.CheckAccessAt(env.prog.Type, env.prog.Attach, t, uint32(off), uint32(size))
	if !ok {
		return bad()
	}
	if f.Kind == spec.FieldScalar {
		return scalar, nil
	}
	if sx {
		return bad() // half a pointer, with a sign
	}
	reg := RegState{Bounds: constBounds(0)}
	switch f.Kind {
	case spec.FieldPacket:
		reg.Type = PtrToPacket
	case spec.FieldPacketEnd:
		reg.Type = PtrToPacketEnd
	case spec.FieldPacketMeta:
		reg.Type = PtrToPacketMeta
	default:
		switch f.Pointer {
		case spec.SockCommonOrNull:
			reg.Type = PtrToSockCommon | MaybeNull
		case spec.SocketOrNullPtr:
			reg.Type = PtrToSocket | MaybeNull
		case spec.SocketPtr:
			reg.Type = PtrToSocket
		case spec.FlowKeysPtr:
			reg.Type = PtrToFlowKeys
		default:
			return RegState{}, notModelled("pointer %s in the context of %v programs", f.Name, env.prog.Type)
		}
	}
	return reg, nil
}

// tcpSockSize and the offsets of its two 64-bit fields: struct bpf_tcp_sock of
// include/uapi/linux/bpf.h.
const (
	tcpSockSize     = 112
	tcpSockReceived = 80
	tcpSockAcked    = 88
)

// checkSock checks a load from a socket (check_sock_access).
func (env *env) checkSock(regno isa.Register, off, size int) error {
	r := env.reg(regno)
	if r.SMin < 0 {
		return env.reject(CodeNegativeIndex,
			"R%d min value is negative, either use unsigned index or do a if (index >=0) check.\n", regno)
	}
	ok := off >= 0 && off%size == 0 && r.VarOff.IsConst() && r.VarOff.Value == 0
	switch r.Type {
	case PtrToSockCommon, PtrToSocket:
		if ok {
			var f *spec.CtxField
			f, ok = spec.CtxByName("bpf_sock").CheckAccess(spec.ProgCgroupSock, spec.Read, uint32(off), uint32(size))
			if ok && r.Type == PtrToSockCommon {
				// The fields of full sockets are not there.
				switch f.Name {
				case "type", "protocol", "mark", "priority":
					ok = false
				}
			}
		}
	case PtrToTCPSock:
		want := 4
		if off == tcpSockReceived || off == tcpSockAcked {
			want = 8
		}
		ok = ok && off < tcpSockSize && size == want
	case PtrToXDPSock:
		ok = ok && off == 0 && size == 4
	}
	if !ok {
		return env.reject(CodeCtxAccess, "R%d invalid %s access off=%d size=%d\n", regno, r.Type, off, size)
	}
	return nil
}

// checkTypedCtx checks a load from a context that is a list of arguments, or
// pointers to structures of the kernel; ok is false if it is not allowed
// (tracing_prog_is_valid_access, nf_is_valid_access, raw_tp_prog_is_valid_access).
func (env *env) checkTypedCtx(off, size int, t spec.Access) (r RegState, ok bool, err error) {
	if env.prog.Type == spec.ProgNetfilter {
		if t == spec.Write || size != 8 {
			return r, false, nil
		}
		name := ""
		switch off { // struct bpf_nf_ctx, include/linux/netfilter_bpf.h: state, skb
		case 0:
			name = "nf_hook_state"
		case 8:
			name = "sk_buff"
		default:
			return r, false, nil
		}
		s := env.kernelStruct(name)
		if s == nil {
			return r, false, notModelled("struct %s, which is not in the kernel's BTF", name)
		}
		r.setBTF(PtrToBTFID|Trusted, s, false)
		return r, true, nil
	}
	if off >= 8*spec.MaxRawTPArgs || t == spec.Write || off%size != 0 {
		return r, false, nil
	}
	switch env.prog.Type {
	case spec.ProgRawTracepointWritable:
		if off == 0 {
			r.setPointer(PtrToTPBuffer)
			return r, size == 8, nil
		}
		return unknownScalar(), true, nil
	}
	r, ok = env.checkArgCtx(off, size)
	return r, ok, nil
}

// ctxRewritten reports whether the kernel rewrites accesses to the context; where
// it does not, helpers may take it for memory (bpf_verifier_ops.convert_ctx_access).
func (env *env) ctxRewritten() bool {
	switch env.prog.Type {
	case spec.ProgSyscall, spec.ProgTracing, spec.ProgKprobe, spec.ProgTracepoint, spec.ProgRawTracepoint,
		spec.ProgRawTracepointWritable, spec.ProgLSM, spec.ProgNetfilter, spec.ProgStructOps, spec.ProgCgroupDevice:
		return false
	}
	return true
}
