package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_get_current_pid_tgid":    getCurrentPIDTGID,
		"bpf_get_current_uid_gid":     getCurrentUIDGID,
		"bpf_get_current_comm":        getCurrentComm,
		"bpf_get_current_task":        getCurrentTask,
		"bpf_get_current_task_btf":    getCurrentTask,
		"bpf_get_current_cgroup_id":   getCurrentCgroupID,
		"bpf_get_ns_current_pid_tgid": getNSCurrentPIDTGID,
		"bpf_get_func_ip":             getFuncIP,
		"bpf_get_attach_cookie":       getAttachCookie,
	})
}

// getCurrentPIDTGID is bpf_get_current_pid_tgid: the process (tgid) in the upper
// half, the thread (pid) in the lower one.
func getCurrentPIDTGID(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	return uint64(e.rt.task.TGID)<<32 | uint64(e.rt.task.PID), nil
}

// getCurrentUIDGID is bpf_get_current_uid_gid: the group in the upper half, the
// user in the lower one.
func getCurrentUIDGID(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	return uint64(e.rt.task.GID)<<32 | uint64(e.rt.task.UID), nil
}

// getCurrentComm is bpf_get_current_comm: the command's name, cut to the buffer,
// always with a NUL and padded with more of them (strscpy_pad).
func getCurrentComm(e *Env, buf, size, _, _, _ uint64) (uint64, error) {
	dst, err := e.write(buf, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	clear(dst)
	if len(dst) > 0 {
		copy(dst[:len(dst)-1], e.rt.task.comm())
	}
	return 0, nil
}

func getCurrentTask(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	return e.rt.tasks.current(e.rt), nil
}

func getCurrentCgroupID(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	return e.rt.task.CgroupID, nil
}

// getNSCurrentPIDTGID is bpf_get_ns_current_pid_tgid: struct bpf_pidns_info{pid,
// tgid} for the pid namespace that dev and ino name. There is one namespace, whose
// numbers the scenario sets; others are EINVAL.
func getNSCurrentPIDTGID(e *Env, dev, ino, buf, size, _ uint64) (uint64, error) {
	dst, err := e.write(buf, uint64(uint32(size)))
	if err != nil {
		return 0, err
	}
	clear(dst)
	t := &e.rt.task
	if len(dst) != 8 || t.PIDNSIno == 0 || dev != t.PIDNSDev || ino != t.PIDNSIno {
		return spec.EINVAL.Ret(), nil
	}
	binary.LittleEndian.PutUint32(dst, t.PID)
	binary.LittleEndian.PutUint32(dst[4:], t.TGID)
	return 0, nil
}

func getFuncIP(e *Env, _, _, _, _, _ uint64) (uint64, error) { return e.entry, nil }

func getAttachCookie(e *Env, _, _, _, _, _ uint64) (uint64, error) { return e.cookie, nil }
