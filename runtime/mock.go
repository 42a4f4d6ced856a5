package runtime

import (
	"fmt"

	"bpfvm/spec"
	"bpfvm/vm"
)

// MockFunc stands in for a helper: it gets the machine and R1 to R5 and gives R0.
// It must not call methods of the runtime.
type MockFunc func(m *vm.Machine, args [5]uint64) uint64

// MockValue is a mock that always gives the same R0.
func MockValue(r0 uint64) MockFunc {
	return func(*vm.Machine, [5]uint64) uint64 { return r0 }
}

// Mock replaces a helper ("bpf_get_current_uid_gid", or without the prefix) in
// all programs; nil brings the helper back. Nothing else happens at the call: a
// mock that should fill memory writes it through the machine. A helper that is
// mocked before a program is loaded is never refused as unsupported.
func (rt *Runtime) Mock(name string, fn MockFunc) error {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	proto := spec.HelperByName(name)
	if proto == nil {
		return fmt.Errorf("mock: no helper is called %q", name)
	}
	if fn == nil {
		delete(rt.mocks, proto.ID)
	} else {
		rt.mocks[proto.ID] = fn
	}
	for _, p := range rt.progs {
		p.async = nil
		p.runner = nil // compiled with the helper that was
	}
	return nil
}

// knownHelpers are those that compilers may do themselves.
var knownHelpers = map[string]vm.HelperOp{
	"bpf_map_lookup_elem":      vm.OpMapLookup,
	"bpf_get_smp_processor_id": vm.OpProcessorID,
}

// helper returns the helper as programs of a type call it, or nil where it does
// not exist here.
func (rt *Runtime) helper(t spec.ProgType, id spec.HelperID) *vm.Helper {
	proto := spec.HelperByID(id)
	if proto == nil {
		return nil
	}
	if mock, ok := rt.mocks[id]; ok {
		return &vm.Helper{Proto: proto, Fn: func(m *vm.Machine, r1, r2, r3, r4, r5 uint64) (uint64, error) {
			return mock(m, [5]uint64{r1, r2, r3, r4, r5}), nil
		}}
	}
	fn := helperFor(t, proto.Name)
	if fn == nil {
		return nil
	}
	return &vm.Helper{Proto: proto, Op: knownHelpers[proto.Name], Fn: func(m *vm.Machine, r1, r2, r3, r4, r5 uint64) (uint64, error) {
		return fn(m.Env.(*Env), r1, r2, r3, r4, r5)
	}}
}
