package spec_test

import (
	"testing"

	"bpfvm/spec"

	"github.com/google/go-cmp/cmp"
)

func TestKfuncLookup(t *testing.T) {
	if n := len(spec.Kfuncs()); n != 203 {
		t.Errorf("%d kfuncs, want 203", n)
	}
	for i, k := range spec.Kfuncs() {
		if spec.KfuncByName(k.Name) != &spec.Kfuncs()[i] {
			t.Errorf("%s is not found by name", k.Name)
		}
		for _, h := range k.Hooks {
			if _, ok := spec.KfuncHook(h); !ok {
				t.Errorf("%s: hook %q", k.Name, h)
			}
		}
		for j, a := range k.Args {
			if a.Kind == spec.KfuncSize || a.Kind == spec.KfuncConstSize {
				if j == 0 || !k.Args[j-1].Sized {
					t.Errorf("%s: %s is the size of nothing", k.Name, a.Name)
				}
			}
		}
		if k.Flags&(spec.KfuncIterNew|spec.KfuncIterNext|spec.KfuncIterDestroy) != 0 && k.Iter() == "" {
			t.Errorf("%s belongs to no iterator", k.Name)
		}
	}
	for _, name := range []string{"", "bpf_no_such", "task_acquire"} {
		if spec.KfuncByName(name) != nil {
			t.Errorf("%q is a kfunc", name)
		}
	}
}

func TestKfuncArgs(t *testing.T) {
	for _, tt := range []struct {
		name string
		want []spec.KfuncArg
	}{
		{"bpf_rcu_read_lock", nil},
		{"bpf_iter_num_new", []spec.KfuncArg{
			{Name: "it", CType: "struct bpf_iter_num *", Kind: spec.KfuncIter, Struct: "bpf_iter_num"},
			{Name: "start", CType: "int", Kind: spec.KfuncScalar},
			{Name: "end", CType: "int", Kind: spec.KfuncScalar},
		}},
		{"bpf_dynptr_slice", []spec.KfuncArg{
			{Name: "p", CType: "const struct bpf_dynptr *", Kind: spec.KfuncDynptr, Struct: "bpf_dynptr", ReadOnly: true},
			{Name: "offset", CType: "u32", Kind: spec.KfuncScalar},
			{Name: "buffer__opt", CType: "void *", Kind: spec.KfuncMem, Sized: true, Optional: true},
			{Name: "buffer__szk", CType: "u32", Kind: spec.KfuncConstSize},
		}},
		{"bpf_rbtree_add_impl", []spec.KfuncArg{
			{Name: "root", CType: "struct bpf_rb_root *", Kind: spec.KfuncRBRoot, Struct: "bpf_rb_root"},
			{Name: "node", CType: "struct bpf_rb_node *", Kind: spec.KfuncRBNode, Struct: "bpf_rb_node"},
			{Name: "less", CType: "bool (*)(struct bpf_rb_node *, const struct bpf_rb_node *)", Kind: spec.KfuncCallback},
			{Name: "meta__ign", CType: "void *", Kind: spec.KfuncIgnore},
			{Name: "off", CType: "u64", Kind: spec.KfuncScalar},
		}},
		{"bpf_dynptr_from_skb", []spec.KfuncArg{
			{Name: "s", CType: "struct __sk_buff *", Kind: spec.KfuncCtx, Struct: "__sk_buff"},
			{Name: "flags", CType: "u64", Kind: spec.KfuncScalar},
			{Name: "ptr__uninit", CType: "struct bpf_dynptr *", Kind: spec.KfuncDynptr, Struct: "bpf_dynptr", Uninit: true},
		}},
		{"bpf_crypto_ctx_create", []spec.KfuncArg{
			{Name: "params", CType: "const struct bpf_crypto_params *", Kind: spec.KfuncMem, Struct: "bpf_crypto_params", Sized: true, ReadOnly: true},
			{Name: "params__sz", CType: "u32", Kind: spec.KfuncSize},
			{Name: "err", CType: "int *", Kind: spec.KfuncMem},
		}},
	} {
		k := spec.KfuncByName(tt.name)
		if k == nil {
			t.Errorf("no %s", tt.name)
			continue
		}
		if diff := cmp.Diff(tt.want, k.Args); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestKfuncAllowed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		typ    spec.ProgType
		attach spec.AttachType
		want   bool
	}{
		{"bpf_iter_num_new", spec.ProgRawTracepoint, 0, true},
		{"bpf_task_acquire", spec.ProgTracing, spec.AttachTraceRawTP, true},
		{"bpf_task_acquire", spec.ProgTracepoint, 0, true},
		{"bpf_task_acquire", spec.ProgKprobe, 0, false},
		{"bpf_task_acquire", spec.ProgSockOps, spec.AttachCgroupSockOps, true},
		{"bpf_dynptr_from_xdp", spec.ProgXDP, 0, true},
		{"bpf_dynptr_from_xdp", spec.ProgSchedCls, 0, false},
		{"bpf_get_file_xattr", spec.ProgLSM, spec.AttachLSMMAC, true},
		{"bpf_get_file_xattr", spec.ProgTracing, spec.AttachTraceFentry, false},
		{"bpf_sock_destroy", spec.ProgTracing, spec.AttachTraceIter, true},
		{"bpf_sock_destroy", spec.ProgTracing, spec.AttachTraceFentry, false},
		{"bpf_session_cookie", spec.ProgKprobe, spec.AttachTraceKprobeSession, true},
		{"bpf_session_cookie", spec.ProgKprobe, 0, false},
		{"bpf_fentry_test1", spec.ProgTracing, spec.AttachTraceFentry, false},
	} {
		if got := spec.KfuncByName(tt.name).Allowed(tt.typ, tt.attach); got != tt.want {
			t.Errorf("%s in %s attached %s: %v, want %v", tt.name, tt.typ, tt.attach, got, tt.want)
		}
	}
	if got := spec.KptrDtor("cgroup"); got != "bpf_cgroup_release_dtor" {
		t.Errorf("cgroup pointers are released by %q", got)
	}
}

func TestKfuncText(t *testing.T) {
	k := spec.KfuncByName("bpf_iter_task_next")
	if got := k.Flags.String(); got != "ret_null iter_next" {
		t.Errorf("flags = %q", got)
	}
	if k.Iter() != "task" || k.RetStruct() != "task_struct" {
		t.Errorf("iterator %q of %q", k.Iter(), k.RetStruct())
	}
	for kind := spec.KfuncScalar; kind <= spec.KfuncPointer; kind++ {
		if s := kind.String(); s == "" || s == "unknown" {
			t.Errorf("kind %d has no text", kind)
		}
	}
}
