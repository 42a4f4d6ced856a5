package runtime

import (
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
)

// ProgArray is a BPF_MAP_TYPE_PROG_ARRAY (kernel/bpf/arraymap.c): the targets of
// tail calls. Where bpf(2) takes a file descriptor of a program and gives its id,
// Update and Lookup use the id both ways ([Program.ID]); SetProgram takes the
// program itself.
type ProgArray struct {
	mapBase
	progs map[uint32]*Program
	// owner is the first program that uses the array or is stored in it: all
	// others must be of its type (kernel/bpf/core.c, bpf_prog_map_compatible).
	owner *Program
}

// checkFDArray is fd_array_map_alloc_check. The kernel has a pointer for each
// place; they do not lie in the arena here, but count as if they did.
func (b *mapBase) checkFDArray() error {
	s := *b.spec
	switch {
	case s.ValueSize != 4, s.Flags&(spec.MapRdOnlyProg|spec.MapWrOnlyProg|spec.MapMmapable|spec.MapInnerMap) != 0:
		return spec.EINVAL
	case s.Type == spec.MapPerfEventArray:
		s.Flags &^= spec.MapPreserveElem
	}
	if e := checkArray(&s, false); e != 0 {
		return e
	}
	if size := 8 * uint64(s.MaxEntries); size > b.rt.mem.Cap() {
		return fmt.Errorf("%w: %d bytes of pointers are more than the whole arena", spec.ENOMEM, size)
	}
	return nil
}

func newProgArray(b mapBase) (kmap, error) {
	if err := b.checkFDArray(); err != nil {
		return nil, err
	}
	return &ProgArray{mapBase: b, progs: map[uint32]*Program{}}, nil
}

// compatible says whether the program may use the array or be stored in it.
func (m *ProgArray) compatible(p *Program) bool {
	if m.owner == nil {
		m.owner = p
	}
	return m.owner.Type() == p.Type()
}

// Program returns the program at an index, or nil.
func (m *ProgArray) Program(index uint32) *Program { return m.progs[index] }

// SetProgram stores a program; nil empties the place.
func (m *ProgArray) SetProgram(index uint32, p *Program) error {
	defer m.lock().Unlock()
	if p == nil {
		return asError(m.remove(index))
	}
	return m.set(index, p)
}

func (m *ProgArray) set(index uint32, p *Program) error {
	if index >= m.spec.MaxEntries {
		return fmt.Errorf("map %q: index %d: %w", m.Name(), index, spec.E2BIG)
	}
	if !m.compatible(p) {
		return fmt.Errorf("map %q: index %d: program %s is of type %s, the array of type %s: %w",
			m.Name(), index, p.Name(), p.Type(), m.owner.Type(), spec.EINVAL)
	}
	m.progs[index] = p
	return nil
}

func (m *ProgArray) remove(index uint32) spec.Errno {
	if index >= m.spec.MaxEntries {
		return spec.E2BIG
	}
	if m.progs[index] == nil {
		return spec.ENOENT
	}
	delete(m.progs, index)
	return 0
}

// Programs cannot look into the array: the verifier refuses the calls, and so do
// the operations (fd_array_map_lookup_elem).

func (m *ProgArray) lookupElem(int, []byte) (uint64, spec.Errno) { return 0, spec.EOPNOTSUPP }

func (m *ProgArray) updateElem(int, []byte, []byte, uint64) spec.Errno { return spec.EINVAL }

func (m *ProgArray) deleteElem(key []byte) spec.Errno {
	return m.remove(binary.LittleEndian.Uint32(key))
}

// Lookup implements [Map]: the program's id, or ENOENT.
func (m *ProgArray) Lookup(key []byte) ([]byte, error) {
	defer m.lock().Unlock()
	if e := m.userRead(key); e != 0 {
		return nil, e
	}
	p := m.progs[binary.LittleEndian.Uint32(key)]
	if p == nil {
		return nil, spec.ENOENT
	}
	return binary.LittleEndian.AppendUint32(nil, p.ID()), nil
}

// Update implements [Map]; the value is a program's id.
func (m *ProgArray) Update(key, value []byte, flags uint64) error {
	defer m.lock().Unlock()
	if e := m.userWrite(key); e != 0 {
		return e
	}
	if flags != spec.UpdateAny || len(value) != 4 {
		return spec.EINVAL
	}
	index := binary.LittleEndian.Uint32(key)
	if index >= m.spec.MaxEntries {
		return spec.E2BIG
	}
	id := binary.LittleEndian.Uint32(value)
	if id == 0 || id > uint32(len(m.rt.progs)) {
		return spec.EBADF
	}
	return m.set(index, m.rt.progs[id-1])
}

// NextKey implements [Map]: indexes in ascending order, empty places too.
func (m *ProgArray) NextKey(key []byte) ([]byte, error) { return m.nextIndex(key) }
