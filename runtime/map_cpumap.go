package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
)

// CPUMap is a BPF_MAP_TYPE_CPUMAP (kernel/bpf/cpumap.c): CPUs that XDP programs hand
// frames to with bpf_redirect_map. The index is the CPU, the value struct
// bpf_cpumap_val: how many frames its queue holds, and where there is room a program
// that runs on them over there. A queue of 0 takes the CPU out.
type CPUMap struct {
	mapBase
	objectValues
	slots places[uint32] // by CPU
}

// Limits of cpumap.c.
const (
	// maxCPUMap is CONFIG_NR_CPUS of the kernels that distributions build for x86-64.
	maxCPUMap = 8192
	// maxCPUQueue bounds the frames of one queue (cpu_map_update_elem).
	maxCPUQueue = 16384
)

// checkCPUMap is the first part of cpu_map_alloc.
func checkCPUMap(s *spec.MapSpec, _ int) spec.Errno {
	switch {
	case s.MaxEntries == 0, s.KeySize != 4, s.ValueSize != 4 && s.ValueSize != 8, s.Flags&^spec.MapNUMANode != 0:
		return spec.EINVAL
	case s.MaxEntries > maxCPUMap:
		return spec.E2BIG
	}
	return 0
}

func newCPUMap(b mapBase) (kmap, error) {
	m := &CPUMap{mapBase: b}
	m.values.b = &m.mapBase
	return m, nil
}

func (m *CPUMap) lookupElem(_ int, key []byte) (uint64, spec.Errno) {
	return m.addr(m.slots.get(binary.LittleEndian.Uint32(key))), 0
}

// updateElem is cpu_map_update_elem; only user space gets here.
func (m *CPUMap) updateElem(_ int, key, value []byte, flags uint64) spec.Errno {
	cpu, queue := binary.LittleEndian.Uint32(key), binary.LittleEndian.Uint32(value)
	switch {
	case flags > spec.UpdateExist:
		return spec.EINVAL
	case cpu >= m.spec.MaxEntries:
		return spec.E2BIG
	case flags == spec.UpdateNoExist:
		return spec.EEXIST
	case queue > maxCPUQueue:
		return spec.EOVERFLOW
	case cpu >= uint32(len(m.rt.cpus)):
		return spec.ENODEV
	case queue != 0 && len(value) == 8 && !m.rt.runsBehind(value[4:], spec.AttachXDPCPUMap):
		return spec.ENOMEM // __cpu_map_entry_alloc says only that it found nothing
	}
	slot := uint32(0)
	if queue != 0 {
		var e spec.Errno
		if slot, e = m.store(value); e != 0 {
			return e
		}
	}
	m.drop(m.slots.get(cpu))
	m.slots.set(cpu, slot)
	return 0
}

// deleteElem is cpu_map_delete_elem: no error where there is nothing.
func (m *CPUMap) deleteElem(key []byte) spec.Errno {
	cpu := binary.LittleEndian.Uint32(key)
	if cpu >= m.spec.MaxEntries {
		return spec.EINVAL
	}
	m.drop(m.slots.get(cpu))
	m.slots.set(cpu, 0)
	return 0
}

func (m *CPUMap) nextKey(key []byte) ([]byte, spec.Errno) { return m.indexAfter(key) }
