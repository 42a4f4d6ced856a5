package isa

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// text disassembles with the zero Printer.
func text(t testing.TB, p Program) string {
	t.Helper()
	var b strings.Builder
	if err := Disassemble(&b, p, Printer{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestRoundTrip prints and assembles every legal form.
func TestRoundTrip(t *testing.T) {
	for op, p := range LegalForms() {
		if err := p.Check(); err != nil {
			t.Fatalf("%s: %v", op.Name, err)
		}
		got, ok := Lookup(p[0])
		if !ok || got != op {
			t.Fatalf("%s: looked up as %v", op.Name, got)
		}
		src := text(t, p)
		back, err := AssembleProgram(src)
		if err != nil {
			t.Fatalf("%s: %q: %v", op.Name, src, err)
		}
		if diff := cmp.Diff(p, back); diff != "" {
			t.Fatalf("%s: %q assembles to something else (-want +got):\n%s", op.Name, src, diff)
		}
	}
}
