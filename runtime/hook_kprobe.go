package runtime

import (
	"encoding/binary"
	"fmt"
	"strings"

	"bpfvm/spec"
	"bpfvm/vm"
)

// PtRegs is struct pt_regs of x86-64 (arch/x86/include/asm/ptrace.h): the
// registers as the probe found them, in memory order.
type PtRegs struct {
	R15, R14, R13, R12, BP, BX uint64
	R11, R10, R9, R8           uint64
	AX, CX, DX, SI, DI         uint64
	OrigAX, IP, CS, Flags      uint64
	SP, SS                     uint64
}

// ptRegsSize is sizeof(struct pt_regs).
const ptRegsSize = 21 * 8

// regNames are the names of the fields, in memory order, as the kernel has them.
var regNames = [...]string{
	"r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8",
	"ax", "cx", "dx", "si", "di", "orig_ax", "ip", "cs", "flags", "sp", "ss",
}

// fields returns the registers in memory order.
func (r *PtRegs) fields() [len(regNames)]*uint64 {
	return [...]*uint64{
		&r.R15, &r.R14, &r.R13, &r.R12, &r.BP, &r.BX, &r.R11, &r.R10, &r.R9, &r.R8,
		&r.AX, &r.CX, &r.DX, &r.SI, &r.DI, &r.OrigAX, &r.IP, &r.CS, &r.Flags, &r.SP, &r.SS,
	}
}

// Reg returns the register of a name: "di", and also "rdi" and "arg1" to "arg6"
// (the order of the C calling convention: di, si, dx, cx, r8, r9) and "ret" (ax).
// It returns nil for a name that there is not.
func (r *PtRegs) Reg(name string) *uint64 {
	switch name {
	case "arg1":
		name = "di"
	case "arg2":
		name = "si"
	case "arg3":
		name = "dx"
	case "arg4":
		name = "cx"
	case "arg5":
		name = "r8"
	case "arg6":
		name = "r9"
	case "ret":
		name = "ax"
	case "rip":
		name = "ip"
	}
	for i, n := range regNames {
		if n == name || len(n) == 2 && n[0] > '9' && strings.TrimPrefix(name, "r") == n {
			return r.fields()[i]
		}
	}
	return nil
}

// RegNames lists the names that [PtRegs.Reg] knows in the order of memory, without
// the aliases.
func RegNames() []string { return regNames[:] }

// put writes the registers as the program sees them.
func (r *PtRegs) put(b []byte) {
	for i, v := range r.fields() {
		binary.LittleEndian.PutUint64(b[8*i:], *v)
	}
}

// Kprobe is one hit of a kprobe, kretprobe or uprobe: the same context for all of
// them. In a kretprobe AX is the result and IP the return address.
type Kprobe struct {
	Regs PtRegs
	// Entry is the address of the probed function, which bpf_get_func_ip gives;
	// 0: Regs.IP.
	Entry uint64
	CPU   int
}

func (k *Kprobe) accepts(t spec.ProgType) bool { return t == spec.ProgKprobe }
func (k *Kprobe) on() int                      { return k.CPU }

func (k *Kprobe) setup(e *Env, _ *Program) (*vm.Region, error) {
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, ptRegsSize, vm.PermRead)
	if err != nil {
		return nil, err
	}
	k.Regs.put(e.rt.mem.Raw(ctx.Base, ptRegsSize))
	e.entry = k.Entry
	if e.entry == 0 {
		e.entry = k.Regs.IP
	}
	return ctx, nil
}

func (k *Kprobe) finish(*Env, *Result) {}

// PerfEvent is one sample of a perf event (struct bpf_perf_event_data).
type PerfEvent struct {
	Regs   PtRegs
	Period uint64
	Addr   uint64
	CPU    int
}

// perfEventSize is sizeof(struct bpf_perf_event_data).
const perfEventSize = ptRegsSize + 16

func (s *PerfEvent) accepts(t spec.ProgType) bool { return t == spec.ProgPerfEvent }
func (s *PerfEvent) on() int                      { return s.CPU }

func (s *PerfEvent) setup(e *Env, _ *Program) (*vm.Region, error) {
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, perfEventSize, vm.PermRead)
	if err != nil {
		return nil, err
	}
	b := e.rt.mem.Raw(ctx.Base, perfEventSize)
	s.Regs.put(b)
	binary.LittleEndian.PutUint64(b[ptRegsSize:], s.Period)
	binary.LittleEndian.PutUint64(b[ptRegsSize+8:], s.Addr)
	return ctx, nil
}

func (s *PerfEvent) finish(*Env, *Result) {}

// RawTracepoint is one hit of a raw tracepoint: its arguments as they are (struct
// bpf_raw_tracepoint_args). Programs may read as many as the tracepoint has; what
// is not given is zero.
type RawTracepoint struct {
	Args []uint64
	CPU  int
}

// maxRawArgs is the largest number of arguments of a tracepoint (kernel/trace/
// bpf_trace.c, MAX_TRACE_ARGS... BPF_TRACE_DEFN_x goes up to 12).
const maxRawArgs = 12

func (r *RawTracepoint) accepts(t spec.ProgType) bool {
	return t == spec.ProgRawTracepoint || t == spec.ProgRawTracepointWritable
}

func (r *RawTracepoint) on() int { return r.CPU }

func (r *RawTracepoint) setup(e *Env, _ *Program) (*vm.Region, error) {
	if len(r.Args) > maxRawArgs {
		return nil, fmt.Errorf("%d arguments: at most %d: %w", len(r.Args), maxRawArgs, spec.EINVAL)
	}
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, 8*maxRawArgs, vm.PermRead)
	if err != nil {
		return nil, err
	}
	b := e.rt.mem.Raw(ctx.Base, ctx.Size)
	for i, a := range r.Args {
		binary.LittleEndian.PutUint64(b[8*i:], a)
	}
	return ctx, nil
}

func (r *RawTracepoint) finish(*Env, *Result) {}

// Tracepoint is one record of a tracepoint, laid out as its format file says
// (tracefs: events/CATEGORY/NAME/format). The first 8 bytes are the common fields,
// which the kernel hides from programs; put what you like there.
type Tracepoint struct {
	Record []byte
	CPU    int
}

// maxTracepoint is PERF_MAX_TRACE_SIZE (include/linux/trace_events.h).
const maxTracepoint = 8192

func (t *Tracepoint) accepts(pt spec.ProgType) bool { return pt == spec.ProgTracepoint }
func (t *Tracepoint) on() int                       { return t.CPU }

func (t *Tracepoint) setup(e *Env, _ *Program) (*vm.Region, error) {
	if len(t.Record) < 8 || len(t.Record) > maxTracepoint {
		return nil, fmt.Errorf("record of %d bytes: want 8 to %d: %w", len(t.Record), maxTracepoint, spec.EINVAL)
	}
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, uint64(len(t.Record)), vm.PermRead)
	if err != nil {
		return nil, err
	}
	copy(e.rt.mem.Raw(ctx.Base, ctx.Size), t.Record)
	return ctx, nil
}

func (t *Tracepoint) finish(*Env, *Result) {}

// Syscall is a run of a BPF_PROG_TYPE_SYSCALL program, which user space starts
// with BPF_PROG_TEST_RUN; the context is memory of the caller's choice.
type Syscall struct {
	Ctx []byte
	CPU int
}

// maxSyscallCtx bounds the context (net/bpf/test_run.c,
// bpf_prog_test_run_syscall).
const maxSyscallCtx = 65535

func (s *Syscall) accepts(t spec.ProgType) bool { return t == spec.ProgSyscall }
func (s *Syscall) on() int                      { return s.CPU }

func (s *Syscall) setup(e *Env, _ *Program) (*vm.Region, error) {
	if len(s.Ctx) > maxSyscallCtx {
		return nil, fmt.Errorf("context of %d bytes: at most %d: %w", len(s.Ctx), maxSyscallCtx, spec.EINVAL)
	}
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, uint64(len(s.Ctx)), vm.PermRW)
	if err != nil {
		return nil, err
	}
	copy(e.rt.mem.Raw(ctx.Base, ctx.Size), s.Ctx)
	return ctx, nil
}

func (s *Syscall) finish(*Env, *Result) {}
