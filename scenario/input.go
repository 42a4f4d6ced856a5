package scenario

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/types"
)

// input makes what the hook gives to programs from a firing.
func (f *firing) input(rt *runtime.Runtime) (runtime.Input, error) {
	cpu := f.world.cpu
	switch f.ev.Hook {
	case "kprobe", "kretprobe", "uprobe", "uretprobe", "ksyscall", "kretsyscall", "usdt":
		k := &runtime.Kprobe{CPU: cpu}
		for i, a := range f.ev.Args {
			name := a.Name
			if f.names != nil {
				name = f.names[i]
			}
			*k.Regs.Reg(name) = f.regs[i]
		}
		return k, nil
	case "perf_event":
		s := &runtime.PerfEvent{CPU: cpu}
		f.each(func(name string, v uint64) {
			switch name {
			case "sample_period":
				s.Period = v
			case "addr":
				s.Addr = v
			default:
				*s.Regs.Reg(name) = v
			}
		})
		return s, nil
	case "raw_tracepoint", "tp_btf", "fentry", "fexit", "fmod_ret", "lsm", "lsm_cgroup", "iter":
		return f.traced(rt)
	case "syscall":
		sys := &runtime.Syscall{CPU: cpu}
		var err error
		for _, a := range f.ev.Args {
			sys.Ctx, err = a.Value.appendBytes(nil)
		}
		return sys, err
	case "tracepoint":
		rec, err := f.record()
		return &runtime.Tracepoint{Record: rec, CPU: cpu}, err
	case "xdp":
		if f.link == LinkRaw {
			return nil, errors.New("xdp wants Ethernet frames, this is raw IP")
		}
		x := &runtime.XDP{Data: f.pkt, CPU: cpu}
		return x, f.fill(map[string]*uint32{"ingress_ifindex": &x.IfIndex, "rx_queue_index": &x.Queue, "egress_ifindex": &x.Egress})
	case "netfilter":
		data, _ := f.network()
		return &runtime.Netfilter{Data: data, CPU: cpu}, nil
	}
	h := findHook(f.ev.Hook)
	switch {
	case h.packet:
		return f.skb(h), nil
	case h.fields:
		return &runtime.Context{
			Type: f.ctx.typ, Attach: f.ctx.attach, Fields: f.ctx.fields, Sock: f.ctx.sock, NoSock: f.ctx.noSock,
			Data: f.ctx.data, Sysctl: f.ctx.sysctl, CPU: cpu,
		}, nil
	}
	return nil, fmt.Errorf("event %s: %w", f.ev.Hook, errors.ErrUnsupported)
}

// traced makes the words of a traced call or an iterator's step.
func (f *firing) traced(rt *runtime.Runtime) (runtime.Input, error) {
	if f.ev.Hook == "iter" {
		return &runtime.Iter{Args: f.call.byName, Buffers: f.call.buffer, Session: 1, CPU: f.world.cpu}, nil
	}
	words, err := f.call.resolve(rt)
	if err != nil {
		return nil, err
	}
	switch f.ev.Hook {
	case "raw_tracepoint", "tp_btf":
		return &runtime.RawTracepoint{Args: words, Buffer: f.call.bytes, CPU: f.world.cpu}, nil
	}
	return &runtime.Tracing{Args: words, Ret: f.call.ret, CPU: f.world.cpu}, nil
}

// probeRegs gives the registers that a kprobe's arguments are in: those that have
// the names of the function's parameters are where the C calling convention puts
// them.
func (p *planner) probeRegs(h *hook, e *Event) ([]string, error) {
	names := make([]string, len(e.Args))
	for i, a := range e.Args {
		if names[i] = a.Name; slices.Contains(registerArgs, a.Name) {
			continue
		}
		kernel, err := p.kernel()
		if err != nil {
			return nil, err
		}
		sig, _ := runtime.SignatureIn(kernel, h.signatureHook(), e.Target)
		k := slices.IndexFunc(sig.Args, func(p types.Param) bool { return p.Name == a.Name })
		if k < 0 || k >= 6 {
			return nil, &Error{Pos: a.Pos, Msg: fmt.Sprintf("%s has no %s%s", e.Name(), a.Name, didYouMean(a.Name, h.namesIn(kernel, e.Target)))}
		}
		names[i] = fmt.Sprintf("arg%d", k+1)
	}
	return names, nil
}

// network is the packet from its network header on, and the protocol in front of it.
func (f *firing) network() ([]byte, uint16) {
	switch {
	case f.link == LinkRaw && len(f.pkt) > 0 && f.pkt[0]>>4 == 6:
		return f.pkt, etherIPv6
	case f.link == LinkRaw:
		return f.pkt, etherIPv4
	case len(f.pkt) < ethHeader:
		return nil, 0
	}
	return f.pkt[ethHeader:], binary.BigEndian.Uint16(f.pkt[12:])
}

// each visits the arguments that are numbers or addresses.
func (f *firing) each(visit func(name string, v uint64)) {
	for i, a := range f.ev.Args {
		if !slices.Contains(packetArgs, a.Name) {
			visit(a.Name, f.regs[i])
		}
	}
}

// fill stores arguments in 32-bit fields of a context.
func (f *firing) fill(fields map[string]*uint32) error {
	for i, a := range f.ev.Args {
		if p, ok := fields[a.Name]; ok {
			if !a.Value.fits(4) {
				return a.Value.errf("%s does not fit into 4 bytes", a.Value)
			}
			*p = uint32(f.regs[i])
		}
	}
	return nil
}

// skb makes a socket buffer. The fields that an event of a packet hook may set are
// those of struct __sk_buff; protocol is a number as in C, not in network order.
func (f *firing) skb(h *hook) runtime.Input {
	s := &runtime.SKB{Data: f.pkt, CPU: f.world.cpu}
	switch {
	case h.network:
		s.Data, s.Protocol = f.network()
	case f.link == LinkRaw:
		_, s.Protocol = f.network()
	}
	if f.ctx == nil { // packets without a script
		return s
	}
	s.Sock = f.ctx.sock
	for _, v := range f.ctx.fields {
		var raw [8]byte
		copy(raw[:], v.Data)
		switch n := binary.LittleEndian.Uint64(raw[:]); v.Name {
		case "protocol":
			s.Protocol = uint16(n)
		case "vlan_tci":
			s.VLAN = uint32(n)
		case "pkt_type":
			s.PktType = uint32(n)
		case "ifindex":
			s.IfIndex = uint32(n)
		default:
			s.Fields = append(s.Fields, v)
		}
	}
	return s
}

// record lays out the record of a trace event: fields at their offsets, and
// strings of variable length behind them (kernel/trace/trace_events.c,
// "__data_loc": offset | length << 16).
func (f *firing) record() ([]byte, error) {
	layout := spec.Tracepoint(f.ev.Target)
	rec := make([]byte, 8, 128)
	if layout != nil {
		rec = make([]byte, layout.Size, max(128, layout.Size))
	}
	binary.LittleEndian.PutUint32(rec[4:], uint32(f.world.pid))
	for i, a := range f.ev.Args {
		if a.Name == "record" {
			b, err := a.Value.appendBytes(nil)
			if err != nil {
				return nil, err
			}
			return append(rec[:8], b...), nil
		}
		fld, off, size := traceField(layout, a.Name)
		if fld == nil {
			return nil, fmt.Errorf("%s has no field %s", f.ev.Name(), a.Name)
		}
		var err error
		if rec, err = putField(rec, fld, off, size, a.Value, f.regs[i]); err != nil {
			return nil, err
		}
	}
	return rec, nil
}

func putField(rec []byte, fld *spec.CtxField, off, size uint32, v Value, reg uint64) ([]byte, error) {
	place := rec[off : off+size]
	switch is, _, _ := v.memory(); {
	case is && strings.HasPrefix(fld.CType, "__data_loc"):
		b, err := v.MemoryBytes()
		if err != nil {
			return nil, err
		}
		if len(rec)+len(b) > 8000 {
			return nil, v.errf("the record is longer than 8000 bytes")
		}
		binary.LittleEndian.PutUint32(place, uint32(len(rec))|uint32(len(b))<<16)
		return append(rec, b...), nil
	case is && inline(fld):
		b, err := v.AppendBytes(nil, int(size))
		if err != nil {
			return nil, err
		}
		copy(place, b)
		return rec, nil
	case is || v.Kind == ValueCall: // an address
		if size != 8 {
			return nil, v.errf("%s is a field of %d bytes, an address has 8", fld.Name, size)
		}
		binary.LittleEndian.PutUint64(place, reg)
		return rec, nil
	}
	b, err := v.AppendBytes(nil, int(size))
	if err != nil {
		return nil, err
	}
	copy(place, b)
	return rec, nil
}

// traceField finds a field of a trace event. Events of system calls without an
// entry of their own have one field args; arg0 to arg5 are its elements.
func traceField(layout *spec.CtxLayout, name string) (fld *spec.CtxField, off, size uint32) {
	if layout == nil {
		return nil, 0, 0
	}
	if fld := layout.Field(name); fld != nil {
		return fld, fld.Off, fld.Size
	}
	if fld := layout.Field("args"); fld != nil && len(name) == 4 && strings.HasPrefix(name, "arg") {
		if i := uint32(name[3] - '0'); i < fld.Size/8 {
			return fld, fld.Off + 8*i, 8
		}
	}
	return nil, 0, 0
}

// inline says that a field holds its bytes itself.
func inline(fld *spec.CtxField) bool { return strings.HasSuffix(fld.CType, "]") }

// inRecord says that the argument's bytes go into the record, not elsewhere.
func inRecord(e *Event, a Arg) bool {
	if takesBytes(e, a.Name) {
		return true
	}
	if e.Hook != "tracepoint" {
		return false
	}
	fld, _, _ := traceField(spec.Tracepoint(e.Target), a.Name)
	return fld != nil && (inline(fld) && fld.Name != "args" || strings.HasPrefix(fld.CType, "__data_loc"))
}

// checkTracepoint checks the names of a trace event's fields.
func checkTracepoint(e *Event) error {
	layout := spec.Tracepoint(e.Target)
	for _, a := range e.Args {
		if a.Name == "record" {
			if a.Value.Kind != ValueCall || len(e.Args) > 1 {
				return &Error{Pos: a.Pos, Msg: "record=bytes(\"..\") gives the whole record after the common fields, and stands alone"}
			}
			continue
		}
		if layout == nil {
			return &Error{Pos: a.Pos, Msg: fmt.Sprintf("the layout of %s is not known: give record=bytes(\"..\")%s",
				e.Name(), didYouMean(e.Target, spec.Tracepoints()))}
		}
		if fld, _, _ := traceField(layout, a.Name); fld == nil {
			var names []string
			for i := range layout.Fields {
				names = append(names, layout.Fields[i].Name)
			}
			return &Error{Pos: a.Pos, Msg: fmt.Sprintf("%s has no field %s%s", e.Name(), a.Name, didYouMean(a.Name, names))}
		}
	}
	return nil
}
