package amd64

import (
	"fmt"

	"bpfvm/isa"
)

// regMap is where the eBPF registers live: the kernel's own choice
// (arch/x86/net/bpf_jit_comp.c, reg2hex), so that both listings can be laid side
// by side.
var regMap = [isa.NumRegisters]reg{
	isa.R0: rax, isa.R1: rdi, isa.R2: rsi, isa.R3: rdx, isa.R4: rcx, isa.R5: r8,
	isa.R6: rbx, isa.R7: r13, isa.R8: r14, isa.R9: r15, isa.R10: rbp,
}

// RegisterName is the x86-64 register in which an eBPF register lives.
func RegisterName(r isa.Register) string {
	names := [...]string{
		rax: "rax", rcx: "rcx", rdx: "rdx", rbx: "rbx", rbp: "rbp", rsi: "rsi", rdi: "rdi", r8: "r8",
		r13: "r13", r14: "r14", r15: "r15",
	}
	return names[regMap[r]]
}

// The registers that eBPF leaves free.
const (
	regArena  = r12 // host address of the arena's byte 0
	regBudget = r9  // see budget.go
	regTmp    = r10
	regAddr   = r11 // address of an access, and a second temporary
)

// frameStride is the distance between the frame pointers of neighbouring frames.
const frameStride = 1024

// Options choose between ways to compile.
type Options struct {
	// NoBMI2 makes shifts by a register use cl instead of SHLX and its kin.
	NoBMI2 bool
	// Off are the passes to leave out.
	Off Pass
}

// on reports whether a pass is to be done.
func (o Options) on(p Pass) bool { return o.Off&p == 0 }

// image is machine code before it is put into executable memory: pure data, the
// same on every host.
type image struct {
	text  []byte
	entry []int32 // offset of each slot's code, -1 where none may begin; that of second slots is unused
	phi   []int32 // see budget.go
	slack uint64
	exact bool
	items []item // what text was made of
	at    []int32
	// labels are where labels lie among the items, slots those of the slots.
	labels []int32
	slots  []label
	// checksDepth says that calls look whether a frame is left.
	checksDepth bool
}

// compiler translates one program into one image.
type compiler struct {
	code
	*source
	opt   Options
	exact bool
	depth bool // calls check the depth
	phi   []int32
	flow  *flow
	now   regs // what is known before the present instruction

	slots []label // of each slot's instruction
	funcs map[isa.PC]label
	serve label // stub that leaves for Go and comes back
	trap  label // stub that leaves for good
	later []func()
	id    uint32
}

// translate makes the image of a program. The id is what the image gives as its
// name when it leaves. An exact image counts every instruction and checks every
// call's depth: it runs where little is left of either.
func translate(s *source, id uint32, exact bool, opt Options) (*image, error) {
	n := len(s.Forms)
	c := &compiler{
		source: s, opt: opt, exact: exact, id: id,
		phi: make([]int32, n+1), slots: make([]label, n+1), funcs: map[isa.PC]label{},
	}
	c.depth = exact
	for i := range s.funcs {
		c.depth = c.depth || s.funcs[i].frames == 0
	}
	c.setPhi()
	c.flow = s.flow
	notHere := make([]bool, n) // slots before which a temporary holds something
	for i := range c.slots {
		c.slots[i] = c.newLabel()
	}
	for _, f := range s.Subprogs {
		if f.Called {
			c.funcs[f.Start] = c.newLabel()
		}
	}
	c.serve, c.trap = c.newLabel(), c.newLabel()
	c.slot = -1
	joined := -1 // a slot whose work has been done by the one before
	c.entryStub()
	for pc, ins := range s.Insns.All() {
		if pc > 0 && !exact {
			c.runOn(pc)
		}
		c.slot = int32(pc)
		if l, ok := c.funcs[pc]; ok {
			c.prologue(pc, l)
		}
		if n := s.Pos[pc]; !exact && n > 0 && n%yieldEvery == 0 {
			c.leaveFor(exitSlice, pc)
		}
		c.arrive(pc)
		notHere[pc] = c.cache.live()
		if exact {
			c.countOne(pc)
		}
		switch {
		case int(pc) == joined:
			notHere[pc] = true
		case s.leftOut[pc] || s.dead(pc):
		case s.rotations[pc].left != 0:
			c.rotate(s.rotations[pc])
		case c.join(pc):
			joined = int(pc) + 1
		default:
			c.insn(pc, ins)
		}
		if s.unshifted[pc] != 0 && !exact {
			notHere[pc] = true
		}
		c.pass(pc)
	}
	for len(c.later) > 0 {
		list := c.later
		c.later = nil
		for _, f := range list {
			f()
		}
	}
	c.slot = -1
	c.stubs()
	a, err := c.assemble()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	img := &image{text: a.text, phi: c.phi, exact: exact, items: c.items, at: a.at,
		labels: c.labels, slots: c.slots, checksDepth: c.depth, entry: make([]int32, n)}
	for pc := range n {
		img.entry[pc] = a.labels[c.slots[pc]]
		if notHere[pc] {
			img.entry[pc] = -1
		}
	}
	img.slack = c.slackOf()
	return img, nil
}

// cold puts code out of the way, behind all else, with the present slot as its
// own. It is reached by the label returned.
func (c *compiler) cold(emit func()) label {
	l, slot := c.newLabel(), c.slot
	c.later = append(c.later, func() {
		c.slot = slot
		c.bind(l)
		emit()
	})
	return l
}

// insn translates one instruction.
func (c *compiler) insn(pc isa.PC, ins isa.Instruction) {
	switch class := ins.Op.Class(); {
	case ins.IsWide():
		v, _ := c.Insns.Imm64(pc)
		c.constant(regMap[ins.Dst()], v)
	case class.IsALU():
		c.alu(ins)
	case class == isa.ClassJMP && ins.Op.Code() == isa.CodeCall:
		c.call(pc, ins)
	case ins.Op == isa.OpExit:
		c.exit(pc)
	case class.IsJump():
		c.branch(pc, ins)
	case class == isa.ClassLD: // LD_ABS, LD_IND: as rare as they are old
		c.leaveFor(exitServe, pc)
	case ins.Op.Mode() == isa.ModeATOMIC:
		c.atomic(pc, ins)
	case class == isa.ClassLDX:
		c.load(pc, ins)
	default:
		c.store(pc, ins)
	}
}

// constant loads 64 bits in the shortest way.
func (c *compiler) constant(dst reg, v uint64) {
	switch {
	case v == 0:
		c.rr(opXorL, dst, dst)
	case v == uint64(uint32(v)):
		c.ri(opMovL, dst, int64(int32(v)))
	default:
		c.ri(opMovQ, dst, int64(v))
	}
}

// context brings the address of the run's context into a register: the native
// stack is aligned to its size.
func (c *compiler) context(r reg) {
	c.rr(opMovQ, r, rsp)
	c.ri(opOrQ, r, stackMask)
}

func inContext(r reg, off int32) mem { return mem{r, noReg, ctxBase + off} }

// leaveFor leaves for Go, which comes back behind it.
func (c *compiler) leaveFor(k exitKind, pc isa.PC) {
	c.ri(opMovL, regTmp, exitCode(k, int(pc)))
	c.jump(called, c.serve)
	c.cache = cache{}
}

// entryStub is bpf_func(ctx, insnsi), ctx in rdi and insnsi in rsi: all other
// registers start as zero, and machine code has no use for the slots.
func (c *compiler) entryStub() {
	for r := isa.R0; r <= isa.R9; r++ {
		if r != isa.R1 {
			c.rr(opXorL, regMap[r], regMap[r])
		}
	}
	c.pushFrame(&c.source.funcs[0])
	if c.Subprogs[0].Called {
		c.jump(always, c.slots[0])
	}
}

// pushFrame makes a function's part of the native stack.
func (c *compiler) pushFrame(f *function) {
	for _, r := range f.saved {
		c.r(opPush, regMap[r])
	}
	if f.mayGoto {
		c.add(instr{op: opPush, form: fI, imm: mayGotoLimit})
	}
}

// prologue is where a call of the function at pc arrives; control that begins
// there otherwise starts behind it. The flags are those of the caller's
// subtraction from the budget.
func (c *compiler) prologue(pc isa.PC, l label) {
	if pc > 0 {
		switch c.Insns[pc-1].Op {
		case isa.OpExit, isa.OpJa, isa.OpJa32:
		default: // the function before runs on
			c.jump(always, c.slots[pc])
		}
	}
	c.bind(l)
	f := c.funcAt(pc)
	c.pushFrame(f)
	c.clearFrame(f.Reach)
	if !c.exact {
		c.jump(condL, c.nearEnd(pc))
	}
}

// clearFrame zeroes so many bytes below R10, and changes no flags.
func (c *compiler) clearFrame(n int) {
	if n >= 16 {
		c.none(opZeroX)
	}
	for n > 0 {
		at := mem{regArena, rbp, int32(-n)}
		switch {
		case n >= 16:
			c.add(instr{op: opStoreX, form: fM, mem: at})
			n -= 16
		case n >= 8:
			c.mi(opMovQ, at, 0)
			n -= 8
		case n >= 4:
			c.mi(opMovL, at, 0)
			n -= 4
		case n >= 2:
			c.mi(opMovW, at, 0)
			n -= 2
		default:
			c.mi(opMovB, at, 0)
			n--
		}
	}
}

// exit returns from a function.
func (c *compiler) exit(pc isa.PC) {
	c.settle(pc)
	f := c.funcAt(pc)
	if f.mayGoto {
		c.rm(opLea, rsp, mem{rsp, noReg, 8})
	}
	for i := len(f.saved) - 1; i >= 0; i-- {
		c.r(opPop, regMap[f.saved[i]])
	}
	c.none(opRet)
}

// stubs are the ways out. All registers go into the context; so does the stack
// pointer, on top of which lies where to go on.
func (c *compiler) stubs() {
	c.bind(c.trap)
	c.r(opPush, regAddr) // the address, for Go to see
	c.bind(c.serve)
	c.context(regAddr)
	for r, x := range regMap {
		c.mr(opMovQ, inContext(regAddr, ctxRegs+8*int32(r)), x)
	}
	c.mr(opMovQ, inContext(regAddr, ctxBudget), regBudget)
	c.mr(opMovQ, inContext(regAddr, ctxSP), rsp)
	c.mr(opMovL, inContext(regAddr, ctxExit), regTmp)
	c.mi(opMovL, inContext(regAddr, ctxImage), int64(int32(c.id)))
	c.rm(opMovQ, rsp, inContext(regAddr, ctxGoSP))
	c.rm(opMovQ, rbp, inContext(regAddr, ctxGoBP))
	c.r(opPop, regTmp)
	c.r(opJmpReg, regTmp)
}
