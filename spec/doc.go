// Package spec is the kernel's contract with BPF programs, as data: which
// program types there are and what their context looks like, how section names
// choose them, which map types and helpers exist, what a helper takes and gives,
// and every limit with its source.
//
// It has two halves. The types of this package that end in Spec
// ([CollectionSpec], [ProgramSpec], [MapSpec]) describe what an object file
// asks for: they are plain values, made by package elf or by hand, and nothing
// in them is loaded. The tables ([Helpers], [Kfuncs], [ProgTypes], [MapTypes],
// [Sections]) describe what the kernel offers; they are generated from the text
// files in this directory, which also feed "bpfvm explain".
//
// The package looks things up and decides nothing else.
package spec
