package spec_test

import (
	"slices"
	"strings"
	"testing"

	"bpfvm/spec"
)

func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		topic string
		kind  spec.PageKind
		title string
		see   string // one of See
	}{
		{"bpf_map_lookup_elem", spec.PageHelper, "helper bpf_map_lookup_elem (number 1)", ""},
		{"map_lookup_elem", spec.PageHelper, "helper bpf_map_lookup_elem (number 1)", ""},
		{"hash", spec.PageMapType, "map type hash (BPF_MAP_TYPE_HASH, number 1)", ""},
		{"BPF_MAP_TYPE_LRU_HASH", spec.PageMapType, "map type lru_hash (BPF_MAP_TYPE_LRU_HASH, number 9)", ""},
		{"xdp", spec.PageProgType, "program type xdp (BPF_PROG_TYPE_XDP, number 6)", "section:xdp"},
		{"section:xdp", spec.PageSection, "section xdp", "program:xdp"},
		{"xdp_md", spec.PageCtx, "context xdp_md", "xdp"},
		{"kprobe/do_unlinkat", spec.PageSection, "section kprobe/do_unlinkat", ""},
		{"MAX_BPF_STACK", spec.PageLimit, "limit MaxStack = 512 bytes", ""},
		{"maxstack", spec.PageLimit, "limit MaxStack = 512 bytes", ""},
		{"ENOENT", spec.PageErrno, "error ENOENT (number 2)", ""},
		{"-enotsupp", spec.PageErrno, "error ENOTSUPP (number 524)", ""},
		{"524", spec.PageErrno, "error ENOTSUPP (number 524)", ""},
		{"BPF_XDP", spec.PageAttachType, "attach type BPF_XDP (number 37)", ""},
		{"sched/sched_switch", spec.PageTracepoint, "trace event sched/sched_switch", ""},
		{" ringbuf ", spec.PageMapType, "map type ringbuf (BPF_MAP_TYPE_RINGBUF, number 27)", ""},
	} {
		p, ok := spec.Explain(tt.topic)
		if !ok {
			t.Errorf("%q: no page", tt.topic)
			continue
		}
		if p.Kind != tt.kind || p.Title != tt.title {
			t.Errorf("%q: %s page %q, want %s %q", tt.topic, p.Kind, p.Title, tt.kind, tt.title)
		}
		if tt.see != "" && !slices.Contains(p.See, tt.see) {
			t.Errorf("%q: see %q, want %q among them", tt.topic, p.See, tt.see)
		}
		if s := p.String(); !strings.Contains(s, p.Body) || strings.Contains(s, " \n") {
			t.Errorf("%q: page is\n%s", tt.topic, s)
		}
	}
	for _, topic := range []string{"", "nothing", "helper:xdp", "map:", "tracepoint:x/y", "unspec", "no:such"} {
		if p, ok := spec.Explain(topic); ok {
			t.Errorf("%q has page %q", topic, p.Title)
		}
	}
}

// Every topic has its page, and every page says something.
func TestTopics(t *testing.T) {
	for kind, names := range spec.Topics() {
		if len(names) == 0 {
			t.Errorf("no topics of kind %s", kind)
		}
		for _, name := range names {
			p, ok := spec.Explain(string(kind) + ":" + name)
			if !ok {
				// Patterns such as "tc/" are no section names by themselves.
				if kind != spec.PageSection || !strings.HasSuffix(name, "/") {
					t.Errorf("%s:%s has no page", kind, name)
				}
				continue
			}
			if p.Kind != kind || p.Title == "" || p.Body == "" {
				t.Errorf("%s:%s: %+v", kind, name, p)
			}
			for _, table := range p.Tables {
				for _, row := range table.Rows {
					if len(row) != len(table.Head) {
						t.Errorf("%s:%s: table %s: row %q under %q", kind, name, table.Title, row, table.Head)
					}
				}
			}
		}
	}
}

func TestNearest(t *testing.T) {
	for _, tt := range []struct{ word, want string }{
		{"map_lokup_elem", "bpf_map_lookup_elem"},
		{"bpf_ktime_get_nss", "bpf_ktime_get_ns"},
		{"kporbe", "kprobe"},
		{"pecpu_array", "percpu_array"},
		{"ENOET", "ENOENT"},
		{"unlinkat", "syscalls/sys_enter_unlinkat"},
		{"xdpmd", "xdp_md"},
	} {
		if got := spec.NearestTopic(tt.word); !slices.Contains(got, tt.want) || len(got) > 3 {
			t.Errorf("%q: %q, want %q among at most three", tt.word, got, tt.want)
		}
	}
	for _, word := range []string{"", "qqqqqqqqqq", strings.Repeat("x", 1000)} {
		if got := spec.NearestTopic(word); got != nil {
			t.Errorf("%q: %q", word, got)
		}
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{spec.ProgXDP.String(), "xdp"},
		{spec.ProgType(99).String(), "prog_type(99)"},
		{spec.MapPerCPUArray.String(), "percpu_array"},
		{spec.MapType(99).String(), "map_type(99)"},
		{spec.AttachTCXEgress.String(), "tcx_egress"},
		{spec.AttachType(99).String(), "attach_type(99)"},
		{spec.HelperID(1).String(), "bpf_map_lookup_elem"},
		{spec.HelperID(999).String(), "helper#999"},
		{spec.ENOENT.String(), "ENOENT"},
		{spec.Errno(999).String(), "errno 999"},
		{(spec.MapNoPrealloc | spec.MapRdOnlyProg | 1<<30).String(), "BPF_F_NO_PREALLOC|BPF_F_RDONLY_PROG|0x40000000"},
		{spec.MapFlags(0).String(), "0"},
		{spec.RetName(spec.ProgXDP, 1), "XDP_DROP"},
		{spec.RetName(spec.ProgXDP, 9), ""},
		{spec.RetName(spec.ProgSchedCls, 0xffffffff), "TC_ACT_UNSPEC"},
		{spec.RetName(spec.ProgSchedCls, ^uint64(0)), "TC_ACT_UNSPEC"},
		{spec.RetName(spec.ProgType(99), 1), ""},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
	for r0, want := range map[uint64]string{
		^uint64(1): "-ENOENT", 0xfffffffe: "-ENOENT", ^uint64(523): "-ENOTSUPP", 0: "", 2: "", 1 << 63: "", 0x1fffffffe: "", ^uint64(4999): "",
	} {
		if got, ok := spec.ErrnoName(r0); got != want || ok != (want != "") {
			t.Errorf("ErrnoName(%#x) = %q, %v, want %q", r0, got, ok, want)
		}
	}
	if spec.ENOENT.Ret() != ^uint64(1) {
		t.Errorf("ENOENT.Ret() = %#x", spec.ENOENT.Ret())
	}
	for license, want := range map[string]bool{
		"GPL": true, "GPL v2": true, "Dual BSD/GPL": true, "Dual MIT/GPL": true, "Dual MPL/GPL": true, "GPL and additional rights": true,
		"": false, "gpl": false, "MIT": false, "GPLv2": false, "Proprietary": false,
	} {
		if spec.GPLCompatible(license) != want {
			t.Errorf("GPLCompatible(%q) is not %v", license, want)
		}
	}
}

func TestCtx(t *testing.T) {
	// Layouts have no gaps in order and no field outside of their size.
	for _, c := range spec.CtxLayouts() {
		end := uint32(0)
		for i := range c.Fields {
			f := &c.Fields[i]
			if f.Off < end || c.Size > 0 && f.Off+f.Size > c.Size {
				t.Errorf("%s.%s at %d of %d bytes, the field before ends at %d", c.Name, f.Name, f.Off, c.Size, end)
			}
			end = f.Off + f.Size
		}
	}
	for _, p := range spec.ProgTypes() {
		if p.Ctx != "" && p.Type.Ctx() == nil {
			t.Errorf("%s has no context %q", p.Name, p.Ctx)
		}
	}
	regs := spec.ProgKprobe.Ctx()
	if regs.Size != 168 || regs.Field("PARM1") != regs.Field("di") || regs.Field("rdi").Off != 112 || regs.Field("nothing") != nil {
		t.Errorf("pt_regs: %d bytes, PARM1 %+v", regs.Size, regs.Field("PARM1"))
	}
	for _, tt := range []struct {
		typ       spec.ProgType
		access    spec.Access
		off, size uint32
		field     string
		want      bool
	}{
		{spec.ProgXDP, spec.Read, 0, 4, "data", true},
		{spec.ProgXDP, spec.Read, 0, 8, "data", false},
		{spec.ProgXDP, spec.Read, 0, 2, "data", false},
		{spec.ProgXDP, spec.Read, 24, 4, "", false},
		{spec.ProgXDP, spec.Write, 0, 4, "data", false},
		{spec.ProgSocketFilter, spec.Read, 76, 4, "data", false},
		{spec.ProgSchedCls, spec.Read, 76, 4, "data", true},
		{spec.ProgSchedCls, spec.Write, 8, 4, "mark", true},
		{spec.ProgSchedCls, spec.Write, 8, 2, "mark", false},
		{spec.ProgSocketFilter, spec.Write, 8, 4, "mark", false},
		{spec.ProgSchedCls, spec.Read, 9, 1, "mark", true},
		{spec.ProgSchedCls, spec.Read, 48, 8, "cb", true},
		{spec.ProgSchedCls, spec.Read, 52, 8, "cb", false},
		{spec.ProgKprobe, spec.Read, 112, 8, "di", true},
		{spec.ProgKprobe, spec.Read, 116, 4, "di", true},
		{spec.ProgKprobe, spec.Read, 113, 2, "di", false},
		{spec.ProgKprobe, spec.Write, 112, 8, "di", false},
		{spec.ProgRawTracepoint, spec.Read, 88, 8, "args", true},
		{spec.ProgRawTracepoint, spec.Read, 96, 8, "", false},
		{spec.ProgKprobe, spec.Read, 112, 0, "di", false},
	} {
		f, ok := tt.typ.Ctx().CheckAccess(tt.typ, tt.access, tt.off, tt.size)
		name := ""
		if f != nil {
			name = f.Name
		}
		if ok != tt.want || name != tt.field {
			t.Errorf("%s: access %d of %d bytes at %d: %q %v, want %q %v", tt.typ, tt.access, tt.size, tt.off, name, ok, tt.field, tt.want)
		}
	}
}

func TestTracepoint(t *testing.T) {
	for _, tt := range []struct {
		name, field string
		off, size   uint32
		ctype       string
	}{
		{"syscalls/sys_enter_openat", "filename", 24, 8, "const char *"},
		{"syscalls/sys_exit_openat", "ret", 16, 8, "long"},
		{"sched/sched_switch", "next_comm", 40, 16, "char[16]"},
		{"sched/sched_switch", "common_pid", 4, 4, "int"},
		{"sched/sched_process_exec", "filename", 8, 4, "__data_loc char[]"},
		{"kmem/kmem_cache_free", "ptr", 16, 8, "const void *"},
		{"raw_syscalls/sys_enter", "args", 16, 48, "unsigned long[6]"},
	} {
		c := spec.CtxByName(tt.name)
		if c == nil {
			t.Errorf("%s is not known", tt.name)
			continue
		}
		f := c.Field(tt.field)
		if f == nil || f.Off != tt.off || f.Size != tt.size || f.CType != tt.ctype {
			t.Errorf("%s.%s is %+v, want %d bytes at %d, %s", tt.name, tt.field, f, tt.size, tt.off, tt.ctype)
		}
	}
	c := spec.Tracepoint("sched/sched_switch")
	if _, ok := c.CheckAccess(spec.ProgTracepoint, spec.Read, 4, 4); ok {
		t.Error("programs read common_pid")
	}
	if c.Size != 64 && c.Size != 60+4 {
		t.Errorf("sched_switch has %d bytes", c.Size)
	}
	for _, name := range []string{"", "sched", "sched/nothing", "syscalls/sys_exit_nothing", "syscalls/sys_exit_", "a/b/c"} {
		if spec.Tracepoint(name) != nil {
			t.Errorf("%q has a layout", name)
		}
	}
	if len(spec.Tracepoints()) < 600 {
		t.Errorf("%d events", len(spec.Tracepoints()))
	}
}
