package amd64

import (
	"fmt"
	"strings"
	"testing"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/vm"

	"github.com/google/go-cmp/cmp"
)

// A trap shows the registers as the instruction has found them, as the step loop
// does. The programs write all registers first: what was never written only the
// step loop knows.
func TestTrapRegisters(t *testing.T) {
	var all strings.Builder
	for r := range isa.R10 {
		if r != isa.R1 {
			fmt.Fprintf(&all, "r%d = %d\n", r, 0x1000*int(r)+7)
		}
	}
	d := newDuel(t)
	tests := []struct{ name, src string }{
		{"load from NULL", "r0 = *(u32 *)(r2 -8199)\n exit"},
		{"load into its own base", "r2 = *(u64 *)(r2 +0)\n exit"},
		{"sign-extending load", "r3 = *(s16 *)(r4 +2)\n exit"},
		{"store to a number", "*(u64 *)(r5 +0) = r1\n exit"},
		{"store of a constant", "*(u8 *)(r9 -1) = 5\n exit"},
		{"outside of the arena", "r8 = -1\n *(u8 *)(r8 +0) = 5\n exit"},
		{"below the frame", "r2 = r10\n r2 += -520\n r0 = *(u64 *)(r2 +0)\n exit"},
		{"R10 itself", "r0 = *(u64 *)(r10 -520)\n exit"},
		{"pointers of all kinds", "r2 = r10\n r2 += -8\n r3 = r1\n r3 += 8\n r4 = *(u64 *)(r9 +0)\n exit"},
		{"atomic add", "lock *(u64 *)(r3 +8) += r4\n exit"},
		{"fetching and", "r4 = atomic_fetch_and((u64 *)(r3 +8), r4)\n exit"},
		{"compare and exchange", "r0 = cmpxchg_64(r3 +8, r0, r4)\n exit"},
		{"atomic on an odd address", "r4 = atomic_fetch_or((u32 *)(r3 +2), r4)\n exit"},
		{"load-acquire", "r0 = load_acquire((u32 *)(r6 +4))\n exit"},
		{"store-release", "store_release((u32 *)(r6 +4), r0)\n exit"},
		{"after a call", "call f\n r0 = *(u64 *)(r7 +0)\n exit\n f:\n r0 = 1\n exit"},
		{"in a function", "r2 = r10\n r2 += -16\n call f\n exit\n f:\n r0 = 5\n r6 = r10\n r7 = r2\n r8 = 8\n r9 = 9\n r0 = *(u64 *)(r8 +0)\n exit"},
		{"after a helper", "call 9001\n r0 = *(u64 *)(r7 +0)\n exit"},
		{"in a helper", "r1 = 12\n call 7\n exit"},
		{"depth", "call f\n exit\n f:\n r6 = 6\n r7 = 7\n r8 = 8\n r9 = 9\n r0 = 0\n call f\n exit"},
		{"in a callback", "r1 = 3\n r2 = func[f]\n r3 = 0\n r4 = 0\n call 181\n exit\n.func f static\n r0 = 4\n r3 = 3\n r4 = 4\n r5 = 5\n r6 = 6\n r7 = 7\n r8 = 8\n r9 = 9\n r0 = *(u64 *)(r3 +0)\n exit"},
		{"after a callback", "r1 = 1\n r2 = func[f]\n r3 = 0\n r4 = 0\n call 181\n r0 = *(u64 *)(r8 +0)\n exit\n.func f static\n r6 = 6\n r7 = 7\n r8 = 1\n r0 = 0\n exit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d.compareRegs(t, all.String()+tt.src, true)
		})
	}
	t.Run("a number that is an address", func(t *testing.T) {
		// What it is the step loop knows and machine code does not.
		d.compareRegs(t, fmt.Sprintf("%sr7 = %d\n r0 = *(u64 *)(r9 +0)\n exit", &all, d.jit.value.Base), false)
	})
	t.Run("no budget left", func(t *testing.T) {
		code := assemble(t, all.String()+"loop:\n r2 += 1\n if r2 != 99999999 goto loop\n exit")
		step, jit := compile(t, interp.Step, code), compile(t, Engine{Options{Off: PassDead}}, code)
		for limit := uint64(10); limit < 300_000; limit = limit*3 + 1 {
			compareTraps(t, d.interp.observe(t, step, limit).trap, d.jit.observe(t, jit, limit).trap, true)
		}
	})
}

// compareRegs runs a program that traps on the step loop and as machine code. Without
// where, what registers point to is left out.
func (d *duel) compareRegs(t *testing.T, src string, where bool) {
	t.Helper()
	u, err := isa.Assemble("trap.s", []byte(src), isa.Options{})
	if err != nil {
		t.Fatal(err)
	}
	code := withHelpers(&vm.Code{Name: "trap", Insns: u.Sections[0].Insns})
	link := d.linkFuncs(t, code)
	step, jit := compile(t, interp.Step, code), compile(t, Engine{Options{Off: PassDead}}, code)
	link(step, jit)
	compareTraps(t, d.interp.observe(t, step, 1000).trap, d.jit.observe(t, jit, 1000).trap, where)
}

func compareTraps(t *testing.T, step, jit *vm.Trap, where bool) {
	t.Helper()
	if step == nil || jit == nil || step.PC != jit.PC || step.Insns != jit.Insns {
		t.Fatalf("step %v, jit %v", step, jit)
	}
	if !where {
		for i := range jit.Regs {
			jit.Regs[i].Where, step.Regs[i].Where = "", ""
		}
	}
	if diff := cmp.Diff(step.Regs, jit.Regs); diff != "" {
		t.Errorf("%v: registers (-step +jit)\n%s", jit, diff)
	}
}
