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
	TestRun string // what TestRun says of it; empty for nothing
}

// What a test run takes.
const (
	RunData = "data" // a packet, and a context where the type has one
	RunCtx  = "ctx"  // a context
	RunNone = "none" // nothing: the kernel calls its own function that the program traces
)

// TestRun returns what BPF_PROG_TEST_RUN takes for programs of a type and attach
// type, or an *UnsupportedError that says what the kernel answers instead. The
// facts are those of Linux 6.18.
func TestRun(t spec.ProgType, a spec.AttachType) (string, error) {
	info := t.Info()
	switch {
	case info == nil:
		return "", &UnsupportedError{What: "test run of " + t.String() + ": no such program type"}
	case t == spec.ProgTracing: // net/bpf/test_run.c, bpf_prog_test_run_tracing
		switch a {
		case spec.AttachTraceFentry, spec.AttachTraceFexit, spec.AttachModifyReturn:
			return RunNone, nil
		}
		return "", &UnsupportedError{What: "test run of " + t.String() + " programs at " + a.String() + ": the kernel answers EFAULT"}
	case info.TestRun == RunData || info.TestRun == RunCtx:
		return info.TestRun, nil
	}
	return "", &UnsupportedError{What: "test run of " + t.String() + " programs: the kernel answers " + info.TestRun}
}
