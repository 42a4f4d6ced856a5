//go:build !linux || !amd64

package kernel

// FindVM looks for what a second kernel needs. There it is for Linux on x86-64 alone:
// its init is this program.
func FindVM(string) (*VM, error) {
	return nil, &MissingVMError{What: "a second kernel", Hint: "its init is this program, which is for another system"}
}
