package kernel

import "bpfvm/spec"

// Status is what may be done with the running kernel. Nothing is changed to find
// it out; a few programs of two instructions are loaded and let go.
type Status struct {
	Release string // "6.18.44"
	Arch    string // as uname says: "x86_64"
	CPUs    int    // possible CPUs: per-CPU maps have as many values

	Privileged   bool     // every capability that bpf(2) asks for is there
	Missing      []string // of CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_SYS_ADMIN
	Unprivileged string   // kernel.unprivileged_bpf_disabled in words
	UserNS       bool     // in a user namespace, whose capabilities do not count here
	Isolated     bool     // the worker has a network namespace of its own

	JIT      string // net.core.bpf_jit_enable in words
	Harden   string // net.core.bpf_jit_harden in words
	Kallsyms string // kernel.kptr_restrict in words: whether addresses are shown
	RunStats bool   // kernel.bpf_stats_enabled
	BTF      bool   // /sys/kernel/btf/vmlinux is there
	Kprobes  bool   // the kernel has kprobe events
	Uprobes  bool
	LSMs     string // the order of security modules; empty where not shown

	Types []TypeStatus // by number
}

// TypeStatus says what may be done with a program type.
type TypeStatus struct {
	Type spec.ProgType
	// Load is 0 where a program of the type was loaded, else the error number.
	Load    spec.Errno
	Reason  string // why not, in words
	TestRun string // see TestRun
}

// TestRun returns what BPF_PROG_TEST_RUN takes for a program type: "data" for a
// packet (and a context where the type has one), "ctx" for a context only, or an
// *UnsupportedError that says why it takes nothing.
func TestRun(t spec.ProgType) (string, error) {
	info := t.Info()
	if info == nil {
		return "", &UnsupportedError{What: "test run of " + t.String() + ": no such program type"}
	}
	if info.TestRun == "data" || info.TestRun == "ctx" {
		return info.TestRun, nil
	}
	return "", &UnsupportedError{What: "test run of " + t.String() + " programs: the kernel answers " + info.TestRun}
}
