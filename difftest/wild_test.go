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
	full := &Campaign{Engines: []Engine{engine(t, "step"), engine(t, "interp"), engine(t, "jit")}}
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

// FuzzEngines compares all engines of ours on programs by their numbers.
func FuzzEngines(f *testing.F) {
	for n := range 8 {
		f.Add(uint64(31), n, n%2 == 0)
	}
	engines := []Engine{engine(f, "interp"), engine(f, "step")}
	if jit.Native() {
		engines = append(engines, engine(f, "jit"))
	}
	f.Fuzz(func(t *testing.T, seed uint64, n int, wild bool) {
		c := Generate(seed, n, GenOptions{})
		if wild {
			c = Wild(c, seed)
		}
		camp := &Campaign{Engines: engines, Shrink: true}
		found, err := camp.Compare(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for i := range found {
			text, err := found[i].Repro().Format()
			t.Errorf("%s\n%s%v", found[i].Name, text, err)
		}
	})
}

// FuzzOpen reads arbitrary archives; what is read can be written.
func FuzzOpen(f *testing.F) {
	for n := range 4 {
		text, err := (&Repro{Case: Generate(3, n, GenOptions{Items: 4}), Engines: []string{"step", "jit"}}).Format()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("-- program.s --\nr0 = 0\nexit\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Open("fuzz", data)
		if (err == nil) == (r == nil) {
			t.Fatalf("%v with error %v", r, err)
		}
		if err == nil {
			_, _ = r.Format() // a program without a section, for example, is refused
		}
	})
}
