package runtime

import (
	"bpfvm/spec"
	"bpfvm/vm"
)

// Values that sockets have when nothing else is said.
const (
	afUnix, afInet, afInet6 = 1, 2, 10 // include/linux/socket.h
	sockStream, sockDgram   = 1, 2     // include/linux/net.h
	protoTCP, protoUDP      = 6, 17    // include/uapi/linux/in.h
	tcpEstablished          = 1        // BPF_TCP_ESTABLISHED
	ethIPv4                 = 0x0800   // ETH_P_IP
	skNotMapped             = 1<<32 - 1
)

func init() {
	contextKinds[spec.ProgSockOps] = contextKind{hasSock: true, length: "skb_len", defaults: func(*Context) []FieldValue {
		return []FieldValue{Number("family", afInet), Number("is_fullsock", 1), Number("state", tcpEstablished)}
	}}
	contextKinds[spec.ProgSKMsg] = contextKind{hasSock: true, write: true, length: "size", defaults: func(*Context) []FieldValue {
		return []FieldValue{Number("family", afInet)}
	}}
	// The socket of a lookup is what the program chooses: NULL at first.
	contextKinds[spec.ProgSKLookup] = contextKind{defaults: func(*Context) []FieldValue {
		return []FieldValue{Number("family", afInet), Number("protocol", protoTCP)}
	}}
	contextKinds[spec.ProgSKReuseport] = contextKind{hasSock: true, length: "len", defaults: func(*Context) []FieldValue {
		return []FieldValue{{"eth_protocol", []byte{ethIPv4 >> 8, ethIPv4 & 0xff}}, Number("ip_protocol", protoTCP)}
	}}
}

// newSock lays out the socket that a context's sk points to, a struct bpf_sock as
// programs see it, and returns its address.
func (e *Env) newSock(fields []FieldValue) (uint64, error) {
	layout := spec.CtxByName("bpf_sock")
	r, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionSock, uint64(layout.Size), vm.PermRead)
	if err != nil {
		return 0, err
	}
	b := e.rt.mem.Raw(r.Base, r.Size)
	if err := putFields(b, layout, sockDefaults(afInet, sockStream, protoTCP)); err != nil {
		return 0, err
	}
	return r.Base, putFields(b, layout, fields)
}

// sockDefaults are the fields of a connected socket.
func sockDefaults(family, typ, protocol uint64) []FieldValue {
	return []FieldValue{
		Number("family", family), Number("type", typ), Number("protocol", protocol),
		Number("state", tcpEstablished), Number("rx_queue_mapping", skNotMapped),
	}
}
