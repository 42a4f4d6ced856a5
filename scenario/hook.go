package scenario

import (
	"maps"
	"slices"
	"strings"

	"bpfvm/runtime"
)

// hook is a kind of event.
type hook struct {
	name   string
	alias  []string
	target string   // what follows the colon, for messages; "" when nothing does
	must   bool     // the target must be there
	args   []string // names of arguments; nil: any name, checked when the event fires
	packet bool     // the event carries a packet
	user   bool     // strings lie in user memory unless said otherwise
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
	skbArgs    = slices.Concat(packetArgs, []string{
		"mark", "queue_mapping", "protocol", "vlan_tci", "priority", "ingress_ifindex", "ifindex", "hash", "tstamp",
	})
)

var hooks = []hook{
	{name: "kprobe", target: "SYMBOL", must: true, args: registerArgs},
	{name: "kretprobe", target: "SYMBOL", must: true, args: registerArgs},
	{name: "uprobe", target: "PATH:SYMBOL", must: true, args: registerArgs, user: true},
	{name: "uretprobe", target: "PATH:SYMBOL", must: true, args: registerArgs, user: true},
	{name: "ksyscall", target: "SYSCALL", must: true, args: registerArgs},
	{name: "kretsyscall", target: "SYSCALL", must: true, args: registerArgs},
	{name: "usdt", target: "PATH:PROVIDER:NAME", must: true, args: registerArgs, user: true},
	{name: "tracepoint", alias: []string{"tp"}, target: "CATEGORY/NAME", must: true},
	{name: "raw_tracepoint", alias: []string{"raw_tp"}, target: "NAME", must: true, args: rawArgs},
	{name: "perf_event", target: "NAME", args: slices.Concat(runtime.RegNames(), []string{"sample_period", "addr"})},
	{name: "xdp", target: "DEVICE", args: xdpArgs, packet: true},
	{name: "tc", alias: []string{"classifier"}, target: "DEVICE", args: skbArgs, packet: true},
	{name: "syscall", args: []string{"ctx"}},
	{name: "socket", target: "NAME", args: skbArgs, packet: true},
}

// missing are hooks that Linux has and that no event can stand for here.
var missing = []string{
	"cgroup_skb", "fentry", "fexit", "flow_dissector", "fmod_ret", "iter", "kprobe.multi", "lsm", "lwt_in", "lwt_out", "lwt_xmit",
	"netfilter", "raw_tracepoint.w", "sk_lookup", "sk_msg", "sk_reuseport", "sk_skb", "sockops", "struct_ops", "tp_btf", "uprobe.multi",
}

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
