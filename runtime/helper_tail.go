package runtime

import (
	"fmt"

	"bpfvm/vm"
)

func init() {
	register(map[string]helperFunc{"bpf_tail_call": tailCall})
}

// tailCall is bpf_tail_call(ctx, map, index): the run goes on with another program
// and never comes back. It falls through, and execution continues behind the call,
// when the index is too large, nothing is there, or 33 tail calls have been made
// (kernel/bpf/core.c, JMP_TAIL_CALL). R0 is not meant to be read then; the
// kernel's helper of that number returns 0.
func tailCall(e *Env, _, handle, index, _, _ uint64) (uint64, error) {
	m, err := e.rt.baseAt(handle)
	if err != nil {
		return 0, err
	}
	array, ok := m.self.(*ProgArray)
	if !ok {
		return 0, fmt.Errorf("map %q is no prog array", m.Name())
	}
	i := uint32(index)
	if i >= array.spec.MaxEntries || e.m.TailCalls >= vm.MaxTailCalls {
		return 0, nil
	}
	target := array.progs.get(i)
	if target == nil {
		return 0, nil
	}
	runner, err := target.bpfFunc()
	if err != nil {
		return 0, fmt.Errorf("index %d: %s: %w", i, target.Name(), err)
	}
	e.m.TailCalls++
	e.m.Tail = runner
	return 0, vm.ErrTailCall
}
