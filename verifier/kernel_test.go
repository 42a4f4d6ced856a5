//go:build linux

package verifier

import (
	"bufio"
	"encoding/gob"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"bpfvm/isa"
	"bpfvm/spec"

	"golang.org/x/sys/unix"
)

// The real kernel is asked in a child process: a verifier that hangs or dies
// takes the child along, never the test (loading is a system call that cannot
// be interrupted).

// workerEnv makes the test binary serve kernel jobs instead of running tests.
const workerEnv = "BPFVM_VERIFIER_KERNEL_WORKER"

// kernelJob is one program to load; every map it needs is created first.
type kernelJob struct {
	Type    uint32
	Attach  uint32
	Flags   uint32
	License string
	Insns   []byte
	Level   uint32
	Maps    []kernelMap
	MapAt   map[int]int // slot of an LDDW to the index of its map
}

type kernelMap struct {
	Type, Key, Value, Entries, Flags uint32
	Frozen                           bool
	Contents                         []byte
	Inner                            int // index of the inner map's template, or -1
}

type kernelAnswer struct {
	Err   string // errno's text, empty when loaded
	Errno int
	Log   string
}

func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		serveKernel(os.Stdin, os.Stdout)
		return
	}
	os.Exit(m.Run())
}

func serveKernel(r io.Reader, w io.Writer) {
	unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	dec, enc := gob.NewDecoder(bufio.NewReader(r)), gob.NewEncoder(w)
	for {
		var job kernelJob
		if dec.Decode(&job) != nil {
			return
		}
		if enc.Encode(loadInKernel(&job)) != nil {
			return
		}
	}
}

// bpfMapAttr and bpfProgAttr are the heads of union bpf_attr for
// BPF_MAP_CREATE and BPF_PROG_LOAD (include/uapi/linux/bpf.h).
type bpfMapAttr struct {
	mapType, keySize, valueSize, maxEntries, flags, innerFD, numa uint32
	name                                                          [16]byte
	ifindex, btfFD, btfKey, btfValue, btfVmlinux                  uint32
	extra                                                         uint64
}

type bpfElemAttr struct {
	fd         uint32
	_          uint32
	key, value uint64
	flags      uint64
}

type bpfProgAttr struct {
	progType, insnCnt     uint32
	insns, license        uint64
	logLevel, logSize     uint32
	logBuf                uint64
	kernVersion, flags    uint32
	name                  [16]byte
	ifindex, attach       uint32
	btfFD, funcRec        uint32
	funcInfo              uint64
	funcCnt, lineRec      uint32
	lineInfo              uint64
	lineCnt, attachBTF    uint32
	attachProg, coreCnt   uint32
	fdArray, core         uint64
	coreRec, logTrueSize  uint32
	tokenFD, fdArrayCount uint32
}

func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) (int, syscall.Errno) {
	fd, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
	return int(fd), errno
}

func loadInKernel(job *kernelJob) kernelAnswer {
	var fds []int
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	insns := append([]byte(nil), job.Insns...)
	for i, m := range job.Maps {
		attr := bpfMapAttr{mapType: m.Type, keySize: m.Key, valueSize: m.Value, maxEntries: m.Entries, flags: m.Flags}
		copy(attr.name[:], "m"+string(rune('0'+i%10)))
		if m.Inner >= 0 {
			attr.innerFD = uint32(fds[m.Inner])
		}
		fd, errno := bpf(unix.BPF_MAP_CREATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
		if errno != 0 {
			return kernelAnswer{Err: "create map: " + errno.Error(), Errno: int(errno)}
		}
		fds = append(fds, fd)
		if m.Contents != nil {
			key := new(uint32)
			el := bpfElemAttr{fd: uint32(fd), key: uint64(uintptr(unsafe.Pointer(key))), value: uint64(uintptr(unsafe.Pointer(&m.Contents[0])))}
			if _, errno := bpf(unix.BPF_MAP_UPDATE_ELEM, unsafe.Pointer(&el), unsafe.Sizeof(el)); errno != 0 {
				return kernelAnswer{Err: "fill map: " + errno.Error(), Errno: int(errno)}
			}
		}
		if m.Frozen {
			f := uint32(fd)
			if _, errno := bpf(unix.BPF_MAP_FREEZE, unsafe.Pointer(&f), 4); errno != 0 {
				return kernelAnswer{Err: "freeze map: " + errno.Error(), Errno: int(errno)}
			}
		}
	}
	for pc, m := range job.MapAt {
		*(*uint32)(unsafe.Pointer(&insns[pc*8+4])) = uint32(fds[m])
	}
	license := append([]byte(job.License), 0)
	log := make([]byte, 16<<20)
	attr := bpfProgAttr{
		progType: job.Type, insnCnt: uint32(len(insns) / 8), attach: job.Attach, flags: job.Flags,
		insns:    uint64(uintptr(unsafe.Pointer(&insns[0]))),
		license:  uint64(uintptr(unsafe.Pointer(&license[0]))),
		logLevel: job.Level, logSize: uint32(len(log)),
		logBuf: uint64(uintptr(unsafe.Pointer(&log[0]))),
	}
	if job.Level == 0 {
		attr.logSize, attr.logBuf = 0, 0
	}
	fd, errno := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	text, _, _ := strings.Cut(string(log), "\x00")
	if errno != 0 {
		return kernelAnswer{Err: errno.Error(), Errno: int(errno), Log: text}
	}
	fds = append(fds, fd)
	return kernelAnswer{Log: text}
}

// kernelWorker talks to one child and replaces it when it does not answer.
type kernelWorker struct {
	cmd *exec.Cmd
	enc *gob.Encoder
	ans chan kernelAnswer
	in  io.Closer
}

var errNoAnswer = errors.New("the kernel did not answer in time")

func (k *kernelWorker) start() error {
	k.cmd = exec.Command(os.Args[0])
	k.cmd.Env = append(os.Environ(), workerEnv+"=1")
	in, err := k.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := k.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := k.cmd.Start(); err != nil {
		k.cmd = nil // nothing to stop
		return err
	}
	k.in, k.enc = in, gob.NewEncoder(in)
	ans := make(chan kernelAnswer)
	k.ans = ans
	go func() {
		defer close(ans)
		dec := gob.NewDecoder(bufio.NewReader(out))
		for {
			var a kernelAnswer
			if dec.Decode(&a) != nil {
				return
			}
			ans <- a
		}
	}()
	return nil
}

func (k *kernelWorker) stop() {
	if k.cmd != nil {
		k.in.Close()
		k.cmd.Process.Kill()
		cmd := k.cmd
		go cmd.Wait()
		k.cmd = nil
	}
}

func (k *kernelWorker) ask(job *kernelJob) (kernelAnswer, error) {
	if k.cmd == nil {
		if err := k.start(); err != nil {
			return kernelAnswer{}, err
		}
	}
	if err := k.enc.Encode(job); err != nil {
		k.stop()
		return kernelAnswer{}, err
	}
	select {
	case a, ok := <-k.ans:
		if ok {
			return a, nil
		}
	case <-time.After(30 * time.Second):
	}
	k.stop()
	return kernelAnswer{}, errNoAnswer
}

// needKernel starts a worker or skips the test with the reason.
func needKernel(t testing.TB) *kernelWorker {
	t.Helper()
	k := &kernelWorker{}
	t.Cleanup(k.stop)
	a, err := k.ask(&kernelJob{Type: uint32(spec.ProgSocketFilter), License: "GPL", Insns: isa.Encode(isa.Program{
		{Op: isa.ALUOp(isa.ClassALU64, isa.CodeMov, isa.SrcK)}, {Op: isa.OpExit}})})
	if err != nil {
		t.Skipf("no kernel to ask: %v", err)
	}
	if a.Err != "" {
		t.Skipf("no kernel to ask: loading a program with bpf(2): %s", a.Err)
	}
	return k
}
