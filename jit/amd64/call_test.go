package amd64

import (
	"errors"
	"testing"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/vm"
)

// withHelpers gives code a tail call (12), a loop that calls back (181) and the sum.
func withHelpers(code *vm.Code) *vm.Code {
	code.Helpers = map[int32]*vm.Helper{
		9001: sumHelper,
		12: {Fn: func(m *vm.Machine, _, _, _, _, _ uint64) (uint64, error) {
			if m.TailCalls++; m.TailCalls > vm.MaxTailCalls || m.Tail == nil {
				return 0, nil
			}
			return 0, vm.ErrTailCall
		}},
		181: {Fn: func(m *vm.Machine, n, fn, ctx, _, _ uint64) (uint64, error) {
			for i := range n {
				if r0, err := m.Call(fn, [5]uint64{i, ctx}); err != nil {
					return 0, err
				} else if r0 != 0 {
					return i + 1, nil
				}
			}
			return n, nil
		}},
		7: {Fn: func(m *vm.Machine, addr, _, _, _, _ uint64) (uint64, error) {
			_, err := m.Mem.Load(addr, 4)
			return 1, err
		}},
	}
	return code
}

// linkFuncs gives each LDDW of a function a handle of it, on both arenas alike.
func (d *duel) linkFuncs(t *testing.T, code *vm.Code) (link func(a, b vm.Runner)) {
	t.Helper()
	var fa, fb []*vm.Func
	for pc, ins := range code.Insns.All() {
		if !ins.IsWide() || isa.Pseudo(ins.Src()) != isa.PseudoFunc {
			continue
		}
		target, _ := code.Insns.CallTarget(pc)
		x, y := &vm.Func{Name: "f", PC: int(target)}, &vm.Func{Name: "f", PC: int(target)}
		h1, err1 := d.interp.mem.Handle(vm.RegionFunc, "f", x)
		h2, err2 := d.jit.mem.Handle(vm.RegionFunc, "f", y)
		if err1 != nil || err2 != nil || h1.Base != h2.Base {
			t.Fatal("handles differ")
		}
		code.Insns.SetImm64(pc, h1.Base)
		fa, fb = append(fa, x), append(fb, y)
	}
	for _, b := range []*bench{d.interp, d.jit} {
		grown := make([]byte, b.mem.Used())
		copy(grown, b.initial)
		b.initial = grown
	}
	return func(a, b vm.Runner) {
		for i := range fa {
			fa[i].Target, fb[i].Target = a, b
		}
	}
}

// everyBudget compares a program under each budget up to its end.
func (d *duel) everyBudget(t *testing.T, code, tail *vm.Code) outcome {
	t.Helper()
	link := d.linkFuncs(t, code)
	a, b := compile(t, interp.Fast, code), compile(t, Engine{d.opt}, code)
	link(a, b)
	if tail != nil {
		d.interp.m.Tail, d.jit.m.Tail = compile(t, interp.Fast, tail), compile(t, Engine{}, tail)
	}
	full := d.compare(t, a, b, 1_000_000)
	step := full.exit.Insns/200 + 1
	for limit := uint64(0); limit < full.exit.Insns+2; limit += step {
		d.compare(t, a, b, limit)
	}
	return full
}

func TestTailCalls(t *testing.T) {
	const call = "r1 = r6\n r2 = 0\n r3 = 0\n call 12\n"
	d := newDuel(t)
	target := assemble(t, "r0 = *(u64 *)(r10 -8)\n r2 = *(u32 *)(r1 +16)\n r0 += r2\n r0 += 5\n exit")
	caller := assemble(t, "r6 = r1\n *(u64 *)(r10 -8) = 77\n *(u32 *)(r6 +16) = 9\n"+call+" r0 = 1\n exit")
	if o := d.everyBudget(t, withHelpers(caller), target); o.exit.R0 != 14 {
		t.Errorf("%+v", o.exit)
	}
	// In a function the target's exit returns to the function's caller, who finds
	// its registers.
	target = assemble(t, "r6 = 1\n r7 = 3\n r8 = 5\n r9 = 6\n r0 = 40\n exit")
	caller = assemble(t, "r6 = r1\n r7 = 2\n r8 = 1000\n r9 = 10000\n call f\n r0 += r7\n r0 += r8\n r0 += r9\n exit\n f:\n r6 = r1\n "+call+" r0 = 1\n exit")
	if o := d.everyBudget(t, withHelpers(caller), target); o.exit.R0 != 11042 {
		t.Errorf("%+v", o.exit)
	}
	// A program that calls itself in a function ends at the limit.
	self := assemble(t, "r6 = r1\n r8 = 5\n call f\n r0 += r8\n exit\n f:\n r6 = r1\n r7 = *(u64 *)(r6 +24)\n r7 += 1\n *(u64 *)(r6 +24) = r7\n"+call+" r0 = *(u64 *)(r6 +24)\n exit")
	withHelpers(self)
	d.everyBudget(t, self, self)
	// A program without an engine to its tail.
	d.jit.m.Tail, d.interp.m.Tail = nil, nil
	caller.Helpers[12].Fn = func(*vm.Machine, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, vm.ErrTailCall }
	d.everyBudget(t, caller, nil)
}

// A program that tail calls for ever, without a helper that counts, ends with its
// budget and not with the native stack.
func TestEndlessTailCalls(t *testing.T) {
	d := newDuel(t)
	code := assemble(t, "r6 = r1\n call f\n exit\n f:\n r7 = r1\n r1 = r7\n call 12\n r0 = 0\n exit")
	withHelpers(code)
	code.Helpers[12].Fn = func(*vm.Machine, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, vm.ErrTailCall }
	a, b := compile(t, interp.Fast, code), compile(t, Engine{}, code)
	d.interp.m.Tail, d.jit.m.Tail = a, b
	d.compare(t, a, b, 20, 5000, 100_000)
}

func TestCallbacks(t *testing.T) {
	d := newDuel(t)
	u, err := isa.Assemble("loop.s", []byte(`
	*(u64 *)(r10 -8) = 100
	r6 = 7
	r7 = 8
	r1 = 10
	r2 = func[add]
	r3 = r10
	r3 += -8
	r4 = 0
	call 181
	r0 = *(u64 *)(r10 -8)
	r0 += r6
	r0 += r7
	exit
.func add static
	r6 = *(u64 *)(r2 +0)
	r6 += r1
	*(u64 *)(r2 +0) = r6
	r1 = 3
	call double
	if r0 != 6 goto bad
	r0 = 0
	exit
bad:
	r0 = 1
	exit
.func double static
	r0 = r1
	r0 += r0
	exit
`), isa.Options{})
	if err != nil {
		t.Fatal(err)
	}
	code := withHelpers(&vm.Code{Name: "loop", Insns: u.Sections[0].Insns})
	if o := d.everyBudget(t, code, nil); o.exit.R0 != 100+45+15 {
		t.Errorf("%+v %v", o.exit, o.trap)
	}
}

// Callbacks that call back, until no frame is left.
func TestNestedCallbacks(t *testing.T) {
	d := newDuel(t)
	u, err := isa.Assemble("nest.s", []byte(`
	r1 = 2
	r2 = func[again]
	r3 = r1
	call 181
	exit
.func again static
	r6 = r1
	call inner
	r0 = 0
	exit
.func inner static
	r1 = 1
	r2 = func[again]
	call 181
	exit
`), isa.Options{})
	if err != nil {
		t.Fatal(err)
	}
	code := withHelpers(&vm.Code{Name: "nest", Insns: u.Sections[0].Insns})
	o := d.everyBudget(t, code, nil)
	if o.trap == nil || o.trap.Kind != vm.TrapCall {
		t.Errorf("%+v", o)
	}
}

func TestDepth(t *testing.T) {
	d := newDuel(t)
	// recursion, and chains of 8 and 9 frames
	for _, src := range []string{
		"r6 = 5\n r6 += 1\n call pc-3\n exit",
		"call a\n exit\n a: call b\n exit\n b: call c\n exit\n c: call d\n exit\n d: call e\n exit\n e: call f\n exit\n f: call g\n exit\n g: r0 = 3\n exit",
		"call a\n exit\n a: call b\n exit\n b: call c\n exit\n c: call d\n exit\n d: call e\n exit\n e: call f\n exit\n f: call g\n exit\n g: call h\n exit\n h: r0 = 3\n exit",
	} {
		code := assemble(t, src)
		o := d.run(t, code, 1000)
		t.Log(o.exit, o.trap)
		for limit := range uint64(30) {
			d.run(t, code, limit)
		}
	}
}

func TestHelperErrors(t *testing.T) {
	d := newDuel(t)
	code := withHelpers(assemble(t, "r6 = 1\n r1 = 64\n call 7\n exit"))
	o := d.everyBudget(t, code, nil)
	if o.trap != nil {
		t.Log(o.trap)
	}
}

func TestMayGoto(t *testing.T) {
	d := newDuel(t)
	code := assemble(t, `
	call f
	r6 = r0
	call f
	r0 += r6
	exit
f:
	r0 = 0
loop:
	may_goto done
	r0 += 1
	goto loop
done:
	exit
`)
	o := d.run(t, code, 1<<40, 1000, 1<<20)
	if o.exit.R0 != 2*mayGotoLimit {
		t.Errorf("%+v %v", o.exit, o.trap)
	}
}

// The frame of a function starts with zeroes.
func TestStackIsCleared(t *testing.T) {
	d := newDuel(t)
	for _, n := range []string{"-1", "-3", "-8", "-13", "-16", "-24", "-100", "-512"} {
		d.run(t, assemble(t, "call f\n r6 = r0\n call f\n r0 += r6\n exit\n f:\n r0 = *(u8 *)(r10 "+n+")\n *(u8 *)(r10 "+n+") = 5\n exit"), 100)
	}
	d.run(t, assemble(t, "call f\n call f\n exit\n f:\n r1 = r10\n r1 += -512\n r0 = *(u64 *)(r1 +0)\n *(u64 *)(r1 +0) = 5\n exit"), 100)
}

func TestPacketLoads(t *testing.T) {
	d := newDuel(t)
	for _, src := range []string{
		"r6 = r1\n r0 = *(u16 *)skb[12]\n exit",
		"r6 = r1\n r0 = *(u32 *)skb[58]\n exit",
		"r6 = r1\n r7 = 3\n r8 = 4\n call f\n r0 += r7\n r0 += r8\n r0 += 1\n exit\n f:\n r7 = 9\n r8 = 60\n r0 = *(u8 *)skb[r8 + 0]\n r0 = 5\n exit",
	} {
		code := assemble(t, src)
		for limit := range uint64(16) {
			d.run(t, code, limit)
		}
		d.run(t, code, 1000)
	}
}

func TestRefusals(t *testing.T) {
	for _, src := range []string{
		"", "r0 = 0", "goto pc+5\n exit", "goto pc-3\n exit", "goto pc+1\n r1 = 5 ll\n exit", "call pc+7\n exit",
		"call 4711\n exit", ".insn 0x85, 0, 2, 0, 7\n exit", "r1 = addr_space_cast(r1, 0, 1)\n exit", "r10 += 8\n exit",
		"r10 = atomic_xchg((u32 *)(r1 +0), r10)\n exit",
		".insn 0xff, 0, 0, 0, 0\n.insn 0xb7, 12, 0, 0, 0\n exit", "call 1\n call 2\n exit",
	} {
		if sameRefusal(t, assemble(t, src)) {
			t.Errorf("%q compiles", src)
		}
	}
}

// An arena that machine code cannot use is refused by name.
func TestNoWindow(t *testing.T) {
	needNative(t)
	mem, err := vm.NewMemory(vm.MaxCap)
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	m, err := vm.NewMachine(mem)
	if err != nil {
		t.Fatal(err)
	}
	_, err = compile(t, Engine{}, assemble(t, "r0 = 0\n exit")).Run(m, 0)
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}
