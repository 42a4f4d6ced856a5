package runtime

import (
	"fmt"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_map_push_elem": mapPushElem,
		"bpf_map_pop_elem":  mapPopElem,
		"bpf_map_peek_elem": mapPeekElem,
	})
}

// keyless are the maps with values and no keys.
type keyless interface {
	kmap
	push(value []byte, flags uint64) spec.Errno
	pop(value []byte) spec.Errno
	peek(value []byte) spec.Errno
}

// keylessMap returns the queue, stack or bloom filter behind a handle.
func (e *Env) keylessMap(handle uint64) (keyless, error) {
	m, err := e.rt.baseAt(handle)
	if err != nil {
		return nil, err
	}
	if k, ok := m.self.(keyless); ok {
		return k, nil
	}
	return nil, fmt.Errorf("map %q of type %s has keys", m.Name(), m.Spec().Type)
}

// mapPushElem is bpf_map_push_elem(map, value, flags).
func mapPushElem(e *Env, handle, value, flags, _, _ uint64) (uint64, error) {
	m, err := e.keylessMap(handle)
	if err != nil {
		return 0, err
	}
	b := m.base()
	if b.spec.Flags&spec.MapRdOnlyProg != 0 {
		return 0, fmt.Errorf("write into map forbidden: %q is read-only for programs", b.spec.Name)
	}
	v, err := e.read(value, uint64(b.spec.ValueSize))
	if err != nil {
		return 0, err
	}
	return m.push(v, flags).Ret(), nil
}

// mapPopElem is bpf_map_pop_elem(map, value): the value is filled.
func mapPopElem(e *Env, handle, value, _, _, _ uint64) (uint64, error) {
	m, err := e.keylessMap(handle)
	if err != nil {
		return 0, err
	}
	b := m.base()
	if b.spec.Type == spec.MapBloomFilter {
		return 0, fmt.Errorf("map %q: nothing can be taken out of a bloom filter", b.spec.Name)
	}
	if b.spec.Flags&spec.MapRdOnlyProg != 0 {
		return 0, fmt.Errorf("write into map forbidden: %q is read-only for programs", b.spec.Name)
	}
	v, err := e.write(value, uint64(b.spec.ValueSize))
	if err != nil {
		return 0, err
	}
	return m.pop(v).Ret(), nil
}

// mapPeekElem is bpf_map_peek_elem(map, value): a queue or stack fills the value, a
// bloom filter is asked for it.
func mapPeekElem(e *Env, handle, value, _, _, _ uint64) (uint64, error) {
	m, err := e.keylessMap(handle)
	if err != nil {
		return 0, err
	}
	access := e.write
	if m.base().spec.Type == spec.MapBloomFilter {
		access = e.read
	}
	v, err := access(value, uint64(m.base().spec.ValueSize))
	if err != nil {
		return 0, err
	}
	return m.peek(v).Ret(), nil
}
