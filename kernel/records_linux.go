package kernel

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"bpfvm/spec"
)

// outlet is user space's end of a ring buffer or of a perf event array.
type outlet struct {
	// A ring buffer is one page that we write our position to, then one with the
	// kernel's position, then the data twice (kernel/bpf/ringbuf.c, bpf_ringbuf_mmap).
	consumer, producer []byte
	size               uint64 // of the data, a power of two
	events             []perfRing
}

// perfRing is a perf event of one CPU with its buffer.
type perfRing struct {
	cpu, fd int
	pages   []byte // struct perf_event_mmap_page, then data
}

const perfPages = 64 // of data, a power of two: 256 KiB a CPU

// openOutlets opens the user's end of maps that programs send records through.
func (s *session) openOutlets() error {
	for _, m := range s.maps {
		var err error
		switch m.spec.Type {
		case spec.MapRingBuf:
			err = m.openRing()
		case spec.MapPerfEventArray:
			err = s.openPerf(m)
		}
		if err != nil {
			return fmt.Errorf("map %s: open for reading: %w", m.spec.Name, err)
		}
	}
	return nil
}

func (m *liveMap) openRing() (err error) {
	o := &outlet{size: uint64(m.spec.MaxEntries)}
	m.out = o
	page := os.Getpagesize()
	if o.consumer, err = unix.Mmap(m.fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return err
	}
	o.producer, err = unix.Mmap(m.fd, int64(page), page+2*int(o.size), unix.PROT_READ, unix.MAP_SHARED)
	return err
}

// openPerf makes an event for each CPU that is online and puts it into the map.
// Such events count nothing; they only have a buffer (PERF_COUNT_SW_BPF_OUTPUT).
func (s *session) openPerf(m *liveMap) error {
	m.out = &outlet{}
	for cpu := range min(s.cpus, int(m.spec.MaxEntries)) {
		attr := unix.PerfEventAttr{
			Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_BPF_OUTPUT,
			Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Sample: 1, Sample_type: unix.PERF_SAMPLE_RAW, Wakeup: 1,
		}
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err == unix.ENODEV {
			continue // possible, but not online
		} else if err != nil {
			return fmt.Errorf("perf_event_open: %w", err)
		}
		r := perfRing{cpu: cpu, fd: fd}
		r.pages, err = unix.Mmap(fd, 0, (1+perfPages)*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		m.out.events = append(m.out.events, r)
		if err != nil {
			return fmt.Errorf("mmap of a perf event: %w", err)
		}
		if err := s.update(m, fdBytes(cpu), fdBytes(fd)); err != nil {
			return err
		}
	}
	return nil
}

func (o *outlet) close() {
	if o == nil {
		return
	}
	for _, b := range [][]byte{o.consumer, o.producer} {
		if b != nil {
			unix.Munmap(b)
		}
	}
	for _, r := range o.events {
		if r.pages != nil {
			unix.Munmap(r.pages)
		}
		unix.Close(r.fd)
	}
}

// drain reads the records that have come since the last time.
func (s *session) drain() []Record {
	var out []Record
	for _, m := range s.maps {
		if m.out == nil {
			continue
		}
		if m.out.producer != nil {
			out = m.out.readRing(m.spec.Name, out)
		}
		for _, r := range m.out.events {
			out = r.read(m.spec.Name, out)
		}
	}
	return out
}

func counter(page []byte) *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&page[0])) }

const (
	ringBusy    = 1 << 31 // BPF_RINGBUF_BUSY_BIT
	ringDiscard = 1 << 30 // BPF_RINGBUF_DISCARD_BIT
)

// readRing reads records: a length with two flags, four bytes of the kernel's, then
// data padded to 8 bytes.
func (o *outlet) readRing(name string, out []Record) []Record {
	data := o.producer[os.Getpagesize():]
	at, end := counter(o.consumer).Load(), counter(o.producer).Load()
	for at < end {
		rec := data[at&(o.size-1):]
		head := (*atomic.Uint32)(unsafe.Pointer(&rec[0])).Load()
		n := uint64(head &^ (ringBusy | ringDiscard))
		if head&ringBusy != 0 || spec.RingBufHeader+n > uint64(len(rec)) {
			break
		}
		if head&ringDiscard == 0 {
			out = append(out, Record{Map: name, CPU: -1, Data: append([]byte{}, rec[spec.RingBufHeader:][:n]...)})
		}
		at += (spec.RingBufHeader + n + 7) &^ 7
		counter(o.consumer).Store(at)
	}
	return out
}

// read reads records of a perf event: struct perf_event_header (type, misc, size)
// and, for samples, a length and the data.
func (r *perfRing) read(name string, out []Record) []Record {
	le := binary.LittleEndian
	page := (*unix.PerfEventMmapPage)(unsafe.Pointer(&r.pages[0]))
	data := r.pages[os.Getpagesize():]
	size := uint64(len(data))
	tail, head := page.Data_tail, atomic.LoadUint64(&page.Data_head)
	take := func(n uint64) []byte { // wraps around
		b := make([]byte, n)
		for done := uint64(0); done < n; {
			done += uint64(copy(b[done:], data[(tail+done)%size:]))
		}
		tail += n
		return b
	}
	for head-tail >= 8 {
		hdr := take(8)
		n := uint64(le.Uint16(hdr[6:]))
		if n < 8 || n-8 > head-tail {
			break
		}
		switch body := take(n - 8); {
		case le.Uint32(hdr) == unix.PERF_RECORD_SAMPLE && len(body) >= 4:
			raw := body[4:]
			out = append(out, Record{Map: name, CPU: r.cpu, Data: raw[:min(len(raw), int(le.Uint32(body)))]})
		case le.Uint32(hdr) == unix.PERF_RECORD_LOST && len(body) >= 16: // id, count
			out = append(out, Record{Map: name, CPU: r.cpu, Lost: le.Uint64(body[8:])})
		}
	}
	atomic.StoreUint64(&page.Data_tail, tail)
	return out
}
