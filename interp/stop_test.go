package interp

import (
	"sync/atomic"
	"testing"
	"time"

	"bpfvm/isa"
	"bpfvm/vm"
)

// A run that nobody's budget ends is over soon after the flag is set, wherever it
// is: in a loop, or in callbacks that a helper makes one after the other.
func TestStop(t *testing.T) {
	again := &vm.Helper{Fn: func(m *vm.Machine, fn, _, _, _, _ uint64) (uint64, error) {
		for {
			if _, err := m.Call(fn, [5]uint64{}); err != nil {
				return 0, err
			}
		}
	}}
	for name, src := range map[string]string{
		"loop":      "again:\n\tr0 += 1\n\tgoto again\n\texit\n",
		"callbacks": "\tr1 = r2\n\tcall 1\n\texit\n",
		"calls":     "again:\n\tcall sub\n\tgoto again\n\texit\nsub:\n\tr0 = 1\n\texit\n",
	} {
		for _, e := range []vm.Engine{Step, Fast} {
			t.Run(name+"/"+e.Name(), func(t *testing.T) {
				unit, err := isa.Assemble("stop", []byte("\tr0 = 0\n"+src), isa.Options{})
				if err != nil {
					t.Fatal(err)
				}
				mem, err := vm.NewMemory(0)
				if err != nil {
					t.Fatal(err)
				}
				m, err := vm.NewMachine(mem)
				if err != nil {
					t.Fatal(err)
				}
				var stop atomic.Bool
				m.Stop, m.Limit = &stop, 1<<60
				m.Reset()
				code := &vm.Code{Name: "stop", Insns: unit.Sections[0].Insns, Helpers: map[int32]*vm.Helper{1: again}}
				if name == "callbacks" {
					code.Insns = append(code.Insns, isa.Instruction{Op: 0xb7}, isa.Instruction{Op: isa.OpExit})
					fn := &vm.Func{Name: "cb", PC: len(code.Insns) - 2}
					h, err := mem.Handle(vm.RegionFunc, "cb", fn)
					if err != nil {
						t.Fatal(err)
					}
					// r2 is not set at entry: the second slot becomes the address.
					code.Insns[1] = isa.Instruction{Op: 0xb7, Regs: 1, Imm: int32(h.Base)}
				}
				r, err := e.Compile(code)
				if err != nil {
					t.Fatal(err)
				}
				var begun time.Time
				time.AfterFunc(20*time.Millisecond, func() { begun = time.Now(); stop.Store(true) })
				_, err = r.Run(m, 0)
				took := time.Since(begun)
				trap, ok := err.(*vm.Trap)
				if !ok || trap.Kind != vm.TrapStopped {
					t.Fatalf("got %v", err)
				}
				if trap.Insns == 0 || trap.Insns > 1<<40 || len(trap.Regs) != isa.NumRegisters {
					t.Errorf("%d instructions, registers %v", trap.Insns, trap.Regs)
				}
				if took > time.Second { // 10 ms on a machine that does nothing else
					t.Errorf("it took %v", took)
				}
				t.Logf("stopped after %v", took)
			})
		}
	}
}
