package difftest

import (
	"testing"

	"bpfvm/jit"
)

// Programs that no verifier takes end alike on all engines: with the same trap at the
// same slot after the same number of instructions, and the same memory. Where the
// step loop stops at what only it checks, the others are compared with each other.
func TestWild(t *testing.T) {
	if !jit.Native() {
		t.Skip("machine code does not run on this system")
	}
	programs := 2000
	if testing.Short() {
		programs = 200
	}
	full := &Campaign{Engines: []Engine{engine(t, "step"), engine(t, "interp")}}
	fast := &Campaign{Engines: []Engine{engine(t, "interp"), engine(t, "jit")}, Shrink: true}
	trapped := 0
	for n := range programs {
		c := Wild(Generate(17, n, GenOptions{}), uint64(n))
		for _, camp := range []*Campaign{full, fast} {
			found, err := camp.Compare(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			for i := range found {
				text, err := found[i].Repro().Format()
				t.Errorf("program %s: %d slots, %d left; first %+v %s\n%s%v", found[i].Name, found[i].Insns, found[i].Shrunk,
					found[i].First, found[i].NotLocated, text, err)
			}
			if len(camp.Mismatches) >= 3 {
				t.Fatal("enough")
			}
		}
		if o, err := full.Engines[1].Run(t.Context(), c); err == nil && o.trapped() {
			trapped++
		}
	}
	if trapped < programs/10 {
		t.Errorf("%d of %d programs trapped: too tame", trapped, programs)
	}
	t.Logf("%d trapped; step/interp %+v, interp/jit %+v", trapped, full.Summary, fast.Summary)
	if n := fast.Summary.Skipped; n > programs/50 {
		t.Errorf("%d of %d programs do not load", n, programs)
	}
	for _, s := range append(full.Skips(), fast.Skips()...) {
		t.Logf("%d times on %s: %s", s.Count, s.Engine, s.Reason)
	}
}
