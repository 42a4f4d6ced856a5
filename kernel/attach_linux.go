package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"bpfvm/isa"
	"bpfvm/spec"
)

// initPIDNS is the inode number of the first PID namespace (include/linux/proc_ns.h,
// PROC_PID_INIT_INO): only there is a thread's number the one that programs see.
const initPIDNS = "pid:[4026531836]"

// attach does an attachment from beginning to end.
func attach(job *wireJob, what *wireAttach, hi *hello, step func(string, ...any)) (a answer, err error) {
	if ns, err := os.Readlink("/proc/self/ns/pid"); err == nil && ns != initPIDNS && !what.AllTasks {
		return a, &UnsupportedError{What: "attaching for one thread from inside a PID namespace: programs see other numbers"}
	}
	s := &session{job: job, cpus: hi.CPUs, step: step}
	defer s.close()
	if err := s.build(); err != nil {
		return a, err
	}
	out := &AttachOutcome{}
	stats := enableStats()
	defer closeFD(stats)
	fds := make([]int, len(job.Progs))
	for i := range job.Progs {
		p := job.Progs[i]
		if i < len(what.Points) && !what.AllTasks {
			p = filtered(p, hi.TID)
		}
		fd, r, err := s.load(&p)
		if err != nil {
			if r, err = s.untried(err); err != nil {
				return a, err
			}
		}
		if fds[i] = fd; r.Verdict == Accepted {
			s.progs = append(s.progs, fd)
		}
		if i < len(what.Points) {
			out.Programs = append(out.Programs, Attached{Program: p.Name, Section: what.Points[i].Section, Load: r})
		}
	}
	if err := s.fillPrograms(fds, out); err != nil {
		return a, err
	}
	if err := s.openOutlets(); err != nil {
		return a, err
	}
	h := &hooks{step: step, tid: hi.TID}
	defer h.close()
	spin := false
	for i := range out.Programs {
		p := &out.Programs[i]
		if p.Load.Verdict != Accepted {
			p.Reason = notLoaded(p.Load)
			continue
		}
		step("attach %s", p.Program)
		if p.At, p.Note, err = h.attach(fds[i], what.Points[i]); err != nil {
			p.At, p.Reason = "", err.Error()
		}
		spin = spin || p.At != "" && what.Points[i].Kind == attachPerfEvent
	}
	step("trigger the programs")
	out.Did = trigger(what.Rounds, spin)
	h.close()
	for i := range out.Programs {
		var info progInfo
		if p := &out.Programs[i]; p.Load.Verdict == Accepted && getInfo(fds[i], &info) == 0 {
			p.Runs, p.Misses, p.Time = info.runCount, info.misses, time.Duration(info.runTime)
		}
	}
	out.Records = s.drain()
	out.Trace = h.printed()
	for _, m := range s.maps {
		step("read map %s", m.spec.Name)
		out.Maps = append(out.Maps, s.dump(m, job.MaxEntries))
	}
	a.Attached = out
	return a, nil
}

// fillPrograms puts the programs that were loaded into prog arrays.
func (s *session) fillPrograms(fds []int, out *AttachOutcome) error {
	for _, m := range s.maps {
		for _, kv := range m.spec.Contents {
			i := slices.IndexFunc(s.job.Progs, func(p wireProg) bool { return kv.Program != "" && p.Name == kv.Program })
			if i < 0 || fds[i] <= 0 {
				continue
			}
			if err := s.update(m, kv.Key, fdBytes(fds[i])); err != nil {
				return err
			}
		}
	}
	return nil
}

func notLoaded(r *LoadResult) string {
	if r.Verdict == NotTried {
		return r.Reason
	}
	return fmt.Sprintf("%s by the kernel: %v: %s", r.Verdict, r.Errno, r.Message())
}

// filtered is a program with onlyThread before it.
func filtered(p wireProg, tid int) wireProg {
	p.Insns = append(isa.Encode(onlyThread(tid)), p.Insns...)
	p.Maps, p.Kernel = slices.Clone(p.Maps), slices.Clone(p.Kernel)
	for i := range p.Maps {
		p.Maps[i].PC += filterLen
	}
	for i := range p.Kernel {
		p.Kernel[i].PC += filterLen
	}
	p.FuncInfo, p.LineInfo = shifted(p.FuncInfo, funcInfoSize), shifted(p.LineInfo, lineInfoSize)
	return p
}

// shifted moves records that begin with a slot's number, but for those of slot 0,
// which a function and its first line keep.
func shifted(records []byte, size int) []byte {
	le := binary.LittleEndian
	out := slices.Clone(records)
	for r := range slices.Chunk(out, size) {
		if pc := le.Uint32(r); pc > 0 {
			le.PutUint32(r, pc+filterLen)
		}
	}
	return out
}

// enableStats has the kernel count runs as long as the descriptor is open
// (BPF_ENABLE_STATS, since 5.8); -1 where it does not.
func enableStats() int {
	attr := struct{ kind uint32 }{} // BPF_STATS_RUN_TIME
	fd, errno := bpf(unix.BPF_ENABLE_STATS, &attr)
	if errno != 0 {
		return -1
	}
	return fd
}

func closeFD(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}

// hooks are what is attached.
type hooks struct {
	step    func(string, ...any)
	tid     int
	fds     []int
	tracefs string   // where it is mounted; empty until it is needed
	trouble error    // why it is not
	names   [][]byte // whose addresses the kernel was given
}

// close detaches all, newest first.
func (h *hooks) close() {
	for _, fd := range slices.Backward(h.fds) {
		unix.Close(fd)
	}
	h.fds = nil
}

// attach attaches a loaded program and says where to.
func (h *hooks) attach(prog int, p attachPoint) (at, note string, err error) {
	switch p.Kind {
	case attachKprobe:
		return h.kprobe(prog, p)
	case attachUprobe:
		return h.uprobe(prog)
	case attachTracepoint:
		id, err := h.tracepointID(p.Target)
		if err != nil {
			return "", "", err
		}
		return "tracepoint:" + p.Target, "", h.perf(prog, &unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Sample: 1}, -1)
	case attachPerfEvent:
		attr := &unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Sample: 1000, Bits: unix.PerfBitFreq}
		return "perf_event:cpu-clock", "1000 samples a second, of the worker's thread", h.perf(prog, attr, h.tid)
	case attachRawTP:
		return "raw_tracepoint:" + p.Target, "", h.raw(prog, p.Target)
	case attachTrampoline:
		return p.Section, "", h.raw(prog, "")
	}
	return "", "", &UnsupportedError{What: "attaching to " + p.Section}
}

// perf opens a perf event and sets the program on it.
func (h *hooks) perf(prog int, attr *unix.PerfEventAttr, pid int) error {
	attr.Size = uint32(unsafe.Sizeof(*attr))
	cpu := 0
	if pid >= 0 {
		cpu = -1
	}
	fd, err := unix.PerfEventOpen(attr, pid, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("perf_event_open: %w", err)
	}
	h.fds = append(h.fds, fd)
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, prog); err != nil {
		return fmt.Errorf("PERF_EVENT_IOC_SET_BPF: %w", err)
	}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
		return fmt.Errorf("PERF_EVENT_IOC_ENABLE: %w", err)
	}
	return nil
}

// pmuType reads the number of a kind of event.
func pmuType(name string) (uint32, error) {
	b, err := os.ReadFile("/sys/bus/event_source/devices/" + name + "/type")
	if errors.Is(err, os.ErrNotExist) {
		return 0, &UnsupportedError{What: fmt.Sprintf("this kernel has no %s events (CONFIG_%sS, CONFIG_%s_EVENTS): programs load but cannot be attached", name, strings.ToUpper(name), strings.ToUpper(name))}
	} else if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	return uint32(n), err
}

// kprobe makes a probe of its own at a function (kernel/events/core.c,
// perf_kprobe_event_init); config bit 0 is for the return.
func (h *hooks) kprobe(prog int, p attachPoint) (at, note string, err error) {
	pmu, err := pmuType("kprobe")
	if err != nil {
		return "", "", err
	}
	symbol, kind := p.Target, "kprobe"
	if other, ok := renamed[symbol]; ok {
		if _, err := symbolAddress(symbol); err != nil {
			if _, err := symbolAddress(other); err == nil {
				note = fmt.Sprintf("this kernel has %s as %s, which it is attached to instead", symbol, other)
				symbol = other
			}
		}
	}
	name := append([]byte(symbol), 0)
	h.names = append(h.names, name) // on the heap, where nothing moves
	attr := &unix.PerfEventAttr{Type: pmu, Sample: 1, Ext1: uint64(uintptr(unsafe.Pointer(&name[0])))}
	if p.Return {
		attr.Config, kind = 1, "kretprobe"
	}
	if err := h.perf(prog, attr, -1); err != nil {
		return "", "", fmt.Errorf("%s %s: %w", kind, symbol, err)
	}
	return kind + ":" + symbol, note, nil
}

// uprobe places a probe at a function of our own binary, which trigger calls.
func (h *hooks) uprobe(prog int) (at, note string, err error) {
	pmu, err := pmuType("uprobe")
	if err != nil {
		return "", "", err
	}
	path, off, err := uprobePlace()
	if err != nil {
		return "", "", err
	}
	name := append([]byte(path), 0)
	h.names = append(h.names, name)
	attr := &unix.PerfEventAttr{Type: pmu, Sample: 1, Ext1: uint64(uintptr(unsafe.Pointer(&name[0]))), Ext2: off}
	if err := h.perf(prog, attr, h.tid); err != nil {
		return "", "", fmt.Errorf("uprobe at %#x of our binary: %w", off, err)
	}
	return fmt.Sprintf("uprobe:%s+%#x", path, off), "at a function of bpfvm, whatever the section names", nil
}

// raw opens a raw tracepoint, or what a program was loaded for.
func (h *hooks) raw(prog int, name string) error {
	attr := struct {
		name pointer
		prog uint32
		_    uint32
		_    uint64 // cookie
	}{prog: uint32(prog)}
	var b []byte
	if name != "" {
		b = append([]byte(name), 0)
		attr.name = pointTo(b)
	}
	fd, errno := bpfSized(unix.BPF_RAW_TRACEPOINT_OPEN, &attr, 16)
	if errno == spec.ENOENT {
		return fmt.Errorf("the running kernel has no raw tracepoint %s", name)
	} else if errno != 0 {
		return fmt.Errorf("BPF_RAW_TRACEPOINT_OPEN: %w", errno)
	}
	h.fds = append(h.fds, fd)
	return nil
}
