package runtime

import (
	"bytes"

	"bpfvm/spec"
	"bpfvm/vm"
)

func init() {
	registerKfunc("bpf_dynptr_from_skb", spec.RetInteger, "ctx any newdynptr", dynptrFromSKB)
	registerKfunc("bpf_dynptr_from_xdp", spec.RetInteger, "ctx any newdynptr", dynptrFromXDP)
	registerKfunc("bpf_dynptr_slice", spec.RetMemOrNull, "dynptr any any size", dynptrSliceKfunc(false))
	registerKfunc("bpf_dynptr_slice_rdwr", spec.RetMemOrNull, "dynptr any any size", dynptrSliceKfunc(true))
	registerKfunc("bpf_dynptr_adjust", spec.RetInteger, "dynptr any any", dynptrAdjust)
	registerKfunc("bpf_dynptr_is_null", spec.RetInteger, "dynptr", dynptrIsNull)
	registerKfunc("bpf_dynptr_is_rdonly", spec.RetInteger, "dynptr", dynptrIsRdonly)
	registerKfunc("bpf_dynptr_size", spec.RetInteger, "dynptr", dynptrSizeKfunc)
	registerKfunc("bpf_dynptr_clone", spec.RetInteger, "dynptr newdynptr", dynptrClone)
	registerKfunc("bpf_dynptr_copy", spec.RetInteger, "dynptr any dynptr any any", dynptrCopy)
	registerKfunc("bpf_dynptr_memset", spec.RetInteger, "dynptr any any any", dynptrMemset)
}

// dynptrFromSKB is bpf_dynptr_from_skb(skb, flags, ptr). Where programs may not
// write to packets the dynptr is read-only (bpf_dynptr_from_skb_rdonly).
func dynptrFromSKB(e *Env, _, flags, ptr, _, _ uint64) (uint64, error) {
	s, err := e.skb()
	if err != nil {
		return 0, err
	}
	var errno spec.Errno
	if flags != 0 {
		errno = spec.EINVAL
	}
	rdonly := skbAccess[e.prog.Type()] != vm.PermRW
	return e.newDynptr(ptr, dynptr{data: e.ctx.Base, size: uint32(s.p.len()), kind: dynptrSKB, rdonly: rdonly}, errno)
}

// dynptrFromXDP is bpf_dynptr_from_xdp(xdp, flags, ptr).
func dynptrFromXDP(e *Env, _, flags, ptr, _, _ uint64) (uint64, error) {
	var errno spec.Errno
	if flags != 0 {
		errno = spec.EINVAL
	}
	return e.newDynptr(ptr, dynptr{data: e.ctx.Base, size: uint32(e.packet.len()), kind: dynptrXDP}, errno)
}

// dynptrSliceKfunc makes bpf_dynptr_slice(ptr, offset, buffer, size) and
// bpf_dynptr_slice_rdwr: the address of the bytes. What lies in an XDP frame's
// fragments is copied to the buffer, if there is one.
func dynptrSliceKfunc(write bool) helperFunc {
	return func(e *Env, ptr, offset, buffer, size, _ uint64) (uint64, error) {
		d, err := e.dynptr(ptr)
		if err != nil || d.data == 0 || write && d.rdonly || !d.has(uint32(offset), uint32(size)) {
			return 0, err
		}
		if addr := e.dynptrSlice(&d, uint32(offset), uint32(size)); addr != 0 || !d.packet() || buffer == 0 {
			return addr, nil
		}
		b, err := e.write(buffer, uint64(uint32(size)))
		if err != nil {
			return 0, err
		}
		if errno, err := e.dynptrRead(b, &d, uint32(offset)); errno != 0 || err != nil {
			return 0, err
		}
		return buffer, nil
	}
}

// dynptrAdjust is bpf_dynptr_adjust(ptr, start, end): the part from start up to end.
func dynptrAdjust(e *Env, ptr, from, to, _, _ uint64) (uint64, error) {
	d, err := e.dynptr(ptr)
	start, end := uint32(from), uint32(to)
	switch {
	case err != nil:
		return 0, err
	case d.data == 0 || start > end:
		return spec.EINVAL.Ret(), nil
	case start > d.size || end > d.size:
		return spec.ERANGE.Ret(), nil
	}
	d.offset += start
	d.size = end - start
	return 0, e.putDynptr(ptr, d)
}

func dynptrIsNull(e *Env, ptr, _, _, _, _ uint64) (uint64, error) {
	d, err := e.dynptr(ptr)
	return truth(d.data == 0), err
}

func dynptrIsRdonly(e *Env, ptr, _, _, _, _ uint64) (uint64, error) {
	d, err := e.dynptr(ptr)
	return truth(d.data != 0 && d.rdonly), err
}

// dynptrSizeKfunc is bpf_dynptr_size(ptr).
func dynptrSizeKfunc(e *Env, ptr, _, _, _, _ uint64) (uint64, error) {
	d, err := e.dynptr(ptr)
	if d.data == 0 {
		return spec.EINVAL.Ret(), err
	}
	return uint64(d.size), err
}

// dynptrClone is bpf_dynptr_clone(ptr, clone).
func dynptrClone(e *Env, ptr, clone, _, _, _ uint64) (uint64, error) {
	d, err := e.dynptr(ptr)
	if err != nil {
		return 0, err
	}
	var errno spec.Errno
	if d.data == 0 {
		errno = spec.EINVAL
	}
	return e.newDynptr(clone, d, errno)
}

// dynptrCopy is bpf_dynptr_copy(dst, dst_off, src, src_off, size).
func dynptrCopy(e *Env, dst, dstOff, src, srcOff, size uint64) (uint64, error) {
	to, err := e.dynptr(dst)
	if err != nil {
		return 0, err
	}
	from, err := e.dynptr(src)
	n := uint32(size)
	switch {
	case err != nil:
		return 0, err
	case from.data == 0 || to.data == 0 || to.rdonly:
		return spec.EINVAL.Ret(), nil
	case !from.has(uint32(srcOff), n) || !to.has(uint32(dstOff), n):
		return spec.E2BIG.Ret(), nil
	}
	b := make([]byte, n)
	errno, err := e.dynptrRead(b, &from, uint32(srcOff))
	if err == nil && errno == 0 {
		errno, err = e.dynptrWrite(&to, uint32(dstOff), b)
	}
	return errno.Ret(), err
}

// dynptrMemset is bpf_dynptr_memset(ptr, offset, size, val).
func dynptrMemset(e *Env, ptr, offset, size, val, _ uint64) (uint64, error) {
	d, err := e.dynptr(ptr)
	n := uint32(size)
	switch {
	case err != nil:
		return 0, err
	case d.data == 0 || d.rdonly:
		return spec.EINVAL.Ret(), nil
	case !d.has(uint32(offset), n):
		return spec.E2BIG.Ret(), nil
	}
	errno, err := e.dynptrWrite(&d, uint32(offset), bytes.Repeat([]byte{byte(val)}, int(n)))
	return errno.Ret(), err
}

// truth is a bool as C returns it.
func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
