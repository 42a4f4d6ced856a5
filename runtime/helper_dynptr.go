package runtime

import "bpfvm/spec"

func init() {
	register(map[string]helperFunc{
		"bpf_dynptr_from_mem":        dynptrFromMem,
		"bpf_dynptr_read":            dynptrReadHelper,
		"bpf_dynptr_write":           dynptrWriteHelper,
		"bpf_dynptr_data":            dynptrData,
		"bpf_ringbuf_reserve_dynptr": ringbufReserveDynptr,
		"bpf_ringbuf_submit_dynptr":  ringbufEndDynptr(false),
		"bpf_ringbuf_discard_dynptr": ringbufEndDynptr(true),
	})
}

// dynptrFromMem is bpf_dynptr_from_mem(data, size, flags, ptr).
func dynptrFromMem(e *Env, data, size, flags, ptr, _ uint64) (uint64, error) {
	var errno spec.Errno
	if flags != 0 {
		errno = spec.EINVAL
	}
	if uint32(size) > dynptrSizeMax {
		errno = spec.E2BIG
	}
	return e.newDynptr(ptr, dynptr{data: data, size: uint32(size), kind: dynptrLocal}, errno)
}

// dynptrReadHelper is bpf_dynptr_read(dst, len, src, offset, flags).
func dynptrReadHelper(e *Env, dst, size, src, offset, flags uint64) (uint64, error) {
	d, err := e.dynptr(src)
	if err != nil {
		return 0, err
	}
	b, err := e.write(dst, uint64(uint32(size)))
	switch {
	case err != nil:
		return 0, err
	case d.data == 0 || flags != 0:
		return spec.EINVAL.Ret(), nil
	case !d.has(uint32(offset), uint32(size)):
		return spec.E2BIG.Ret(), nil
	}
	errno, err := e.dynptrRead(b, &d, uint32(offset))
	return errno.Ret(), err
}

// dynptrWriteHelper is bpf_dynptr_write(dst, offset, src, len, flags). Only packets
// of socket buffers have flags, those of bpf_skb_store_bytes.
func dynptrWriteHelper(e *Env, dst, offset, src, size, flags uint64) (uint64, error) {
	d, err := e.dynptr(dst)
	if err != nil {
		return 0, err
	}
	b, err := e.read(src, uint64(uint32(size)))
	switch {
	case err != nil:
		return 0, err
	case d.data == 0 || d.rdonly:
		return spec.EINVAL.Ret(), nil
	case !d.has(uint32(offset), uint32(size)):
		return spec.E2BIG.Ret(), nil
	case d.kind == dynptrSKB:
		if e.packet == nil || d.data != e.ctx.Base {
			_, err := e.dynptrRange(&d, 0, 0)
			return 0, err
		}
		return skbStoreBytes(e, d.data, uint64(d.offset)+uint64(uint32(offset)), src, size, flags)
	case flags != 0:
		return spec.EINVAL.Ret(), nil
	}
	errno, err := e.dynptrWrite(&d, uint32(offset), b)
	return errno.Ret(), err
}

// dynptrData is bpf_dynptr_data(ptr, offset, len): the address of the bytes, NULL for
// packets and for what is read-only.
func dynptrData(e *Env, ptr, offset, size, _, _ uint64) (uint64, error) {
	d, err := e.dynptr(ptr)
	if err != nil || d.rdonly || d.packet() {
		return 0, err
	}
	return e.dynptrSlice(&d, uint32(offset), uint32(size)), nil
}

// ringbufReserveDynptr is bpf_ringbuf_reserve_dynptr(ringbuf, size, flags, ptr). The
// dynptr is stored in any case and must be submitted or discarded.
func ringbufReserveDynptr(e *Env, handle, size, flags, ptr, _ uint64) (uint64, error) {
	m, err := e.ringBuf(handle)
	if err != nil {
		return 0, err
	}
	size = uint64(uint32(size))
	switch {
	case flags != 0:
		return e.newDynptr(ptr, dynptr{}, spec.EINVAL)
	case size > dynptrSizeMax:
		return e.newDynptr(ptr, dynptr{}, spec.E2BIG)
	}
	addr := m.reserve(e.cpu, size)
	if addr == 0 {
		return e.newDynptr(ptr, dynptr{}, spec.EINVAL)
	}
	return e.newDynptr(ptr, dynptr{data: addr, size: uint32(size), kind: dynptrRingBuf}, 0)
}

// ringbufEndDynptr makes bpf_ringbuf_submit_dynptr(ptr, flags) and
// bpf_ringbuf_discard_dynptr.
func ringbufEndDynptr(discard bool) helperFunc {
	return func(e *Env, ptr, flags, _, _, _ uint64) (uint64, error) {
		d, err := e.dynptr(ptr)
		if err != nil || d.data == 0 {
			return 0, err
		}
		if err := e.ringCommit(d.data, flags, discard); err != nil {
			return 0, err
		}
		return 0, e.putDynptr(ptr, dynptr{})
	}
}
