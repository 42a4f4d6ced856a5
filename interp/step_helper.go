package interp

import (
	"fmt"
	"slices"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// checkArgs holds the arguments of a helper against its prototype: they have
// values, and memory that it will read or write is inside one object.
func (s *Stepper) checkArgs(id int32, h *vm.Helper) *vm.Trap {
	if h.Proto == nil {
		return nil
	}
	for i := range h.Proto.NumArgs() {
		r := isa.R1 + isa.Register(i)
		if t := s.checkKnown(r); t != nil {
			t.Msg = h.Name(id) + ": " + t.Msg
			return t
		}
	}
	for i := range h.Proto.NumArgs() {
		if t := s.checkArg(h, i); t != nil {
			return argumentTrap(t, h.Name(id), i)
		}
	}
	return nil
}

// argumentTrap says which argument of a helper a trap is about. What the arena
// refuses is the helper's refusal, as in the fast loop.
func argumentTrap(t *vm.Trap, helper string, i int) *vm.Trap {
	if t.Where != "" {
		verb := "read"
		if t.Write {
			verb = "write"
		}
		t.Msg = fmt.Sprintf("%s of %d bytes at %s: %s", verb, t.Size, t.Where, t.Msg)
		t.Where = ""
	}
	if t.Kind == vm.TrapMemory {
		t.Kind = vm.TrapHelper
	}
	t.Msg = fmt.Sprintf("%s: argument r%d: %s", helper, i+1, t.Msg)
	return t
}

// checkArg judges argument i (0 to 4).
func (s *Stepper) checkArg(h *vm.Helper, i int) *vm.Trap {
	r := isa.R1 + isa.Register(i)
	addr := s.reg[r]
	switch kind := h.Proto.Args[i]; kind {
	case spec.ArgConstMapPtr:
		if reg := s.m.Mem.Find(addr); reg == nil || reg.Kind != vm.RegionMap || reg.Base != addr {
			return &vm.Trap{Kind: vm.TrapHelper, Msg: fmt.Sprintf("%s is not a map", s.m.Mem.Symbolize(addr))}
		}
	case spec.ArgCtx:
		if addr != s.m.Ctx {
			return &vm.Trap{Kind: vm.TrapHelper, Msg: fmt.Sprintf("%s is not the context", s.m.Mem.Symbolize(addr))}
		}
	case spec.ArgSize:
		if addr == 0 {
			return &vm.Trap{Kind: vm.TrapHelper, Msg: "size is 0"}
		}
	case spec.ArgMem, spec.ArgMemOrNull, spec.ArgUninitMem:
		return s.checkArgMem(h.Proto, i, kind)
	case spec.ArgMapKey, spec.ArgMapValue, spec.ArgUninitMapValue:
		return s.checkMapMemory(h.Proto, r, kind)
	case spec.ArgLong:
		return s.checkRange(r, 8, vm.PermWrite)
	case spec.ArgInt:
		return s.checkRange(r, 4, vm.PermWrite)
	}
	return nil
}

// mapOwner is what stands behind the handle of a map.
type mapOwner interface{ Spec() *spec.MapSpec }

// mapOf returns the contract of the map among the arguments, nil when unknown.
func (s *Stepper) mapOf(p *spec.HelperProto) *spec.MapSpec {
	i := slices.Index(p.Args[:], spec.ArgConstMapPtr)
	if i < 0 {
		return nil
	}
	handle := s.m.Mem.Find(s.reg[isa.R1+isa.Register(i)])
	if handle == nil {
		return nil
	}
	if owner, ok := handle.Owner.(mapOwner); ok {
		return owner.Spec()
	}
	return nil
}

// checkMapMemory judges a key or a value by the map among the arguments.
func (s *Stepper) checkMapMemory(p *spec.HelperProto, r isa.Register, kind spec.ArgKind) *vm.Trap {
	m := s.mapOf(p)
	if m == nil {
		return nil
	}
	size, need := m.ValueSize, vm.PermRead
	switch kind {
	case spec.ArgMapKey:
		size = m.KeySize
	case spec.ArgUninitMapValue:
		need = vm.PermWrite
	}
	if size == 0 { // queues have no key
		return nil
	}
	return s.checkRange(r, uint64(size), need)
}

// checkArgMem judges a memory argument by the size that follows it.
func (s *Stepper) checkArgMem(p *spec.HelperProto, i int, kind spec.ArgKind) *vm.Trap {
	size, ok := s.memSize(p, i)
	if !ok || size == 0 || kind == spec.ArgMemOrNull && s.reg[isa.R1+isa.Register(i)] == 0 {
		return nil
	}
	need := vm.PermRead
	if kind == spec.ArgUninitMem {
		need = vm.PermWrite
	}
	return s.checkRange(isa.R1+isa.Register(i), size, need)
}

// memSize returns the value of the size argument that belongs to memory argument i.
func (s *Stepper) memSize(p *spec.HelperProto, i int) (uint64, bool) {
	if i+1 >= len(p.Args) {
		return 0, false
	}
	switch p.Args[i+1] {
	case spec.ArgSize, spec.ArgSizeOrZero, spec.ArgAllocSize:
		return s.reg[isa.R1+isa.Register(i+1)], true
	}
	return 0, false
}

// checkRange checks size bytes from the address in a register.
func (s *Stepper) checkRange(r isa.Register, size uint64, need vm.Perm) *vm.Trap {
	addr, sh := s.reg[r], &s.shadow[r]
	if size > 1<<31 {
		return &vm.Trap{Kind: vm.TrapHelper, Msg: fmt.Sprintf("size %d is too large", int64(size))}
	}
	if _, err := s.m.Mem.Bytes(addr, int(size), need); err != nil {
		return vm.MemoryTrap(s.m.Mem.Fault(addr, int(size), need))
	}
	if sh.kind == valuePointer {
		if t := s.checkObject(&sh.obj, addr, int(size), need); t != nil {
			return t
		}
	}
	if need == vm.PermRead {
		return s.checkWritten(addr, size)
	}
	return nil
}

// afterHelper brings the shadow state in line with what the helper did to memory.
func (s *Stepper) afterHelper(h *vm.Helper, args [5]uint64, by *origin) {
	if h.Proto == nil {
		return
	}
	if h.Proto.ChangesPacket {
		s.packetGen++
		s.packetBy = *by
	}
	for i := range h.Proto.NumArgs() {
		size := uint64(0)
		switch h.Proto.Args[i] {
		case spec.ArgUninitMem:
			size, _ = s.memSize(h.Proto, i)
		case spec.ArgUninitMapValue:
			if m := s.mapOf(h.Proto); m != nil {
				size = uint64(m.ValueSize)
			}
		case spec.ArgLong:
			size = 8
		case spec.ArgInt:
			size = 4
		case spec.ArgIterator:
			size = uint64(h.Proto.ArgSizes[i])
		case spec.ArgUninitDynptr, spec.ArgDynptr:
			size = 16 // struct bpf_dynptr
		}
		if size > 0 {
			s.stack.store(s.m, args[i], size, 0, nil)
		}
	}
}

// returned tells what R0 is after a helper.
func (s *Stepper) returned(h *vm.Helper, r0 uint64, args [5]uint64, by *origin) shadow {
	if h.Proto == nil {
		return number
	}
	switch h.Proto.Ret {
	case spec.RetVoid:
		return shadow{kind: valueLost, by: by}
	case spec.RetInteger:
		return number
	}
	if r0 == 0 {
		return shadow{kind: valueNumber, by: by}
	}
	sh := pointerTo(s.m.Mem, r0)
	if sh.kind != valuePointer {
		return sh
	}
	switch h.Proto.Ret {
	case spec.RetMemOrNull, spec.RetDynptrMemOrNull:
		// Memory of the size that an argument asked for, inside a larger region.
		for i, kind := range h.Proto.Args {
			if (kind == spec.ArgAllocSize || kind == spec.ArgSizeOrZero) && sh.obj.contains(r0, args[i]) {
				sh.obj.base, sh.obj.size = r0, args[i]
			}
		}
	}
	return sh
}
