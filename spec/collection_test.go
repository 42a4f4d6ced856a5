package spec_test

import (
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"
)

func TestProgramSpecAt(t *testing.T) {
	p := &spec.ProgramSpec{
		Funcs: []spec.Func{{Name: "main", PC: 0}, {Name: "a", PC: 5}, {Name: "b", PC: 9}},
		Lines: []spec.Line{{PC: 1, Line: 10}, {PC: 1, Line: 11}, {PC: 4, Line: 12}},
		Refs:  []spec.Ref{{PC: 2, Name: "counts"}, {PC: 7, Name: "events"}},
	}
	for _, tt := range []struct {
		pc   isa.PC
		fn   string
		line int
		ref  string
	}{
		{0, "main", 0, ""}, {1, "main", 11, ""}, {2, "main", 11, "counts"}, {4, "main", 12, ""},
		{5, "a", 12, ""}, {7, "a", 12, "events"}, {8, "a", 12, ""}, {9, "b", 12, ""}, {100, "b", 12, ""},
	} {
		fn, line, ref := "", 0, ""
		if f := p.FuncAt(tt.pc); f != nil {
			fn = f.Name
		}
		if l := p.LineAt(tt.pc); l != nil {
			line = l.Line
		}
		if r := p.RefAt(tt.pc); r != nil {
			ref = r.Name
		}
		if fn != tt.fn || line != tt.line || ref != tt.ref {
			t.Errorf("slot %d: %q %d %q, want %q %d %q", tt.pc, fn, line, ref, tt.fn, tt.line, tt.ref)
		}
	}
	var none spec.ProgramSpec
	if none.FuncAt(0) != nil || none.LineAt(0) != nil || none.RefAt(0) != nil {
		t.Error("an empty program has a function, line or reference")
	}
}
