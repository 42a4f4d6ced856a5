package runtime

import (
	"bytes"
	"encoding/binary"

	"bpfvm/spec"
)

// PerfEventArray is a BPF_MAP_TYPE_PERF_EVENT_ARRAY (kernel/bpf/arraymap.c). Its
// places hold perf events with a buffer each; programs send records to the one of
// their CPU with bpf_perf_event_output.
//
// User space normally opens an event for every CPU at once, so this map starts
// with all of them open; Delete closes one and Open opens it again.
type PerfEventArray struct {
	mapBase
	bufs []perfBuf // one for each CPU, as far as max_entries goes
	lost uint64
}

type perfBuf struct {
	open    bool
	size    int // bytes of the records, with their headers
	records []Record
}

// perfBufSize is the data area of one event in bytes: 64 pages, the size that
// libbpf's examples and bcc use. A record that does not fit is lost.
const perfBufSize = 64 * pageSize

// perfRecordHeader is what a record takes besides its data: perf_event_header and
// the length of the raw data (include/uapi/linux/perf_event.h, PERF_RECORD_SAMPLE).
const perfRecordHeader = 8 + 4

// pageSize is that of x86-64.
const pageSize = 4096

// Record is what a program sent to user space through a perf event array or a
// ring buffer.
type Record struct {
	Map  string
	CPU  int
	Time uint64 // of the virtual clock, in nanoseconds
	Data []byte // without the kernel's padding
}

func newPerfEventArray(b mapBase) (kmap, error) {
	if err := b.fitPlaces(); err != nil {
		return nil, err
	}
	m := &PerfEventArray{mapBase: b}
	m.bufs = make([]perfBuf, min(int64(b.spec.MaxEntries), int64(len(b.rt.cpus))))
	for i := range m.bufs {
		m.bufs[i].open = true
	}
	return m, nil
}

// output is __bpf_perf_event_output: index selects the event, which must be bound
// to the CPU that the program runs on.
func (m *PerfEventArray) output(cpu int, index uint64, data []byte) spec.Errno {
	switch {
	case index >= uint64(m.spec.MaxEntries):
		return spec.E2BIG
	case index >= uint64(len(m.bufs)) || !m.bufs[index].open:
		return spec.ENOENT
	case index != uint64(cpu):
		return spec.EOPNOTSUPP
	}
	buf := &m.bufs[index]
	size := (perfRecordHeader + len(data) + 7) &^ 7
	if buf.size+size > perfBufSize {
		m.lost++
		return spec.ENOSPC
	}
	buf.size += size
	buf.records = append(buf.records, Record{Map: m.Name(), CPU: cpu, Time: m.rt.Clock.Now, Data: bytes.Clone(data)})
	return 0
}

// Drain returns the records that wait in the buffers, CPU by CPU, and empties
// them.
func (m *PerfEventArray) Drain() []Record {
	defer m.lock().Unlock()
	return m.drain()
}

func (m *PerfEventArray) drain() []Record {
	var all []Record
	for i := range m.bufs {
		all = append(all, m.bufs[i].records...)
		m.bufs[i].records, m.bufs[i].size = nil, 0
	}
	return all
}

// Lost counts the records that found no room, as PERF_RECORD_LOST tells it.
func (m *PerfEventArray) Lost() uint64 { return m.lost }

func (m *PerfEventArray) lookupElem(int, []byte) (uint64, spec.Errno) { return 0, spec.EOPNOTSUPP }

func (m *PerfEventArray) updateElem(int, []byte, []byte, uint64) spec.Errno { return spec.EINVAL }

func (m *PerfEventArray) deleteElem(key []byte) spec.Errno {
	i := binary.LittleEndian.Uint32(key)
	switch {
	case i >= m.spec.MaxEntries:
		return spec.E2BIG
	case i >= uint32(len(m.bufs)) || !m.bufs[i].open:
		return spec.ENOENT
	}
	m.bufs[i] = perfBuf{}
	return 0
}

// sysLookup: events cannot be looked up.
func (m *PerfEventArray) sysLookup([]byte) ([]byte, spec.Errno) { return nil, spec.ENOTSUPP }

// sysUpdate: the kernel wants the file descriptor of an event, and there are none
// here; see Open.
func (m *PerfEventArray) sysUpdate(key, _ []byte, flags uint64) error {
	switch {
	case flags != spec.UpdateAny:
		return spec.EINVAL
	case binary.LittleEndian.Uint32(key) >= m.spec.MaxEntries:
		return spec.E2BIG
	}
	return spec.EBADF
}

// Open opens the event of a CPU again after Delete has closed it.
func (m *PerfEventArray) Open(cpu int) error {
	defer m.lock().Unlock()
	if cpu < 0 || cpu >= len(m.bufs) {
		return spec.E2BIG
	}
	m.bufs[cpu].open = true
	return nil
}

func (m *PerfEventArray) nextKey(key []byte) ([]byte, spec.Errno) { return m.indexAfter(key) }
