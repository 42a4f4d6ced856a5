package runtime_test

import (
	"testing"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/runtime"
	"bpfvm/spec"
	"bpfvm/vm"
)

// peeking is an engine that reads a map before each run.
type peeking struct {
	rt  *runtime.Runtime
	m   runtime.Map
	got [][]byte
}

type peekingRunner struct {
	vm.Runner
	e *peeking
}

func (e *peeking) Name() string { return "peeking" }

func (e *peeking) Compile(c *vm.Code) (vm.Runner, error) {
	r, err := interp.Step.Compile(c)
	return peekingRunner{r, e}, err
}

func (r peekingRunner) Run(m *vm.Machine, ctx uint64) (vm.Exit, error) {
	r.e.rt.Unlocked(func() {
		v, _ := r.e.m.Lookup(make([]byte, 4))
		r.e.got = append(r.e.got, v)
	})
	return r.Runner.Run(m, ctx)
}

// A run holds the runtime's lock; without Unlocked the lookup would never return.
func TestUnlocked(t *testing.T) {
	e := &peeking{}
	rt, err := runtime.New(runtime.Options{Engine: e})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	exit := isa.Program{
		{Op: isa.ALUOp(isa.ClassALU64, isa.CodeMov, isa.SrcK), Imm: 2},
		{Op: isa.OpExit},
	}
	c, err := rt.Load(&spec.CollectionSpec{
		Maps:     []*spec.MapSpec{{Name: "one", Type: spec.MapArray, KeySize: 4, ValueSize: 4, MaxEntries: 1}},
		Programs: []*spec.ProgramSpec{{Name: "pass", Type: spec.ProgXDP, Insns: exit, License: "GPL"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.rt, e.m = rt, c.Map("one")
	res, err := c.Program("pass").Run(&runtime.XDP{Data: make([]byte, 64)})
	if err != nil || res.R0 != 2 || len(e.got) != 1 || len(e.got[0]) != 4 {
		t.Errorf("r0 %d, looked up %v, %v", res.R0, e.got, err)
	}
}
