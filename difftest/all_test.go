package difftest

import (
	"os"
	"testing"

	"bpfvm/isa"
	"bpfvm/jit"
	"bpfvm/kernel"
)

func TestMain(m *testing.M) {
	kernel.WorkerMain()
	os.Exit(m.Run())
}

// campaign compares an engine with the step loop on generated programs and reports
// what it finds.
func campaign(t *testing.T, e Engine, seed uint64, programs int) *Campaign {
	t.Helper()
	c := &Campaign{Engines: []Engine{engine(t, "step"), e}, Shrink: true}
	for n := range programs {
		found, err := c.Compare(t.Context(), Generate(seed, n, GenOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		for i := range found {
			text, err := found[i].Repro().Format()
			t.Errorf("program %s: %d slots, %d left; first %+v %s\n%s%v", found[i].Name, found[i].Insns, found[i].Shrunk,
				found[i].First, found[i].NotLocated, text, err)
		}
		if len(c.Mismatches) >= 3 {
			t.Fatal("enough")
		}
	}
	return c
}

// The compiler gives what the step loop gives.
func TestStepVsJIT(t *testing.T) {
	if !jit.Native() {
		t.Skip("machine code does not run on this system")
	}
	programs := 500
	if testing.Short() {
		programs = 100
	}
	c := campaign(t, engine(t, "jit"), 11, programs)
	if c.Summary.Skipped > 0 {
		t.Errorf("skipped: %+v", c.Skips())
	}
}

// The kernel takes most generated programs, and gives what the step loop gives.
func TestStepVsKernel(t *testing.T) {
	k, err := StartKernel(t.Context())
	if err != nil {
		t.Skipf("the kernel cannot be asked: %v", err)
	}
	defer k.Close()
	programs := 300
	if testing.Short() {
		programs = 60
	}
	c := campaign(t, k, 13, programs)
	for _, s := range c.Skips() {
		t.Logf("%d times: %s (%s)", s.Count, s.Reason, s.First)
	}
	if c.Summary.Skipped > programs/10 {
		t.Errorf("%d of %d programs could not be compared", c.Summary.Skipped, programs)
	}
}

// An engine that is wrong differs from the kernel, too: the kernel's outcome is not
// only compared where it cannot differ.
func TestBrokenVsKernel(t *testing.T) {
	k, err := StartKernel(t.Context())
	if err != nil {
		t.Skipf("the kernel cannot be asked: %v", err)
	}
	defer k.Close()
	wrong := broken{
		func(i isa.Instruction) bool { return i.Op == isa.ALUOp(isa.ClassALU, isa.CodeArsh, isa.SrcX) },
		func(i isa.Instruction) isa.Instruction {
			i.Op = isa.ALUOp(isa.ClassALU, isa.CodeRsh, isa.SrcX)
			return i
		},
	}
	c := &Campaign{Engines: []Engine{Machine(wrong), k}, Shrink: true}
	for n := 0; n < 500 && len(c.Mismatches) == 0; n++ {
		if _, err := c.Compare(t.Context(), Generate(23, n, GenOptions{})); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.Mismatches) == 0 {
		t.Fatalf("nothing found: %+v", c.Summary)
	}
	m := c.Mismatches[0]
	if m.Shrunk == 0 || m.Shrunk > 24 { // with a callback, what it takes to call one
		t.Errorf("shrunk from %d to %d slots\n%s", m.Insns, m.Shrunk, listing(m.Case))
	}
	t.Logf("%d to %d slots: %v\n%s", m.Insns, m.Shrunk, m.Differences, listing(m.Case))
}

// Both verifiers take generated programs, and refuse one that reads what was never
// written in the same words.
func TestVerdicts(t *testing.T) {
	k, err := StartKernel(t.Context())
	if err != nil {
		t.Skipf("the kernel cannot be asked: %v", err)
	}
	defer k.Close()
	var s VerdictSummary
	for n := range 100 {
		c := Generate(29, n, GenOptions{})
		p := c.Spec.Programs[0]
		if n%2 == 1 { // R3 has no value there
			p = replace(p, 0, movX(isa.R2, isa.R3))
			c = c.with(p)
		}
		v, err := CompareVerdicts(t.Context(), k, c.Spec, p)
		if err != nil {
			t.Fatal(err)
		}
		want := BothAccept
		if n%2 == 1 {
			want = SameMessage
		}
		if v.Class != want {
			t.Errorf("program %s: %+v, want %s", c.Name, v, want)
		}
		s.Add(v.Class)
	}
	if s.Programs != 100 || s.BothAccept != 50 || s.SameMessage != 50 || s.Wrong() != 0 {
		t.Errorf("%+v", s)
	}
}
