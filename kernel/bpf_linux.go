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
	ifindex, btfFD, btfKeyType, btfValueType       uint32
	vmlinuxValueType                               uint32
	extra                                          uint64
	valueTypeBTFFD, tokenFD                        int32
}

// attrElem is for BPF_MAP_LOOKUP_ELEM and its relatives; value is the next key for
// BPF_MAP_GET_NEXT_KEY.
type attrElem struct {
	mapFD uint32
	_     uint32
	key   pointer
	value pointer
	flags uint64
}

// attrProgLoad is for BPF_PROG_LOAD.
type attrProgLoad struct {
	progType, insnCount        uint32
	insns, license             pointer
	logLevel, logSize          uint32
	logBuf                     pointer
	kernVersion, flags         uint32
	name                       objName
	ifindex, expectedAttach    uint32
	btfFD, funcInfoRec         uint32
	funcInfo                   pointer
	funcInfoCount, lineInfoRec uint32
	lineInfo                   pointer
	lineInfoCount, attachBTFID uint32
	attachFD, coreCount        uint32
	fdArray, core              pointer
	coreRec, logTrueSize       uint32
	tokenFD                    int32
	fdArrayCount               uint32
}

// attrBTFLoad is for BPF_BTF_LOAD.
type attrBTFLoad struct {
	btf, logBuf                       pointer
	size, logSize, logLevel, trueSize uint32
	flags                             uint32
	tokenFD                           int32
}

// attrTestRun is for BPF_PROG_TEST_RUN.
type attrTestRun struct {
	progFD, retval        uint32
	sizeIn, sizeOut       uint32
	dataIn, dataOut       pointer
	repeat, duration      uint32
	ctxSizeIn, ctxSizeOut uint32
	ctxIn, ctxOut         pointer
	flags, cpu, batchSize uint32
	_                     uint32
}

// attrInfo is for BPF_OBJ_GET_INFO_BY_FD.
type attrInfo struct {
	fd, infoLen uint32
	info        pointer
}

// progInfo is struct bpf_prog_info.
type progInfo struct {
	progType, id                    uint32
	tag                             [8]byte
	jitedLen, xlatedLen             uint32
	jited, xlated                   pointer
	loadTime                        uint64
	createdByUID, mapCount          uint32
	mapIDs                          pointer
	name                            objName
	ifindex, gplCompatible          uint32
	netnsDev, netnsIno              uint64
	ksymCount, funcLenCount         uint32
	ksyms, funcLens                 pointer
	btfID, funcInfoRec              uint32
	funcInfo                        pointer
	funcInfoCount, lineInfoCount    uint32
	lineInfo, jitedLineInfo         pointer
	jitedLineInfoCount, lineInfoRec uint32
	jitedLineInfoRec, tagCount      uint32
	tags                            pointer
	runTime, runCount, misses       uint64
	verifiedInsns, attachBTFObj     uint32
	attachBTF, _                    uint32
}

// mapInfo is struct bpf_map_info.
type mapInfo struct {
	mapType, id, keySize, valueSize, maxEntries, flags uint32
	name                                               objName
	ifindex, vmlinuxValueType                          uint32
	netnsDev, netnsIno                                 uint64
	btfID, btfKeyType, btfValueType, vmlinuxID         uint32
	extra                                              uint64
}

// bpf makes the system call and returns what it gives, a descriptor for most
// commands.
func bpf[T any](cmd uintptr, attr *T) (int, spec.Errno) {
	r, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr))
	return int(r), spec.Errno(errno)
}

// getInfo fills a progInfo or mapInfo.
func getInfo[T any](fd int, info *T) spec.Errno {
	attr := attrInfo{fd: uint32(fd), infoLen: uint32(unsafe.Sizeof(*info)), info: pointer{p: unsafe.Pointer(info)}}
	_, errno := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, &attr)
	return errno
}

// text returns bytes up to the first NUL.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}
