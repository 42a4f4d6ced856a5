package runtime

import (
	"fmt"
	"slices"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_get_current_ancestor_cgroup_id": func(e *Env, level, _, _, _, _ uint64) (uint64, error) {
			return e.rt.ancestor(e.rt.task.CgroupID, level), nil
		},
		"bpf_current_task_under_cgroup": currentTaskUnderCgroup,
		"bpf_skb_under_cgroup":          skbUnderCgroup,
		"bpf_skb_cgroup_id":             skbCgroupID,
		"bpf_skb_ancestor_cgroup_id":    skbAncestorCgroupID,
	})
}

// rootCgroup is the id of the root of the cgroup hierarchy (kernel/cgroup/cgroup.c,
// cgroup_init: the first inode of its file system).
const rootCgroup = 1

// maxCgroupDepth bounds the way from a cgroup up to the root, should the scenario
// have a circle.
const maxCgroupDepth = 256

// path returns the ids from the root to a cgroup. One whose parent is not known lies
// below the root.
func (w *World) path(id uint64) []uint64 {
	if id == 0 {
		return nil
	}
	up := []uint64{id}
	for id != rootCgroup && len(up) < maxCgroupDepth {
		parent, ok := w.CgroupParents[id]
		if !ok {
			parent = rootCgroup
		}
		id = parent
		up = append(up, id)
	}
	for i, j := 0, len(up)-1; i < j; i, j = i+1, j-1 {
		up[i], up[j] = up[j], up[i]
	}
	return up
}

// ancestor is cgroup_ancestor: the id of the cgroup on a level above one, which may
// be itself; the root is level 0. 0 when there is none.
func (rt *Runtime) ancestor(id, level uint64) uint64 {
	path := rt.World.path(id)
	if l := int64(int32(level)); l >= 0 && l < int64(len(path)) {
		return path[l]
	}
	return 0
}

// under is cgroup_is_descendant, of 1 and 0.
func (rt *Runtime) under(id, ancestor uint64) uint64 {
	if slices.Contains(rt.World.path(id), ancestor) {
		return 1
	}
	return 0
}

// cgroupAt returns the cgroup at a place of a cgroup array, or what the helpers
// answer when there is none.
func (e *Env) cgroupAt(handle, index uint64) (id uint64, errno spec.Errno, err error) {
	m, err := e.rt.mapAt(handle)
	if err != nil {
		return 0, 0, err
	}
	a, ok := m.(interface{ Cgroup(index uint32) uint64 })
	switch {
	case !ok:
		return 0, 0, fmt.Errorf("map %q is no cgroup array", m.Name())
	case uint32(index) >= m.Spec().MaxEntries:
		return 0, spec.E2BIG, nil
	}
	if id = a.Cgroup(uint32(index)); id == 0 {
		return 0, spec.EAGAIN, nil
	}
	return id, 0, nil
}

// currentTaskUnderCgroup is bpf_current_task_under_cgroup(map, index): 1 when the
// current task is in the cgroup there, or below it.
func currentTaskUnderCgroup(e *Env, handle, index, _, _, _ uint64) (uint64, error) {
	id, errno, err := e.cgroupAt(handle, index)
	if err != nil || errno != 0 {
		return errno.Ret(), err
	}
	return e.rt.under(e.rt.task.CgroupID, id), nil
}

// skbUnderCgroup is bpf_skb_under_cgroup(skb, map, index), by the packet's socket.
func skbUnderCgroup(e *Env, _, handle, index, _, _ uint64) (uint64, error) {
	s := e.socket()
	if s == nil {
		return spec.ENOENT.Ret(), nil
	}
	id, errno, err := e.cgroupAt(handle, index)
	if err != nil || errno != 0 {
		return errno.Ret(), err
	}
	return e.rt.under(s.CgroupID, id), nil
}

// skbCgroupID is bpf_skb_cgroup_id(skb): of the packet's socket, 0 without one.
func skbCgroupID(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	if s := e.socket(); s != nil {
		return s.CgroupID, nil
	}
	return 0, nil
}

// skbAncestorCgroupID is bpf_skb_ancestor_cgroup_id(skb, level).
func skbAncestorCgroupID(e *Env, _, level, _, _, _ uint64) (uint64, error) {
	if s := e.socket(); s != nil {
		return e.rt.ancestor(s.CgroupID, level), nil
	}
	return 0, nil
}
