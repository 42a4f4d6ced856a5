// Package debug steps through a recorded run, forwards and backwards.
//
// A [Session] is opened on a package trace's Trace. Opening plays the whole scenario
// once, all events and all programs, and numbers every step: one step is one
// instruction of the step loop (package interp), a call of a helper together with
// its callbacks included. A place in the run is the number of the step that happens
// next; the number of steps is the place after the last one. Everything that can be
// seen at a place ([State]) is a function of that number, however one got there.
//
//	step   0      1 ...     17 | 18 ...        40 | 41 ..            Steps()
//	run    0: event 1, xdp_main| 1: event 2       | 2: event 3 ..    the end
//
// # Forwards and backwards
//
// Forward moves play on. Backward moves play again from the start: the engine is the
// same, the inputs are the same, so the same happens, and the playback stops earlier.
// Runs of programs that end before the interesting part are played by the fast loop,
// which leaves the same state behind. Each forward move has a backward one, and they
// stop at the same places: the last place that a forward move would have stopped at.
//
//	Session.StepInsn(n)          any sign
//	StepLine Next NextInsn Finish Continue       and BackLine BackNext .. BackContinue
//	NextEvent PrevEvent Goto
//
// # Stopping
//
// [Session.Break] sets breakpoints: at slots, C lines, functions, helpers, returns,
// branches, writes to maps, the stack, the packet; with conditions, hit counts and
// logs. A breakpoint on an effect stops after the step that has it. A step that
// traps is always a place to stop, before the trap: [Stop].Fault tells what will
// happen.
//
// [Session.Why] answers which step wrote a register, a stack slot or a map's element
// last.
//
// # How the playback pauses
//
// The debugger is an engine (vm.Engine) for the runtime: its runner walks the
// program with interp.Stepper and shows each step to a visitor. To pause, it yields
// in a coroutine (iter.Pull) in the middle of the run, with the runtime unlocked, so
// that maps can be read. Nothing in the runtime knows about it.
//
// Nothing here prints.
package debug
