//go:build !386 && !arm && !mipsle

package kernel

import "unsafe"

// pointer is an __aligned_u64 that holds an address. It keeps what it points to
// where it is for as long as the attr lives.
type pointer struct {
	p unsafe.Pointer
}
