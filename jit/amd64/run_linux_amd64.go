package amd64

import (
	"errors"
	goruntime "runtime"
	"unsafe"

	"bpfvm/isa"
	"bpfvm/vm"
)

// slice is how many instructions machine code runs before it looks in on Go, which
// cannot stop it in between: the garbage collector waits for so long at most. At
// 100 cycles an instruction, a division on an old processor, it is 4 ms.
const slice = 1 << 17

// exactBias moves the budget register of exact code far below zero, so that code
// of other images, returned to, leaves at its next look.
const exactBias = 1 << 40

// Native says whether machine code runs on this host.
const Native = true

// run is the state of one machine's runs on the native stack. It stays with the
// machine.
type run struct {
	m     *vm.Machine
	ctx   *context
	words []uint64 // the native stack
	base  uint64   // its address

	bias   uint64 // budget left of the run = n + bias
	start  uint64 // budget at the start of the run
	active bool
	images []*loaded // that have run, the last one found first
	placed *vm.Trap  // the last trap that knows its place
	other  map[*vm.Code]*Program
}

func newRun(m *vm.Machine) (*run, error) {
	stack, err := newStack()
	if err != nil {
		return nil, err
	}
	r := &run{
		m:     m,
		ctx:   (*context)(unsafe.Pointer(&stack[stackBytes-ctxBytes])),
		words: unsafe.Slice((*uint64)(unsafe.Pointer(&stack[0])), stackBytes/8),
		base:  uint64(uintptr(unsafe.Pointer(&stack[0]))),
	}
	*r.ctx = context{}
	goruntime.AddCleanup(r, freeStack, stack)
	return r, nil
}

// word is the word of the native stack at an address.
func (r *run) word(sp uint64) *uint64 { return &r.words[(sp-r.base)/8] }

// Run executes the program; the caller has reset the machine.
func (p *Program) Run(m *vm.Machine, ctx uint64) (vm.Exit, error) {
	r, ok := m.Caller.(*run)
	if !ok || r.active {
		var err error
		if r, err = newRun(m); err != nil {
			return vm.Exit{}, p.cannotRun(err)
		}
		m.Caller = r
	}
	m.Ctx = ctx
	if m.Depth >= vm.MaxFrames {
		return vm.Exit{}, vm.DepthTrap().At(p.Code(), 0, m.Depth-1, 0)
	}
	c := r.ctx
	if c.arena = uint64(m.Mem.Native()); c.arena == 0 {
		return vm.Exit{}, p.cannotRun(errNoWindow)
	}
	depth := m.Depth
	r.active, r.start = true, m.Budget
	r.images = r.images[:0]
	m.Depth = depth + 1
	bottom := m.FrameTop(0)
	c.maxTop = bottom + (vm.MaxFrames-1)*frameStride
	c.regs[isa.R10] = bottom + uint64(depth)*frameStride
	c.regs[isa.R1] = ctx
	c.cpu = uint32(m.CPU)
	if n := p.src.Subprogs[0].Reach; n > 0 {
		top := c.regs[isa.R10]
		clear(m.Mem.Raw(top-uint64(n), uint64(n)))
	}
	c.insnsi = uint64(uintptr(unsafe.Pointer(&p.src.Insns[0])))
	t := r.begin(p)
	goruntime.KeepAlive(p)
	goruntime.KeepAlive(m.Mem)
	m.Depth = depth
	r.active = false
	if t != nil {
		return vm.Exit{}, t
	}
	return vm.Exit{R0: c.regs[isa.R0], Insns: r.start - m.Budget}, nil
}

// errNoWindow is why machine code cannot run on some arenas.
var errNoWindow = errors.New("the arena has no window for machine code: the system refused to map 4 GiB of addresses, or the arena may grow beyond 2 GiB")

func (p *Program) cannotRun(err error) *vm.Trap {
	err = errors.Join(err, errors.ErrUnsupported)
	t := &vm.Trap{Kind: vm.TrapStopped, Msg: "jit: " + err.Error(), Cause: err}
	return t.At(p.Code(), 0, 0, 0)
}

// load puts the image into executable memory when it runs for the first time; the
// memory goes when the program does.
func (l *loaded) load() error {
	l.once.Do(func() {
		if l.text, l.err = mapCode(l.image.text); l.err == nil {
			l.base = uint64(uintptr(unsafe.Pointer(&l.text[0])))
			goruntime.AddCleanup(l.prog, unmapCode, l.text)
			l.ready.Store(true) // from here on base may be read by anyone
		}
	})
	return l.err
}

// begin runs a program from its first slot with the context in R1.
func (r *run) begin(p *Program) *vm.Trap {
	c, l := r.ctx, &p.fast
	if left := r.m.Budget; left >= l.slack+slice && r.m.Depth <= p.maxDepth && l.ready.Load() {
		// As choose does, without looking further: this is what an empty program costs.
		if cap(r.images) == 0 {
			r.images = make([]*loaded, 1, 4)
		}
		if r.images = r.images[:1]; r.images[0] != l {
			r.images[0] = l
		}
		r.bias = left - slice
		c.budget, c.floor = slice+uint64(l.phi[0]), 0
	} else {
		var t *vm.Trap
		if l, t = r.choose(p, 0); t != nil {
			return t
		}
	}
	c.sp, c.entry = r.top(), l.base
	enter(c)
	return r.serve()
}

// top is where the native stack begins; just below lies the return address of the
// program itself.
func (r *run) top() uint64 { return r.base + stackBytes - ctxBytes }

// pushFrame makes a function's part of the native stack below sp, as its prologue
// would; what it saves is of no use to anyone.
func (r *run) pushFrame(sp uint64, f *function) uint64 {
	for range f.saved {
		sp -= 8
		*r.word(sp) = 0
	}
	if f.mayGoto {
		sp -= 8
		*r.word(sp) = mayGotoLimit
	}
	return sp
}

// choose picks the image that may continue at a slot with the machine's budget and
// depth, and gives it its slice.
func (r *run) choose(p *Program, slot isa.PC) (*loaded, *vm.Trap) {
	l, left := &p.fast, r.m.Budget
	f := p.src.funcAt(slot)
	if left <= l.slack || l.entry[slot] < 0 || !l.checksDepth && r.m.Depth+f.frames-1 > vm.MaxFrames {
		var err error
		if l, err = p.exactly(); err != nil {
			return nil, p.cannotRun(err)
		}
	}
	if !l.ready.Load() {
		if err := l.load(); err != nil {
			return nil, p.cannotRun(err)
		}
	}
	r.use(l)
	c := r.ctx
	if l.exact {
		n := min(left, slice)
		c.budget = n - exactBias
		c.floor = -exactBias
	} else {
		n := min(left-l.slack, slice)
		c.budget = n
		c.floor = 0
	}
	r.bias = left - c.budget
	c.budget += uint64(l.phi[slot])
	return l, nil
}

// use makes an image the first one to be found.
func (r *run) use(l *loaded) {
	for i, o := range r.images {
		if o == l {
			r.images[0], r.images[i] = r.images[i], r.images[0]
			return
		}
	}
	r.images = append(r.images, l)
	n := len(r.images) - 1
	r.images[0], r.images[n] = r.images[n], r.images[0]
}

// left returns the image that has just left, and its slot.
func (r *run) left() (*loaded, isa.PC) {
	id, slot := r.ctx.image, isa.PC(r.ctx.exit&(1<<exitShift-1))
	for _, l := range r.images {
		if l.id == id {
			return l, slot
		}
	}
	panic("jit: machine code of an unknown image") // generated code is broken
}

// budgetAt is what was left of the run's budget before the instruction at slot.
func (r *run) budgetAt(l *loaded, slot isa.PC) uint64 {
	n := r.ctx.budget
	if l.exact {
		n++ // already counted
	} else {
		n -= uint64(l.phi[slot])
	}
	return n + r.bias
}

// goOn continues at a slot; the top of the native stack is the address to go to.
func (r *run) goOn(p *Program, slot isa.PC) *vm.Trap {
	l, t := r.choose(p, slot)
	if t != nil {
		return t
	}
	*r.word(r.ctx.sp) = l.base + uint64(l.entry[slot])
	return nil
}

// serve serves exits until the entry has come to its end.
func (r *run) serve() *vm.Trap {
	c := r.ctx
	for {
		kind := exitKind(c.exit >> exitShift)
		if kind == exitDone {
			r.m.Budget = c.budget + r.bias
			return nil
		}
		l, slot := r.left()
		r.m.Depth = int((c.regs[isa.R10]-r.m.FrameTop(0))/frameStride) + 1
		r.m.Budget = r.budgetAt(l, slot)
		var t *vm.Trap
		switch kind {
		case exitServe:
			t = r.serveInsn(l, slot)
		case exitMemory:
			t = r.trap(r.memoryTrap(l, slot, *r.word(c.sp)), l, slot)
		case exitDepth:
			t = r.trap(vm.DepthTrap(), l, slot)
		default: // exitSlice
			if r.m.Budget == 0 || r.m.Stopped() {
				t = r.trap(vm.BudgetTrap(r.m), l, slot)
			} else {
				t = r.goOn(l.prog, slot)
			}
		}
		if t != nil {
			return t
		}
		resume(c)
	}
}

// trap places a trap of the instruction at a slot, with the registers that it has
// found; the machine's budget is that before it.
func (r *run) trap(t *vm.Trap, l *loaded, slot isa.PC) *vm.Trap {
	r.placed = t.At(l.prog.Code(), slot, r.m.Depth-1, r.start-r.m.Budget)
	regs := r.ctx.regs
	for reg := range isa.R10 {
		if l.prog.src.live.at(slot)&^l.prog.src.unshifted[slot]&(1<<reg) == 0 {
			regs[reg] = vm.Poison + uint64(reg)
		}
	}
	t.Regs = vm.TrapRegs(r.m.Mem, regs)
	return t
}

// memoryTrap describes the access that was refused.
func (r *run) memoryTrap(l *loaded, slot isa.PC, addr uint64) *vm.Trap {
	ins := l.prog.src.Insns[slot]
	need := vm.PermRead
	switch {
	case ins.Op.Class() == isa.ClassLDX:
	case ins.Op.Mode() != isa.ModeATOMIC:
		need = vm.PermWrite
	case isa.AtomicOp(ins.Imm) == isa.AtomicStoreRel:
		need = vm.PermWrite
	case isa.AtomicOp(ins.Imm) != isa.AtomicLoadAcq:
		need = vm.PermRW
	}
	return vm.MemoryTrap(r.m.Mem.Fault(addr, ins.Op.Size().Bytes(), need))
}
