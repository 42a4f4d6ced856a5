package interp

import (
	"fmt"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// access checks a load or store of size bytes at the base register plus off. The
// arena is asked first, so that the fast loop's traps are found under the same
// name here; then the object that the pointer came from.
func (s *Stepper) access(base isa.Register, off int16, size int, need vm.Perm) (uint64, *vm.Trap) {
	addr, sh := s.reg[base]+uint64(int64(off)), &s.shadow[base]
	if !s.m.Mem.Ok(addr, size, need) {
		t := vm.MemoryTrap(s.m.Mem.Fault(addr, size, need))
		if sh.by != nil && sh.kind == valueNumber && s.reg[base] == 0 {
			t.Msg += fmt.Sprintf(": %s is the NULL that %s returned at insn %d", base, sh.by.name, sh.by.pc)
		}
		return addr, t
	}
	if sh.kind == valuePointer {
		if t := s.checkObject(&sh.obj, addr, size, need); t != nil {
			return addr, t
		}
	}
	if need&vm.PermRead != 0 {
		return addr, s.checkWritten(addr, uint64(size))
	}
	return addr, nil
}

// checkObject refuses an access that leaves the pointer's object although the
// arena has bytes there.
func (s *Stepper) checkObject(o *object, addr uint64, size int, need vm.Perm) *vm.Trap {
	t := &vm.Trap{Kind: vm.TrapBounds, Addr: addr, Size: size, Write: need&vm.PermWrite != 0}
	switch {
	case o.role >= rolePacket && o.gen != s.packetGen:
		t.Msg = fmt.Sprintf("packet pointer is stale after %s at insn %d", s.packetBy.name, s.packetBy.pc)
	case !o.contains(addr, uint64(size)):
		t.Msg = o.why(addr, uint64(size))
	case o.role == roleCtx && t.Write:
		f := s.ctxField(addr - o.base)
		if f == nil || f.Write {
			return nil
		}
		t.Kind, t.Msg = vm.TrapReadOnly, fmt.Sprintf("%s field %s is read-only", s.ctxName(), f.Name)
	default:
		return nil
	}
	t.Where = o.name(s.m.Mem, addr)
	return t
}

// ctxField returns the field of the context at an offset, nil when unknown.
func (s *Stepper) ctxField(off uint64) *spec.CtxField {
	if s.Code().Ctx == nil || off > 1<<31 {
		return nil
	}
	return s.Code().Ctx.FieldAt(uint32(off))
}

func (s *Stepper) ctxName() string { return s.Code().Ctx.Name }

// checkWritten notices reads of stack bytes that the function never wrote.
func (s *Stepper) checkWritten(addr, size uint64) *vm.Trap {
	first, last, some := s.stack.unwritten(s.m, addr, size)
	if !some {
		return nil
	}
	if s.opt.UninitRead != nil {
		s.opt.UninitRead(s, UninitRead{s.pc, addr + first, int(last - first + 1)})
	}
	if !s.opt.StrictStack {
		return nil
	}
	bytes := fmt.Sprintf("bytes %d..%d were", first, last)
	if first == last {
		bytes = fmt.Sprintf("byte %d was", first)
	}
	return &vm.Trap{
		Kind: vm.TrapUninit, Addr: addr, Size: int(size),
		Where: s.m.Mem.Symbolize(addr), Msg: bytes + " never written",
	}
}

// load is class LDX.
func (s *Stepper) load(ins isa.Instruction) *vm.Trap {
	if s.Code().Probes(s.pc) {
		s.set(ins.Dst(), s.m.ProbeLoad(s.reg[ins.Src()]+uint64(int64(ins.Off)), ins), number)
		return nil
	}
	size := ins.Op.Size().Bytes()
	addr, t := s.access(ins.Src(), ins.Off, size, vm.PermRead)
	if t != nil {
		return t
	}
	v, err := s.m.Mem.Load(addr, size)
	if err != nil {
		return vm.MemoryTrap(s.m.Mem.Fault(addr, size, vm.PermRead))
	}
	if ins.Op.Mode() == isa.ModeMEMSX {
		s.set(ins.Dst(), signExtend(v, int16(size*8)), number)
		return nil
	}
	s.set(ins.Dst(), v, s.loaded(&s.shadow[ins.Src()], addr, uint64(size), v))
	return nil
}

// loaded tells what a value read from memory points to: the packet when it came
// from such a field of the context, or what was spilled to the stack.
func (s *Stepper) loaded(base *shadow, addr, size, v uint64) shadow {
	if base.kind != valuePointer || base.obj.role != roleCtx {
		return s.stack.load(s.m, addr, size, v)
	}
	off := addr - base.obj.base
	f := s.ctxField(off)
	if f == nil || off != uint64(f.Off) || size != uint64(f.Size) {
		return number
	}
	o := object{region: s.m.Mem.Find(v), gen: s.packetGen}
	switch f.Kind {
	case spec.FieldPacket:
		o.role = rolePacket
	case spec.FieldPacketMeta:
		o.role, o.base = rolePacketMeta, v
	case spec.FieldPacketEnd:
		o.role = rolePacketEnd
	case spec.FieldPointer:
		return pointerTo(s.m.Mem, v)
	default:
		return number
	}
	if o.region == nil || o.region.Kind != vm.RegionPacket {
		return number
	}
	return shadow{kind: valuePointer, obj: o}
}

// store is classes ST and STX without atomics.
func (s *Stepper) store(ins isa.Instruction) *vm.Trap {
	size := ins.Op.Size().Bytes()
	v, sh := uint64(int64(ins.Imm)), number
	if ins.Op.Class() == isa.ClassSTX {
		v, sh = s.reg[ins.Src()], s.shadow[ins.Src()]
	}
	addr, t := s.access(ins.Dst(), ins.Off, size, vm.PermWrite)
	if t != nil {
		return t
	}
	if err := s.m.Mem.Store(addr, size, v); err != nil {
		return vm.MemoryTrap(s.m.Mem.Fault(addr, size, vm.PermWrite))
	}
	s.stack.store(s.m, addr, uint64(size), v, &sh)
	return nil
}

// atomic is class STX with mode ATOMIC (RFC 9669, section 5.3, and the kernel's
// load-acquire and store-release).
func (s *Stepper) atomic(ins isa.Instruction) *vm.Trap {
	size, op := ins.Op.Size().Bytes(), isa.AtomicOp(ins.Imm)
	dst, src := ins.Dst(), ins.Src()
	switch op {
	case isa.AtomicLoadAcq:
		addr, t := s.access(src, ins.Off, size, vm.PermRead)
		if t != nil {
			return t
		}
		v, err := s.m.Mem.LoadAcquire(addr, size)
		if err != nil {
			return vm.MemoryTrap(s.m.Mem.Fault(addr, size, vm.PermRead))
		}
		s.set(dst, v, s.loaded(&s.shadow[src], addr, uint64(size), v))
		return nil
	case isa.AtomicStoreRel:
		addr, t := s.access(dst, ins.Off, size, vm.PermWrite)
		if t != nil {
			return t
		}
		if err := s.m.Mem.StoreRelease(addr, size, s.reg[src]); err != nil {
			return vm.MemoryTrap(s.m.Mem.Fault(addr, size, vm.PermWrite))
		}
		s.stack.store(s.m, addr, uint64(size), s.reg[src], &s.shadow[src])
		return nil
	}
	addr, t := s.access(dst, ins.Off, size, vm.PermRW)
	if t != nil {
		return t
	}
	old, err := s.m.Mem.Atomic(op, addr, size, s.reg[src], s.reg[isa.R0])
	if err != nil {
		return vm.MemoryTrap(s.m.Mem.Fault(addr, size, vm.PermRW))
	}
	s.stack.store(s.m, addr, uint64(size), 0, nil)
	switch {
	case op == isa.AtomicCmpXchg:
		s.set(isa.R0, old, number)
	case op&isa.AtomicFetch != 0:
		s.set(src, old, number)
	}
	return nil
}

// loadPacket is LD_ABS and LD_IND.
func (s *Stepper) loadPacket(ins isa.Instruction) *vm.Trap {
	if s.reg[isa.R6] != s.m.Ctx {
		return &vm.Trap{Kind: vm.TrapBounds, Msg: fmt.Sprintf("r6 is %s, must be the context", s.m.Mem.Symbolize(s.reg[isa.R6]))}
	}
	off, name := ins.Imm, "LD_ABS"
	if ins.Op.Mode() == isa.ModeIND {
		off, name = off+int32(uint32(s.reg[ins.Src()])), "LD_IND"
	}
	v, ok, t := s.m.LoadPacket(off, ins.Op.Size().Bytes())
	if t != nil {
		return t
	}
	s.set(isa.R0, v, number)
	if !ok {
		return s.leave()
	}
	s.clobber(&origin{s.pc, name})
	s.pc++
	return nil
}
