package difftest

import (
	"slices"
	"strings"
	"testing"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/vm"
)

// broken is the fast loop with one instruction compiled as another.
type broken struct {
	is   func(isa.Instruction) bool
	make func(isa.Instruction) isa.Instruction
}

func (broken) Name() string { return "broken" }

func (e broken) Compile(code *vm.Code) (vm.Runner, error) {
	c := *code
	c.Insns = slices.Clone(code.Insns)
	for pc, ins := range c.Insns.All() {
		if e.is(ins) {
			c.Insns[pc] = e.make(ins)
		}
	}
	return interp.Fast.Compile(&c)
}

// An engine that gets one instruction wrong is caught, the instruction is found, and
// little else is left of the program.
func TestBrokenEngine(t *testing.T) {
	op := func(class isa.Class, code isa.Code, src isa.Source) func(isa.Instruction) bool {
		return func(i isa.Instruction) bool { return i.Op == isa.ALUOp(class, code, src) }
	}
	opcode := func(op isa.Opcode) func(isa.Instruction) isa.Instruction {
		return func(i isa.Instruction) isa.Instruction { i.Op = op; return i }
	}
	cases := []struct {
		name   string
		engine broken
		insn   string // a part of what must be named
		most   int    // slots that may be left
	}{
		{"arithmetic shift shifts in zeros", broken{
			op(isa.ClassALU, isa.CodeArsh, isa.SrcK), opcode(isa.ALUOp(isa.ClassALU, isa.CodeRsh, isa.SrcK)),
		}, "s>>=", 4},
		{"32 bits do not clear the upper half", broken{
			op(isa.ClassALU, isa.CodeXor, isa.SrcX), opcode(isa.ALUOp(isa.ClassALU64, isa.CodeXor, isa.SrcX)),
		}, "^=", 5},
		{"signed comparison is unsigned", broken{
			func(i isa.Instruction) bool { return i.Op == isa.JumpOp(isa.ClassJMP, isa.CodeJsgt, isa.SrcK) },
			opcode(isa.JumpOp(isa.ClassJMP, isa.CodeJgt, isa.SrcK)),
		}, "s>", 6},
		{"fetch-add does not fetch", broken{
			func(i isa.Instruction) bool {
				return i.Op.Class() == isa.ClassSTX && i.Op.Mode() == isa.ModeATOMIC && i.Imm == int32(isa.AtomicAdd|isa.AtomicFetch)
			},
			func(i isa.Instruction) isa.Instruction { i.Imm = int32(isa.AtomicAdd); return i },
		}, "fetch_add", 10}, // with a map value to work on
		{"signed load is unsigned", broken{
			func(i isa.Instruction) bool { return i.Op == isa.MemOp(isa.ClassLDX, isa.ModeMEMSX, isa.SizeB) },
			opcode(isa.MemOp(isa.ClassLDX, isa.ModeMEM, isa.SizeB)),
		}, "s8", 10},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := Campaign{Engines: []Engine{engine(t, "step"), Machine(tc.engine)}, Shrink: true}
			for n := 0; len(c.Mismatches) == 0; n++ {
				if n == 3000 {
					t.Fatal("no program shows the difference")
				}
				if _, err := c.Compare(t.Context(), Generate(1, n, GenOptions{})); err != nil {
					t.Fatal(err)
				}
			}
			m := c.Mismatches[0]
			left := listing(m.Case)
			if m.First == nil {
				t.Fatalf("%s: not located: %s\n%s", m.Name, m.NotLocated, left)
			}
			if !strings.Contains(m.First.Insn, tc.insn) || len(m.First.State) == 0 {
				t.Errorf("first step %+v, want %q\n%s", m.First, tc.insn, left)
			}
			if m.Shrunk > tc.most {
				t.Errorf("shrunk from %d to %d slots, want at most %d\n%s", m.Insns, m.Shrunk, tc.most, left)
			}
			t.Logf("program %s: %d to %d slots, step %v: %v", m.Name, m.Insns, m.Shrunk, m.First, m.First.State)

			text, err := m.Repro().Format()
			if err != nil {
				t.Fatal(err)
			}
			again, err := Open("saved", text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			replay := Campaign{Engines: c.Engines}
			if _, err := replay.Compare(t.Context(), again.Case); err != nil {
				t.Fatal(err)
			}
			if replay.Summary.Mismatches != 1 {
				t.Errorf("the saved case does not show it: %+v %+v\n%s", replay.Summary, replay.Skips(), text)
			}
		})
	}
}

// fickle is wrong only while much of its budget is left, as an engine with fast code
// for that time would be.
type fickle struct{ broken }

func (e fickle) Compile(code *vm.Code) (vm.Runner, error) {
	good, err := interp.Fast.Compile(code)
	if err != nil {
		return nil, err
	}
	bad, err := e.broken.Compile(code)
	return fickleRunner{good, bad}, err
}

type fickleRunner struct{ good, bad vm.Runner }

func (r fickleRunner) Code() *vm.Code { return r.good.Code() }

func (r fickleRunner) Run(m *vm.Machine, ctx uint64) (vm.Exit, error) {
	if m.Budget < 900 {
		return r.good.Run(m, ctx)
	}
	return r.bad.Run(m, ctx)
}

// An engine that is right whenever it is stopped is caught all the same, and what is
// left of the program says where it is wrong.
func TestFickleEngine(t *testing.T) {
	wrong := fickle{broken{
		func(i isa.Instruction) bool { return i.Op == isa.ALUOp(isa.ClassALU64, isa.CodeMul, isa.SrcX) },
		func(i isa.Instruction) isa.Instruction {
			i.Op = isa.ALUOp(isa.ClassALU, isa.CodeMul, isa.SrcX)
			return i
		},
	}}
	c := Campaign{Engines: []Engine{engine(t, "step"), Machine(wrong)}, Shrink: true}
	for n := 0; n < 500 && len(c.Mismatches) == 0; n++ {
		if _, err := c.Compare(t.Context(), Generate(2, n, GenOptions{})); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.Mismatches) == 0 {
		t.Fatalf("nothing found: %+v", c.Summary)
	}
	m := c.Mismatches[0]
	if m.First != nil || m.NotLocated != ErrNotLocated.Error() {
		t.Errorf("first step %+v, %q", m.First, m.NotLocated)
	}
	if m.Shrunk == 0 || m.Shrunk > 6 || !strings.Contains(listing(m.Case), "*=") {
		t.Errorf("%d slots are left\n%s", m.Shrunk, listing(m.Case))
	}
}

// Where the step loop stops early, the other engines are compared with each other.
func TestBrokenBehindStep(t *testing.T) {
	c, err := Open("case", []byte("-- program.s --\n.program main xdp\n\tr1 = -1\n\tw1 s>>= 1\n\tr0 = r1\n\tr0 += r9\n\texit\n"+
		"-- inputs.events --\nxdp hex=\"020000000002020000000001 88b5\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	wrong := Machine(broken{
		func(i isa.Instruction) bool { return i.Op == isa.ALUOp(isa.ClassALU, isa.CodeArsh, isa.SrcK) },
		func(i isa.Instruction) isa.Instruction {
			i.Op = isa.ALUOp(isa.ClassALU, isa.CodeRsh, isa.SrcK)
			return i
		},
	})
	camp := &Campaign{Engines: []Engine{engine(t, "step"), engine(t, "interp"), wrong}}
	if _, err := camp.Compare(t.Context(), c.Case); err != nil {
		t.Fatal(err)
	}
	if len(camp.Mismatches) != 1 || camp.Mismatches[0].Engines != [2]string{"interp", "broken"} || camp.Summary.Skipped != 1 {
		t.Errorf("%+v, skipped %+v", camp.Mismatches, camp.Skips())
	}
	if m := camp.Mismatches; len(m) == 1 && (m[0].First == nil || m[0].First.Step != 2) {
		t.Errorf("first step %+v", m[0].First)
	}
}
