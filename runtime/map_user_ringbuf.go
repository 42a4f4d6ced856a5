package runtime

import (
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
	"bpfvm/vm"
)

// UserRingBuf is a BPF_MAP_TYPE_USER_RINGBUF (kernel/bpf/ringbuf.c): a [RingBuf] in the
// other direction. User space writes samples, a program reads them with
// bpf_user_ringbuf_drain, which calls it back with a dynptr for each.
//
// User space may write anything into the pages, so the kernel checks every header and
// copies nothing. Here samples come from [UserRingBuf.Submit] only and are well formed.
type UserRingBuf struct {
	mapBase
	area               *vm.Region // twice the size, as samples that wrap are contiguous
	size               uint64
	consumer, producer uint64
	sizes              []uint32 // of the samples that wait
	busy               bool     // a program reads
}

// maxDrain is BPF_MAX_USER_RINGBUF_SAMPLES: how many samples one call reads.
const maxDrain = 128 << 10

func newUserRingBuf(b mapBase) (kmap, error) {
	m := &UserRingBuf{mapBase: b, size: uint64(b.spec.MaxEntries)}
	r, err := b.rt.mem.Alloc(vm.Spec{
		Kind: vm.RegionRingBuf, Name: b.spec.Name, Size: 2 * m.size, Align: pageSize, Owner: m,
	})
	if err != nil {
		return nil, allocErr(err)
	}
	m.area = r
	return m, nil
}

// Submit writes a sample, as libbpf's user_ring_buffer__reserve and _submit do: E2BIG
// where it never fits, ENOSPC where it does not fit now.
func (m *UserRingBuf) Submit(sample []byte) error {
	defer m.lock().Unlock()
	if e := m.mayWrite(); e != 0 {
		return e
	}
	if uint64(len(sample)) > m.size-ringHeader {
		return spec.E2BIG
	}
	need := padded(uint32(len(sample)))
	if need > m.size-(m.producer-m.consumer) {
		return spec.ENOSPC
	}
	at := m.area.Base + m.producer%m.size
	b := m.rt.mem.Raw(at, ringHeader+uint64(len(sample)))
	binary.LittleEndian.PutUint64(b, uint64(len(sample)))
	copy(b[ringHeader:], sample)
	m.producer += need
	m.sizes = append(m.sizes, uint32(len(sample)))
	return nil
}

// Waiting returns the number of samples that no program has read.
func (m *UserRingBuf) Waiting() int {
	defer m.lock().Unlock()
	return len(m.sizes)
}

// Ring buffers have no elements.

func (m *UserRingBuf) lookupElem(int, []byte) (uint64, spec.Errno) { return 0, spec.ENOTSUPP }

func (m *UserRingBuf) updateElem(int, []byte, []byte, uint64) spec.Errno { return spec.ENOTSUPP }

func (m *UserRingBuf) deleteElem([]byte) spec.Errno { return spec.ENOTSUPP }

func (m *UserRingBuf) nextKey([]byte) ([]byte, spec.Errno) { return nil, spec.ENOTSUPP }

func init() {
	register(map[string]helperFunc{"bpf_user_ringbuf_drain": userRingbufDrain})
}

// userRingbufDrain is bpf_user_ringbuf_drain(map, callback, ctx, flags): callback(dynptr,
// ctx) for each sample until it returns 1; R0 is the number of samples read.
func userRingbufDrain(e *Env, handle, callback, ctx, flags, _ uint64) (uint64, error) {
	b, err := e.rt.baseAt(handle)
	if err != nil {
		return 0, err
	}
	m, ok := b.self.(*UserRingBuf)
	if !ok {
		return 0, fmt.Errorf("map %q of type %s is no user ring buffer", b.spec.Name, b.spec.Type)
	}
	if flags&^(ringNoWakeup|ringForce) != 0 {
		return spec.EINVAL.Ret(), nil
	}
	if m.busy { // by the program that called back into this one
		return spec.EBUSY.Ret(), nil
	}
	m.busy = true
	defer func() { m.busy = false }()
	level := windowKey{vm.RegionScratch, e.m.Depth}
	ptr, err := e.rt.nestedWindow(e.rt.cpus[e.cpu], level, dynptrSize, vm.PermRW)
	if err != nil {
		return 0, err
	}
	n := uint64(0)
	for ret := uint64(0); n < maxDrain && ret == 0 && len(m.sizes) > 0; n++ {
		size := m.sizes[0]
		at := m.area.Base + m.consumer%m.size + ringHeader
		e.rt.mem.Protect(at, uint64(size), vm.PermRW)
		if err := e.putDynptr(ptr.Base, dynptr{data: at, size: size, kind: dynptrLocal}); err != nil {
			return 0, err
		}
		if ret, err = e.m.Call(callback, [5]uint64{ptr.Base, ctx}); err != nil {
			return 0, err
		}
		e.rt.mem.Protect(at, uint64(size), vm.PermNone)
		m.consumer += padded(size)
		m.sizes = m.sizes[1:]
	}
	return n, nil
}
