package runtime

import (
	"fmt"

	"bpfvm/spec"
)

// combination is how a hook makes one answer of the programs' answers.
type combination uint8

const (
	// allAnded runs every program and ANDs the results, starting with 1
	// (kernel/trace/bpf_trace.c, trace_call_bpf over bpf_prog_run_array). Zero keeps
	// the event out of perf's own buffer.
	allAnded combination = iota
	// allIgnored runs every program and looks at no result.
	allIgnored
	// untilAnswer asks until a program answers something else than TC_ACT_UNSPEC
	// (include/net/tcx.h, tcx_run); each sees the packet as the one before left it.
	untilAnswer
	// untilNonzero runs programs up to the first that returns an error, which the
	// function then returns without having run (arch/x86/net/bpf_jit_comp.c,
	// invoke_bpf_mod_ret).
	untilNonzero
	// untilDrop asks netfilter programs until one does not accept the packet
	// (net/netfilter/core.c, nf_hook_slow).
	untilDrop
	// cgroupAll runs every program; the result is 0, or -EPERM when one of them
	// returned 0, or what bpf_set_retval said (kernel/bpf/cgroup.c,
	// bpf_prog_run_array_cg). Each finds the context as the one before left it.
	cgroupAll
	// cgroupFlags is cgroupAll for hooks that use the bits above the lowest.
	cgroupFlags
	// lookupAll runs every program: a socket that was chosen wins, else one drop
	// decides (include/linux/filter.h, BPF_PROG_SK_LOOKUP_RUN_ARRAY).
	lookupAll
	// theOne is for hooks that hold one program.
	theOne
)

// hookInfo says what may be attached to a kind of hook, and how answers combine.
type hookInfo struct {
	types   []spec.ProgType
	combine combination
}

// hookKinds are the kinds of hooks by the word before the colon of a target.
var hookKinds = map[string]hookInfo{
	"kprobe": {[]spec.ProgType{spec.ProgKprobe}, allAnded}, "kretprobe": {[]spec.ProgType{spec.ProgKprobe}, allAnded},
	"ksyscall": {[]spec.ProgType{spec.ProgKprobe}, allAnded}, "kretsyscall": {[]spec.ProgType{spec.ProgKprobe}, allAnded},
	"uprobe": {[]spec.ProgType{spec.ProgKprobe}, allAnded}, "uretprobe": {[]spec.ProgType{spec.ProgKprobe}, allAnded},
	"usdt":           {[]spec.ProgType{spec.ProgKprobe}, allAnded},
	"tracepoint":     {[]spec.ProgType{spec.ProgTracepoint}, allAnded},
	"perf_event":     {[]spec.ProgType{spec.ProgPerfEvent}, allAnded},
	"raw_tracepoint": {[]spec.ProgType{spec.ProgRawTracepoint, spec.ProgRawTracepointWritable}, allIgnored},
	"tp_btf":         {[]spec.ProgType{spec.ProgTracing}, allIgnored},
	"fentry":         {[]spec.ProgType{spec.ProgTracing}, allIgnored},
	"fexit":          {[]spec.ProgType{spec.ProgTracing}, allIgnored},
	"fmod_ret":       {[]spec.ProgType{spec.ProgTracing}, untilNonzero},
	"iter":           {[]spec.ProgType{spec.ProgTracing}, allIgnored},
	"lsm":            {[]spec.ProgType{spec.ProgLSM}, untilNonzero},
	"lsm_cgroup":     {[]spec.ProgType{spec.ProgLSM}, cgroupAll},
	"xdp":            {[]spec.ProgType{spec.ProgXDP}, theOne},
	"tc":             {[]spec.ProgType{spec.ProgSchedCls, spec.ProgSchedAct}, untilAnswer},
	"tcx":            {[]spec.ProgType{spec.ProgSchedCls}, untilAnswer},
	"netkit":         {[]spec.ProgType{spec.ProgSchedCls}, untilAnswer},
	"netfilter":      {[]spec.ProgType{spec.ProgNetfilter}, untilDrop},
	"socket":         {[]spec.ProgType{spec.ProgSocketFilter}, theOne},
	"cgroup_skb":     {[]spec.ProgType{spec.ProgCgroupSKB}, cgroupFlags},
	"cgroup": {[]spec.ProgType{
		spec.ProgCgroupSock, spec.ProgCgroupSockAddr, spec.ProgCgroupDevice, spec.ProgCgroupSysctl, spec.ProgCgroupSockopt,
	}, cgroupAll},
	"sockops":        {[]spec.ProgType{spec.ProgSockOps}, cgroupAll},
	"sk_skb":         {[]spec.ProgType{spec.ProgSKSKB}, theOne},
	"sk_msg":         {[]spec.ProgType{spec.ProgSKMsg}, theOne},
	"sk_lookup":      {[]spec.ProgType{spec.ProgSKLookup}, lookupAll},
	"sk_reuseport":   {[]spec.ProgType{spec.ProgSKReuseport}, theOne},
	"flow_dissector": {[]spec.ProgType{spec.ProgFlowDissector}, theOne},
	"lwt_in":         {[]spec.ProgType{spec.ProgLWTIn}, theOne}, "lwt_out": {[]spec.ProgType{spec.ProgLWTOut}, theOne},
	"lwt_xmit": {[]spec.ProgType{spec.ProgLWTXmit}, theOne}, "lwt_seg6local": {[]spec.ProgType{spec.ProgLWTSeg6Local}, theOne},
	"lirc_mode2": {[]spec.ProgType{spec.ProgLircMode2}, allIgnored},
	"syscall":    {[]spec.ProgType{spec.ProgSyscall}, theOne},
}

// combinationAt is that of a target. The bind hooks of cgroups use the bit above the
// lowest (BPF_RET_BIND_NO_CAP).
func combinationAt(kind, target string) combination {
	if target == "cgroup:bind4" || target == "cgroup:bind6" {
		return cgroupFlags
	}
	return hookKinds[kind].combine
}

// Firing is what one event did.
type Firing struct {
	Target string
	// Ret combines the programs' results as the hook does; see [Runtime.Fire].
	Ret uint64
	// Results are those of the programs that ran, in order.
	Results []Result
}

// Answers of hooks.
const (
	tcNext   = ^uint32(0) // TCX_NEXT, the same as TC_ACT_UNSPEC (include/uapi/linux/bpf.h)
	nfAccept = 1          // NF_ACCEPT (include/uapi/linux/netfilter.h)
	skPass   = 1          // SK_PASS (include/uapi/linux/bpf.h, enum sk_action)
	// What cgroup_skb:egress answers (include/linux/netdevice.h).
	xmitDrop, xmitCN = 1, 2
)

// Fire runs what is attached to a hook, in the order of attaching:
//
//   - kprobes, tracepoints and perf events: every program; the results are ANDed,
//     starting with 1. Zero keeps the event out of perf's own buffer.
//   - raw and BTF tracepoints (which share an array), fentry, fexit, iterators, infrared receivers: every
//     program; nobody looks at the results.
//   - fmod_ret and lsm: until a program returns something else than zero, which is
//     then the function's result.
//   - cgroup hooks, sockops and lsm_cgroup: every program, also after one has
//     refused; the result is 0, or -EPERM after a refusal, or what bpf_set_retval
//     said. cgroup_skb:egress adds NET_XMIT_CN and NET_XMIT_DROP. Programs see
//     what the ones before did to the context.
//   - tc, tcx, netkit: until a program answers something else than TC_ACT_UNSPEC;
//     each sees the packet as the one before left it.
//   - netfilter: until a program does not accept the packet.
//   - sk_lookup: every program; SK_DROP when one drops.
//   - all others hold one program.
//
// A program that traps counts as 0 and does not keep the others from running.
func (rt *Runtime) Fire(target string, in Input) (Firing, error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	kind, err := hookKind(target)
	if err != nil {
		return Firing{Target: target}, fmt.Errorf("fire: %w", err)
	}
	a := answer{how: combinationAt(kind, target), anded: 1, pass: true}
	f := Firing{Target: target}
	for _, l := range rt.linksAt(target) {
		res, err := l.prog.run(in, l.Cookie, a.retval)
		if err != nil {
			return f, fmt.Errorf("fire %s: %w", target, err)
		}
		f.Results = append(f.Results, res)
		if a.add(&res) {
			break
		}
		in = after(in, &res)
	}
	f.Ret = a.result(target, len(f.Results))
	return f, nil
}

// after is the input for the program that runs next.
func after(in Input, res *Result) Input {
	switch in := in.(type) {
	case *SKB:
		next := *in
		next.Data = res.Packet
		return &next
	case *Context:
		return in.next(res)
	}
	return in
}

// answer collects the results of a run array.
type answer struct {
	how    combination
	last   uint64
	anded  uint64
	retval int64  // cgroup hooks
	flags  uint32 // cgroup hooks: the bits above the lowest
	pass   bool   // sk_lookup
}

// add takes the next result; true: no further program runs.
func (a *answer) add(res *Result) (stop bool) {
	a.last = res.R0
	switch a.how {
	case allAnded:
		a.anded &= uint64(uint32(res.R0)) // bpf_prog_run_array works on u32
	case untilAnswer:
		return uint32(res.R0) != tcNext
	case untilNonzero:
		return int32(res.R0) != 0
	case untilDrop:
		return uint32(res.R0) != nfAccept
	case lookupAll:
		a.pass = a.pass && uint32(res.R0) == skPass
	case cgroupAll, cgroupFlags:
		ret := uint32(res.R0)
		a.retval = res.Retval
		if a.how == cgroupFlags {
			a.flags |= ret >> 1
			ret &= 1
		}
		if ret == 0 && a.retval >= 0 {
			a.retval = -int64(spec.EPERM)
		}
	case theOne:
		return true
	}
	return false
}

// result is what the hook makes of n results.
func (a *answer) result(target string, n int) uint64 {
	if n == 0 {
		return 0
	}
	switch a.how {
	case allAnded:
		return a.anded
	case allIgnored:
		return 0
	case lookupAll:
		if a.pass {
			return skPass
		}
		return 0
	case cgroupAll, cgroupFlags:
		if target == "cgroup_skb:egress" { // __cgroup_bpf_run_filter_skb
			return a.egress()
		}
		return uint64(a.retval)
	}
	return a.last
}

func (a *answer) egress() uint64 {
	congested := a.flags&1 != 0
	switch {
	case a.retval == 0 && congested:
		return xmitCN
	case a.retval != 0 && congested:
		return xmitDrop
	}
	return uint64(a.retval)
}
