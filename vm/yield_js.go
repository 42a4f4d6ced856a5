package vm

import "runtime"

// yield lets other goroutines run: in a browser there is one thread, and nothing
// interrupts a loop, so whoever wants to stop a run would wait for its end.
func yield() { runtime.Gosched() }
