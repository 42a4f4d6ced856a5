package runtime

import (
	"bpfvm/spec"
	"bpfvm/vm"
)

func init() {
	same := func(_ *Env, obj, _, _, _, _ uint64) (uint64, error) { return obj, nil }
	registerKfunc("bpf_task_acquire", spec.RetBTFIDOrNull, "obj", same)
	registerKfunc("bpf_task_release", spec.RetVoid, "obj", same)
	registerKfunc("bpf_task_from_pid", spec.RetBTFIDOrNull, "any", taskFromPID)
	registerKfunc("bpf_task_from_vpid", spec.RetBTFIDOrNull, "any", taskFromPID)
	registerKfunc("bpf_cgroup_acquire", spec.RetBTFIDOrNull, "obj", same)
	registerKfunc("bpf_cgroup_release", spec.RetVoid, "obj", same)
	registerKfunc("bpf_cgroup_from_id", spec.RetBTFIDOrNull, "any", cgroupFromID)
	registerKfunc("bpf_cgroup_ancestor", spec.RetBTFIDOrNull, "obj any", cgroupAncestor)
	registerKfunc("bpf_task_under_cgroup", spec.RetInteger, "obj obj", taskUnderCgroup)
	registerKfunc("bpf_copy_from_user_str", spec.RetInteger, "out size any any", copyFromUserStr)
}

// taskFromPID is bpf_task_from_pid(pid): a task that the scenario has named, or NULL.
// There is one pid namespace, so bpf_task_from_vpid is the same.
func taskFromPID(e *Env, pid, _, _, _, _ uint64) (uint64, error) {
	n := uint32(pid)
	if _, ok := e.rt.tasks.known[n]; !ok && n != e.rt.task.PID {
		return 0, nil
	}
	return e.rt.tasks.ask(e.rt, n), nil
}

const (
	// cgroupBase is where struct cgroup objects begin, one every cgroupStride bytes,
	// each with its kernfs_node in the second half.
	cgroupBase   = 0xffff888280000000
	cgroupStride = 64 << 10
	// maxCgroups bounds them.
	maxCgroups = 1024
)

// cgroupAddr returns where the struct cgroup of an id lies, as the target's BTF lays
// it out, with its level and its node in the file system; 0 when there are too many.
func (rt *Runtime) cgroupAddr(id uint64) uint64 {
	if addr, ok := rt.cgroups[id]; ok {
		return addr
	}
	if len(rt.cgroups) >= maxCgroups {
		return 0
	}
	if rt.cgroups == nil {
		rt.cgroups = map[uint64]uint64{}
	}
	addr := cgroupBase + uint64(len(rt.cgroups))*cgroupStride
	rt.cgroups[id] = addr
	group, node := layoutOf(rt.opts.Target, "cgroup"), layoutOf(rt.opts.Target, "kernfs_node")
	w := structWriter{rt: rt, next: addr + cgroupStride/2}
	c := w.at(addr, "cgroup", &group)
	kn := w.sub("kernfs_node", &node)
	kn.u64("id", id)
	c.u64("kn", kn.addr)
	c.u32("level", uint32(len(rt.World.path(id))-1))
	return addr
}

// cgroupID is the id of the cgroup at an address.
func (e *Env) cgroupID(addr uint64) (uint64, error) {
	for id, at := range e.rt.cgroups {
		if at == addr {
			return id, nil
		}
	}
	return 0, &vm.Fault{Addr: addr, Size: 8, Where: e.rt.mem.Symbolize(addr), Why: "not a cgroup"}
}

// cgroupFromID is bpf_cgroup_from_id(id): the root, those that the scenario's world
// names, and those of its tasks; NULL for others.
func cgroupFromID(e *Env, id, _, _, _, _ uint64) (uint64, error) {
	_, known := e.rt.World.CgroupParents[id]
	known = known || id == rootCgroup || id != 0 && id == e.rt.task.CgroupID
	for _, parent := range e.rt.World.CgroupParents {
		known = known || parent == id
	}
	for _, t := range e.rt.tasks.known {
		known = known || t.CgroupID == id && id != 0
	}
	if !known {
		return 0, nil
	}
	return e.rt.cgroupAddr(id), nil
}

// cgroupAncestor is bpf_cgroup_ancestor(cgrp, level).
func cgroupAncestor(e *Env, addr, level, _, _, _ uint64) (uint64, error) {
	id, err := e.cgroupID(addr)
	if err != nil {
		return 0, err
	}
	if id = e.rt.ancestor(id, level); id == 0 {
		return 0, nil
	}
	return e.rt.cgroupAddr(id), nil
}

// taskUnderCgroup is bpf_task_under_cgroup(task, ancestor).
func taskUnderCgroup(e *Env, task, addr, _, _, _ uint64) (uint64, error) {
	id, err := e.cgroupID(addr)
	if err != nil {
		return 0, err
	}
	for pid, at := range e.rt.tasks.slots {
		if at != task {
			continue
		}
		t := e.rt.tasks.known[pid]
		if pid == e.rt.task.PID {
			t = e.rt.task
		}
		return e.rt.under(t.CgroupID, id), nil
	}
	return 0, &vm.Fault{Addr: task, Size: 8, Where: e.rt.mem.Symbolize(task), Why: "not a task"}
}

// padZeros is BPF_F_PAD_ZEROS.
const padZeros = 1 << 0

// copyFromUserStr is bpf_copy_from_user_str(dst, size, user_ptr, flags): the number of
// bytes with the NUL, which is always stored.
func copyFromUserStr(e *Env, dst, size, addr, flags, _ uint64) (uint64, error) {
	b, err := e.write(dst, uint64(uint32(size)))
	switch {
	case err != nil:
		return 0, err
	case flags&^padZeros != 0:
		return spec.EINVAL.Ret(), nil
	case len(b) == 0:
		return 0, nil
	}
	s := make([]byte, len(b))
	n := int64(e.probeStr(s, addr, userSpace))
	if n < 0 {
		if flags&padZeros != 0 {
			clear(b)
		}
		return uint64(n), nil
	}
	copy(b, s[:n])
	if flags&padZeros != 0 {
		clear(b[n:])
	}
	return uint64(n), nil
}
