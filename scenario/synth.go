package scenario

import (
	"errors"
	"fmt"
	"strings"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// synthPacket is the packet of synthesized events: a TCP segment with something in
// it, from one private address to another.
const synthPacket = `eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02)/ipv4(src=10.0.0.1,dst=10.0.0.2)/` +
	`tcp(sport=40000,dport=80,ack)/"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"`

// ethHeader is ETH_HLEN.
const ethHeader = 14

// Sizes of contexts whose size nothing says.
const (
	synthRecord  = 512  // of a trace event without a known layout
	synthSyscall = 4096 // ctx_in
	synthBuffer  = 256  // behind the first argument of raw_tracepoint.w, keys and values of iterators
)

// Synthesize makes an event for a program of any type that there is: pointers lead
// to kernel objects of zeros and to the current task, packets are a small TCP
// segment, numbers are zero or what the hook always has. It answers the question
// whether a program runs at all, and is where the input of a test can start.
func Synthesize(rt *runtime.Runtime, p *runtime.Program) (runtime.Input, error) {
	packet, err := PacketWords(synthPacket)
	if err != nil {
		return nil, err
	}
	hook, name, _ := strings.Cut(p.Target(), ":")
	switch t := p.Type(); t {
	case spec.ProgKprobe:
		return synthKprobe(rt, hook, name)
	case spec.ProgTracepoint:
		size := synthRecord
		if layout := spec.Tracepoint(name); layout != nil {
			size = int(layout.Size)
		}
		return &runtime.Tracepoint{Record: make([]byte, size)}, nil
	case spec.ProgRawTracepoint, spec.ProgRawTracepointWritable:
		args, err := synthArgs(rt, "tp_btf", name)
		return &runtime.RawTracepoint{Args: args, Buffer: make([]byte, synthBuffer)}, err
	case spec.ProgTracing, spec.ProgLSM:
		switch hook {
		case "iter":
			return &runtime.Iter{Buffers: map[string][]byte{"key": make([]byte, synthBuffer), "value": make([]byte, synthBuffer)}}, nil
		case "tp_btf":
			args, err := synthArgs(rt, hook, name)
			return &runtime.RawTracepoint{Args: args}, err
		}
		args, err := synthArgs(rt, hook, name)
		return &runtime.Tracing{Args: args}, err
	case spec.ProgPerfEvent:
		return &runtime.PerfEvent{Period: 1}, nil
	case spec.ProgXDP:
		return &runtime.XDP{Data: packet}, nil
	case spec.ProgSocketFilter, spec.ProgSchedCls, spec.ProgSchedAct, spec.ProgFlowDissector:
		return &runtime.SKB{Data: packet}, nil
	case spec.ProgCgroupSKB, spec.ProgLWTIn, spec.ProgLWTOut, spec.ProgLWTXmit, spec.ProgLWTSeg6Local:
		return &runtime.SKB{Data: packet[ethHeader:], Protocol: etherIPv4}, nil
	case spec.ProgSKSKB:
		return &runtime.SKB{Data: packet[payloadStart(packet):], Protocol: etherIPv4}, nil
	case spec.ProgNetfilter:
		return &runtime.Netfilter{Data: packet[ethHeader:]}, nil
	case spec.ProgSyscall:
		return &runtime.Syscall{Ctx: make([]byte, synthSyscall)}, nil
	case spec.ProgSockOps, spec.ProgSKMsg, spec.ProgSKReuseport, spec.ProgCgroupSockopt:
		return &runtime.Context{Type: t, Data: packet[payloadStart(packet):]}, nil
	case spec.ProgCgroupSysctl:
		return &runtime.Context{Type: t, Sysctl: runtime.Sysctl{Name: "net/ipv4/tcp_mem", Current: "1 2 3\n", New: "4 5 6"}}, nil
	case spec.ProgSKLookup, spec.ProgCgroupSock, spec.ProgCgroupSockAddr, spec.ProgCgroupDevice, spec.ProgLircMode2:
		return &runtime.Context{Type: t}, nil
	}
	return nil, fmt.Errorf("an event for a program of type %s: %w", p.Type(), errors.ErrUnsupported)
}

// payloadStart is where the payload of synthPacket begins: behind headers without
// options.
func payloadStart(packet []byte) int { return min(len(packet), ethHeader+20+20) }

// synthArgs gives the arguments of a traced function; one without a known prototype
// gets zeros.
func synthArgs(rt *runtime.Runtime, hook, name string) ([]uint64, error) {
	sig, err := rt.Signature(hook, name)
	if err != nil {
		return nil, nil
	}
	return rt.DefaultArgs(sig)
}

// synthKprobe puts arguments where the C calling convention has them.
func synthKprobe(rt *runtime.Runtime, hook, name string) (runtime.Input, error) {
	k := &runtime.Kprobe{}
	if hook != "kprobe" {
		return k, nil
	}
	args, err := synthArgs(rt, "fentry", name)
	if err != nil {
		return nil, err
	}
	for i, v := range args[:min(len(args), 6)] {
		*k.Regs.Reg(fmt.Sprintf("arg%d", i+1)) = v
	}
	return k, nil
}
