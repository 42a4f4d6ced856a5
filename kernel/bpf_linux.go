package kernel

import (
	"bytes"
	"unsafe"

	"golang.org/x/sys/unix"

	"bpfvm/spec"
)

// The bare system call. Each attr type is the part of union bpf_attr that its
// command uses (include/uapi/linux/bpf.h). cilium/ebpf has these too, in an
// internal package; here they are so that the log's true size, which tells whether
// the verifier ran, and images come back as the kernel gives them.

func pointTo[T any](s []T) pointer {
	if len(s) == 0 {
		return pointer{} // the kernel wants no address where there is no length
	}
	return pointer{p: unsafe.Pointer(unsafe.SliceData(s))}
}

type objName [spec.MaxNameLen]byte

// nameOf makes a name that the kernel takes: at most 15 of the characters of C
// names and '.' (kernel/bpf/syscall.c, bpf_obj_name_cpy).
func nameOf(s string) objName {
	var n objName
	for i := range min(len(s), len(n)-1) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' {
			n[i] = c
		} else {
			n[i] = '_'
		}
	}
	return n
}

// attrMapCreate is for BPF_MAP_CREATE.
type attrMapCreate struct {
	mapType, keySize, valueSize, maxEntries, flags uint32
	innerFD, numaNode                              uint32
	name                                           objName
	_                                              uint32 // map_ifindex
	btfFD, btfKeyType, btfValueType                uint32
	_                                              uint32 // btf_vmlinux_value_type_id
	extra                                          uint64
}

// attrElem is for BPF_MAP_LOOKUP_ELEM and its relatives; value is the next key for
// BPF_MAP_GET_NEXT_KEY.
type attrElem struct {
	mapFD uint32
	_     uint32
	key   pointer
	value pointer
}

// attrProgLoad is for BPF_PROG_LOAD.
type attrProgLoad struct {
	progType, insnCount        uint32
	insns, license             pointer
	logLevel, logSize          uint32
	logBuf                     pointer
	kernVersion, flags         uint32
	name                       objName
	_                          uint32 // prog_ifindex
	expectedAttach             uint32
	btfFD, funcInfoRec         uint32
	funcInfo                   pointer
	funcInfoCount, lineInfoRec uint32
	lineInfo                   pointer
	lineInfoCount, attachBTFID uint32
	_                          [2]uint32 // attach_prog_fd, core_relo_cnt
	_                          [2]uint64 // fd_array, core_relos
	_                          uint32    // core_relo_rec_size
	logTrueSize                uint32    // since 6.4
}

// attrBTFLoad is for BPF_BTF_LOAD.
type attrBTFLoad struct {
	btf, logBuf             pointer
	size, logSize, logLevel uint32
	_                       uint32 // btf_log_true_size
}

// attrTestRun is for BPF_PROG_TEST_RUN.
type attrTestRun struct {
	progFD, retval        uint32
	sizeIn, sizeOut       uint32
	dataIn, dataOut       pointer
	repeat, duration      uint32
	ctxSizeIn, ctxSizeOut uint32
	ctxIn, ctxOut         pointer
	flags, cpu            uint32
	_                     [2]uint32 // batch_size, padding
}

// attrInfo is for BPF_OBJ_GET_INFO_BY_FD.
type attrInfo struct {
	fd, infoLen uint32
	info        pointer
}

// progInfo is struct bpf_prog_info.
type progInfo struct {
	_, id                           uint32 // type
	tag                             [8]byte
	jitedLen, xlatedLen             uint32
	jited, xlated                   pointer
	_                               [2]uint64 // load_time, created_by_uid, nr_map_ids
	_                               pointer   // map_ids
	name                            objName
	_, gplCompatible                uint32    // ifindex; one bit
	_                               [2]uint64 // netns_dev, netns_ino
	ksymCount, funcLenCount         uint32
	ksyms, funcLens                 pointer
	_, funcInfoRec                  uint32 // btf_id
	funcInfo                        pointer
	funcInfoCount, lineInfoCount    uint32
	lineInfo, jitedLineInfo         pointer
	jitedLineInfoCount, lineInfoRec uint32
	jitedLineInfoRec, _             uint32 // nr_prog_tags
	_                               pointer
	runTime, runCount, misses       uint64 // recursion_misses
	verifiedInsns, _                uint32 // attach_btf_obj_id
	_                               [2]uint32
}

// bpf makes the system call and returns what it gives, a descriptor for most
// commands.
func bpf[T any](cmd uintptr, attr *T) (int, spec.Errno) {
	return bpfSized(cmd, attr, unsafe.Sizeof(*attr))
}

// bpfSized gives the kernel the first bytes of an attr only: what an older one does
// not know must not be there, or be zero.
func bpfSized[T any](cmd uintptr, attr *T, size uintptr) (int, spec.Errno) {
	r, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(unsafe.Pointer(attr)), size)
	return int(r), spec.Errno(errno)
}

// getInfo asks about a program.
func getInfo(fd int, info *progInfo) spec.Errno {
	attr := attrInfo{fd: uint32(fd), infoLen: uint32(unsafe.Sizeof(*info)), info: pointer{p: unsafe.Pointer(info)}}
	_, errno := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, &attr)
	return errno
}

// text returns bytes up to the first NUL.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}
