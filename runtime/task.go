package runtime

import (
	"bytes"
	"encoding/binary"

	"bpfvm/vm"
)

// Task is the process that a program runs for: what current points to.
type Task struct {
	PID, TGID uint32 // thread and process; a TGID of 0 with a PID means the same
	UID, GID  uint32
	Comm      string // cut to 15 bytes
	// ParentPID is the process that real_parent leads to; 0 is the idle task.
	ParentPID uint32
	// KernelThread tasks have no mm.
	KernelThread bool
	CgroupID     uint64
	// PIDNSDev and PIDNSIno name the pid namespace for
	// bpf_get_ns_current_pid_tgid, as stat of /proc/self/ns/pid does.
	PIDNSDev, PIDNSIno uint64
	StartTime          uint64 // nanoseconds of CLOCK_MONOTONIC
}

// commLen is TASK_COMM_LEN (include/linux/sched.h), the NUL included.
const commLen = 16

// comm is the name as the kernel keeps it.
func (t *Task) comm() string { return t.Comm[:min(len(t.Comm), commLen-1)] }

// SetTask makes the task current for the runs that follow. Tasks are known by
// their PID: setting one again changes its task_struct in place.
func (rt *Runtime) SetTask(t Task) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if t.TGID == 0 {
		t.TGID = t.PID
	}
	rt.task = t
	rt.tasks.known[t.PID] = t
	if _, ok := rt.tasks.slots[t.PID]; ok {
		rt.tasks.write(rt, &t)
	}
}

// Task returns the current task.
func (rt *Runtime) Task() Task {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.task
}

// TaskAddr returns the address of the task_struct of a process, for arguments of
// tracepoints and functions that get one.
func (rt *Runtime) TaskAddr(pid uint32) uint64 {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return rt.tasks.ask(rt, pid)
}

// taskTable lays tasks out as foreign memory: kernel structures by the target's
// BTF, at addresses in the kernel's direct map.
type taskTable struct {
	layout taskLayout
	known  map[uint32]Task   // by PID, as last set
	slots  map[uint32]uint64 // task_struct of each PID, once somebody asked for it
	next   uint64            // number of the next task_struct
}

const (
	// taskBase is where task_structs begin; one every taskStride bytes, with the
	// structures that belong to it behind it.
	taskBase   = 0xffff888100000000
	taskStride = 64 << 10
	// maxTasks is the number of task_structs that exist at the same time. When it is
	// reached all of them go, as if the processes had ended, and those that are
	// asked for again get new addresses.
	maxTasks = 1024
)

// Flags of struct task_struct (include/linux/sched.h).
const pfKthread = 0x00200000

func (t *taskTable) init(rt *Runtime) {
	t.known, t.slots = map[uint32]Task{}, map[uint32]uint64{}
	t.layout.init(rt.opts.Target)
}

// current returns the address of the current task's task_struct.
func (t *taskTable) current(rt *Runtime) uint64 { return t.ask(rt, rt.task.PID) }

// ask is addr for those outside: it makes room first.
func (t *taskTable) ask(rt *Runtime, pid uint32) uint64 {
	if _, ok := t.slots[pid]; !ok && len(t.slots) >= maxTasks {
		t.forget(rt)
	}
	return t.addr(rt, pid)
}

// forget removes all task_structs and what belongs to them.
func (t *taskTable) forget(rt *Runtime) {
	mem := rt.mem.Foreign
	for _, addr := range t.slots {
		mem.Remove(addr)
		for sub := addr + taskStride/2; mem.Find(sub) != nil; {
			size := uint64(len(mem.Find(sub).Data))
			mem.Remove(sub)
			sub += (size + 63) &^ 63
		}
	}
	clear(t.slots)
}

// addr returns the address of a task_struct; a task that was never set knows its
// PID only.
func (t *taskTable) addr(rt *Runtime, pid uint32) uint64 {
	if a, ok := t.slots[pid]; ok {
		return a
	}
	task, ok := t.known[pid]
	if !ok {
		task = Task{PID: pid, TGID: pid}
		if pid == 0 {
			task.Comm, task.KernelThread = "swapper/0", true
		}
	}
	t.write(rt, &task)
	return t.slots[pid]
}

// write stores the structures of a task.
func (t *taskTable) write(rt *Runtime, task *Task) {
	addr, ok := t.slots[task.PID]
	if !ok {
		addr = taskBase + t.next%(1<<16)*taskStride
		t.next++
		t.slots[task.PID] = addr
	}
	l := &t.layout
	if l.task.size == 0 {
		return
	}
	b := structWriter{rt: rt, next: addr + taskStride/2}
	ts := b.at(addr, "task_struct", &l.task)
	ts.u32("pid", task.PID)
	ts.u32("tgid", task.TGID)
	ts.bytes("comm", append([]byte(task.comm()), make([]byte, commLen-len(task.comm()))...))
	ts.u64("start_time", task.StartTime)
	ts.u64("start_boottime", task.StartTime+rt.Clock.Boot)
	leader := addr
	if task.TGID != task.PID {
		leader = t.addr(rt, task.TGID)
	}
	ts.u64("group_leader", leader)
	parent := addr // the idle task is its own parent
	if task.PID != 0 {
		parent = t.addr(rt, task.ParentPID)
	}
	ts.u64("real_parent", parent)
	ts.u64("parent", parent)
	flags := uint32(0)
	if task.KernelThread {
		flags = pfKthread
	} else {
		ts.u64("mm", b.sub("mm_struct", &l.mm).addr)
	}
	ts.u32("flags", flags)
	cred := b.sub("cred", &l.cred)
	for _, name := range []string{"uid", "euid", "suid", "fsuid"} {
		cred.u32(name, task.UID)
	}
	for _, name := range []string{"gid", "egid", "sgid", "fsgid"} {
		cred.u32(name, task.GID)
	}
	ts.u64("cred", cred.addr)
	ts.u64("real_cred", cred.addr)
}

// structWriter lays structures out one behind the other.
type structWriter struct {
	rt   *Runtime
	next uint64
}

// structAt is one structure that is being written.
type structAt struct {
	addr uint64
	mem  *vm.Foreign
	l    *structLayout
}

// sub makes a structure at the next free place; without BTF for it the pointer to
// it is still not NULL.
func (w *structWriter) sub(name string, l *structLayout) structAt {
	s := w.at(w.next, name, l)
	w.next += (uint64(l.size) + 63) &^ 63
	return s
}

func (w *structWriter) at(addr uint64, name string, l *structLayout) structAt {
	mem := w.rt.mem.Foreign
	if mem.Find(addr) == nil && l.size > 0 {
		// Nothing else is put into this part of the address space but by scenarios;
		// what they have put there stays.
		_ = mem.Add(vm.Segment{Addr: addr, Data: make([]byte, l.size), Name: name})
	}
	return structAt{addr, mem, l}
}

func (s structAt) u32(field string, v uint32) {
	s.bytes(field, binary.LittleEndian.AppendUint32(nil, v))
}

func (s structAt) u64(field string, v uint64) {
	s.bytes(field, binary.LittleEndian.AppendUint64(nil, v))
}

// bytes stores a field; one that the target does not have is left out.
func (s structAt) bytes(field string, v []byte) {
	if off, ok := s.l.off[field]; ok {
		s.mem.Write(s.addr+uint64(off), bytes.Clone(v))
	}
}
