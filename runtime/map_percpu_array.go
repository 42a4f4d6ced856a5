package runtime

import (
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
	"bpfvm/vm"
)

// PerCPUArray is a BPF_MAP_TYPE_PERCPU_ARRAY (kernel/bpf/arraymap.c): one array
// for each CPU. A program reaches that of the CPU it runs on, user space reads
// and writes all of them at once.
type PerCPUArray struct {
	mapBase
	cpus []*vm.Region
}

func newPerCPUArray(b mapBase) (kmap, error) {
	if e := checkArray(b.spec, true); e != 0 {
		return nil, e
	}
	m := &PerCPUArray{mapBase: b}
	for cpu := range b.rt.cpus {
		r, err := b.rt.mem.Alloc(vm.Spec{
			Kind: vm.RegionMapValue, Name: perCPUName(b.spec.Name, cpu), Perm: b.progPerm(),
			Elem: uint64(b.spec.ValueSize), Count: uint64(b.spec.MaxEntries), Owner: m,
		})
		if err != nil {
			return nil, allocErr(err)
		}
		m.cpus = append(m.cpus, r)
	}
	return m, nil
}

// perCPUName is how values of one CPU print: "map_value(counts@cpu1)[3]".
func perCPUName(name string, cpu int) string { return fmt.Sprintf("%s@cpu%d", name, cpu) }

func (m *PerCPUArray) lookupElem(cpu int, key []byte) (uint64, spec.Errno) {
	index := binary.LittleEndian.Uint32(key)
	if index >= m.spec.MaxEntries || uint(cpu) >= uint(len(m.cpus)) {
		return 0, 0
	}
	return m.cpus[cpu].Base + uint64(index)*m.cpus[cpu].Stride, 0
}

func (m *PerCPUArray) updateElem(cpu int, key, value []byte, flags uint64) spec.Errno {
	if e := m.checkArrayUpdate(key, flags); e != 0 {
		return e
	}
	addr, _ := m.lookupElem(cpu, key)
	copy(m.rt.mem.Raw(addr, uint64(m.spec.ValueSize)), value)
	return 0
}

func (m *PerCPUArray) deleteElem([]byte) spec.Errno { return spec.EINVAL }

// Lookup implements [Map].
func (m *PerCPUArray) Lookup(key []byte) ([]byte, error) {
	defer m.lock().Unlock()
	if e := m.userRead(key); e != 0 {
		return nil, e
	}
	return m.copyPerCPU(func(cpu int) uint64 { addr, _ := m.lookupElem(cpu, key); return addr })
}

// copyPerCPU collects the values of all CPUs (bpf_percpu_array_copy). addr gives
// 0 where there is no element.
func (b *mapBase) copyPerCPU(addr func(cpu int) uint64) ([]byte, error) {
	size := round8(b.spec.ValueSize)
	var all []byte
	for cpu := range b.rt.cpus {
		a := addr(cpu)
		if a == 0 {
			return nil, spec.ENOENT
		}
		all = append(all, b.rt.mem.Raw(a, size)...)
	}
	return all, nil
}

// Update implements [Map] (bpf_percpu_array_update).
func (m *PerCPUArray) Update(key, value []byte, flags uint64) error {
	defer m.lock().Unlock()
	if e := m.userWrite(key); e != 0 {
		return e
	}
	size := round8(m.spec.ValueSize)
	if flags > spec.UpdateExist || uint64(len(value)) != size*uint64(len(m.cpus)) {
		return spec.EINVAL
	}
	if e := m.checkArrayUpdate(key, flags); e != 0 {
		return e
	}
	for cpu := range m.cpus {
		addr, _ := m.lookupElem(cpu, key)
		copy(m.rt.mem.Raw(addr, size), value[uint64(cpu)*size:])
	}
	return nil
}

// NextKey implements [Map]: indexes in ascending order.
func (m *PerCPUArray) NextKey(key []byte) ([]byte, error) { return m.nextIndex(key) }
