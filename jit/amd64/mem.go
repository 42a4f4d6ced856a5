package amd64

import (
	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// Containment: machine code reaches memory at regArena + x + d, where
//
//   - x was just found to be below vm.NativeLimit as a 64-bit number, and d is 0
//     or, for the permission, vm.NativePerm or up to 7 more; or
//   - x is the lower half of a register, truncated here, and d any displacement of
//     an instruction, 16 bits with a sign; or
//   - what machine code itself guarantees of x (known.go) keeps x + d within the
//     window of 4 GiB and its guards, or within the frame of R10, which only
//     machine code sets.
//
// So nothing outside of the arena's own mapping can be reached, whatever is in the
// registers and whatever is claimed to be proven: proofs take checks away, never
// one of these.

// Reach of an address that is not truncated: half of the window's guards is for it,
// the other half for the displacement.
const (
	minIndex = -(1 << 15)
	maxIndex = 1<<32 + 1<<15
)

// access makes the operand for size bytes at base+off. Unless the access is proven
// it checks what the arena's permissions say of the first and the last byte.
func (c *compiler) access(pc isa.PC, base isa.Register, off int16, size int, need vm.Perm) mem {
	x, k := regMap[base], c.known(base)
	if k.base == frame && k.lo+int64(off) >= -vm.StackSize && k.hi+int64(off)+int64(size) <= 0 {
		return mem{regArena, x, int32(off)}
	}
	if c.facts.At(pc, size).Kind != spec.MemUnproven {
		if !k.contained() {
			x = c.truncated(base)
		}
		return mem{regArena, x, int32(off)}
	}
	c.permit(pc, x, off, size, need)
	if off != 0 {
		x = regAddr
	}
	return mem{regArena, x, 0}
}

// permit leaves unless the access is allowed; with off != 0 it leaves the address
// in regAddr.
func (c *compiler) permit(pc isa.PC, x reg, off int16, size int, need vm.Perm) {
	base := x
	if off != 0 {
		c.rm(opLea, regAddr, mem{x, noReg, int32(off)})
		x = regAddr
	}
	refused := c.cold(func() {
		if off == 0 {
			c.rr(opMovQ, regAddr, base)
		}
		c.ri(opMovL, regTmp, exitCode(exitMemory, int(pc)))
		c.jump(always, c.trap)
	})
	c.check(x, size, need, refused)
}

// check looks at the permission of the first and of the last byte.
func (c *compiler) check(x reg, size int, need vm.Perm, refused label) {
	c.ri(opCmpQ, x, vm.NativeLimit-7)
	c.jump(condAE, refused)
	for _, bit := range []vm.Perm{vm.PermRead, vm.PermWrite} {
		if need&bit == 0 {
			continue
		}
		c.mi(opTestB, mem{regArena, x, vm.NativePerm}, int64(bit))
		c.jump(condE, refused)
		if size > 1 {
			c.mi(opTestB, mem{regArena, x, vm.NativePerm + int32(size) - 1}, int64(bit))
			c.jump(condE, refused)
		}
	}
}

// load is class LDX.
func (c *compiler) load(pc isa.PC, ins isa.Instruction) {
	if c.Probes(pc) { // outside of the arena
		c.leaveFor(exitServe, pc)
		return
	}
	size := ins.Op.Size()
	m := c.access(pc, ins.Src(), ins.Off, size.Bytes(), vm.PermRead)
	c.loadFrom(m, regMap[ins.Dst()], size, ins.Op.Mode() == isa.ModeMEMSX)
}

func (c *compiler) loadFrom(m mem, dst reg, size isa.Size, signed bool) {
	ops := [...]pair{
		isa.SizeB >> 3:  {opMovSxB, opMovZxB},
		isa.SizeH >> 3:  {opMovSxW, opMovZxW},
		isa.SizeW >> 3:  {opMovSxL, opMovL},
		isa.SizeDW >> 3: {opMovQ, opMovQ},
	}[size>>3]
	c.rm(ops.of(signed), dst, m)
}

var storeOps = [...]op{
	isa.SizeB >> 3:  opMovB,
	isa.SizeH >> 3:  opMovW,
	isa.SizeW >> 3:  opMovL,
	isa.SizeDW >> 3: opMovQ,
}

// store is classes ST and STX without atomics.
func (c *compiler) store(pc isa.PC, ins isa.Instruction) {
	size := ins.Op.Size()
	m := c.access(pc, ins.Dst(), ins.Off, size.Bytes(), vm.PermWrite)
	if ins.Op.Class() == isa.ClassSTX {
		c.mr(storeOps[size>>3], m, regMap[ins.Src()])
		return
	}
	v := int64(ins.Imm)
	switch size {
	case isa.SizeB:
		v = int64(int8(v))
	case isa.SizeH:
		v = int64(int16(v))
	}
	c.mi(storeOps[size>>3], m, v)
}

// atomic is class STX with mode ATOMIC. x86 orders plain loads and stores as
// load-acquire and store-release want it.
func (c *compiler) atomic(pc isa.PC, ins isa.Instruction) {
	size, op := ins.Op.Size(), isa.AtomicOp(ins.Imm)
	switch op {
	case isa.AtomicLoadAcq:
		c.loadFrom(c.access(pc, ins.Src(), ins.Off, size.Bytes(), vm.PermRead), regMap[ins.Dst()], size, false)
		return
	case isa.AtomicStoreRel:
		c.mr(storeOps[size>>3], c.access(pc, ins.Dst(), ins.Off, size.Bytes(), vm.PermWrite), regMap[ins.Src()])
		return
	}
	wide, src := size == isa.SizeDW, regMap[ins.Src()]
	n := size.Bytes()
	if vm.InFrame(ins.Dst(), ins.Off, n) {
		if int(ins.Off)%n != 0 { // R10 is aligned
			c.leaveFor(exitServe, pc)
			return
		}
		c.readModifyWrite(op, mem{regArena, regMap[ins.Dst()], int32(ins.Off)}, src, wide)
		return
	}
	m := c.access(pc, ins.Dst(), ins.Off, n, vm.PermRW)
	switch { // what follows needs all other registers
	case m.disp != 0:
		c.rm(opLea, regAddr, mem{m.index, noReg, m.disp})
	case m.index != regAddr:
		c.rr(opMovQ, regAddr, m.index)
	}
	// A locked access across cache lines stops the whole machine; where it is not
	// aligned at all, Go does it.
	done := c.newLabel()
	c.ri(opTestL, regAddr, int64(n-1))
	c.jump(condNE, c.cold(func() {
		c.leaveFor(exitServe, pc)
		c.jump(always, done)
	}))
	c.readModifyWrite(op, mem{regArena, regAddr, 0}, src, wide)
	c.bind(done)
}

func (c *compiler) readModifyWrite(op isa.AtomicOp, m mem, src reg, wide bool) {
	switch op {
	case isa.AtomicXchg: // locks by itself
		c.mr(pair{opXchgQ, opXchgL}.of(wide), m, src)
	case isa.AtomicCmpXchg: // R0 is rax, as the instruction wants it
		c.none(opLock)
		c.mr(pair{opCmpxchgQ, opCmpxchgL}.of(wide), m, src)
		if !wide { // rax is not written when they were equal
			c.rr(opMovL, rax, rax)
		}
	case isa.AtomicAdd | isa.AtomicFetch:
		c.none(opLock)
		c.mr(pair{opXaddQ, opXaddL}.of(wide), m, src)
	case isa.AtomicAdd, isa.AtomicOr, isa.AtomicAnd, isa.AtomicXor:
		c.none(opLock)
		c.mr(atomicOps[op].of(wide), m, src)
	default:
		c.fetchLoop(op, m, src, wide)
	}
}

var atomicOps = map[isa.AtomicOp]pair{
	isa.AtomicAdd: {opAddQ, opAddL},
	isa.AtomicOr:  {opOrQ, opOrL},
	isa.AtomicAnd: {opAndQ, opAndL},
	isa.AtomicXor: {opXorQ, opXorL},
}

// fetchLoop is what x86 has no instruction for: compute the new value and try until
// nobody came between.
func (c *compiler) fetchLoop(op isa.AtomicOp, m mem, src reg, wide bool) {
	again := c.newLabel()
	mov, compute := pair{opMovQ, opMovL}.of(wide), atomicOps[op&^isa.AtomicFetch].of(wide)
	c.r(opPush, rax)
	c.rm(mov, rax, m)
	c.bind(again)
	c.rr(mov, regTmp, rax)
	if src == rax {
		c.rm(compute, regTmp, mem{rsp, noReg, 0})
	} else {
		c.rr(compute, regTmp, src)
	}
	c.none(opLock)
	c.mr(pair{opCmpxchgQ, opCmpxchgL}.of(wide), m, regTmp)
	c.jump(condNE, again)
	c.rr(mov, regTmp, rax)
	c.r(opPop, rax)
	c.rr(opMovQ, src, regTmp)
}
