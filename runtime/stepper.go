package runtime

// Unlocked lets fn use the runtime in the middle of a run. An engine that stops
// between two instructions calls it so that a debugger can look at maps meanwhile:
// a run holds the lock that the methods of maps take.
//
// It is for engines only, from inside of [vm.Runner.Run]. fn must not start runs.
func (rt *Runtime) Unlocked(fn func()) {
	rt.mu.Unlock()
	defer rt.mu.Lock()
	fn()
}
