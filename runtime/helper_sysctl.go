package runtime

import (
	"strings"

	"bpfvm/spec"
)

// Sysctl is the access that a cgroup/sysctl program judges.
type Sysctl struct {
	Name    string // below /proc/sys: "net/ipv4/tcp_mem"
	Current string // what reading gives, the newline included
	New     string // what is written; empty when nothing is
}

func init() {
	register(map[string]helperFunc{
		"bpf_sysctl_get_name":          sysctlGetName,
		"bpf_sysctl_get_current_value": sysctlGetCurrent,
		"bpf_sysctl_get_new_value":     sysctlGetNew,
		"bpf_sysctl_set_new_value":     sysctlSetNew,
	}, spec.ProgCgroupSysctl)
}

// sysctlBaseName is BPF_F_SYSCTL_BASE_NAME (include/uapi/linux/bpf.h).
const sysctlBaseName = 1

// sysctlGetName is bpf_sysctl_get_name(ctx, buf, buf_len, flags): R0 is the length
// without the NUL.
func sysctlGetName(e *Env, _, buf, size, flags, _ uint64) (uint64, error) {
	dst, err := e.write(buf, size)
	switch {
	case err != nil:
		return 0, err
	case len(dst) == 0:
		return spec.E2BIG.Ret(), nil
	}
	name := e.sysctl.Name
	if flags&sysctlBaseName != 0 {
		name = name[strings.LastIndexByte(name, '/')+1:]
	}
	n := copy(dst[:len(dst)-1], name)
	dst[n] = 0
	if n < len(name) {
		return spec.E2BIG.Ret(), nil
	}
	return uint64(n), nil
}

// copySysctl is copy_sysctl_value (kernel/bpf/cgroup.c).
func (e *Env) copySysctl(buf, size uint64, value string) (uint64, error) {
	dst, err := e.write(buf, size)
	switch {
	case err != nil:
		return 0, err
	case len(dst) == 0:
		return spec.E2BIG.Ret(), nil
	}
	clear(dst)
	if value == "" {
		return spec.EINVAL.Ret(), nil
	}
	if n := copy(dst, value); n < len(dst) {
		return uint64(n), nil
	}
	dst[len(dst)-1] = 0
	return spec.E2BIG.Ret(), nil
}

// sysctlGetCurrent is bpf_sysctl_get_current_value(ctx, buf, buf_len).
func sysctlGetCurrent(e *Env, _, buf, size, _, _ uint64) (uint64, error) {
	return e.copySysctl(buf, size, e.sysctl.Current)
}

// sysctlGetNew is bpf_sysctl_get_new_value(ctx, buf, buf_len).
func sysctlGetNew(e *Env, _, buf, size, _, _ uint64) (uint64, error) {
	value := e.sysctl.New
	if !e.sysctlWrites() {
		value = ""
	}
	return e.copySysctl(buf, size, value)
}

// sysctlSetNew is bpf_sysctl_set_new_value(ctx, buf, buf_len).
func sysctlSetNew(e *Env, _, buf, size, _, _ uint64) (uint64, error) {
	src, err := e.read(buf, size)
	switch {
	case err != nil:
		return 0, err
	case !e.sysctlWrites() || e.sysctl.New == "" || len(src) == 0:
		return spec.EINVAL.Ret(), nil
	case len(src) > pageSize-1:
		return spec.E2BIG.Ret(), nil
	}
	e.sysctl.New = string(src)
	return 0, nil
}

// sysctlWrites reports whether the access is a write: the context's first field.
func (e *Env) sysctlWrites() bool { return e.rt.mem.Raw(e.ctx.Base, 1)[0] != 0 }
