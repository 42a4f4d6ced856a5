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
	progs places[*Program]
	// owner is the first program that uses the array or is stored in it: all
	// others must be of its type (kernel/bpf/core.c, bpf_prog_map_compatible).
	owner *Program
}

func newProgArray(b mapBase) (kmap, error) {
	return &ProgArray{mapBase: b}, b.fitPlaces()
}

// compatible says whether the program may use the array or be stored in it.
func (m *ProgArray) compatible(p *Program) bool {
	if m.owner == nil {
		m.owner = p
	}
	return m.owner.Type() == p.Type()
}

// Program returns the program at an index, or nil.
func (m *ProgArray) Program(index uint32) *Program { return m.progs.get(index) }

// SetProgram stores a program; nil empties the place.
func (m *ProgArray) SetProgram(index uint32, p *Program) error {
	defer m.lock().Unlock()
	if p == nil {
		return asError(m.progs.take(index, m.spec.MaxEntries))
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
	m.progs.set(index, p)
	return nil
}

// Programs cannot look into the array: the verifier refuses the calls, and so do
// the operations (fd_array_map_lookup_elem).

func (m *ProgArray) lookupElem(int, []byte) (uint64, spec.Errno) { return 0, spec.EOPNOTSUPP }

func (m *ProgArray) updateElem(int, []byte, []byte, uint64) spec.Errno { return spec.EINVAL }

func (m *ProgArray) deleteElem(key []byte) spec.Errno {
	return m.progs.take(binary.LittleEndian.Uint32(key), m.spec.MaxEntries)
}

// sysLookup gives the program's id, or ENOENT.
func (m *ProgArray) sysLookup(key []byte) ([]byte, spec.Errno) {
	p := m.progs.get(binary.LittleEndian.Uint32(key))
	if p == nil {
		return nil, spec.ENOENT
	}
	return number(p.ID()), 0
}

// sysUpdate takes a program's id as value.
func (m *ProgArray) sysUpdate(key, value []byte, flags uint64) error {
	if flags != spec.UpdateAny {
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

// nextKey gives indexes in ascending order, those of empty places too.
func (m *ProgArray) nextKey(key []byte) ([]byte, spec.Errno) { return m.indexAfter(key) }
