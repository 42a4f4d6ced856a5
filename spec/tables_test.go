package spec_test

import (
	"strings"
	"testing"

	"bpfvm/spec"
)

func TestCounts(t *testing.T) {
	for _, tt := range []struct {
		what      string
		got, want int
	}{
		{"helpers", len(spec.Helpers()), 211},
		{"map types", len(spec.MapTypes()), 34}, // unspec and 33
		{"program types", len(spec.ProgTypes()), 33},
		{"attach types", len(spec.AttachTypes()), 58},
	} {
		if tt.got != tt.want {
			t.Errorf("%d %s, want %d", tt.got, tt.what, tt.want)
		}
	}
}

func TestMatchSection(t *testing.T) {
	for _, tt := range []struct {
		name, rule, to string
		typ            spec.ProgType
		attach         spec.AttachType
	}{
		{"kprobe/kmem_cache_free", "kprobe+", "kmem_cache_free", spec.ProgKprobe, 0},
		{"kretprobe/kmem_cache_alloc_node", "kretprobe+", "kmem_cache_alloc_node", spec.ProgKprobe, 0},
		{"kprobe/1", "kprobe+", "1", spec.ProgKprobe, 0},
		{"kprobe", "kprobe+", "", spec.ProgKprobe, 0},
		{"kprobe.multi/tcp_*", "kprobe.multi+", "tcp_*", spec.ProgKprobe, spec.AttachTraceKprobeMulti},
		{"tracepoint/syscalls/sys_enter_openat", "tracepoint+", "syscalls/sys_enter_openat", spec.ProgTracepoint, 0},
		{"tp/sched/sched_switch", "tp+", "sched/sched_switch", spec.ProgTracepoint, 0},
		{"raw_tracepoint/sys_enter", "raw_tracepoint+", "sys_enter", spec.ProgRawTracepoint, 0},
		{"raw_tp.w/x", "raw_tp.w+", "x", spec.ProgRawTracepointWritable, 0},
		{"xdp", "xdp", "", spec.ProgXDP, spec.AttachXDP},
		{"xdp.frags", "xdp.frags", "", spec.ProgXDP, spec.AttachXDP},
		{"xdp/cpumap", "xdp/cpumap", "", spec.ProgXDP, spec.AttachXDPCPUMap},
		{"xdp_devmap/a", "xdp_devmap/", "a", spec.ProgXDP, spec.AttachXDPDevmap},
		{"lirc_mode2/rc_mm", "lirc_mode2/", "rc_mm", spec.ProgLircMode2, spec.AttachLircMode2},
		{"xdp_drop", "xdp*", "_drop", spec.ProgXDP, 0},
		{"socket", "socket", "", spec.ProgSocketFilter, 0},
		{"socket1", "socket*", "1", spec.ProgSocketFilter, 0},
		{"cgroup/skb", "cgroup/skb", "", spec.ProgCgroupSKB, 0},
		{"cgroup/sock", "cgroup/sock", "", spec.ProgCgroupSock, spec.AttachCgroupInetSockCreate},
		{"cgroup/sock1", "cgroup/sock*", "1", spec.ProgCgroupSock, spec.AttachCgroupInetSockCreate},
		{"cgroup/connect4", "cgroup/connect4", "", spec.ProgCgroupSockAddr, spec.AttachCgroupInet4Connect},
		{"cgroup_skb/egress", "cgroup_skb/egress", "", spec.ProgCgroupSKB, spec.AttachCgroupInetEgress},
		{"sockops", "sockops", "", spec.ProgSockOps, spec.AttachCgroupSockOps},
		{"sk_skb/stream_verdict", "sk_skb/stream_verdict", "", spec.ProgSKSKB, spec.AttachSKSKBStreamVerdict},
		{"sk_skb1", "sk_skb*", "1", spec.ProgSKSKB, 0},
		{"sk_msg", "sk_msg", "", spec.ProgSKMsg, spec.AttachSKMsgVerdict},
		{"tc", "tc", "", spec.ProgSchedCls, 0},
		{"tc/ingress", "tc/ingress", "", spec.ProgSchedCls, spec.AttachTCXIngress},
		{"tcx/egress", "tcx/egress", "", spec.ProgSchedCls, spec.AttachTCXEgress},
		{"classifier", "classifier", "", spec.ProgSchedCls, 0},
		{"classifier/a", "classifier*", "a", spec.ProgSchedCls, 0},
		{"fentry.s/do_unlinkat", "fentry.s+", "do_unlinkat", spec.ProgTracing, spec.AttachTraceFentry},
		{"lsm/file_open", "lsm+", "file_open", spec.ProgLSM, spec.AttachLSMMAC},
		{"iter/task", "iter+", "task", spec.ProgTracing, spec.AttachTraceIter},
		{"struct_ops/ssthresh", "struct_ops+", "ssthresh", spec.ProgStructOps, 0},
		{"freplace/f", "freplace+", "f", spec.ProgExt, 0},
		{"?tp_btf/sched_switch", "tp_btf+", "sched_switch", spec.ProgTracing, spec.AttachTraceRawTP},
		{"netfilter", "netfilter", "", spec.ProgNetfilter, spec.AttachNetfilter},
		{"uprobe//bin/bash:readline", "uprobe+", "/bin/bash:readline", spec.ProgKprobe, 0},
	} {
		r, to, ok := spec.MatchSection(tt.name)
		if !ok {
			t.Errorf("%s: no rule", tt.name)
			continue
		}
		if r.String() != tt.rule || to != tt.to || r.Type != tt.typ || r.Attach != tt.attach {
			t.Errorf("%s: rule %s to %q type %s attach %s; want %s %q %s %s",
				tt.name, &r, to, r.Type, r.Attach, tt.rule, tt.to, tt.typ, tt.attach)
		}
	}
	for _, name := range []string{"", "maps", ".maps", "license", "version", ".text", ".relkprobe/x", "kprobes/x", "fentryx", ".data", "tracepointx"} {
		if r, _, ok := spec.MatchSection(name); ok {
			t.Errorf("%q matches %s", name, &r)
		}
	}
}

func TestHelperLookup(t *testing.T) {
	for i, h := range spec.Helpers() {
		if h.ID != spec.HelperID(i+1) {
			t.Fatalf("helper %d stands at index %d", h.ID, i)
		}
		if spec.HelperByName(h.Name) != spec.HelperByID(h.ID) || spec.HelperByName(strings.TrimPrefix(h.Name, "bpf_")) == nil {
			t.Errorf("%s is not found by name", h.Name)
		}
		if !strings.Contains(h.Signature, h.Name+"(") {
			t.Errorf("%s: signature %q", h.Name, h.Signature)
		}
		for _, g := range h.Groups {
			_, isType := spec.ProgTypeByName(g)
			if types, _ := spec.HelperGroup(g); types == nil && !isType {
				t.Errorf("%s: group %q", h.Name, g)
			}
		}
		// The prototype and the kinds agree in number.
		params := 0
		if sig := h.Signature; !strings.HasSuffix(sig, "(void)") {
			params = strings.Count(sig[strings.Index(sig, "("):], ",") + 1
		}
		// The kernel leaves the flags of bpf_get_branch_snapshot unchecked.
		if params != h.NumArgs() && !strings.Contains(h.Signature, "...") && h.Name != "bpf_get_branch_snapshot" &&
			h.Name != "bpf_get_cgroup_classid" { // whose argument only some types have
			t.Errorf("%s: %d kinds for %q", h.Name, h.NumArgs(), h.Signature)
		}
	}
	for _, id := range []spec.HelperID{0, -1, 212, 1 << 30} {
		if spec.HelperByID(id) != nil {
			t.Errorf("there is a helper %d", id)
		}
	}
	if spec.HelperByName("no_such") != nil {
		t.Error("a helper of no name")
	}
}

func TestHelperAllowed(t *testing.T) {
	for _, tt := range []struct {
		typ  spec.ProgType
		name string
		want bool
	}{
		{spec.ProgXDP, "xdp_adjust_head", true},
		{spec.ProgXDP, "skb_store_bytes", false},
		{spec.ProgSchedCls, "skb_store_bytes", true},
		{spec.ProgKprobe, "probe_read", true},
		{spec.ProgXDP, "probe_read", false},
		{spec.ProgKprobe, "get_stackid", true},
		{spec.ProgSocketFilter, "map_lookup_elem", true},
		{spec.ProgLircMode2, "map_lookup_elem", true},
		{spec.ProgLircMode2, "ringbuf_output", false},
		{spec.ProgExt, "skb_store_bytes", true},
		{spec.ProgLSM, "bprm_opts_set", true},
		{spec.ProgTracing, "bprm_opts_set", false},
	} {
		h := spec.HelperByName(tt.name)
		if got := spec.HelperAllowed(tt.typ, h.ID); got != tt.want {
			t.Errorf("%s in %s: %v, want %v", tt.name, tt.typ, got, tt.want)
		}
	}
	if spec.HelperAllowed(99, 1) || spec.HelperAllowed(spec.ProgXDP, 0) {
		t.Error("unknown numbers are allowed")
	}
}
