package runtime

import (
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
	"bpfvm/vm"
	"bpfvm/vm/layout"
)

// PerCPUArray is a BPF_MAP_TYPE_PERCPU_ARRAY (kernel/bpf/arraymap.c): one array
// for each CPU. A program reaches that of the CPU it runs on, user space reads
// and writes all of them at once.
type PerCPUArray struct {
	mapBase
	cpus []*vm.Region
}

func newPerCPUArray(b mapBase) (kmap, error) {
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

// layout is where compilers find the elements. The arrays are allocated one after the
// other and are all of one size.
func (m *PerCPUArray) layout() layout.Array {
	a := layout.Array{Base: m.cpus[0].Base, Stride: m.cpus[0].Stride, Count: m.spec.MaxEntries, CPUs: len(m.cpus)}
	if a.CPUs > 1 {
		a.Distance = m.cpus[1].Base - a.Base
	}
	return a
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
	m.copyIn(addr, value)
	return 0
}

func (m *PerCPUArray) deleteElem([]byte) spec.Errno { return spec.EINVAL }

// sysLookup gives the values of all CPUs (bpf_percpu_array_copy).
func (m *PerCPUArray) sysLookup(key []byte) ([]byte, spec.Errno) {
	return m.copyPerCPU(func(cpu int) uint64 { addr, _ := m.lookupElem(cpu, key); return addr })
}

// copyPerCPU collects the values of all CPUs. addr gives 0 where there is no
// element.
func (b *mapBase) copyPerCPU(addr func(cpu int) uint64) ([]byte, spec.Errno) {
	size := round8(b.spec.ValueSize)
	all := make([]byte, 0, b.userValueSize())
	for cpu := range b.rt.cpus {
		a := addr(cpu)
		if a == 0 {
			return nil, spec.ENOENT
		}
		all = append(all, b.rt.mem.Raw(a, size)...)
	}
	return all, 0
}

// sysUpdate stores the values of all CPUs (bpf_percpu_array_update).
func (m *PerCPUArray) sysUpdate(key, value []byte, flags uint64) error {
	if flags > spec.UpdateExist {
		return spec.EINVAL
	}
	if e := m.checkArrayUpdate(key, flags); e != 0 {
		return e
	}
	size := round8(m.spec.ValueSize)
	for cpu := range m.cpus {
		addr, _ := m.lookupElem(cpu, key)
		copy(m.rt.mem.Raw(addr, size), value[uint64(cpu)*size:])
	}
	return nil
}

func (m *PerCPUArray) nextKey(key []byte) ([]byte, spec.Errno) { return m.indexAfter(key) }
