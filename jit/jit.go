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
