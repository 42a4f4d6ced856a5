package difftest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A saved case is the same program and the same script.
func TestReproRoundTrip(t *testing.T) {
	for n := range 200 {
		c := Generate(3, n, GenOptions{})
		text, err := (&Repro{Case: c, Engines: []string{"step", "jit"}, Note: []string{"r0: 1 / 2"}}).Format()
		if err != nil {
			t.Fatal(err)
		}
		r, err := Open("saved", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		want, got := c.Spec.Programs[0], r.Case.Spec.Programs[0]
		if d := cmp.Diff(want.Insns, got.Insns); d != "" {
			t.Fatalf("program %s (-want +got)\n%s\n%s", c.Name, d, text)
		}
		if d := cmp.Diff(want.Refs, got.Refs); d != "" {
			t.Fatalf("program %s: references (-want +got)\n%s", c.Name, d)
		}
		if got.Type != want.Type || r.Case.Name != c.Name || len(r.Case.Script.Stmts) != len(c.Script.Stmts) {
			t.Fatalf("program %s became %s of type %s with %d statements", c.Name, r.Case.Name, got.Type, len(r.Case.Script.Stmts))
		}
		again, err := r.Format()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(text), string(again)); d != "" {
			t.Fatalf("program %s: not stable\n%s", c.Name, d)
		}
	}
}

// What is no saved case is refused with its name.
func TestOpenBad(t *testing.T) {
	for _, text := range []string{"", "-- inputs.events --\n", "-- program.s --\nr0 = \n", "-- x --\n", "-- program.s --\nr0 = 0\nexit\n-- inputs.events --\nnonsense\n"} {
		if _, err := Open("bad", []byte(text)); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}
