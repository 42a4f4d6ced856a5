package interp

import (
	"bpfvm/vm"
)

// stackShadow stands beside the frames of one run: which bytes were written, and
// what the pointers are that were spilled.
type stackShadow struct {
	written [vm.MaxFrames][vm.StackSize]bool
	spilled [vm.MaxFrames][vm.StackSize / 8]spill
}

// spill is a value stored by an aligned 8-byte store. It counts only as long as
// the bytes are still those: whoever overwrote them, the pointer is gone then.
type spill struct {
	value  uint64
	shadow shadow
}

// clear forgets a frame: a new activation starts.
func (s *stackShadow) clear(frame int) {
	clear(s.written[frame][:])
	clear(s.spilled[frame][:])
}

// locate finds the frame of a stack address and the offset from the frame's lowest
// byte. ok is false when the access is not wholly in one frame.
func locate(m *vm.Machine, addr, size uint64) (frame int, off uint64, ok bool) {
	for frame := range vm.MaxFrames {
		off := addr - (m.FrameTop(frame) - vm.StackSize)
		if off < vm.StackSize && size <= vm.StackSize-off {
			return frame, off, true
		}
	}
	return 0, 0, false
}

// store notes a write; v and sh are the value and its shadow when the program
// wrote 8 aligned bytes from a register, else sh is nil.
func (s *stackShadow) store(m *vm.Machine, addr, size, v uint64, sh *shadow) {
	frame, off, ok := locate(m, addr, size)
	if !ok {
		return
	}
	for i := off; i < off+size; i++ {
		s.written[frame][i] = true
		s.spilled[frame][i/8] = spill{}
	}
	if sh != nil && size == 8 && off%8 == 0 {
		s.spilled[frame][off/8] = spill{v, *sh}
	}
}

// load returns the shadow of a value that was read: the spilled one, or a number.
func (s *stackShadow) load(m *vm.Machine, addr, size, v uint64) shadow {
	frame, off, ok := locate(m, addr, size)
	if !ok || size != 8 || off%8 != 0 {
		return number
	}
	if sp := &s.spilled[frame][off/8]; sp.shadow.kind == valuePointer && sp.value == v {
		return sp.shadow
	}
	return number
}

// unwritten returns the bytes of an access that no one has written since the
// function began, as first and last index into the access. ok is false when there
// are none.
func (s *stackShadow) unwritten(m *vm.Machine, addr, size uint64) (first, last uint64, ok bool) {
	frame, off, in := locate(m, addr, size)
	if !in {
		return 0, 0, false
	}
	for i := range size {
		if s.written[frame][off+i] {
			if ok {
				break
			}
			continue
		}
		if !ok {
			first, ok = i, true
		}
		last = i
	}
	return first, last, ok
}
