package kernel

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What a round does, one action after the other, all on the worker's thread. It is
// meant to pass by what programs are often attached to: system calls, files that are
// opened and names that are not there, sockets (and so the allocation of network
// buffers), memory, the scheduler.
var actions = []struct {
	name string
	do   func()
}{
	{"getpid", func() { unix.Syscall(unix.SYS_GETPID, 0, 0, 0) }},
	{"open, read, write and close /dev/null", func() {
		if fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
			unix.Write(fd, []byte("bpfvm"))
			unix.Read(fd, make([]byte, 8))
			unix.Close(fd)
		}
	}},
	{"open and remove a file that is not there", func() {
		unix.Open("/nonexistent/bpfvm", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		unix.Unlink("/nonexistent/bpfvm")
	}},
	{"send through a pair of sockets", func() {
		if fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
			unix.Write(fds[0], []byte("bpfvm"))
			unix.Read(fds[1], make([]byte, 8))
			unix.Close(fds[0])
			unix.Close(fds[1])
		}
	}},
	{"write through a pipe", func() {
		var p [2]int
		if unix.Pipe2(p[:], unix.O_CLOEXEC) == nil {
			unix.Write(p[1], []byte("bpfvm"))
			unix.Read(p[0], make([]byte, 8))
			unix.Close(p[0])
			unix.Close(p[1])
		}
	}},
	{"map, touch and unmap a page", func() {
		if m, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE); err == nil {
			m[0] = 1
			unix.Munmap(m)
		}
	}},
	{"stat /", func() { unix.Stat("/", new(unix.Stat_t)) }},
	{"sleep for a microsecond", func() { unix.Nanosleep(&unix.Timespec{Nsec: 1000}, nil) }},
	{"yield the CPU", func() { unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }},
	{"call bpfvm's own function for uprobes", func() { uprobeTarget(42) }},
}

// spinTime is how long a round computes for programs that sample the CPU.
const spinTime = 50 * time.Millisecond

// trigger does the rounds and says of what one is made.
func trigger(rounds int, spin bool) []string {
	for range rounds {
		for _, a := range actions {
			a.do()
		}
		for end := time.Now().Add(spinTime); spin && time.Now().Before(end); {
			uprobeTarget(1)
		}
	}
	var did []string
	for _, a := range actions {
		did = append(did, a.name)
	}
	if spin {
		did = append(did, fmt.Sprintf("compute for %v", spinTime))
	}
	return did
}

// uprobeTarget is where uprobes are placed.
//
//go:noinline
func uprobeTarget(n int) int {
	uprobeCalls += n
	return uprobeCalls
}

var uprobeCalls int // so that the compiler leaves the calls where they are

// uprobePlace returns the file that holds uprobeTarget and its offset there.
func uprobePlace() (path string, off uint64, err error) {
	addr := uint64(reflect.ValueOf(uprobeTarget).Pointer())
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() { // start-end perms offset dev inode path
		cols := strings.Fields(lines.Text())
		if len(cols) < 6 {
			continue
		}
		from, to, _ := strings.Cut(cols[0], "-")
		low, err1 := strconv.ParseUint(from, 16, 64)
		high, err2 := strconv.ParseUint(to, 16, 64)
		base, err3 := strconv.ParseUint(cols[2], 16, 64)
		if err1 == nil && err2 == nil && err3 == nil && addr >= low && addr < high {
			return cols[5], addr - low + base, nil
		}
	}
	return "", 0, fmt.Errorf("no mapping of our own code is listed")
}

// mountTracefs makes tracefs visible to this thread alone: in a mount namespace of
// its own, which ends with it. Where it is mounted already, that is taken.
func (h *hooks) mountTracefs() (string, error) {
	if h.tracefs != "" || h.trouble != nil {
		return h.tracefs, h.trouble
	}
	for _, dir := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if exists(dir + "/events") {
			h.tracefs = dir
			return dir, nil
		}
	}
	const dir = "/sys/kernel/tracing"
	if h.trouble = unix.Unshare(unix.CLONE_NEWNS); h.trouble == nil {
		if h.trouble = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); h.trouble == nil {
			h.trouble = unix.Mount("tracefs", dir, "tracefs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		}
	}
	if h.trouble != nil {
		h.trouble = fmt.Errorf("tracefs, which names the tracepoints, is not mounted: %w", h.trouble)
		return "", h.trouble
	}
	h.tracefs = dir
	return dir, nil
}

// tracepointID reads the number of a tracepoint.
func (h *hooks) tracepointID(target string) (uint64, error) {
	dir, err := h.mountTracefs()
	if err != nil {
		return 0, err
	}
	if strings.Contains(target, "..") {
		return 0, fmt.Errorf("%q is no tracepoint", target)
	}
	b, err := os.ReadFile(dir + "/events/" + target + "/id")
	if os.IsNotExist(err) {
		return 0, fmt.Errorf("the running kernel has no tracepoint %s", target)
	} else if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
}

// maxTrace bounds what is read of the trace in bytes.
const maxTrace = 4 << 20

// printed returns what bpf_trace_printk wrote from the worker's thread. The trace is
// read without being consumed; a line is "comm-TID [CPU] flags time: source: text".
func (h *hooks) printed() []string {
	dir, err := h.mountTracefs()
	if err != nil {
		return nil
	}
	f, err := os.Open(dir + "/trace")
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []string
	lines := bufio.NewScanner(f)
	mine := fmt.Sprintf("-%d ", h.tid)
	for read := 0; lines.Scan() && read < maxTrace; read += len(lines.Text()) {
		head, text, ok := strings.Cut(lines.Text(), ": bpf_trace_printk: ")
		if ok && strings.Contains(head, mine) {
			out = append(out, text)
		}
	}
	return out
}
