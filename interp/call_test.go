package interp

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// onBoth runs a test on each loop with a fresh bench.
func onBoth(t *testing.T, f func(t *testing.T, e vm.Engine, b *bench)) {
	for _, e := range engines {
		t.Run(e.Name(), func(t *testing.T) { f(t, e, newBench(t)) })
	}
}

// want checks the end of a run.
func want(t *testing.T, x vm.Exit, err error, r0, insns uint64) {
	t.Helper()
	if err != nil || x.R0 != r0 || x.Insns != insns {
		t.Errorf("r0 %#x after %d instructions, %v; want %#x after %d", x.R0, x.Insns, err, r0, insns)
	}
}

func TestTailCall(t *testing.T) {
	const call = "r1 = r6\n r2 = map[fd:0]\n r3 = 0\n call 12\n"
	onBoth(t, func(t *testing.T, e vm.Engine, b *bench) {
		target := assemble(t, "r0 = *(u64 *)(r10 -8)\n r2 = *(u32 *)(r1 +16)\n r0 += r2\n r0 += 5\n exit")
		caller := assemble(t, "r6 = r1\n *(u64 *)(r10 -8) = 77\n *(u32 *)(r6 +16) = 9\n"+call+" r0 = 1\n exit")
		caller.Helpers = testHelpers(b)
		b.link(t, caller)
		r := compile(t, e, caller)
		for _, tail := range []vm.Engine{e, Step, Fast} { // a program array may hold another engine's
			b.m.Reset()
			b.m.Tail = compile(t, tail, target)
			x, err := r.Run(b.m, b.ctx.Base)
			want(t, x, err, 14, 3+4+5)
		}
	})
	// In a function, the target's exit returns to the function's caller.
	onBoth(t, func(t *testing.T, e vm.Engine, b *bench) {
		target := assemble(t, "r6 = 1\n r0 = 40\n exit")
		caller := assemble(t, "r6 = r1\n r7 = 2\n call f\n r0 += r7\n exit\n f:\n r6 = r1\n "+call+" r0 = 1\n exit")
		caller.Insns = append(isa.Program{}, caller.Insns...)
		caller.Helpers = testHelpers(b)
		b.link(t, caller)
		b.m.Reset()
		b.m.Tail = compile(t, e, target)
		x, err := compile(t, e, caller).Run(b.m, b.ctx.Base)
		want(t, x, err, 42, 3+1+4+3+2)
	})
	// A program that calls itself ends at the limit, which counts the calls.
	onBoth(t, func(t *testing.T, e vm.Engine, b *bench) {
		code := assemble(t, "r6 = r1\n r0 = *(u64 *)(r6 +24)\n r0 += 1\n *(u64 *)(r6 +24) = r0\n"+call+" r0 = *(u64 *)(r6 +24)\n exit")
		code.Helpers = testHelpers(b)
		b.link(t, code)
		r := compile(t, e, code)
		b.m.Reset()
		b.m.Tail = r
		x, err := r.Run(b.m, b.ctx.Base)
		want(t, x, err, vm.MaxTailCalls+1, (vm.MaxTailCalls+1)*8+2)
	})
}

func TestNoBudgetAtAll(t *testing.T) {
	onBoth(t, func(t *testing.T, e vm.Engine, b *bench) {
		b.m.Limit = 1<<64 - 1
		x, err := b.run(t, e, assemble(t, "call f\n exit\n f:\n r0 = 3\n exit"))
		want(t, x, err, 3, 4)
	})
}

// LD_ABS and LD_IND outside of the packet return from the function that they are in.
func TestPacketLoadLeavesFunction(t *testing.T) {
	onBoth(t, func(t *testing.T, e vm.Engine, b *bench) {
		code := assemble(t, "r6 = r1\n r7 = 4\n call f\n r0 += r7\n exit\n f:\n r6 = r1\n r7 = 9\n r0 = *(u16 *)skb[r7 + 60]\n r0 = 100\n exit")
		x, err := b.run(t, e, code)
		want(t, x, err, 4, 3+3+2)
		b.m.PktData, b.m.PktEnd = 0, 0
		x, err = b.run(t, e, assemble(t, "r6 = r1\n r0 = *(u8 *)skb[0]\n r0 = 100\n exit"))
		want(t, x, err, 0, 2)
	})
}

func TestBadCallbacks(t *testing.T) {
	onBoth(t, func(t *testing.T, e vm.Engine, b *bench) {
		r := callback(t, e, b, true)
		for _, reg := range b.mem.Regions() {
			if fn, ok := reg.Owner.(*vm.Func); ok {
				fn.PC = 1000
			}
		}
		b.m.Reset()
		_, err := r.Run(b.m, b.ctx.Base)
		if want := "loop/main insn 8 (0x85): callback add: slot 1000 is not an instruction of its program"; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		b.m.Reset()
		b.m.Tail = nil
		code := assemble(t, "r2 = map[fd:0]\n r3 = 0\n call 12\n exit")
		code.Helpers = testHelpers(b)
		b.link(t, code)
		_, err = compile(t, e, code).Run(b.m, b.ctx.Base)
		if want := "test insn 3 (0x85): tail call without a program"; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	})
}

// One compiled program runs on many machines at the same time.
func TestConcurrentMachines(t *testing.T) {
	code := assemble(t, subprogsSource)
	var benches []*bench
	for range 8 {
		benches = append(benches, newBench(t))
	}
	onBoth(t, func(t *testing.T, e vm.Engine, _ *bench) {
		r := compile(t, e, code)
		var wg sync.WaitGroup
		results := make([]vm.Exit, len(benches))
		for i, b := range benches {
			wg.Go(func() {
				b.m.Limit = 60_010 + uint64(i) // some end while counting
				b.m.Reset()
				results[i], _ = r.Run(b.m, b.ctx.Base)
			})
		}
		wg.Wait()
		for i := 1; i < len(results); i++ {
			if results[i] != results[0] {
				t.Errorf("machine %d: %+v, machine 0: %+v", i, results[i], results[0])
			}
		}
	})
}

// A helper may run another program on the same machine, and still call back.
func TestNestedRun(t *testing.T) {
	onBoth(t, func(t *testing.T, e vm.Engine, b *bench) {
		inner := compile(t, e, assemble(t, "r0 = *(u32 *)(r1 +0)\n r0 += 1\n exit"))
		outer := callback(t, e, b, true)
		loop := outer.Code().Helpers[helperLoop]
		fn := loop.Fn
		loop.Fn = func(m *vm.Machine, n, f, ctx, r4, r5 uint64) (uint64, error) {
			b.store(t, b.value.Base, 4, 41)
			if x, err := inner.Run(m, b.value.Base); err != nil || x.R0 != 42 || x.Insns != 3 {
				t.Errorf("inner run: %+v, %v", x, err)
			}
			if m.Ctx != b.ctx.Base || m.Depth != 1 {
				t.Errorf("after the inner run: ctx %#x, depth %d", m.Ctx, m.Depth)
			}
			return fn(m, n, f, ctx, r4, r5)
		}
		for range 2 {
			b.m.Reset()
			x, err := outer.Run(b.m, b.ctx.Base)
			want(t, x, err, 100+45+7, 11+10*5+3)
		}
	})
}

// loopSource calls add for 0 to 9; add sums its argument up in the caller's frame.
const loopSource = `
	*(u64 *)(r10 -8) = 100
	r6 = 7
	r1 = 10
	r2 = func[add]
	r3 = r10
	r3 += -8
	r4 = 0
	call 181
	r0 = *(u64 *)(r10 -8)
	r0 += r6
	exit
.func add static
	r6 = *(u64 *)(r2 +0)
	r6 += r1
	*(u64 *)(r2 +0) = r6
	r0 = 0
	exit
`

// callback links the function "add" of loopSource. Without known, the code does not
// say where functions begin.
func callback(t *testing.T, e vm.Engine, b *bench, known bool) vm.Runner {
	t.Helper()
	u, err := isa.Assemble("loop.s", []byte(loopSource), isa.Options{})
	if err != nil {
		t.Fatal(err)
	}
	code := &vm.Code{Name: "loop", Insns: u.Sections[0].Insns, Helpers: testHelpers(b)}
	if known {
		for _, f := range u.Sections[0].Funcs {
			code.Funcs = append(code.Funcs, spec.Func{Name: f.Name, PC: f.PC})
		}
	}
	fn := &vm.Func{Name: "add"}
	handle, err := b.mem.Handle(vm.RegionFunc, "add", fn)
	if err != nil {
		t.Fatal(err)
	}
	for pc, ins := range code.Insns.All() {
		if ins.IsWide() {
			fn.PC = int(u.Sections[0].Funcs[1].PC)
			code.Insns.SetImm64(pc, handle.Base)
		}
	}
	fn.Target = compile(t, e, code)
	return fn.Target
}

func TestCallback(t *testing.T) {
	for _, known := range []bool{true, false} {
		onBoth(t, func(t *testing.T, e vm.Engine, b *bench) { testCallback(t, b, callback(t, e, b, known)) })
	}
}

func testCallback(t *testing.T, b *bench, r vm.Runner) {
	for range 2 { // the second run finds the first one's state
		b.m.Reset()
		x, err := r.Run(b.m, b.ctx.Base)
		want(t, x, err, 100+45+7, 11+10*5)
	}
	if b.m.Depth != 0 {
		t.Errorf("depth %d after the run", b.m.Depth)
	}
	// A budget that ends in the callback.
	for limit := range uint64(11 + 10*5) {
		b.m.Limit = limit
		b.m.Reset()
		_, err := r.Run(b.m, b.ctx.Base)
		trap, _ := errors.AsType[*vm.Trap](err)
		if trap == nil || trap.Kind != vm.TrapBudget || trap.Insns != limit || b.m.Budget != 0 {
			t.Fatalf("budget %d: %+v, %d left", limit, trap, b.m.Budget)
		}
		if inside := limit >= 8 && limit < 58; inside != (trap.Frame == 1) {
			t.Errorf("budget %d: the trap is in frame %d", limit, trap.Frame)
		}
	}
}

// Both loops trap at the same instruction wherever the budget ends, in straight
// lines, loops, functions and joined records.
func TestBudget(t *testing.T) {
	source := `
	r6 = 5
	r7 = 0
loop:
	r1 = r6
	r1 <<= 3
	r1 ^= r6
	*(u64 *)(r10 -8) = r1
	call f
	r7 += r0
	r6 += -1
	if r6 == 0 goto +1
	goto loop
	r0 = r7
	exit
f:
	r0 = r1
	r0 *= 3
	if r0 > 50 goto big
	exit
big:
	r0 >>= 1
	exit
`
	code := assemble(t, source)
	steps, fasts := newBench(t), newBench(t)
	full := observe(t, steps, Step, code, 1000)
	if full.trap != nil {
		t.Fatal(full.trap)
	}
	for limit := range full.exit.Insns + 2 {
		step := observe(t, steps, Step, code, limit)
		fast := observe(t, fasts, Fast, code, limit)
		if d := difference(step, fast); d != "" {
			t.Errorf("budget %d: %s", limit, d)
		}
		if (step.trap == nil) != (limit >= full.exit.Insns) {
			t.Errorf("budget %d of %d: %v", limit, full.exit.Insns, step.trap)
		}
	}
}

// may_goto has a counter for each activation of a function.
func TestMayGotoPerActivation(t *testing.T) {
	source := `
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
`
	onBoth(t, func(t *testing.T, e vm.Engine, b *bench) {
		if e.Name() == "step" && testing.Short() {
			t.Skip("50 million steps are not short")
		}
		x, err := b.run(t, e, assemble(t, source))
		want(t, x, err, 2*mayGotoLimit, 5+2*(3*mayGotoLimit+3))
	})
}

// A frame starts with zeroes, whatever ran there before.
func TestStackIsCleared(t *testing.T) {
	onBoth(t, func(t *testing.T, e vm.Engine, b *bench) {
		for _, source := range []string{
			"r0 = *(u64 *)(r10 -8)\n r1 = *(u64 *)(r10 -512)\n r0 += r1\n *(u64 *)(r10 -8) = 5\n *(u64 *)(r10 -512) = 6\n exit",
			"r1 = r10\n r1 += -8\n r0 = *(u64 *)(r1 +0)\n *(u64 *)(r1 +0) = 5\n exit",
			"call f\n r6 = r0\n call f\n r0 += r6\n exit\n f:\n r0 = *(u64 *)(r10 -8)\n *(u64 *)(r10 -8) = 5\n exit",
		} {
			code := assemble(t, source)
			for run := range 2 {
				if x, err := b.run(t, e, code); err != nil || x.R0 != 0 {
					t.Errorf("run %d: %v, %v of %q", run, x, err, source)
				}
			}
		}
	})
}

// More constants than the fast loop keeps in its register file.
func TestManyConstants(t *testing.T) {
	var src strings.Builder
	src.WriteString("r0 = 0\n")
	sum := uint64(0)
	for i := range uint64(400) {
		v := i * 0x1_0000_0001
		fmt.Fprintf(&src, "r1 = %#x ll\n r0 += r1\n r0 += %d\n if r0 == %d goto +1\n", v, i, 70000+i)
		src.WriteString("r0 ^= 0\n")
		sum += v + i
	}
	src.WriteString("exit\n")
	onBoth(t, func(t *testing.T, e vm.Engine, b *bench) {
		x, err := b.run(t, e, assemble(t, src.String()))
		want(t, x, err, sum, 1+400*5+1)
		b.m.Limit = x.Insns // counting each instruction
		x, err = b.run(t, e, assemble(t, src.String()))
		want(t, x, err, sum, 1+400*5+1)
	})
}

func TestCompileErrors(t *testing.T) {
	tests := []struct{ source, want string }{
		{"", "test: no instructions"},
		{"r0 = 0", "test insn 0 (0xb7): the last instruction is not an exit or a jump"},
		{"goto pc+5\n exit", "test insn 0 (0x05): jump to slot 6, outside of the program's 2"},
		{"goto pc-3\n exit", "test insn 0 (0x05): jump to slot -2, outside of the program's 2"},
		{"goto pc+1\n r1 = 5 ll\n exit", "test insn 0 (0x05): jump into the middle of the wide instruction at slot 1"},
		{"call pc+7\n exit", "test insn 0 (0x85): call to slot 8, outside of the program's 2"},
		{"call 4711\n exit", "test insn 0 (0x85): call of helper #4711: unsupported operation"},
		{".insn 0x85, 0, 2, 0, 7\n exit", "test insn 0 (0x85): call of kernel function (BTF id 7): unsupported operation"},
		{"r1 = addr_space_cast(r1, 0, 1)\n exit", "test insn 0 (0xbf): cast between address spaces (BPF arena): unsupported operation"},
		{"r10 += 8\n exit", "test insn 0 (0x07): frame pointer is read only"},
		{"r10 = atomic_xchg((u32 *)(r1 +0), r10)\n exit", "test insn 0 (0xc3): frame pointer is read only"},
		{".insn 0xff, 0, 0, 0, 0\n.insn 0xb7, 12, 0, 0, 0\n exit", "test insn 0 (0xff): opcode: unknown opcode\ntest insn 1 (0xb7): dst: register r12 does not exist"},
		{"call 1\n call 2\n exit", "test insn 0 (0x85): call of helper #1: unsupported operation\ntest insn 1 (0x85): call of helper #2: unsupported operation"},
	}
	for _, tt := range tests {
		code := assemble(t, tt.source)
		for _, e := range engines {
			_, err := e.Compile(code)
			if err == nil || err.Error() != tt.want {
				t.Errorf("%s, %q: %v, want %s", e.Name(), tt.source, err, tt.want)
			}
			if unsupported := strings.Contains(tt.want, "unsupported"); unsupported != errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%q: ErrUnsupported is %v", tt.source, !unsupported)
			}
		}
	}
}
