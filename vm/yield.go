//go:build !js

package vm

// yield lets other goroutines run where they cannot interrupt this one; elsewhere
// they can.
func yield() {}
