// Package jit picks the compiler to machine code for the host.
//
// There is one backend, jit/amd64. It compiles and lists on every host, which
// needs no processor but this one's arithmetic; its code runs on linux/amd64.
// Elsewhere Run ends with an error that wraps errors.ErrUnsupported.
package jit

import (
	"io"

	"bpfvm/isa"
	"bpfvm/jit/amd64"
	"bpfvm/vm"
)

// Engine compiles to machine code: the engine "jit".
var Engine vm.Engine = amd64.Engine{}

// Passes is a set of what the compiler does beyond translating instruction by
// instruction; AllPasses is what [Engine] does.
type Passes = amd64.Pass

// AllPasses are all of them.
const AllPasses = amd64.AllPasses

// ParsePasses reads a list such as "all,-proven".
func ParsePasses(list string) (Passes, error) { return amd64.ParsePasses(list) }

// PassNames lists the names of the passes, each with what it does.
func PassNames() [][2]string { return amd64.Passes() }

// With returns an engine that does only these passes.
func With(p Passes) vm.Engine {
	return amd64.Engine{Options: amd64.Options{Off: AllPasses &^ p}}
}

// Native reports whether machine code runs on this host.
func Native() bool { return amd64.Native }

// List writes the machine code of a program beside its eBPF instructions.
func List(w io.Writer, code *vm.Code, pr isa.Printer) error {
	p, err := amd64.Compile(code, amd64.Options{})
	if err != nil {
		return err
	}
	return p.WriteListing(w, pr)
}
