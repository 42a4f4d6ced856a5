package runtime

import (
	"fmt"
	"slices"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_get_stackid": getStackID,
		"bpf_get_stack":   getStack,
	})
}

// Stacks are the call stacks at an event: return addresses, the innermost first,
// its first element being where the program was called. Nil means that there is
// none, as a kernel thread has no user stack.
type Stacks struct {
	Kernel, User []uint64
}

// SetStacks sets the call stacks for the runs that follow.
func (rt *Runtime) SetStacks(s Stacks) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	rt.stacks = Stacks{slices.Clone(s.Kernel), slices.Clone(s.User)}
}

// stack is what get_perf_callchain finds.
func (e *Env) stack(flags uint64) []uint64 {
	if flags&stackUser != 0 {
		return e.rt.stacks.User
	}
	return e.rt.stacks.Kernel
}

// getStackID is bpf_get_stackid(ctx, map, flags).
func getStackID(e *Env, _, handle, flags, _, _ uint64) (uint64, error) {
	m, err := e.rt.baseAt(handle)
	if err != nil {
		return 0, err
	}
	st, ok := m.self.(*StackTrace)
	if !ok {
		return 0, fmt.Errorf("map %q of type %s holds no stacks", m.Name(), m.Spec().Type)
	}
	return uint64(st.store(e.stack(flags), flags)), nil
}

// getStack is bpf_get_stack(ctx, buf, size, flags): the stack itself; R0 is the
// number of bytes (kernel/bpf/stackmap.c, __bpf_get_stack).
func getStack(e *Env, _, buf, size, flags, _ uint64) (uint64, error) {
	size = uint64(uint32(size))
	dst, err := e.write(buf, size)
	if err != nil {
		return 0, err
	}
	frame := uint64(8)
	if flags&stackBuildID != 0 {
		frame = buildIDSize
	}
	if flags&^(stackSkipMask|stackUser|stackBuildID) != 0 ||
		flags&stackBuildID != 0 && flags&stackUser == 0 || size%frame != 0 {
		clear(dst)
		return spec.EINVAL.Ret(), nil
	}
	skip := flags & stackSkipMask
	ips := e.stack(flags)
	ips = ips[:min(uint64(len(ips)), size/frame+skip, stackMaxDepth)]
	if uint64(len(ips)) < skip || len(ips) == 0 {
		clear(dst)
		return spec.EFAULT.Ret(), nil
	}
	ips = ips[skip:]
	putStack(dst, ips, frame == buildIDSize)
	return uint64(len(ips)) * frame, nil
}
