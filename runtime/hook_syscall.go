package runtime

import (
	"fmt"

	"bpfvm/spec"
	"bpfvm/vm"
)

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
