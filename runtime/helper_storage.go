package runtime

import (
	"fmt"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_task_storage_get":     storageGet,
		"bpf_task_storage_delete":  storageDelete,
		"bpf_sk_storage_get":       storageGet,
		"bpf_sk_storage_delete":    storageDelete,
		"bpf_inode_storage_get":    storageGet,
		"bpf_inode_storage_delete": storageDelete,
		"bpf_cgrp_storage_get":     storageGet,
		"bpf_cgrp_storage_delete":  storageDelete,
		"bpf_get_local_storage":    getLocalStorage,
	})
}

// storageCreate is BPF_LOCAL_STORAGE_GET_F_CREATE.
const storageCreate = 1 << 0

// localStorage returns the map behind a handle.
func (e *Env) localStorage(handle uint64) (*LocalStorage, error) {
	m, err := e.rt.baseAt(handle)
	if err != nil {
		return nil, err
	}
	if s, ok := m.self.(*LocalStorage); ok {
		return s, nil
	}
	return nil, fmt.Errorf("map %q of type %s does not belong to kernel objects", m.Name(), m.Spec().Type)
}

// storageGet is bpf_task_storage_get(map, task, value, flags) and its siblings: the
// address of the object's value, or NULL. BPF_LOCAL_STORAGE_GET_F_CREATE makes one that
// is missing, out of value or of zeros.
func storageGet(e *Env, handle, owner, value, flags, _ uint64) (uint64, error) {
	m, err := e.localStorage(handle)
	if err != nil {
		return 0, err
	}
	if flags&^storageCreate != 0 || owner == 0 {
		return 0, nil
	}
	owner = m.ownerAt(e, owner)
	addr := m.get(owner)
	if addr != 0 || flags&storageCreate == 0 {
		return addr, nil
	}
	var initial []byte
	if value != 0 {
		if initial, err = e.read(value, uint64(m.spec.ValueSize)); err != nil {
			return 0, err
		}
	}
	m.put(owner, initial, spec.UpdateNoExist) // no memory: NULL
	return m.get(owner), nil
}

// storageDelete is bpf_task_storage_delete(map, task) and its siblings.
func storageDelete(e *Env, handle, owner, _, _, _ uint64) (uint64, error) {
	m, err := e.localStorage(handle)
	if err != nil {
		return 0, err
	}
	if owner == 0 {
		return spec.EINVAL.Ret(), nil
	}
	return m.remove(m.ownerAt(e, owner)).Ret(), nil
}

// getLocalStorage is bpf_get_local_storage(map, flags): the value of the cgroup that
// the program runs for, here the current task's, and its attach type.
func getLocalStorage(e *Env, handle, _, _, _, _ uint64) (uint64, error) {
	m, err := e.rt.baseAt(handle)
	if err != nil {
		return 0, err
	}
	s, ok := m.self.(*CgroupStorage)
	if !ok {
		return 0, fmt.Errorf("map %q of type %s does not belong to cgroups", m.Name(), m.Spec().Type)
	}
	addr := s.storage(e.rt.task.CgroupID, e.prog.spec.Attach, e.cpu)
	if addr == 0 {
		return 0, fmt.Errorf("map %q: no memory for the value of cgroup %d", m.Name(), e.rt.task.CgroupID)
	}
	return addr, nil
}
