package interp

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"bpfvm/isa"
	"bpfvm/vm"
)

// outcome is all that a run leaves behind.
type outcome struct {
	exit   vm.Exit
	trap   *vm.Trap
	reg    [isa.NumRegisters]uint64
	memory []byte
	budget uint64
}

// observe runs code on one engine with a fresh state of the same bench.
func observe(t testing.TB, b *bench, e vm.Engine, code *vm.Code, limit uint64) outcome {
	t.Helper()
	r := compile(t, e, code)
	if b.initial == nil {
		copy(b.mem.Raw(b.value.Base, 64), pattern())
		b.initial = bytes.Clone(b.mem.Raw(vm.FirstAddr, b.mem.Used()))
	}
	copy(b.mem.Raw(vm.FirstAddr, b.mem.Used()), b.initial)
	b.m.Limit = limit
	b.m.Reset()
	var o outcome
	var err error
	if p, ok := r.(*Stepping); ok {
		s := p.Start(b.m, b.ctx.Base)
		for done := false; !done && err == nil; {
			done, err = s.Step()
		}
		o.exit, o.reg = s.Exit(), s.reg
		b.m.Depth = s.base
	} else {
		o.exit, err = r.Run(b.m, b.ctx.Base)
		o.reg = [isa.NumRegisters]uint64(b.m.Caller.(*fastRun).reg[:])
	}
	if err != nil {
		trap, ok := errors.AsType[*vm.Trap](err)
		if !ok {
			t.Fatalf("%s: the error is no trap: %v", e.Name(), err)
		}
		o.trap = trap
	}
	o.memory = bytes.Clone(b.mem.Raw(vm.FirstAddr, b.mem.Used()))
	o.budget = b.m.Budget
	return o
}

// stricter reports a trap that only the step loop makes.
func stricter(t *vm.Trap) bool {
	if t == nil {
		return false
	}
	switch t.Kind {
	case vm.TrapUninit, vm.TrapBounds, vm.TrapReadOnly:
		return true
	}
	return false
}

// difference says how two runs differ, "" when they do not.
func difference(step, fast outcome) string {
	switch a, b := step.trap, fast.trap; {
	case (a == nil) != (b == nil):
		return fmt.Sprintf("trap: step %v, interp %v", a, b)
	case a != nil && (a.Kind != b.Kind || a.PC != b.PC || a.Insns != b.Insns || a.Frame != b.Frame || a.Func != b.Func ||
		a.Addr != b.Addr || a.Size != b.Size || a.Write != b.Write || a.Error() != b.Error()):
		return fmt.Sprintf("trap: step %+v (%v), interp %+v (%v)", a, a, b, b)
	case a != nil:
		if d := differentRegs(a.Regs, b.Regs); d != "" {
			return fmt.Sprintf("%v: %s", a, d)
		}
	}
	switch {
	case step.exit != fast.exit:
		return fmt.Sprintf("exit: step %+v, interp %+v", step.exit, fast.exit)
	case step.reg != fast.reg:
		return fmt.Sprintf("registers: step %#x, interp %#x", step.reg, fast.reg)
	case step.budget != fast.budget:
		return fmt.Sprintf("budget: step %d, interp %d", step.budget, fast.budget)
	case !bytes.Equal(step.memory, fast.memory):
		return "memory differs"
	}
	return ""
}

// differentRegs compares what traps say of registers. The fast loop does not know
// which were never written.
func differentRegs(step, fast []vm.TrapReg) string {
	if len(step) != len(fast) {
		return fmt.Sprintf("registers: step %d, interp %d", len(step), len(fast))
	}
	for r := range step {
		if step[r].Init && (step[r].Value != fast[r].Value || !fast[r].Init) {
			return fmt.Sprintf("r%d: step %+v, interp %+v", r, step[r], fast[r])
		}
	}
	return ""
}

// Random programs give the same on both loops, also when the budget ends anywhere.
// Every kind of record must have been compiled by then.
func TestStepVsFast(t *testing.T) {
	programs := 30000
	if testing.Short() {
		programs = 3000
	}
	seen := make([]bool, recordKinds)
	steps, fasts := newBench(t), newBench(t)
	strict := 0
	for seed := range programs {
		g := newGenerator(uint64(seed), steps.value.Base, steps.pkt.Start)
		code := &vm.Code{Name: "random", Insns: g.program(), Helpers: map[int32]*vm.Helper{9001: sumHelper}}
		for _, r := range compile(t, Fast, code).(*fastProgram).joined.recs {
			seen[r.op] = true
		}
		limits := []uint64{2000}
		for i := 0; i < len(limits); i++ {
			limit := limits[i]
			step := observe(t, steps, Step, code, limit)
			fast := observe(t, fasts, Fast, code, limit)
			if stricter(step.trap) {
				strict++
				continue
			}
			if d := difference(step, fast); d != "" {
				var text bytes.Buffer
				isa.Disassemble(&text, code.Insns, isa.Printer{Slots: true})
				t.Fatalf("seed %d, budget %d: %s\n%s", seed, limit, d, &text)
			}
			if n := step.exit.Insns; n > 0 && i == 0 && seed%4 == 0 {
				limits = append(limits, n, n-1, n/2)
			}
		}
	}
	if strict > programs/2 {
		t.Errorf("%d of %d programs trapped in the step loop only", strict, programs)
	}
	if testing.Short() {
		return
	}
	for op, ok := range seen {
		if !ok && !neverMade(uint16(op)) {
			t.Errorf("no program has made a record of kind %d", op)
		}
	}
}

// neverMade reports the numbers without a record and the records that random programs
// do not contain.
func neverMade(op uint16) bool {
	switch op {
	case opConst, opCallX, opLdAbs, opMayGoto, opCount:
		return true
	case opJumpElse + opJset - opJeq, opJumpElse + opJset32 - opJeq: // no opposite
		return true
	}
	const forms = 3 * (pairMov + 1)
	return op >= opPairs && op < opALUJumps && (op-opPairs)%forms == forms-1 // Mov with a right operand
}

// FuzzStepVsFast runs arbitrary slots.
func FuzzStepVsFast(f *testing.F) {
	b := newBench(f)
	for seed := range uint64(20) {
		f.Add(isa.Encode(newGenerator(seed, b.value.Base, b.pkt.Start).program()))
	}
	fasts := newBench(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		insns, err := isa.Decode(data[:len(data)&^7])
		if err != nil {
			t.Fatal(err)
		}
		code := &vm.Code{Name: "fuzz", Insns: insns, Helpers: map[int32]*vm.Helper{9001: sumHelper}}
		_, stepErr := Step.Compile(code)
		_, fastErr := Fast.Compile(code)
		if (stepErr == nil) != (fastErr == nil) {
			t.Fatalf("compile: step %v, interp %v", stepErr, fastErr)
		}
		if stepErr != nil {
			return
		}
		step := observe(t, b, Step, code, 3000)
		fast := observe(t, fasts, Fast, code, 3000)
		if stricter(step.trap) {
			return
		}
		if d := difference(step, fast); d != "" {
			t.Fatal(d)
		}
	})
}
