// Package isatest helps the tests of other packages to write programs as text.
package isatest

import (
	"testing"

	"bpfvm/isa"
)

// MustAssemble assembles a plain program (isa.AssembleProgram) and ends the test
// where that fails.
func MustAssemble(tb testing.TB, src string) isa.Program {
	tb.Helper()
	p, err := isa.AssembleProgram(src)
	if err != nil {
		tb.Fatalf("assemble:\n%v\nin:\n%s", err, src)
	}
	return p
}
