package vm

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"unsafe"

	"bpfvm/isa"
)

// unaligned serialises atomics on addresses that the host's instructions cannot
// serve. x86 locks them in hardware; other hosts would fault.
var unaligned sync.Mutex

// Atomic runs a read-modify-write instruction of 4 or 8 bytes on the arena and
// returns the old value. cmp is R0 and matters to cmpxchg only (RFC 9669, section
// 5.3). The error is a *Fault.
func (m *Memory) Atomic(op isa.AtomicOp, addr uint64, size int, src, cmp uint64) (old uint64, err error) {
	if !m.Ok(addr, size, PermRW) {
		return 0, m.fault(addr, size, PermRW)
	}
	if addr%uint64(size) != 0 {
		unaligned.Lock()
		defer unaligned.Unlock()
		old = load(m.buf[addr:], size)
		if next, store := apply(op, old, src, cmp, size); store {
			m.Store(addr, size, next)
		}
		return old, nil
	}
	if size == 4 {
		p := (*uint32)(unsafe.Pointer(&m.buf[addr]))
		for {
			o := atomic.LoadUint32(p)
			next, store := apply(op, uint64(o), src, cmp, size)
			if !store || atomic.CompareAndSwapUint32(p, o, uint32(next)) {
				return uint64(o), nil
			}
		}
	}
	p := (*uint64)(unsafe.Pointer(&m.buf[addr]))
	if op&^isa.AtomicFetch == isa.AtomicAdd {
		return atomic.AddUint64(p, src) - src, nil // counters: the common case
	}
	for {
		o := atomic.LoadUint64(p)
		next, store := apply(op, o, src, cmp, size)
		if !store || atomic.CompareAndSwapUint64(p, o, next) {
			return o, nil
		}
	}
}

func load(b []byte, size int) uint64 {
	if size == 4 {
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

// apply computes the new value; store is false when cmpxchg did not match.
func apply(op isa.AtomicOp, old, src, cmp uint64, size int) (next uint64, store bool) {
	switch op {
	case isa.AtomicXchg:
		return src, true
	case isa.AtomicCmpXchg:
		if size == 4 {
			return src, uint32(old) == uint32(cmp)
		}
		return src, old == cmp
	}
	switch op &^ isa.AtomicFetch {
	case isa.AtomicOr:
		return old | src, true
	case isa.AtomicAnd:
		return old & src, true
	case isa.AtomicXor:
		return old ^ src, true
	default:
		return old + src, true
	}
}

// fence is what load-acquire and store-release synchronise on: Go's atomics are
// sequentially consistent, which is stronger than asked.
var fence atomic.Uint32

// LoadAcquire reads size (1, 2, 4 or 8) bytes; no later access moves before it.
func (m *Memory) LoadAcquire(addr uint64, size int) (uint64, error) {
	v, err := m.Load(addr, size)
	fence.Load()
	return v, err
}

// StoreRelease writes size (1, 2, 4 or 8) bytes; no earlier access moves after it.
func (m *Memory) StoreRelease(addr uint64, size int, v uint64) error {
	fence.Add(1)
	return m.Store(addr, size, v)
}
