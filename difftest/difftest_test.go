package difftest

import (
	"strings"
	"testing"

	"bpfvm/isa"
)

func engine(t testing.TB, name string) Engine {
	t.Helper()
	e, err := EngineByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// listing prints the program of a case.
func listing(c *Case) string {
	var b strings.Builder
	isa.Disassemble(&b, c.Spec.Programs[0].Insns, isa.Printer{Slots: true})
	return b.String()
}

// Generated programs run to their end on the step loop, which checks most, and both
// loops agree on everything.
func TestStepVsInterp(t *testing.T) {
	step, interp := engine(t, "step"), engine(t, "interp")
	programs := 2000
	if testing.Short() {
		programs = 200
	}
	for n := range programs {
		c := Generate(7, n, GenOptions{})
		if err := c.Spec.Programs[0].Insns.Check(); err != nil {
			t.Fatalf("program %s: %v\n%s", c.Name, err, listing(c))
		}
		a, err := step.Run(t.Context(), c)
		if err != nil {
			t.Fatalf("%v\n%s", err, listing(c))
		}
		b, err := interp.Run(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range a.Runs {
			if r.Trap != nil {
				t.Fatalf("program %s: %v\n%s", c.Name, r.Trap, listing(c))
			}
		}
		if len(a.Runs) != 2 {
			t.Fatalf("program %s ran %d times", c.Name, len(a.Runs))
		}
		if d := Compare(a, b); d != nil {
			t.Fatalf("program %s: %v\n%s", c.Name, d, listing(c))
		}
	}
}
