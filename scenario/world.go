package scenario

import (
	"fmt"

	"bpfvm/runtime"
	"bpfvm/vm"
)

// who is for whom and where something happens.
type who struct {
	pid, tgid, uid, gid, parent uint64
	cgroup                      uint64
	comm                        string
	cpu                         int
}

// with applies settings; they have been checked.
func (w who) with(set []Arg) who {
	for _, a := range set {
		switch a.Name {
		case "pid":
			w.pid = a.Value.Num
		case "tgid":
			w.tgid = a.Value.Num
		case "uid":
			w.uid = a.Value.Num
		case "gid":
			w.gid = a.Value.Num
		case "parent":
			w.parent = a.Value.Num
		case "cgroup":
			w.cgroup = a.Value.Num
		case "cpu":
			w.cpu = int(a.Value.Num)
		case "comm":
			w.comm, _ = a.Value.plain()
		}
	}
	return w
}

// task is the current task. The idle task of a CPU has its name from the kernel
// (kernel/smpboot.c, idle_init).
func (w who) task() runtime.Task {
	t := runtime.Task{
		PID: uint32(w.pid), TGID: uint32(w.tgid), UID: uint32(w.uid), GID: uint32(w.gid),
		Comm: w.comm, ParentPID: uint32(w.parent), CgroupID: w.cgroup,
	}
	if w.pid == 0 {
		t.KernelThread = true
		if t.Comm == "" {
			t.Comm = fmt.Sprintf("swapper/%d", w.cpu)
		}
	}
	return t
}

// Where the memory of strings and bytes begins: in the kernel's direct map, above
// what the runtime uses for tasks, and where mmap puts things in a process.
const (
	kernelBase = 0xffff888300000000
	userBase   = 0x00007f0000000000
	// foreignGrain is the distance between two pieces and the least size of one:
	// what follows a string up to there reads as zeros, so that programs that read
	// a fixed number of bytes behave as in a kernel, where more memory follows.
	foreignGrain = 256
	// maxForeign bounds all foreign memory of a script in bytes.
	maxForeign = 64 << 20
	// kernelStart is the least address of the kernel's half on x86-64
	// (Documentation/arch/x86/x86_64/mm.rst).
	kernelStart = 0xffff800000000000
)

// foreignPlan collects the memory outside of the programs' own.
type foreignPlan struct {
	segs         []vm.Segment
	kernel, user uint64 // next free addresses
	size         int
}

func newForeignPlan() foreignPlan { return foreignPlan{kernel: kernelBase, user: userBase} }

// at adds memory at a fixed address.
func (f *foreignPlan) at(addr uint64, b []byte) error {
	if f.size += len(b); f.size > maxForeign {
		return fmt.Errorf("more than %d bytes of memory", maxForeign)
	}
	f.segs = append(f.segs, vm.Segment{Addr: addr, Data: b, Name: "mem", User: addr < kernelStart})
	return nil
}

// add finds a place for bytes and returns its address.
func (f *foreignPlan) add(b []byte, user bool) (uint64, error) {
	size := (len(b) + foreignGrain) / foreignGrain * foreignGrain
	if f.size += size; f.size > maxForeign {
		return 0, fmt.Errorf("more than %d bytes of memory", maxForeign)
	}
	next := &f.kernel
	if user {
		next = &f.user
	}
	addr := *next
	*next += uint64(size)
	data := make([]byte, size)
	copy(data, b)
	f.segs = append(f.segs, vm.Segment{Addr: addr, Data: data, Name: "str", User: user})
	return addr, nil
}

// place puts everything into the runtime's memory; remove takes it out again.
func (f *foreignPlan) place(mem *vm.Memory) error {
	for i, s := range f.segs {
		if err := mem.Foreign.Add(s); err != nil {
			f.remove(mem, i)
			return err
		}
	}
	return nil
}

func (f *foreignPlan) remove(mem *vm.Memory, n int) {
	for _, s := range f.segs[:n] {
		mem.Foreign.Remove(s.Addr)
	}
}
