package cli

import (
	"testing"
)

// Every topic is found by its name within its group, and says something.
func TestExplainTopics(t *testing.T) {
	for _, g := range groups() {
		seen := map[string]bool{}
		for _, tp := range g.topics() {
			if tp.Name == "" || tp.Title == "" && tp.Text == "" {
				t.Errorf("%s: topic %q says nothing", g.name, tp.Name)
			}
			if tp.Group != g.name {
				t.Errorf("%s: topic %q is in group %q", g.name, tp.Name, tp.Group)
			}
			if seen[tp.Name] {
				t.Errorf("%s: two topics %q", g.name, tp.Name)
			}
			seen[tp.Name] = true
		}
	}
	for _, word := range []string{
		"helpers:bpf_map_lookup_elem", "kfuncs:bpf_rcu_read_lock", "maps:hash", "programs:xdp", "attach:BPF_XDP",
		"attach:cgroup_inet_ingress", "sections:tc", "contexts:xdp_md", "contexts:sched/sched_switch", "limits:MAX_BPF_STACK",
		"errno:ENOENT", "obj_new", "BPF_FUNC_redirect", "BPF_MAP_TYPE_LRU_HASH", "BPF_PROG_TYPE_LSM",
	} {
		if found, err := findTopics(word); err != nil || len(found) == 0 {
			t.Errorf("%s: %v", word, err)
		}
	}
}
