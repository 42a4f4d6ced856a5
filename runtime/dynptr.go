package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
	"bpfvm/vm"
)

// dynptr is a pointer whose size is known when the program runs: 16 bytes on the
// program's stack, struct bpf_dynptr_kern (include/linux/bpf.h):
//
//	0               8         12        16
//	| data          | size    | offset  |
//
// The upper bits of size tell what data is: memory, a ring buffer record, or the
// context of a packet. All zeroes is the null dynptr.
type dynptr struct {
	data   uint64
	size   uint32
	offset uint32
	kind   dynptrKind
	rdonly bool
}

// dynptrKind is enum bpf_dynptr_type.
type dynptrKind uint32

// Kinds of dynptrs.
const (
	dynptrLocal   dynptrKind = 1
	dynptrRingBuf dynptrKind = 2
	dynptrSKB     dynptrKind = 3
	dynptrXDP     dynptrKind = 4
)

// The layout of the size word (kernel/bpf/helpers.c).
const (
	dynptrSize    = 16
	dynptrSizeMax = 1<<24 - 1 // DYNPTR_MAX_SIZE
	dynptrShift   = 28        // DYNPTR_TYPE_SHIFT
	dynptrRdonly  = 1 << 31   // DYNPTR_RDONLY_BIT
)

// dynptr reads one.
func (e *Env) dynptr(addr uint64) (dynptr, error) {
	b, err := e.read(addr, dynptrSize)
	if err != nil {
		return dynptr{}, err
	}
	size := binary.LittleEndian.Uint32(b[8:])
	return dynptr{
		data: binary.LittleEndian.Uint64(b), size: size & dynptrSizeMax, offset: binary.LittleEndian.Uint32(b[12:]),
		kind: dynptrKind(size &^ dynptrRdonly >> dynptrShift), rdonly: size&dynptrRdonly != 0,
	}, nil
}

// putDynptr stores one.
func (e *Env) putDynptr(addr uint64, d dynptr) error {
	b, err := e.write(addr, dynptrSize)
	if err != nil {
		return err
	}
	size := d.size | uint32(d.kind)<<dynptrShift
	if d.rdonly {
		size |= dynptrRdonly
	}
	binary.LittleEndian.PutUint64(b, d.data)
	binary.LittleEndian.PutUint32(b[8:], size)
	binary.LittleEndian.PutUint32(b[12:], d.offset)
	return nil
}

// newDynptr stores a new dynptr, or a null one when there is an error number, which
// it returns.
func (e *Env) newDynptr(addr uint64, d dynptr, errno spec.Errno) (uint64, error) {
	if errno == 0 && d.size > dynptrSizeMax {
		errno = spec.E2BIG
	}
	if errno != 0 {
		d = dynptr{}
	}
	return errno.Ret(), e.putDynptr(addr, d)
}

// has reports whether n bytes from off are inside.
func (d *dynptr) has(off, n uint32) bool { return n <= d.size && off <= d.size-n }

// packet reports whether the dynptr is one of the run's packet.
func (d *dynptr) packet() bool { return d.kind == dynptrSKB || d.kind == dynptrXDP }

// dynptrRead copies out of a dynptr; the caller has looked at the bounds.
func (e *Env) dynptrRead(dst []byte, d *dynptr, off uint32) (spec.Errno, error) {
	at := uint64(d.offset) + uint64(off)
	if !d.packet() {
		b, err := e.read(d.data+at, uint64(len(dst)))
		copy(dst, b)
		return 0, err
	}
	if errno, err := e.dynptrRange(d, at, len(dst)); errno != 0 || err != nil {
		clear(dst)
		return errno, err
	}
	e.packet.copyOut(dst, at)
	return 0, nil
}

// dynptrWrite copies into a dynptr.
func (e *Env) dynptrWrite(d *dynptr, off uint32, src []byte) (spec.Errno, error) {
	at := uint64(d.offset) + uint64(off)
	if !d.packet() {
		b, err := e.write(d.data+at, uint64(len(src)))
		copy(b, src)
		return 0, err
	}
	if errno, err := e.dynptrRange(d, at, len(src)); errno != 0 || err != nil {
		return errno, err
	}
	e.packet.copyIn(at, src)
	return 0, nil
}

// dynptrRange judges an access to the packet, which may have shrunk since the dynptr
// was made.
func (e *Env) dynptrRange(d *dynptr, at uint64, n int) (spec.Errno, error) {
	switch {
	case e.packet == nil || d.data != e.ctx.Base:
		return 0, &vm.Fault{Addr: d.data, Size: n, Where: e.rt.mem.Symbolize(d.data), Why: "not the packet of this run"}
	case d.kind == dynptrXDP:
		return e.packet.xdpRange(at, uint64(n)), nil
	case !e.packet.has(at, uint64(n)):
		return spec.EFAULT, nil
	}
	return 0, nil
}

// dynptrSlice returns the address of n bytes of a dynptr, 0 when there is none.
func (e *Env) dynptrSlice(d *dynptr, off uint32, n uint32) uint64 {
	if d.data == 0 || !d.has(off, n) {
		return 0
	}
	at := uint64(d.offset) + uint64(off)
	if !d.packet() {
		return d.data + at
	}
	if errno, err := e.dynptrRange(d, at, int(n)); errno != 0 || err != nil || at+uint64(n) > e.packet.linear() {
		return 0
	}
	return e.packet.r.Start + at
}
