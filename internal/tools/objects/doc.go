// Package objects reads testdata/objects.txt, the table of the eBPF objects in
// this repository, and compares two builds of the same object.
//
// The objects are committed so that nobody needs a compiler. That only holds
// together while they are what their sources say: CI compiles the sources again
// and the test of this package compares. With the compiler that built the
// committed objects (testdata/compiler.txt) every section and symbol must be the
// same; another version of clang may choose other instructions, so then only what
// a loader depends on must agree: programs and maps, by section and name.
package objects
