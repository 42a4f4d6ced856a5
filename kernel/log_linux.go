package kernel

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"bpfvm/spec"
)

// Since 6.4 the kernel writes the size of the whole log to log_true_size when the
// verifier has run, and only then. A number that cannot be a size, put there before
// the call, so tells whether it ran.
const notRun = 0xffffffff

// oldLog is set once the kernel has shown that it does not know log_true_size. Then
// the size of a log is known only if it fits, and that the verifier ran only by its
// having written something.
var oldLog bool

const (
	firstLog  = 256 << 10 // bytes; most logs fit
	loadTries = 8
)

// loadLogged loads with a log buffer that fits. A log that does not fit makes the
// kernel answer ENOSPC whatever the verdict is (kernel/bpf/verifier.c, bpf_check
// and bpf_vlog_finalize).
func (s *session) loadLogged(attr *attrProgLoad) (int, *LoadResult) {
	r := &LoadResult{Verdict: Rejected}
	size := uint32(0)
	if s.job.Log != LogNone {
		size = min(firstLog, s.job.MaxLog)
	}
	for {
		log := make([]byte, size)
		attr.logLevel, attr.logSize, attr.logBuf = uint32(s.job.Log), size, pointTo(log)
		fd, errno := s.tryLoad(attr, r)
		if size > 0 {
			r.Log = text(log)
			if oldLog {
				r.Verified = errno == 0 || r.Log != ""
				r.LogSize = uint32(len(r.Log) + 1)
			} else if r.Verified {
				r.LogSize = attr.logTrueSize
			}
		}
		if errno == spec.ENOSPC && size > 0 && (oldLog || r.LogSize > size) {
			if size < s.job.MaxLog {
				if oldLog {
					size *= 4
				} else {
					size = r.LogSize
				}
				size = min(size, s.job.MaxLog)
				continue
			}
			r.LogTruncated = true
			verified := r.Verified
			attr.logLevel, attr.logSize, attr.logBuf = 0, 0, pointer{}
			fd, errno = s.tryLoad(attr, r)
			r.Verified = verified
		}
		if r.Errno = errno; errno == 0 {
			r.Verdict = Accepted
			return fd, r
		}
		return 0, r
	}
}

// tryLoad makes the call, again where a signal interrupted it.
func (s *session) tryLoad(attr *attrProgLoad, r *LoadResult) (fd int, errno spec.Errno) {
	for range loadTries {
		size := unsafe.Sizeof(*attr)
		if oldLog {
			size = unsafe.Offsetof(attr.logTrueSize)
		}
		attr.logTrueSize = notRun
		start := time.Now()
		fd, errno = bpfSized(unix.BPF_PROG_LOAD, attr, size)
		r.Took = time.Since(start)
		r.Verified = errno == 0 || !oldLog && attr.logTrueSize != notRun
		switch {
		case errno == spec.E2BIG && !oldLog && !r.Verified && !knowsTrueSize():
			oldLog = true
		case errno != spec.EAGAIN:
			return fd, errno
		}
	}
	return fd, errno
}

// knowsTrueSize asks with a program that is refused for its one instruction, not
// for its attr.
func knowsTrueSize() bool {
	insns, license := make([]byte, 8), []byte{0}
	attr := attrProgLoad{
		progType: uint32(spec.ProgSocketFilter), insns: pointTo(insns), insnCount: 1, license: pointTo(license),
		logTrueSize: notRun,
	}
	_, errno := bpf(unix.BPF_PROG_LOAD, &attr)
	return errno != spec.E2BIG
}
