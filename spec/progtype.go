package spec

// ProgType is the type of a program: it fixes the context, the helpers it may
// call and what its return value means (include/uapi/linux/bpf.h, enum
// bpf_prog_type).
type ProgType uint32

// Program types with their numbers of Linux 6.18.
const (
	ProgUnspec                ProgType = 0
	ProgSocketFilter          ProgType = 1
	ProgKprobe                ProgType = 2
	ProgSchedCls              ProgType = 3
	ProgSchedAct              ProgType = 4
	ProgTracepoint            ProgType = 5
	ProgXDP                   ProgType = 6
	ProgPerfEvent             ProgType = 7
	ProgCgroupSKB             ProgType = 8
	ProgCgroupSock            ProgType = 9
	ProgLWTIn                 ProgType = 10
	ProgLWTOut                ProgType = 11
	ProgLWTXmit               ProgType = 12
	ProgSockOps               ProgType = 13
	ProgSKSKB                 ProgType = 14
	ProgCgroupDevice          ProgType = 15
	ProgSKMsg                 ProgType = 16
	ProgRawTracepoint         ProgType = 17
	ProgCgroupSockAddr        ProgType = 18
	ProgLWTSeg6Local          ProgType = 19
	ProgLircMode2             ProgType = 20
	ProgSKReuseport           ProgType = 21
	ProgFlowDissector         ProgType = 22
	ProgCgroupSysctl          ProgType = 23
	ProgRawTracepointWritable ProgType = 24
	ProgCgroupSockopt         ProgType = 25
	ProgTracing               ProgType = 26
	ProgStructOps             ProgType = 27
	ProgExt                   ProgType = 28
	ProgLSM                   ProgType = 29
	ProgSKLookup              ProgType = 30
	ProgSyscall               ProgType = 31
	ProgNetfilter             ProgType = 32
)

// AttachType says where a program of one type may be attached (enum
// bpf_attach_type). The zero value is also BPF_CGROUP_INET_INGRESS, as in the
// kernel; only program types that look at it give it a meaning.
type AttachType uint32
