package runtime

import "bpfvm/spec"

// Defaults of the device hook: reading /dev/null.
const (
	devRead, devChar    = 2, 2 // BPF_DEVCG_ACC_READ, BPF_DEVCG_DEV_CHAR
	memMajor, nullMinor = 1, 3
	solSocket           = 1 // SOL_SOCKET
)

func init() {
	register(map[string]helperFunc{"bpf_get_retval": getRetval, "bpf_set_retval": setRetval})
	contextKinds[spec.ProgCgroupDevice] = contextKind{defaults: func(*Context) []FieldValue {
		return []FieldValue{Number("access_type", devRead<<16|devChar), Number("major", memMajor), Number("minor", nullMinor)}
	}}
	contextKinds[spec.ProgCgroupSysctl] = contextKind{}
	contextKinds[spec.ProgCgroupSockopt] = contextKind{
		hasSock: true, write: true, length: "optlen",
		defaults: func(*Context) []FieldValue { return []FieldValue{Number("level", solSocket)} },
	}
	contextKinds[spec.ProgCgroupSock] = contextKind{defaults: func(c *Context) []FieldValue {
		family := uint64(afInet)
		if c.Attach == spec.AttachCgroupInet6PostBind {
			family = afInet6
		}
		return sockDefaults(family, sockStream, protoTCP)
	}}
	contextKinds[spec.ProgCgroupSockAddr] = contextKind{hasSock: true, defaults: sockAddrDefaults}
}

// sockAddrDefaults are the families of the attach type, and the socket's kind that
// the system call is used with.
func sockAddrDefaults(c *Context) []FieldValue {
	family, typ, protocol := uint64(afInet), uint64(sockStream), uint64(protoTCP)
	switch c.Attach {
	case spec.AttachCgroupInet6Bind, spec.AttachCgroupInet6Connect, spec.AttachCgroupInet6Getpeername,
		spec.AttachCgroupInet6Getsockname, spec.AttachCgroupUDP6Sendmsg, spec.AttachCgroupUDP6Recvmsg:
		family = afInet6
	case spec.AttachCgroupUnixConnect, spec.AttachCgroupUnixSendmsg, spec.AttachCgroupUnixRecvmsg,
		spec.AttachCgroupUnixGetpeername, spec.AttachCgroupUnixGetsockname:
		family, protocol = afUnix, 0
	}
	switch c.Attach {
	case spec.AttachCgroupUDP4Sendmsg, spec.AttachCgroupUDP6Sendmsg, spec.AttachCgroupUDP4Recvmsg, spec.AttachCgroupUDP6Recvmsg:
		typ, protocol = sockDgram, protoUDP
	}
	return []FieldValue{Number("user_family", family), Number("family", family), Number("type", typ), Number("protocol", protocol)}
}

// getRetval is bpf_get_retval(): what the system call is going to return.
func getRetval(e *Env, _, _, _, _, _ uint64) (uint64, error) { return uint64(e.retval), nil }

// setRetval is bpf_set_retval(retval) (kernel/bpf/cgroup.c).
func setRetval(e *Env, retval, _, _, _, _ uint64) (uint64, error) {
	e.retval = int64(int32(retval))
	return 0, nil
}
