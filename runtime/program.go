package runtime

import (
	"fmt"
	"slices"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// Program is a loaded program: struct bpf_prog with its insnsi and bpf_func.
type Program struct {
	rt     *Runtime
	spec   *spec.ProgramSpec
	id     uint32
	code   *vm.Code
	funcs  []*vm.Func        // of the code, that handles stand for
	async  map[int]vm.Runner // by slot: the program, begun at a function of timers
	runner vm.Runner         // nil until the first run

	coll     *spec.CollectionSpec // what the program came with
	verified bool                 // proven is the verifier's answer
	proven   *spec.Facts

	runCnt, runTime uint64
}

// Name is the program's function.
func (p *Program) Name() string { return p.spec.Name }

// ID is the number of the program, counted from 1 in the order of loading.
func (p *Program) ID() uint32 { return p.id }

// Spec is what the program was made from.
func (p *Program) Spec() *spec.ProgramSpec { return p.spec }

// Type is the program's type.
func (p *Program) Type() spec.ProgType { return p.spec.Type }

// Insns are the instructions as the engine gets them, the kernel's insnsi: maps
// and functions are addresses.
func (p *Program) Insns() isa.Program { return p.code.Insns }

// Code is what the engine compiles.
func (p *Program) Code() *vm.Code { return p.code }

// Stats returns how often the program ran and for how long, while statistics
// were on. The virtual clock stands still while a program runs, so the time is
// counted as one nanosecond for each instruction.
func (p *Program) Stats() (runCnt, runTimeNs uint64) { return p.runCnt, p.runTime }

// Func returns the compiled program, bpf_func; the engine compiles it when it is
// asked for first, and again after mocks have changed.
func (p *Program) Func() (vm.Runner, error) {
	p.rt.mu.Lock()
	defer p.rt.mu.Unlock()
	return p.bpfFunc()
}

func (p *Program) bpfFunc() (vm.Runner, error) {
	if p.runner != nil {
		return p.runner, nil
	}
	for id := range p.code.Helpers {
		if h := p.rt.helper(p.spec.Type, spec.HelperID(id)); h != nil {
			p.code.Helpers[id] = h
		}
	}
	p.code.Facts = p.facts()
	r, err := p.rt.opts.Engine.Compile(p.code)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	p.runner = r
	for _, f := range p.funcs {
		f.Target = r
	}
	return r, nil
}

// Target is where the program asks to be attached, as [Runtime.Fire] names it:
// "kprobe:do_unlinkat", "tracepoint:syscalls/sys_enter_openat", "cgroup:connect4",
// "xdp".
func (p *Program) Target() string { return targetOf(p.spec) }

// hook returns the target's two halves.
func (p *Program) hook() (kind, name string) {
	kind, name, _ = strings.Cut(p.Target(), ":")
	return kind, name
}

// attachHooks are the hooks of types that are attached by an attach type alone, and
// the kind of hook of tracing programs.
var attachHooks = map[spec.ProgType]map[spec.AttachType]string{
	spec.ProgTracing: {
		spec.AttachTraceRawTP: "tp_btf", spec.AttachTraceFentry: "fentry", spec.AttachTraceFexit: "fexit",
		spec.AttachModifyReturn: "fmod_ret", spec.AttachTraceIter: "iter",
	},
	spec.ProgLSM:      {spec.AttachLSMMAC: "lsm", spec.AttachLSMCgroup: "lsm_cgroup"},
	spec.ProgSchedCls: {spec.AttachTCXIngress: "tcx:ingress", spec.AttachTCXEgress: "tcx:egress", spec.AttachNetkitPrimary: "netkit:primary", spec.AttachNetkitPeer: "netkit:peer"},
	spec.ProgCgroupSKB: {
		spec.AttachCgroupInetIngress: "cgroup_skb:ingress", spec.AttachCgroupInetEgress: "cgroup_skb:egress",
	},
	spec.ProgCgroupSock: {
		spec.AttachCgroupInetSockCreate: "cgroup:sock_create", spec.AttachCgroupInetSockRelease: "cgroup:sock_release",
		spec.AttachCgroupInet4PostBind: "cgroup:post_bind4", spec.AttachCgroupInet6PostBind: "cgroup:post_bind6",
	},
	spec.ProgCgroupSockAddr: {
		spec.AttachCgroupInet4Bind: "cgroup:bind4", spec.AttachCgroupInet6Bind: "cgroup:bind6",
		spec.AttachCgroupInet4Connect: "cgroup:connect4", spec.AttachCgroupInet6Connect: "cgroup:connect6",
		spec.AttachCgroupUDP4Sendmsg: "cgroup:sendmsg4", spec.AttachCgroupUDP6Sendmsg: "cgroup:sendmsg6",
		spec.AttachCgroupUDP4Recvmsg: "cgroup:recvmsg4", spec.AttachCgroupUDP6Recvmsg: "cgroup:recvmsg6",
		spec.AttachCgroupInet4Getpeername: "cgroup:getpeername4", spec.AttachCgroupInet6Getpeername: "cgroup:getpeername6",
		spec.AttachCgroupInet4Getsockname: "cgroup:getsockname4", spec.AttachCgroupInet6Getsockname: "cgroup:getsockname6",
		spec.AttachCgroupUnixConnect: "cgroup:connect_unix", spec.AttachCgroupUnixSendmsg: "cgroup:sendmsg_unix",
		spec.AttachCgroupUnixRecvmsg: "cgroup:recvmsg_unix", spec.AttachCgroupUnixGetpeername: "cgroup:getpeername_unix",
		spec.AttachCgroupUnixGetsockname: "cgroup:getsockname_unix",
	},
	spec.ProgCgroupSockopt: {
		spec.AttachCgroupGetsockopt: "cgroup:getsockopt", spec.AttachCgroupSetsockopt: "cgroup:setsockopt",
	},
	spec.ProgSKSKB: {
		spec.AttachSKSKBStreamParser: "sk_skb:stream_parser", spec.AttachSKSKBStreamVerdict: "sk_skb:stream_verdict",
		spec.AttachSKSKBVerdict: "sk_skb:verdict",
	},
	spec.ProgSKReuseport: {spec.AttachSKReuseportSelectOrMigrate: "sk_reuseport:migrate"},
}

// typeHooks are the hooks of the other types.
var typeHooks = map[spec.ProgType]string{
	spec.ProgTracepoint: "tracepoint", spec.ProgRawTracepoint: "raw_tracepoint", spec.ProgRawTracepointWritable: "raw_tracepoint",
	spec.ProgXDP: "xdp", spec.ProgSchedCls: "tc", spec.ProgSchedAct: "tc", spec.ProgSocketFilter: "socket",
	spec.ProgPerfEvent: "perf_event", spec.ProgSockOps: "sockops",
	spec.ProgCgroupDevice: "cgroup:dev", spec.ProgCgroupSysctl: "cgroup:sysctl",
}

// HookType is the type of the programs that are attached at a target by attach type
// alone, such as "cgroup:connect4", and that attach type; ok is false for other
// targets. A kind without the part behind the colon is its type's first.
func HookType(target string) (t spec.ProgType, attach spec.AttachType, ok bool) {
	for t, hooks := range attachHooks {
		for attach, name := range hooks {
			if name == target {
				return t, attach, true
			}
		}
	}
	for _, t := range ProgTypes() {
		if hook := typeHooks[t]; hook == target || hook == "" && t.String() == target {
			return t, 0, true
		}
	}
	return 0, 0, false
}

// HookNames lists the parts behind the colon that a kind of hook has: "connect4" and
// others for "cgroup".
func HookNames(kind string) []string {
	var names []string
	add := func(target string) {
		if name, ok := strings.CutPrefix(target, kind+":"); ok {
			names = append(names, name)
		}
	}
	for _, hooks := range attachHooks {
		for _, target := range hooks {
			add(target)
		}
	}
	for _, target := range typeHooks {
		add(target)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// HoldsOne reports whether a kind of hook holds one program at a time.
func HoldsOne(kind string) bool { return hookKinds[kind].combine == theOne }

// targetOf is the target that a program's section, type and attach type choose.
func targetOf(s *spec.ProgramSpec) string {
	prefix, rest, _ := strings.Cut(strings.TrimPrefix(s.Section, "?"), "/")
	prefix, _, _ = strings.Cut(prefix, ".") // kprobe.multi, xdp.frags, uprobe.s
	if s.AttachTo != "" {
		rest = s.AttachTo
	}
	if s.Type == spec.ProgKprobe {
		switch prefix {
		case "kprobe", "kretprobe", "uprobe", "uretprobe", "ksyscall", "kretsyscall", "usdt":
			return prefix + ":" + rest
		}
		return "kprobe:" + rest
	}
	hook, byAttach := attachHooks[s.Type][s.Attach]
	if !byAttach {
		if hook = typeHooks[s.Type]; hook == "" {
			hook = s.Type.String()
		}
	}
	switch s.Type {
	case spec.ProgTracing, spec.ProgLSM, spec.ProgTracepoint, spec.ProgRawTracepoint, spec.ProgRawTracepointWritable:
		return hook + ":" + rest
	}
	return hook
}
