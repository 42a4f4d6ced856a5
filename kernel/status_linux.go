package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"bpfvm/isa"
	"bpfvm/spec"
)

// The capabilities that bpf(2) asks for (include/uapi/linux/capability.h).
var capabilities = map[string]uint{
	"CAP_NET_ADMIN": unix.CAP_NET_ADMIN,
	"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN,
	"CAP_PERFMON":   unix.CAP_PERFMON,
	"CAP_BPF":       unix.CAP_BPF,
}

// effective returns the effective capabilities of the calling thread as bits.
func effective() uint64 {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&hdr, &data[0]) != nil {
		return 0
	}
	return uint64(data[1].Effective)<<32 | uint64(data[0].Effective)
}

// dropCapabilities takes the calling thread's effective capabilities; restore gives
// them back.
func dropCapabilities() (restore func(), err error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var old [2]unix.CapUserData
	if err := unix.Capget(&hdr, &old[0]); err != nil {
		return nil, fmt.Errorf("read capabilities: %w", err)
	}
	none := old
	none[0].Effective, none[1].Effective = 0, 0
	if err := unix.Capset(&hdr, &none[0]); err != nil {
		return nil, fmt.Errorf("drop capabilities: %w", err)
	}
	return func() { unix.Capset(&hdr, &old[0]) }, nil
}

// missingCapability returns the first of the capabilities that the thread does not
// have. CAP_SYS_ADMIN stands for the others (kernel/bpf/token.c,
// bpf_token_capable). In a user namespace none counts.
func missingCapability(names ...string) string {
	have := effective()
	for _, name := range names {
		if inUserNamespace() || have&(1<<capabilities[name]|1<<unix.CAP_SYS_ADMIN) == 0 {
			return name
		}
	}
	return ""
}

// inUserNamespace reports whether user ids are not the machine's own.
func inUserNamespace() bool {
	ids, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(ids)), " ") != "0 0 4294967295"
}

func privilegeError(missing, op string) *PrivilegeError {
	e := &PrivilegeError{Missing: missing, Op: op}
	switch {
	case inUserNamespace():
		e.Note = "capabilities of a user namespace do not count"
	case setting("kernel/unprivileged_bpf_disabled") != "0":
		e.Note = "kernel.unprivileged_bpf_disabled is " + setting("kernel/unprivileged_bpf_disabled")
	}
	return e
}

// progCapabilities returns what loading a program of the type needs
// (kernel/bpf/syscall.c, bpf_prog_load, is_net_admin_prog_type,
// is_perfmon_prog_type).
func progCapabilities(t spec.ProgType) []string {
	switch t {
	case spec.ProgSocketFilter, spec.ProgCgroupSKB:
		if setting("kernel/unprivileged_bpf_disabled") == "0" {
			return nil
		}
		return []string{"CAP_BPF"}
	case spec.ProgKprobe, spec.ProgTracepoint, spec.ProgPerfEvent, spec.ProgRawTracepoint,
		spec.ProgRawTracepointWritable, spec.ProgTracing, spec.ProgLSM, spec.ProgStructOps:
		return []string{"CAP_BPF", "CAP_PERFMON"}
	case spec.ProgExt:
		return []string{"CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"}
	case spec.ProgSKReuseport, spec.ProgSyscall, spec.ProgLircMode2, spec.ProgSKLookup:
		return []string{"CAP_BPF"}
	}
	return []string{"CAP_BPF", "CAP_NET_ADMIN"}
}

// mapCapability returns what creating a map of the type needs
// (kernel/bpf/syscall.c, map_create).
func mapCapability(t spec.MapType) string {
	switch t {
	case spec.MapSockmap, spec.MapSockhash, spec.MapDevmap, spec.MapDevmapHash, spec.MapXSKMap:
		return "CAP_NET_ADMIN"
	}
	return "CAP_BPF"
}

// setting reads a sysctl; empty where there is none or it is not to be read.
func setting(name string) string {
	b, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// The JIT's settings are to be read in the machine's first network namespace only,
// so before the worker leaves it.
var jitEnable, jitHarden string

func readJITSettings() {
	jitEnable, jitHarden = setting("net/core/bpf_jit_enable"), setting("net/core/bpf_jit_harden")
}

// inWords says what a setting's value means.
func inWords(value string, words ...string) string {
	if len(value) == 1 && int(value[0]-'0') < len(words) {
		return words[value[0]-'0']
	}
	if value == "" {
		return "unknown"
	}
	return value
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// readStatus asks what may be done.
func readStatus(cpus int, isolated bool, step func(string, ...any)) *Status {
	var u unix.Utsname
	unix.Uname(&u)
	st := &Status{
		Release: text(u.Release[:]), Arch: text(u.Machine[:]), CPUs: cpus, UserNS: inUserNamespace(), Isolated: isolated,
		Unprivileged: inWords(setting("kernel/unprivileged_bpf_disabled"), "allowed", "refused, until the next boot", "refused"),
		JIT:          inWords(jitEnable, "off", "on", "on, with debug output"),
		Harden:       inWords(jitHarden, "off", "for unprivileged users", "for all users"),
		Kallsyms:     inWords(setting("kernel/kptr_restrict"), "shown", "shown to CAP_SYSLOG", "hidden"),
		RunStats:     setting("kernel/bpf_stats_enabled") == "1",
		BTF:          exists("/sys/kernel/btf/vmlinux"),
		Kprobes:      exists("/sys/bus/event_source/devices/kprobe"),
		Uprobes:      exists("/sys/bus/event_source/devices/uprobe"),
	}
	if b, err := os.ReadFile("/sys/kernel/security/lsm"); err == nil {
		st.LSMs = strings.TrimSpace(string(b))
	}
	for _, name := range []string{"CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"} {
		if missingCapability(name) != "" {
			st.Missing = append(st.Missing, name)
		}
	}
	st.Privileged = len(st.Missing) == 0
	for _, t := range spec.ProgTypes() {
		if t.Type != spec.ProgUnspec {
			st.Types = append(st.Types, tryType(t, cpus, step))
		}
	}
	return st
}

// examples are targets for types that are not loaded without one.
var examples = map[spec.ProgType]struct {
	attach spec.AttachType
	to     string
	flags  uint32
}{
	spec.ProgTracing:        {attach: spec.AttachTraceFentry, to: "bpf_fentry_test1"},
	spec.ProgLSM:            {attach: spec.AttachLSMMAC, to: "file_open"},
	spec.ProgCgroupSockAddr: {attach: spec.AttachCgroupInet4Bind},
	spec.ProgCgroupSockopt:  {attach: spec.AttachCgroupGetsockopt},
	spec.ProgSKLookup:       {attach: spec.AttachSKLookup},
	spec.ProgNetfilter:      {attach: spec.AttachNetfilter},
	spec.ProgCgroupSock:     {attach: spec.AttachCgroupInetSockCreate},
	spec.ProgSyscall:        {flags: unix.BPF_F_SLEEPABLE},
}

// tryType loads the shortest program of a type, which returns 1, or 0 where only
// that is allowed.
func tryType(t spec.ProgTypeInfo, cpus int, step func(string, ...any)) TypeStatus {
	ex := examples[t.Type]
	ts := TypeStatus{Type: t.Type}
	ts.TestRun, _ = TestRun(t.Type, ex.attach)
	for _, ret := range []int32{1, 0} {
		s := &session{job: &wireJob{Log: LogInsns, MaxLog: firstLog}, cpus: cpus, step: step}
		fd, r, err := s.load(&wireProg{
			Name: t.Name, Type: t.Type, Attach: ex.attach, AttachTo: ex.to, Flags: ex.flags, License: "GPL",
			Insns: isa.Encode(isa.Program{{Op: 0xb7, Imm: ret}, {Op: isa.OpExit}}), // r0 = ret; exit
		})
		if err != nil {
			ts.Reason, ts.Load = err.Error(), spec.EOPNOTSUPP
			if e, ok := errors.AsType[*stageError](err); ok {
				ts.Load, ts.Reason = e.errno, "needs "+e.cap
			}
			return ts
		}
		ts.Load, ts.Reason = r.Errno, r.Reason
		if r.Verdict == Accepted {
			unix.Close(fd)
			return ts
		}
		if r.Verdict == Rejected {
			ts.Reason = cmp.Or(r.Message(), "refused before the verifier runs: the type may not be built in")
		}
	}
	return ts
}

func possibleCPUs() int {
	n, err := ebpf.PossibleCPU()
	if err != nil {
		return 1
	}
	return n
}
