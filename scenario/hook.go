package scenario

import (
	"maps"
	"slices"
	"strings"

	"bpfvm/runtime"
)

// hook is a kind of event.
type hook struct {
	name    string
	alias   []string
	target  string   // what follows the colon, for messages; "" when nothing does
	must    bool     // the target must be there
	args    []string // names of arguments; nil: any name, checked when the event fires
	packet  bool     // the event carries a packet
	network bool     // which begins with the network header: that of Ethernet is cut off
	device  bool     // the target is a device or a name, which programs do not choose
	user    bool     // strings lie in user memory unless said otherwise
	traced  bool     // arguments have the names of the traced function's, by BTF
	fields  bool     // arguments are the fields of the context
}

var (
	// registerArgs are the fields of struct pt_regs, and the names of what they hold
	// in a call: arg1 is PT_REGS_PARM1 of libbpf's bpf_tracing.h, ret is PT_REGS_RC.
	registerArgs = slices.Concat(runtime.RegNames(), []string{"arg1", "arg2", "arg3", "arg4", "arg5", "arg6", "ret"})
	// rawArgs are args[] of struct bpf_raw_tracepoint_args; no tracepoint has more
	// than 12 (kernel/trace/bpf_trace.c, bpf_trace_run12).
	rawArgs = []string{
		"arg0", "arg1", "arg2", "arg3", "arg4", "arg5", "arg6", "arg7", "arg8", "arg9", "arg10", "arg11",
	}
	packetArgs = []string{"packet", "hex", "file", "pcap", "frame"}
	xdpArgs    = slices.Concat(packetArgs, []string{"ingress_ifindex", "rx_queue_index", "egress_ifindex"})
)

var hooks = []hook{
	{name: "kprobe", alias: []string{"kprobe.multi", "kprobe.session"}, target: "SYMBOL", must: true, traced: true},
	{name: "kretprobe", alias: []string{"kretprobe.multi"}, target: "SYMBOL", must: true, args: registerArgs},
	{name: "uprobe", alias: []string{"uprobe.multi", "uprobe.s"}, target: "PATH:SYMBOL", must: true, args: registerArgs, user: true},
	{name: "uretprobe", alias: []string{"uretprobe.multi", "uretprobe.s"}, target: "PATH:SYMBOL", must: true, args: registerArgs, user: true},
	{name: "ksyscall", target: "SYSCALL", must: true, args: registerArgs},
	{name: "kretsyscall", target: "SYSCALL", must: true, args: registerArgs},
	{name: "usdt", alias: []string{"usdt.s"}, target: "PATH:PROVIDER:NAME", must: true, args: registerArgs, user: true},
	{name: "tracepoint", alias: []string{"tp"}, target: "CATEGORY/NAME", must: true},
	{name: "raw_tracepoint", alias: []string{"raw_tp", "raw_tracepoint.w", "raw_tp.w"}, target: "NAME", must: true, traced: true},
	{name: "tp_btf", target: "NAME", must: true, traced: true},
	{name: "fentry", alias: []string{"fentry.s"}, target: "FUNCTION", must: true, traced: true},
	{name: "fexit", alias: []string{"fexit.s"}, target: "FUNCTION", must: true, traced: true},
	{name: "fmod_ret", alias: []string{"fmod_ret.s"}, target: "FUNCTION", must: true, traced: true},
	{name: "lsm", alias: []string{"lsm.s"}, target: "HOOK", must: true, traced: true},
	{name: "lsm_cgroup", target: "HOOK", must: true, traced: true},
	{name: "iter", alias: []string{"iter.s"}, target: "KIND", must: true, traced: true},
	{name: "perf_event", target: "NAME", args: slices.Concat(runtime.RegNames(), []string{"sample_period", "addr"})},
	{name: "xdp", target: "DEVICE", args: xdpArgs, packet: true, device: true},
	{name: "tc", alias: []string{"classifier"}, target: "DEVICE", packet: true, device: true, fields: true},
	{name: "tcx", target: "ingress", must: true, packet: true, fields: true},
	{name: "netkit", target: "primary", must: true, packet: true, fields: true},
	{name: "socket", target: "NAME", packet: true, device: true, fields: true},
	{name: "cgroup_skb", target: "ingress", packet: true, network: true, fields: true},
	{name: "lwt_in", packet: true, network: true, fields: true},
	{name: "lwt_out", packet: true, network: true, fields: true},
	{name: "lwt_xmit", packet: true, network: true, fields: true},
	{name: "lwt_seg6local", packet: true, network: true, fields: true},
	{name: "sk_skb", target: "stream_verdict", packet: true, fields: true},
	{name: "flow_dissector", packet: true, fields: true},
	{name: "netfilter", packet: true, network: true, args: packetArgs},
	{name: "cgroup", target: "connect4", must: true, fields: true},
	{name: "sockops", alias: []string{"sock_ops"}, fields: true},
	{name: "sk_msg", fields: true},
	{name: "sk_lookup", fields: true},
	{name: "sk_reuseport", target: "migrate", fields: true},
	{name: "lirc_mode2", fields: true},
	{name: "syscall", args: []string{"ctx"}},
}

// missing are hooks that Linux has and that no event can stand for here.
var missing = []string{"freplace", "struct_ops"}

// findHook looks a hook up by its name or an older one.
func findHook(name string) *hook {
	for i := range hooks {
		if h := &hooks[i]; h.name == name || slices.Contains(h.alias, name) {
			return h
		}
	}
	return nil
}

// Hooks returns the names of all kinds of events.
func Hooks() []string {
	out := make([]string, len(hooks))
	for i, h := range hooks {
		out[i] = h.name
	}
	return out
}

// userStrings says where a string argument of the event lies: system call
// tracepoints carry what user space passed, and so do probes of user space.
func (h *hook) userStrings(target string) bool {
	return h.user || h.name == "tracepoint" && strings.HasPrefix(target, "syscalls/")
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
