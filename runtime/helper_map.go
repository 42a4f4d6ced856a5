package runtime

import (
	"fmt"

	"bpfvm/spec"
	"bpfvm/vm"
)

func init() {
	register(map[string]helperFunc{
		"bpf_map_lookup_elem":        mapLookupElem,
		"bpf_map_update_elem":        mapUpdateElem,
		"bpf_map_delete_elem":        mapDeleteElem,
		"bpf_map_lookup_percpu_elem": mapLookupPerCPUElem,
		"bpf_for_each_map_elem":      forEachMapElem,
		"bpf_loop":                   loop,
	})
}

// mapKey returns the map of a handle and the key that another argument points to,
// after asking whether the helper takes such maps.
func (e *Env) mapKey(handle, keyAddr uint64, what access) (*mapBase, []byte, error) {
	m, err := e.rt.baseAt(handle)
	if err != nil {
		return nil, nil, err
	}
	if m.access&what == 0 {
		return nil, nil, m.refuse(what)
	}
	key, err := e.read(keyAddr, uint64(m.spec.KeySize))
	return m, key, err
}

// mapLookupElem is bpf_map_lookup_elem: the address of the value, or NULL. The
// elements of an array are found here, without asking the map.
func mapLookupElem(e *Env, handle, keyAddr, _, _, _ uint64) (uint64, error) {
	m, err := e.rt.baseAt(handle)
	if err != nil {
		return 0, err
	}
	if a := m.array; a != nil {
		index, err := e.m.Mem.Load(keyAddr, 4)
		if err != nil || index >= a.count {
			return 0, err
		}
		return a.first + index*a.stride, nil
	}
	if m.access&mayLookup == 0 {
		return 0, m.refuse(mayLookup)
	}
	key, err := e.read(keyAddr, uint64(m.spec.KeySize))
	if err != nil {
		return 0, err
	}
	addr, _ := m.self.lookupElem(e.cpu, key)
	return addr, nil
}

// mapUpdateElem is bpf_map_update_elem.
func mapUpdateElem(e *Env, handle, keyAddr, valueAddr, flags, _ uint64) (uint64, error) {
	m, key, err := e.mapKey(handle, keyAddr, mayUpdate)
	if err != nil {
		return 0, err
	}
	if s, ok := m.self.(*Sockmap); ok { // the value is a socket
		errno, err := s.updateSock(e, key, valueAddr, flags)
		return errno.Ret(), err
	}
	value, err := e.read(valueAddr, uint64(m.spec.ValueSize))
	if err != nil {
		return 0, err
	}
	// The value may lie in the arena, which can move when the map grows: Linux
	// keeps it in place, other systems copy it, and the old bytes stay intact.
	return m.self.updateElem(e.cpu, key, value, flags).Ret(), nil
}

// mapDeleteElem is bpf_map_delete_elem.
func mapDeleteElem(e *Env, handle, keyAddr, _, _, _ uint64) (uint64, error) {
	m, key, err := e.mapKey(handle, keyAddr, mayDelete)
	if err != nil {
		return 0, err
	}
	return m.self.deleteElem(key).Ret(), nil
}

// mapLookupPerCPUElem is bpf_map_lookup_percpu_elem: the value of another CPU.
func mapLookupPerCPUElem(e *Env, handle, keyAddr, cpu, _, _ uint64) (uint64, error) {
	m, key, err := e.mapKey(handle, keyAddr, mayLookup)
	if err != nil {
		return 0, err
	}
	switch m.self.(type) {
	case *PerCPUArray, *PerCPUHash, *LRUPerCPUHash:
	default:
		return 0, fmt.Errorf("map %q of type %s has no values of CPUs", m.Name(), m.Spec().Type)
	}
	if uint32(cpu) >= uint32(len(e.rt.cpus)) {
		return 0, nil
	}
	addr, _ := m.self.lookupElem(int(uint32(cpu)), key)
	return addr, nil
}

// forEachMapElem is bpf_for_each_map_elem: callback(map, key, value, ctx) for each
// element until it returns 1; R0 is the number of calls. Elements that the
// callback deletes or adds behind the present one are seen as the walk meets them.
func forEachMapElem(e *Env, handle, callback, ctx, flags, _ uint64) (uint64, error) {
	m, err := e.rt.baseAt(handle)
	if err != nil {
		return 0, err
	}
	if flags != 0 {
		return spec.EINVAL.Ret(), nil
	}
	next, err := e.elemWalker(m.self)
	if err != nil {
		return 0, err
	}
	level := windowKey{vm.RegionScratch, e.m.Depth} // a callback may walk another map
	scratch, err := e.rt.nestedWindow(e.rt.cpus[e.cpu], level, uint64(m.spec.KeySize), vm.PermRead)
	if err != nil {
		return 0, err
	}
	calls := uint64(0)
	var key []byte
	for {
		var value uint64
		if key, value = next(key); key == nil {
			return calls, nil
		}
		copy(e.rt.mem.Raw(scratch.Base, uint64(len(key))), key)
		calls++
		ret, err := e.m.Call(callback, [5]uint64{handle, scratch.Base, value, ctx})
		if err != nil {
			return 0, err
		}
		if ret != 0 {
			return calls, nil
		}
	}
}

// elemWalker returns a function that gives the key after another and the address
// of its value; the key is nil at the end. A walk does not count as use of an LRU
// map's elements.
func (e *Env) elemWalker(m kmap) (func(key []byte) ([]byte, uint64), error) {
	walk := func(t *htab) func([]byte) ([]byte, uint64) {
		return func(key []byte) ([]byte, uint64) {
			if key != nil && t.find(key, jhash(key)) < 0 {
				return nil, 0 // deleted by the callback: stop rather than start over
			}
			next, _ := t.nextKey(key)
			if next == nil {
				return nil, 0
			}
			return next, t.lookup(e.cpu, next)
		}
	}
	switch m := m.(type) {
	case *Hash:
		return walk(m.t), nil
	case *LRUHash:
		return walk(m.t), nil
	case *PerCPUHash:
		return walk(m.t), nil
	case *LRUPerCPUHash:
		return walk(m.t), nil
	case *Array, *PerCPUArray:
		return func(key []byte) ([]byte, uint64) {
			next, _ := m.base().indexAfter(key)
			if next == nil {
				return nil, 0
			}
			value, _ := m.lookupElem(e.cpu, next)
			return next, value
		}, nil
	}
	return nil, fmt.Errorf("map %q of type %s cannot be walked", m.Name(), m.Spec().Type)
}

// maxLoops is BPF_MAX_LOOPS (include/linux/bpf.h).
const maxLoops = 8 << 20

// loop is bpf_loop: callback(index, ctx) up to n times, until it returns 1.
func loop(e *Env, n, callback, ctx, flags, _ uint64) (uint64, error) {
	n = uint64(uint32(n))
	switch {
	case flags != 0:
		return spec.EINVAL.Ret(), nil
	case n > maxLoops:
		return spec.E2BIG.Ret(), nil
	}
	for i := range n {
		ret, err := e.m.Call(callback, [5]uint64{i, ctx})
		if err != nil {
			return 0, err
		}
		if ret != 0 {
			return i + 1, nil
		}
	}
	return n, nil
}
