package difftest

import (
	"os"
	"testing"

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
