package runtime

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"bpfvm/spec"
	"bpfvm/vm"
)

// RingBuf is a BPF_MAP_TYPE_RINGBUF (kernel/bpf/ringbuf.c): one buffer that all
// CPUs share. Positions count bytes from the start and never wrap; the place in
// the buffer is the position modulo its size.
//
//	 consumer_pos                         producer_pos
//	      v                                    v
//	------+--------+-----------+--------+------+-----
//	      |hdr|data|hdr|data   |hdr|data|      free
//	------+--------+-----------+--------+------+-----
//	        ready     busy        ready
//
// A record is a header of 8 bytes (length with two flag bits; place in pages) and
// its data, padded to 8. The consumer stops at the first busy record, so records
// arrive in the order in which they were reserved.
//
// The kernel maps the data pages twice in a row, so that records that wrap are
// contiguous. The arena holds twice the size instead, and what of a record lies in
// the second half is copied from the first when it is reserved and back when it is
// committed: also bytes that nobody writes are what they are in the kernel.
type RingBuf struct {
	mapBase
	area                     *vm.Region
	size                     uint64
	consumer, producer, pend uint64
	wakeups                  uint64
	// meta is by position what is known of a record: who reserved it and when, and
	// what its header says. The header in the arena is for programs and user space to
	// see; that copy is not trusted, as machine code with wrong facts could write it.
	meta map[uint64]*ringRecord
}

// ringRecord is one record.
type ringRecord struct {
	Record
	size          uint32
	busy, discard bool
}

// Constants of ring buffers (include/uapi/linux/bpf.h).
const (
	ringHeader    = 8       // BPF_RINGBUF_HDR_SZ
	ringBusy      = 1 << 31 // BPF_RINGBUF_BUSY_BIT
	ringDiscard   = 1 << 30 // BPF_RINGBUF_DISCARD_BIT
	ringMaxRecord = (1<<32 - 1) / 4
	ringNoWakeup  = 1 << 0 // BPF_RB_NO_WAKEUP
	ringForce     = 1 << 1 // BPF_RB_FORCE_WAKEUP
	ringMetaPages = 3      // kernel pages between struct bpf_ringbuf and its data
	ringAvail     = 0      // BPF_RB_AVAIL_DATA
	ringSize      = 1      // BPF_RB_RING_SIZE
	ringConsumer  = 2      // BPF_RB_CONS_POS
	ringProducer  = 3      // BPF_RB_PROD_POS
)

// checkRingBuf is the first part of ringbuf_map_alloc.
func checkRingBuf(s *spec.MapSpec, _ int) spec.Errno {
	switch {
	case s.Flags&^spec.MapNUMANode != 0, s.KeySize != 0, s.ValueSize != 0:
		return spec.EINVAL
	case bits.OnesCount32(s.MaxEntries) != 1, s.MaxEntries%pageSize != 0:
		return spec.EINVAL
	}
	return 0
}

func newRingBuf(b mapBase) (kmap, error) {
	s := b.spec
	m := &RingBuf{mapBase: b, size: uint64(s.MaxEntries), meta: map[uint64]*ringRecord{}}
	r, err := b.rt.mem.Alloc(vm.Spec{
		Kind: vm.RegionRingBuf, Name: s.Name, Size: 2 * m.size, Align: pageSize, Owner: m,
	})
	if err != nil {
		return nil, allocErr(err)
	}
	m.area = r
	return m, nil
}

// header returns the header of the record at a position.
func (m *RingBuf) header(pos uint64) []byte {
	return m.rt.mem.Raw(m.area.Base+pos%m.size, ringHeader)
}

// padded is the space that a record of n bytes takes.
func padded(n uint32) uint64 { return (uint64(n) + ringHeader + 7) &^ 7 }

// reserve is __bpf_ringbuf_reserve: the address of size writable bytes, or 0 when
// there is no room. From the oldest record that is not yet consumed or not yet
// committed up to the end of the new one it may be at most size-1 bytes.
func (m *RingBuf) reserve(cpu int, size uint64) uint64 {
	if size > ringMaxRecord {
		return 0
	}
	need := padded(uint32(size))
	if need > m.size {
		return 0
	}
	m.pend = max(m.pend, m.consumer) // what is consumed was not busy
	for m.pend < m.producer {
		r := m.meta[m.pend]
		if r.busy {
			break
		}
		m.pend += padded(r.size)
	}
	end := m.producer + need
	if end-m.consumer > m.size-1 || end-m.pend > m.size-1 {
		return 0
	}
	pos := m.producer
	h := m.header(pos)
	binary.LittleEndian.PutUint32(h, uint32(size)|ringBusy)
	binary.LittleEndian.PutUint32(h[4:], uint32(pos%m.size/pageSize+ringMetaPages))
	m.producer = end
	m.meta[pos] = &ringRecord{Record: Record{Map: m.Name(), CPU: cpu, Time: m.rt.Clock.Now}, size: uint32(size), busy: true}
	first, second := m.wrapped(pos, need)
	copy(second, first)
	addr := m.area.Base + pos%m.size + ringHeader
	m.rt.mem.Protect(addr, size, vm.PermRW)
	return addr
}

// wrapped returns the two places of what lies past the end of the buffer, of a
// record that takes n bytes.
func (m *RingBuf) wrapped(pos, n uint64) (first, second []byte) {
	over := pos%m.size + n
	if over <= m.size {
		return nil, nil
	}
	return m.rt.mem.Raw(m.area.Base, over-m.size), m.rt.mem.Raw(m.area.Base+m.size, over-m.size)
}

// commit is bpf_ringbuf_commit. From then on the program cannot touch the record.
func (m *RingBuf) commit(pos uint64, flags uint64, discard bool) {
	r := m.meta[pos]
	size := r.size
	r.busy, r.discard = false, discard
	m.rt.mem.Protect(m.area.Base+pos%m.size+ringHeader, uint64(size), vm.PermNone)
	first, second := m.wrapped(pos, padded(size))
	copy(first, second)
	if discard {
		size |= ringDiscard
	}
	binary.LittleEndian.PutUint32(m.header(pos), size)
	if flags&ringForce != 0 || pos%m.size == m.consumer%m.size && flags&ringNoWakeup == 0 {
		m.wakeups++
	}
}

// output is bpf_ringbuf_output.
func (m *RingBuf) output(cpu int, data []byte, flags uint64) spec.Errno {
	if flags&^(ringNoWakeup|ringForce) != 0 {
		return spec.EINVAL
	}
	addr := m.reserve(cpu, uint64(len(data)))
	if addr == 0 {
		return spec.EAGAIN
	}
	copy(m.rt.mem.Raw(addr, uint64(len(data))), data)
	m.commit(m.producer-padded(uint32(len(data))), flags, false)
	return 0
}

// query is bpf_ringbuf_query.
func (m *RingBuf) query(what uint64) uint64 {
	switch what {
	case ringAvail:
		return m.producer - m.consumer
	case ringSize:
		return m.size
	case ringConsumer:
		return m.consumer
	case ringProducer:
		return m.producer
	}
	return 0
}

// Drain consumes the records that are ready, in order, and returns those that
// were not discarded.
func (m *RingBuf) Drain() []Record {
	defer m.lock().Unlock()
	return m.drain()
}

func (m *RingBuf) drain() []Record {
	var all []Record
	for m.consumer < m.producer {
		r := m.meta[m.consumer]
		if r.busy {
			break
		}
		if !r.discard {
			r.Data = bytes.Clone(m.rt.mem.Raw(m.area.Base+m.consumer%m.size+ringHeader, uint64(r.size)))
			all = append(all, r.Record)
		}
		delete(m.meta, m.consumer)
		m.consumer += padded(r.size)
	}
	return all
}

// Wakeups counts how often the consumer would have been woken: it had caught up
// when a record was committed, or BPF_RB_FORCE_WAKEUP said so.
func (m *RingBuf) Wakeups() uint64 { return m.wakeups }

// Busy returns how many records are reserved but neither submitted nor discarded.
func (m *RingBuf) Busy() int {
	n := 0
	for _, r := range m.meta {
		if r.busy {
			n++
		}
	}
	return n
}

// ringRecord finds the reserved record that starts at an address.
func (rt *Runtime) ringRecord(addr uint64) (*RingBuf, uint64, error) {
	r := rt.mem.Find(addr)
	if r != nil && r.Kind == vm.RegionRingBuf {
		m := r.Owner.(*RingBuf)
		// The record lies less than one size before the producer.
		off := addr - ringHeader - r.Base
		pos := m.producer - m.producer%m.size + off
		if pos >= m.producer && pos >= m.size {
			pos -= m.size
		}
		if rec := m.meta[pos]; rec != nil && rec.busy && addr >= r.Base+ringHeader {
			return m, pos, nil
		}
	}
	return nil, 0, fmt.Errorf("%s is not a reserved ring buffer record", rt.mem.Symbolize(addr))
}

// Ring buffers have no elements (ringbuf_map_lookup_elem and so on).

func (m *RingBuf) lookupElem(int, []byte) (uint64, spec.Errno) { return 0, spec.ENOTSUPP }

func (m *RingBuf) updateElem(int, []byte, []byte, uint64) spec.Errno { return spec.ENOTSUPP }

func (m *RingBuf) deleteElem([]byte) spec.Errno { return spec.ENOTSUPP }

func (m *RingBuf) sysLookup([]byte) ([]byte, spec.Errno) { return nil, spec.ENOTSUPP }

func (m *RingBuf) sysUpdate([]byte, []byte, uint64) error { return spec.ENOTSUPP }

func (m *RingBuf) nextKey([]byte) ([]byte, spec.Errno) { return nil, spec.ENOTSUPP }
