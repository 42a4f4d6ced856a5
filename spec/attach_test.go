package spec_test

import (
	"errors"
	"fmt"
	"testing"

	"bpfvm/spec"
)

func ExampleSectionRule_Target() {
	rule, to, _ := spec.MatchSection("ksyscall/unlinkat")
	t, err := rule.Target(to)
	fmt.Println(t, t.Symbol(rule), t.Auto, err)
	// Output: unlinkat __x64_sys_unlinkat true <nil>
}

func TestAttachTargets(t *testing.T) {
	tests := []struct {
		section string
		want    spec.AttachTarget
		bad     bool
	}{
		{"kprobe/do_unlinkat", spec.AttachTarget{Func: "do_unlinkat", Auto: true}, false},
		{"kprobe/do_unlinkat+0x10", spec.AttachTarget{Func: "do_unlinkat", Off: 16, Auto: true}, false},
		{"kprobe", spec.AttachTarget{}, false},
		{"kprobe/do unlinkat", spec.AttachTarget{}, true},
		{"kretprobe/do_unlinkat", spec.AttachTarget{Func: "do_unlinkat", Auto: true}, false},
		{"kretprobe/do_unlinkat+8", spec.AttachTarget{}, true},
		{"kprobe.multi/vfs_*", spec.AttachTarget{Func: "vfs_*", Auto: true}, false},
		{"kprobe.multi/vfs_[a]", spec.AttachTarget{}, true},
		{"kprobe.session/vfs_read?", spec.AttachTarget{Func: "vfs_read?", Auto: true}, false},
		{"uprobe//usr/lib/libc.so.6:malloc", spec.AttachTarget{Path: "/usr/lib/libc.so.6", Func: "malloc", Auto: true}, false},
		{"uprobe.s/libc.so.6:malloc+4", spec.AttachTarget{Path: "libc.so.6", Func: "malloc", Off: 4, Auto: true}, false},
		{"uprobe/a:operator+", spec.AttachTarget{Path: "a", Func: "operator+", Auto: true}, false},
		{"uprobe/libc.so.6", spec.AttachTarget{}, true},
		{"uretprobe/a:f+4", spec.AttachTarget{}, true},
		{"uprobe.multi//proc/self/exe:run_*", spec.AttachTarget{Path: "/proc/self/exe", Func: "run_*", Auto: true}, false},
		{"uprobe.session/a:f", spec.AttachTarget{Path: "a", Func: "f", Auto: true}, false},
		{"usdt//usr/bin/python3:python:gc__start", spec.AttachTarget{Path: "/usr/bin/python3", Provider: "python", Func: "gc__start", Auto: true}, false},
		{"usdt/python:gc", spec.AttachTarget{}, true},
		{"usdt.s/a:b:c", spec.AttachTarget{Path: "a", Provider: "b", Func: "c", Auto: true}, false},
		{"ksyscall/openat", spec.AttachTarget{Func: "openat", Auto: true}, false},
		{"tp/syscalls/sys_enter_openat", spec.AttachTarget{Category: "syscalls", Func: "sys_enter_openat", Auto: true}, false},
		{"tracepoint/sched", spec.AttachTarget{}, true},
		{"raw_tp/sched_switch", spec.AttachTarget{Func: "sched_switch", Auto: true}, false},
		{"raw_tp.w/bpf_test", spec.AttachTarget{Func: "bpf_test", Auto: true}, false},
		{"tp_btf/sched_switch", spec.AttachTarget{Func: "sched_switch", Auto: true}, false},
		{"fentry.s/vfs_read", spec.AttachTarget{Func: "vfs_read", Auto: true}, false},
		{"freplace/subprog", spec.AttachTarget{Func: "subprog", Auto: true}, false},
		{"lsm.s/file_open", spec.AttachTarget{Func: "file_open", Auto: true}, false},
		{"lsm_cgroup/socket_bind", spec.AttachTarget{Func: "socket_bind"}, false},
		{"iter.s/task", spec.AttachTarget{Func: "task", Auto: true}, false},
		{"?iter/task", spec.AttachTarget{Func: "task", Auto: true}, false},
		{"struct_ops/any", spec.AttachTarget{Func: "any"}, false},
		{"xdp", spec.AttachTarget{}, false},
		{"tcx/ingress", spec.AttachTarget{}, false},
		{"netkit/peer", spec.AttachTarget{}, false},
		{"netfilter", spec.AttachTarget{}, false},
		{"syscall", spec.AttachTarget{}, false},
		{"cgroup/connect4", spec.AttachTarget{}, false},
	}
	for _, tt := range tests {
		rule, to, ok := spec.MatchSection(tt.section)
		if !ok {
			t.Errorf("%s: no rule", tt.section)
			continue
		}
		got, err := rule.Target(to)
		if got != tt.want || (err != nil) != tt.bad || err != nil && !errors.Is(err, spec.ErrAttachTarget) {
			t.Errorf("%s: %+v %v, want %+v", tt.section, got, err, tt.want)
		}
	}
}

// TestEveryRuleHasATarget takes each rule's own pattern with a name behind it where
// it takes one: nothing that the table knows is refused.
func TestEveryRuleHasATarget(t *testing.T) {
	for _, rule := range spec.Sections() {
		if _, err := rule.Target(""); err != nil {
			t.Errorf("%v: %v", &rule, err)
		}
	}
}
