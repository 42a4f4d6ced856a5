package scenario

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// input makes what the hook gives to programs from a firing.
func (f *firing) input() (runtime.Input, error) {
	switch f.ev.Hook {
	case "kprobe", "kretprobe", "uprobe", "uretprobe", "ksyscall", "kretsyscall", "usdt":
		k := &runtime.Kprobe{CPU: f.world.cpu}
		f.each(func(name string, v uint64) { *k.Regs.Reg(name) = v })
		return k, nil
	case "perf_event":
		s := &runtime.PerfEvent{CPU: f.world.cpu}
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
	case "raw_tracepoint":
		r := &runtime.RawTracepoint{CPU: f.world.cpu}
		f.each(func(name string, v uint64) {
			i, _ := strconv.Atoi(strings.TrimPrefix(name, "arg"))
			r.Args = append(r.Args, make([]uint64, max(0, i+1-len(r.Args)))...)
			r.Args[i] = v
		})
		return r, nil
	case "syscall":
		sys := &runtime.Syscall{CPU: f.world.cpu}
		var err error
		for _, a := range f.ev.Args {
			sys.Ctx, err = a.Value.appendBytes(nil)
		}
		return sys, err
	case "tracepoint":
		rec, err := f.record()
		return &runtime.Tracepoint{Record: rec, CPU: f.world.cpu}, err
	case "xdp":
		if f.link == LinkRaw {
			return nil, errors.New("xdp wants Ethernet frames, this is raw IP")
		}
		x := &runtime.XDP{Data: f.pkt, CPU: f.world.cpu}
		return x, f.fill(map[string]*uint32{"ingress_ifindex": &x.IfIndex, "rx_queue_index": &x.Queue, "egress_ifindex": &x.Egress})
	case "tc", "socket":
		return f.skb()
	}
	return nil, fmt.Errorf("event %s: %w", f.ev.Hook, errors.ErrUnsupported)
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

func (f *firing) skb() (runtime.Input, error) {
	s := &runtime.SKB{Data: f.pkt, CPU: f.world.cpu}
	var proto uint32
	err := f.fill(map[string]*uint32{
		"mark": &s.Mark, "queue_mapping": &s.Queue, "protocol": &proto, "vlan_tci": &s.VLAN, "priority": &s.Priority,
		"ingress_ifindex": &s.Ingress, "ifindex": &s.IfIndex, "hash": &s.Hash,
	})
	if f.link == LinkRaw && proto == 0 && len(f.pkt) > 0 {
		proto = etherIPv4
		if f.pkt[0]>>4 == 6 {
			proto = etherIPv6
		}
	}
	s.Protocol = uint16(proto)
	f.each(func(name string, v uint64) {
		if name == "tstamp" {
			s.Tstamp = v
		}
	})
	return s, err
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
