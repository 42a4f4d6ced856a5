package runtime_test

import (
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/perf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"bpfvm/spec"
)

// pinToCPU keeps the thread on one CPU.
func pinToCPU(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}

// recordReader returns a function that gives the next record, if there is one, for
// maps that have records.
func recordReader(m *ebpf.Map, typ spec.MapType) (func() ([]byte, bool), error) {
	switch typ {
	case spec.MapRingBuf:
		r, err := ringbuf.NewReader(m)
		return func() ([]byte, bool) {
			r.SetDeadline(time.Now())
			rec, err := r.Read()
			return rec.RawSample, err == nil
		}, err
	case spec.MapPerfEventArray:
		r, err := perf.NewReader(m, 64*4096)
		return func() ([]byte, bool) {
			r.SetDeadline(time.Now())
			rec, err := r.Read()
			return rec.RawSample, err == nil
		}, err
	}
	return nil, nil
}

// newSocket makes a socket that maps of sockets take; it is closed with the process.
func newSocket(kind string) (kernelObject, error) {
	family, typ := unix.AF_INET, unix.SOCK_DGRAM
	if kind == "xdp" {
		family, typ = unix.AF_XDP, unix.SOCK_RAW
	}
	if kind == "pid" {
		fd, err := unix.PidfdOpen(unix.Getppid(), 0)
		return kernelObject{fd: uint32(fd)}, err
	}
	fd, err := unix.Socket(family, typ, 0)
	if err != nil {
		return kernelObject{}, err
	}
	if kind == "reuseport" {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return kernelObject{}, err
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			return kernelObject{}, err
		}
	}
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	return kernelObject{uint32(fd), cookie}, err
}
