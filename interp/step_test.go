package interp

import (
	"errors"
	"slices"
	"testing"

	"bpfvm/isa"
	"bpfvm/vm"
)

// By default reading stack that was never written is reported, not refused.
func TestUninitialisedStack(t *testing.T) {
	code := assemble(t, "*(u32 *)(r10 -16) = 1\n r0 = *(u64 *)(r10 -16)\n r1 = *(u8 *)(r10 -1)\n exit")
	b := newBench(t)
	var reads []UninitRead
	lenient := StepEngine{UninitRead: func(_ *Stepper, r UninitRead) { reads = append(reads, r) }}
	if x, err := b.run(t, lenient, code); err != nil || x.R0 != 1 {
		t.Errorf("r0 %d, %v", x.R0, err)
	}
	top := b.m.FrameTop(0)
	if want := []UninitRead{{1, top - 12, 4}, {2, top - 1, 1}}; !slices.Equal(reads, want) {
		t.Errorf("reported %+v, want %+v", reads, want)
	}
	_, err := b.run(t, StepEngine{StrictStack: true}, code)
	const want = "test insn 1 (0x79): read of 8 bytes at fp-16: bytes 4..7 were never written"
	if err == nil || err.Error() != want {
		t.Errorf("strict: %v, want %s", err, want)
	}
}

// What a debugger sees between two steps.
func TestStepper(t *testing.T) {
	code := assemble(t, `
	r2 = *(u32 *)(r1 +0)
	r2 += 12
	*(u64 *)(r10 -8) = r2
	r3 = 7
	r1 = r3
	call f
	exit
f:
	r0 = r1
	exit
`)
	b := newBench(t)
	b.m.Reset()
	s := compile(t, Step, code).(*Stepping).Start(b.m, b.ctx.Base)
	var _ vm.Stepper = s
	step := func(pc isa.PC) {
		t.Helper()
		if s.PC() != pc {
			t.Errorf("pc %d, want %d", s.PC(), pc)
		}
		if _, err := s.Step(); err != nil {
			t.Fatal(err)
		}
	}
	if _, known := s.Reg(isa.R2); known {
		t.Error("r2 is known at entry")
	}
	if v, known := s.Reg(isa.R1); !known || v != b.ctx.Base {
		t.Errorf("r1 is %#x at entry", v)
	}
	step(0)
	step(1)
	if obj, ok := s.Object(isa.R2); !ok || obj.Region != b.pkt || obj.Base != b.pkt.Start || obj.Size != 60 {
		t.Errorf("r2 points to %+v", obj)
	}
	step(2)
	if w := s.Written(0); !w[vm.StackSize-8] || w[vm.StackSize-9] || len(s.Written(9)) != 0 {
		t.Error("fp-8 is not marked as written, or more than that is")
	}
	step(3)
	s.SetReg(isa.R3, 8)
	s.SetReg(isa.R10, 8)
	step(4)
	step(5)
	if s.Frame() != 1 || s.Insns() != 6 {
		t.Errorf("frame %d after %d instructions", s.Frame(), s.Insns())
	}
	if _, pc, err := s.Caller(0); err != nil || pc != 6 {
		t.Errorf("frame 0 continues at %d, %v", pc, err)
	}
	if _, _, err := s.Caller(1); err == nil {
		t.Error("frame 1 has a callee")
	}
	step(7)
	step(8)
	step(6)
	done, err := s.Step()
	if !done || err != nil || s.Exit() != (vm.Exit{R0: 8, Insns: 9}) {
		t.Errorf("done %v, %v, %+v", done, err, s.Exit())
	}
}

// After a trap the stepper stays where it is.
func TestStepperStaysAtTrap(t *testing.T) {
	b := newBench(t)
	b.m.Reset()
	s := compile(t, Step, assemble(t, "r0 = 0\n r0 = *(u64 *)(r0 +0)\n exit")).(*Stepping).Start(b.m, 0)
	s.Step()
	_, first := s.Step()
	_, second := s.Step()
	trap, ok := errors.AsType[*vm.Trap](first)
	if !ok || first != second || s.PC() != 1 || s.Insns() != 1 || trap.Where != "0x0" {
		t.Errorf("%v, %v at %d after %d", first, second, s.PC(), s.Insns())
	}
}

// A pointer that goes through the stack keeps its object until its bytes change.
func TestSpill(t *testing.T) {
	const spill = "r2 = *(u32 *)(r1 +0)\n *(u64 *)(r10 -8) = r2\n "
	b := newBench(t)
	for _, tt := range []struct {
		source string
		traps  bool
	}{
		{spill + "r3 = *(u64 *)(r10 -8)\n r0 = *(u8 *)(r3 +60)\n exit", true},
		{spill + "*(u8 *)(r10 -8) = r2\n r3 = *(u64 *)(r10 -8)\n r0 = *(u8 *)(r3 +60)\n exit", false},
		{spill + "r3 = *(u32 *)(r10 -8)\n r0 = *(u8 *)(r3 +60)\n exit", false},
		{spill + "r4 = 0\n lock *(u64 *)(r10 -8) += r4\n r3 = *(u64 *)(r10 -8)\n r0 = *(u8 *)(r3 +60)\n exit", false},
	} {
		_, err := b.run(t, Step, assemble(t, tt.source))
		trap, _ := errors.AsType[*vm.Trap](err)
		if (trap != nil && trap.Kind == vm.TrapBounds) != tt.traps {
			t.Errorf("%v of %q", err, tt.source)
		}
	}
}
