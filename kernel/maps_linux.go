package kernel

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"bpfvm/spec"
)

// liveMap is a map that exists.
type liveMap struct {
	fd   int
	spec *spec.MapSpec // with sizes as created
	out  *outlet       // of ring buffers and perf event arrays
}

// stageError is a step before the load that failed.
type stageError struct {
	op    string
	errno spec.Errno
	cap   string // the capability that the step needs
}

func (e *stageError) Error() string { return fmt.Sprintf("%s: %v", e.op, e.errno) }

// createMap makes a map without contents.
func (s *session) createMap(m *spec.MapSpec) (*liveMap, error) {
	made := *m
	made.MaxEntries = fitEntries(&made, s.cpus)
	if made.Type == spec.MapArena || made.Type == spec.MapStructOps {
		return nil, &stageError{op: fmt.Sprintf("map %s: maps of type %s are not supported", m.Name, m.Type), errno: spec.EOPNOTSUPP}
	}
	if size := footprint(&made, s.cpus); size > maxMapBytes {
		return nil, &stageError{op: fmt.Sprintf("map %s: would take %d MiB of the kernel's memory, more than %d", m.Name, size>>20, maxMapBytes>>20), errno: spec.ENOMEM}
	}
	attr := attrMapCreate{
		mapType: uint32(made.Type), keySize: made.KeySize, valueSize: made.ValueSize, maxEntries: made.MaxEntries,
		flags: uint32(made.Flags), extra: made.Extra, name: nameOf(made.Name),
	}
	if made.Flags&spec.MapNUMANode != 0 {
		attr.numaNode = made.NumaNode
	}
	if made.Inner != nil {
		inner, err := s.createMap(made.Inner)
		if err != nil {
			return nil, fmt.Errorf("inner map of %s: %w", m.Name, err)
		}
		defer unix.Close(inner.fd)
		attr.innerFD = uint32(inner.fd)
	}
	if s.btfFD > 0 && takesTypes(made.Type) && made.KeyTypeID|made.ValueTypeID != 0 {
		attr.btfFD, attr.btfKeyType, attr.btfValueType = uint32(s.btfFD), made.KeyTypeID, made.ValueTypeID
	}
	fd, errno := bpf(unix.BPF_MAP_CREATE, &attr)
	if errno != 0 && attr.btfFD != 0 {
		// As libbpf does: many maps need no types (bpf_object__create_map).
		attr.btfFD, attr.btfKeyType, attr.btfValueType = 0, 0, 0
		if fd, errno = bpf(unix.BPF_MAP_CREATE, &attr); errno == 0 {
			s.note("map %s was created without the types of its keys and values", m.Name)
		}
	}
	if errno != 0 {
		return nil, &stageError{op: "create map " + m.Name, errno: errno, cap: mapCapability(made.Type)}
	}
	return &liveMap{fd: fd, spec: &made}, nil
}

// maxMapBytes bounds what an object can make the kernel allocate with one line.
const maxMapBytes = 1 << 30

// footprint estimates what a map takes when it is created.
func footprint(m *spec.MapSpec, cpus int) uint64 {
	if m.Flags&spec.MapNoPrealloc != 0 {
		return 0
	}
	value := uint64(m.ValueSize)
	if m.Type.PerCPU() {
		value = uint64(padded(m.ValueSize)) * uint64(cpus)
	}
	each := uint64(m.KeySize) + value
	if each > maxMapBytes { // so that the product cannot overflow
		return each
	}
	return each * uint64(m.MaxEntries)
}

// fitEntries corrects max_entries where only the machine knows the right number:
// one perf event for each CPU, ring buffers of a power of two of pages (libbpf.c,
// map_set_def_max_entries, adjust_ringbuf_sz).
func fitEntries(m *spec.MapSpec, cpus int) uint32 {
	switch m.Type {
	case spec.MapPerfEventArray:
		if m.MaxEntries == 0 {
			return uint32(cpus)
		}
	case spec.MapRingBuf, spec.MapUserRingBuf:
		page := uint32(os.Getpagesize())
		if m.MaxEntries == 0 || m.MaxEntries > 1<<31 {
			return m.MaxEntries
		}
		size := page
		for size < m.MaxEntries {
			size *= 2
		}
		return size
	}
	return m.MaxEntries
}

// takesTypes reports whether the kernel takes BTF for keys and values of the type
// (libbpf.c, bpf_object__create_map).
func takesTypes(t spec.MapType) bool {
	switch t {
	case spec.MapPerfEventArray, spec.MapCgroupArray, spec.MapStackTrace, spec.MapArrayOfMaps, spec.MapHashOfMaps,
		spec.MapDevmap, spec.MapDevmapHash, spec.MapCPUMap, spec.MapXSKMap, spec.MapSockmap, spec.MapSockhash,
		spec.MapQueue, spec.MapStack, spec.MapArena:
		return false
	}
	return true
}

// fill stores initial contents. What names programs waits until they are loaded.
func (s *session) fill(m *liveMap) error {
	for i, kv := range m.spec.Contents {
		var value []byte
		switch {
		case kv.Program != "":
			continue
		case kv.Map != "":
			inner := s.mapNamed(kv.Map)
			if inner == nil {
				return fmt.Errorf("map %s element %d: no map %s", m.spec.Name, i, kv.Map)
			}
			value = fdBytes(inner.fd)
		default:
			var err error
			if value, err = s.valueOf(m.spec, kv.Value); err != nil {
				return fmt.Errorf("map %s element %d: %w", m.spec.Name, i, err)
			}
		}
		if err := s.update(m, kv.Key, value); err != nil {
			return err
		}
	}
	if m.spec.Frozen {
		fd := uint32(m.fd)
		if _, errno := bpf(unix.BPF_MAP_FREEZE, &fd); errno != 0 {
			return &stageError{op: "freeze map " + m.spec.Name, errno: errno}
		}
	}
	return nil
}

// valueOf makes what BPF_MAP_UPDATE_ELEM wants: for per-CPU maps a value for each
// possible CPU, padded to 8 bytes.
func (s *session) valueOf(m *spec.MapSpec, value []byte) ([]byte, error) {
	if uint64(len(value)) == uint64(m.ValueSize) {
		if !m.Type.PerCPU() {
			return value, nil
		}
		each := padded(m.ValueSize)
		all := make([]byte, each*s.cpus)
		for cpu := range s.cpus {
			copy(all[cpu*each:], value)
		}
		return all, nil
	}
	if m.Type.PerCPU() && len(value) == padded(m.ValueSize)*s.cpus {
		return value, nil
	}
	return nil, fmt.Errorf("value of %d bytes, the map's are %d", len(value), m.ValueSize)
}

func padded(size uint32) int { return int((uint64(size) + 7) &^ 7) }

func (s *session) update(m *liveMap, key, value []byte) error {
	if uint64(len(key)) != uint64(m.spec.KeySize) {
		return fmt.Errorf("map %s: key of %d bytes, the map's are %d", m.spec.Name, len(key), m.spec.KeySize)
	}
	attr := attrElem{mapFD: uint32(m.fd), key: pointTo(key), value: pointTo(value)}
	if _, errno := bpf(unix.BPF_MAP_UPDATE_ELEM, &attr); errno != 0 {
		return &stageError{op: "fill map " + m.spec.Name, errno: errno}
	}
	return nil
}

// dump reads a map back. The maps are about to go, so that queues may be emptied.
func (s *session) dump(m *liveMap, limit int) MapDump {
	d := MapDump{Name: m.spec.Name, Spec: m.spec}
	size := int(m.spec.ValueSize)
	n := 1
	switch m.spec.Type {
	case spec.MapRingBuf, spec.MapUserRingBuf, spec.MapPerfEventArray:
		return d // what came out of them is in the runs
	case spec.MapQueue, spec.MapStack:
		for {
			value := make([]byte, size)
			attr := attrElem{mapFD: uint32(m.fd), value: pointTo(value)}
			if _, errno := bpf(unix.BPF_MAP_LOOKUP_AND_DELETE_ELEM, &attr); errno != 0 {
				if errno != spec.ENOENT {
					d.Errno = errno
				}
				return d
			}
			if d.Truncated = len(d.Entries) == limit; d.Truncated {
				return d
			}
			d.Entries = append(d.Entries, Entry{Values: [][]byte{value}})
		}
	case spec.MapArrayOfMaps, spec.MapHashOfMaps, spec.MapProgArray:
		size = 4 // an id
	default:
		if m.spec.Type.PerCPU() {
			n, size = s.cpus, padded(m.spec.ValueSize)
		}
	}
	var key []byte
	for {
		next := make([]byte, m.spec.KeySize)
		attr := attrElem{mapFD: uint32(m.fd), key: pointTo(key), value: pointTo(next)}
		if _, errno := bpf(unix.BPF_MAP_GET_NEXT_KEY, &attr); errno != 0 {
			if errno != spec.ENOENT {
				d.Errno = errno
			}
			return d
		}
		key = next
		value := make([]byte, n*size)
		attr = attrElem{mapFD: uint32(m.fd), key: pointTo(key), value: pointTo(value)}
		if _, errno := bpf(unix.BPF_MAP_LOOKUP_ELEM, &attr); errno == spec.ENOENT {
			continue // an empty place of an array of maps or programs
		} else if errno != 0 {
			d.Errno = errno
			return d
		}
		if d.Truncated = len(d.Entries) == limit; d.Truncated {
			return d
		}
		e := Entry{Key: key}
		for cpu := range n {
			v := value[cpu*size : (cpu+1)*size]
			if n > 1 || m.spec.Type.PerCPU() {
				v = v[:m.spec.ValueSize]
			}
			e.Values = append(e.Values, v)
		}
		d.Entries = append(d.Entries, e)
	}
}
