// Package tui is the debugger's face: the words that one types, the screen that one
// looks at, and what both print.
//
// [Words] understands commands, those of gdb and delve, one a line, and answers with
// lines of text: for command files, for pipes, and for the ":" line of the screen.
//
// [Run] is the screen, in the terminal's own size from 80x24 up: C, eBPF, registers,
// and one of stack, packet, context and maps, above a timeline of the run.
//
// Both drive a debug.Session and keep nothing of it but what they show. Marks carry
// the meaning: ">" is where the program is, "*" what changed, "!" a fault, "b" a
// breakpoint; colour only repeats them.
package tui
