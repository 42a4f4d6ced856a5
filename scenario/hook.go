package scenario

import (
	"maps"
	"slices"
	"strings"
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

// registers are the fields of struct pt_regs on x86-64
// (arch/x86/include/asm/ptrace.h) in the order of their offsets.
var registers = []string{
	"r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8",
	"ax", "cx", "dx", "si", "di", "orig_ax", "ip", "cs", "flags", "sp", "ss",
}

// registerAlias names registers by what they hold in a call (System V ABI, and
// PT_REGS_PARM1.. of libbpf's bpf_tracing.h), as bpftrace does.
var registerAlias = map[string]string{
	"arg0": "di", "arg1": "si", "arg2": "dx", "arg3": "cx", "arg4": "r8", "arg5": "r9",
	"retval": "ax",
}

var (
	registerArgs = slices.Concat(registers, slices.Sorted(maps.Keys(registerAlias)))
	packetArgs   = []string{"packet", "hex", "file", "pcap", "frame"}
	xdpArgs      = slices.Concat(packetArgs, []string{"ingress_ifindex", "rx_queue_index", "egress_ifindex"})
	skbArgs      = slices.Concat(packetArgs, []string{
		"pkt_type", "mark", "queue_mapping", "protocol", "vlan_present", "vlan_tci",
		"vlan_proto", "priority", "ingress_ifindex", "ifindex", "tc_index", "hash", "tc_classid",
		"napi_id", "tstamp", "gso_segs", "gso_size", "wire_len", "hwtstamp",
	})
)

var hooks = []hook{
	{name: "kprobe", target: "SYMBOL", must: true, args: registerArgs},
	{name: "kretprobe", target: "SYMBOL", must: true, args: registerArgs},
	{name: "uprobe", target: "PATH:SYMBOL", must: true, args: registerArgs, user: true},
	{name: "uretprobe", target: "PATH:SYMBOL", must: true, args: registerArgs, user: true},
	{name: "tracepoint", alias: []string{"tp"}, target: "CATEGORY/NAME", must: true},
	{name: "raw_tracepoint", alias: []string{"raw_tp"}, target: "NAME", must: true},
	{name: "perf_event", target: "NAME", args: slices.Concat(registers, []string{"sample_period", "addr"})},
	{name: "xdp", target: "DEVICE", args: xdpArgs, packet: true},
	{name: "tc", alias: []string{"classifier"}, target: "DEVICE", args: skbArgs, packet: true},
	{name: "socket", target: "NAME", args: skbArgs, packet: true},
	{name: "cgroup_skb", target: "ingress or egress", args: skbArgs, packet: true},
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
