// Package cli is the command line of bpfvm: verbs, flags, exit codes, colours and
// the shape of every output.
//
// [Main] is a function of its arguments: it reads nothing but files named there,
// the given input and the given environment, writes to the given outputs and
// returns the exit code. Tests run it without a process.
//
// Each verb lives in a file cmd_VERB.go and is one entry of the table in
// commands.go, from which parsing, help pages, the manual and the completion all
// come. What a verb finds out is first a document (a struct with JSON tags that a
// schema under schema/ describes); text is only another view of that document.
//
// Output keeps one discipline: results on stdout, everything else (progress, the
// hint at the next command, errors) on stderr.
package cli
