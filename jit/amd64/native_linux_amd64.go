package amd64

import (
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Implemented in enter_amd64.s.
//
//go:noescape
func enter(c *context)

//go:noescape
func resume(c *context)

func leaveAddr() uintptr
func restoreAddr() uintptr

var leaveAt, restoreAt = uint64(leaveAddr()), uint64(restoreAddr())

// mapCode puts machine code into memory of its own: written first, executable
// then, never both.
func mapCode(text []byte) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, len(text), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of machine code: %w", len(text), err)
	}
	copy(b, text)
	if err := unix.Mprotect(b, unix.PROT_READ|unix.PROT_EXEC); err != nil {
		unix.Munmap(b)
		return nil, fmt.Errorf("make %d bytes of machine code executable: %w", len(text), err)
	}
	return b, nil
}

func unmapCode(b []byte) { unix.Munmap(b) }

// stacks keeps native stacks that nothing runs on, for the next run.
var stacks struct {
	sync.Mutex
	free [][]byte
}

// maxFreeStacks bounds what stays mapped.
const maxFreeStacks = 16

func newStack() ([]byte, error) {
	stacks.Lock()
	if n := len(stacks.free); n > 0 {
		b := stacks.free[n-1]
		stacks.free = stacks.free[:n-1]
		stacks.Unlock()
		return b, nil
	}
	stacks.Unlock()
	return mapStack()
}

// mapStack maps a stack that is aligned to its size. Alignment comes from mapping
// twice as much; what lies outside is made inaccessible and stays with it.
func mapStack() ([]byte, error) {
	b, err := unix.Mmap(-1, 0, 2*stackBytes, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map a native stack: %w", err)
	}
	skip := -uintptr(unsafe.Pointer(&b[0])) & stackMask
	s := b[skip : skip+stackBytes]
	if err := unix.Mprotect(s[stackGuard:], unix.PROT_READ|unix.PROT_WRITE); err != nil {
		unix.Munmap(b)
		return nil, fmt.Errorf("map a native stack: %w", err)
	}
	mapped.Store(&s[0], b)
	return s, nil
}

// mapped finds the mapping of a stack by the stack's first byte.
var mapped sync.Map

func freeStack(s []byte) {
	stacks.Lock()
	if len(stacks.free) < maxFreeStacks {
		stacks.free = append(stacks.free, s)
		stacks.Unlock()
		return
	}
	stacks.Unlock()
	if b, ok := mapped.LoadAndDelete(&s[0]); ok {
		unix.Munmap(b.([]byte))
	}
}
