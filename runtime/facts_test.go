package runtime_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"bpfvm/interp"
	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/vm"
)

// curious is an engine that asks for facts and keeps what it gets.
type curious struct{ facts *spec.Facts }

func (*curious) Name() string    { return "curious" }
func (*curious) UsesFacts() bool { return true }
func (e *curious) Compile(c *vm.Code) (vm.Runner, error) {
	e.facts = c.Facts
	return interp.Step.Compile(c)
}

// factsOf compiles the program p of a source and returns what the engine was told.
func factsOf(t *testing.T, src string, before func(rt *runtime.Runtime)) *spec.Facts {
	t.Helper()
	e := &curious{}
	rt := newRuntime(t, runtime.Options{Engine: e})
	if before != nil {
		before(rt)
	}
	c, err := rt.Load(assemble(t, src))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Program("p").Func(); err != nil {
		t.Fatal(err)
	}
	return e.facts
}

const provable = `
.license "GPL"
.map m type=array key=4 value=8 max_entries=4
.program p xdp
	r6 = *(u32 *)(r1 +0)        ; 0
	r7 = *(u32 *)(r1 +4)
	*(u32 *)(r10 -4) = 1
	r2 = r10
	r2 += -4
	r1 = map[m]                 ; 5
	call bpf_map_lookup_elem
	if r0 == 0 goto out
	r1 = *(u64 *)(r0 +0)        ; 9
	r2 = r6
	r2 += 14
	if r2 > r7 goto out
	r0 = *(u8 *)(r6 +13)        ; 13
out:
	r0 = 2
	exit
`

// What the verifier proves reaches the engine.
func TestFacts(t *testing.T) {
	f := factsOf(t, provable, nil)
	want := map[int]spec.AccessFact{
		0:  {Kind: spec.MemCtx, Size: 4},
		1:  {Kind: spec.MemCtx, Size: 4, Min: 4, Max: 4},
		2:  {Kind: spec.MemStack, Size: 4, Min: -4, Max: -4},
		9:  {Kind: spec.MemMapValue, Size: 8},
		13: {Kind: spec.MemPacket, Size: 1, Min: 13, Max: 13},
	}
	got := map[int]spec.AccessFact{}
	for pc, a := range f.Access {
		if a.Kind != spec.MemUnproven {
			got[pc] = a
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if a := f.At(9, 4); a.Kind != spec.MemUnproven {
		t.Errorf("an access of 4 bytes is proven by one of 8: %+v", a)
	}
}

// Nothing is proven of what the verifier refuses, of what a mock may change, and of
// contexts whose length the input decides.
func TestNoFacts(t *testing.T) {
	if f := factsOf(t, ".license \"GPL\"\n.program p xdp\n\tr0 = *(u64 *)(r1 +0)\n\texit", nil); f != nil {
		t.Errorf("of a refused program: %+v", f)
	}
	mocked := func(rt *runtime.Runtime) {
		if err := rt.Mock("bpf_map_lookup_elem", runtime.MockValue(0x1234)); err != nil {
			t.Fatal(err)
		}
	}
	if f := factsOf(t, provable, mocked); f != nil {
		t.Errorf("with a mock: %+v", f)
	}
	f := factsOf(t, ".license \"GPL\"\n.program p tracepoint/sched/sched_switch\n\tr2 = *(u64 *)(r1 +8)\n\tr0 = 0\n\texit", nil)
	if f == nil || f.Access[0].Kind != spec.MemUnproven {
		t.Errorf("of a trace record: %+v", f)
	}
}
