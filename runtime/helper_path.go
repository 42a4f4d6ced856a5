package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
	"bpfvm/types"
)

func init() {
	register(map[string]helperFunc{"bpf_d_path": dPathHelper})
}

// maxPathDepth bounds the way from a file to its root, should the dentries of a
// scenario go round in a circle.
const maxPathDepth = 1024

// dPathHelper is bpf_d_path(path, buf, sz): the full name of the file; R0 is its
// length with the NUL.
func dPathHelper(e *Env, path, buf, size, _, _ uint64) (uint64, error) {
	dst, err := e.write(buf, uint64(uint32(size)))
	if err != nil || len(dst) == 0 {
		return 0, err
	}
	return e.dPath(dst, path), nil
}

// dPath follows the dentries that a struct path leads to, as the target's BTF lays
// them out, up to the one that is its own parent. There are no mounts below it.
func (e *Env) dPath(dst []byte, path uint64) uint64 {
	dentry, ok := e.kernelPtr(path, "path", "dentry")
	if !ok || dentry == 0 {
		return spec.EFAULT.Ret()
	}
	var name []byte
	for depth := 0; ; depth++ {
		parent, ok := e.kernelPtr(dentry, "dentry", "d_parent")
		switch {
		case !ok:
			return spec.EFAULT.Ret()
		case depth == maxPathDepth:
			return spec.ENAMETOOLONG.Ret()
		}
		if parent == dentry || parent == 0 {
			break
		}
		at, ok := e.kernelPtr(dentry, "dentry", "d_name.name")
		part := make([]byte, 256) // NAME_MAX and a NUL
		if !ok || int64(e.probeStr(part, at, kernelSpace)) < 0 {
			return spec.EFAULT.Ret()
		}
		name = append(append([]byte{'/'}, untilNUL(part)...), name...)
		dentry = parent
	}
	if len(name) == 0 {
		name = []byte{'/'}
	}
	if len(name)+1 > len(dst) {
		return spec.ENAMETOOLONG.Ret()
	}
	dst[copy(dst, name)] = 0
	return uint64(len(name) + 1)
}

// kernelPtr reads a field of 8 bytes of a kernel structure.
func (e *Env) kernelPtr(addr uint64, typ, field string) (uint64, bool) {
	off, size, err := types.FieldOffset(e.rt.opts.Target, typ, field)
	if err != nil || size != 8 {
		return 0, false
	}
	var b [8]byte
	if !e.probeRead(b[:], addr+uint64(off), kernelSpace) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b[:]), true
}
