// Package archtest holds the house to its plan. The packages of bpfvm are layers:
// the bytes of instructions at the bottom, then the kernel's contract as data,
// then machines and engines, then what users see. Each package may import what
// one table, [Layers], grants to it, and nothing else; so the verifier cannot come
// to depend on an engine, nor an engine on the verifier, and no room that distrusts
// its input can open a file.
//
// The test of this package lists every package for several systems with
// "go list" and checks imports, the use of unsafe and of the operating system,
// package comments, examples and the length of files. A package that is not in
// the table fails, with a hint where to add it.
package archtest
