//go:build 386 || arm || mipsle

package kernel

import "unsafe"

// pointer is an __aligned_u64 that holds an address, on little-endian machines with
// addresses of 32 bits.
type pointer struct {
	p unsafe.Pointer
	_ uint32
}
