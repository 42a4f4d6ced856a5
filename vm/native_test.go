package vm

import (
	"testing"
	"unsafe"
)

// The permission of each byte lies where machine code looks for it, and stays
// there when the arena grows.
func TestNative(t *testing.T) {
	m := newMemory(t, 0)
	base := m.Native()
	if base == 0 {
		t.Skip("the arena is not mapped for machine code on this system")
	}
	for range 3 {
		r := alloc(t, m, Spec{Kind: RegionScratch, Size: 3 << 20, Perm: PermRead})
		buf, perm := m.View()
		if got := uintptr(unsafe.Pointer(&buf[0])); got != base || m.Native() != base {
			t.Fatalf("the window is at %#x, Native said %#x", got, base)
		}
		if got := int(uintptr(unsafe.Pointer(&perm[r.Base])) - base - uintptr(r.Base)); got != NativePerm {
			t.Errorf("the permission lies %d from the byte, want %d", got, NativePerm)
		}
	}
	if big := newMemory(t, MaxCap); big.Native() != 0 {
		t.Error("an arena of 4 GiB says that machine code can use it")
	}
}
