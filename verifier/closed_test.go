package verifier

import (
	"math/rand/v2"
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"
)

func mustAssemble(t testing.TB, src string) isa.Program {
	t.Helper()
	p, err := isa.AssembleProgram(src)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFactsHoldOnPrunedPaths is why closed states exist: the path with r6 = 1 is
// pruned, and still r6 is 1 and the result 6 in some runs.
func TestFactsHoldOnPrunedPaths(t *testing.T) {
	p := mustAssemble(t, `
		r0 = *(u32 *)(r1 +0)
		r6 = 1
		if r0 == 0 goto j
		r6 = 2
	j:	r0 = r6
		r0 += 5
		exit`)
	r, err := Verify(&spec.ProgramSpec{Name: "p", Type: spec.ProgSocketFilter, Insns: p}, Options{})
	if err != nil || r.Verdict != Accepted {
		t.Fatal(r, err)
	}
	at := func(pc, reg int) *Bounds { return &r.Facts.Slots[pc].Regs[reg] }
	for _, want := range []struct {
		pc, reg int
		vals    []uint64
		not     uint64
	}{{4, 6, []uint64{1, 2}, 4}, {6, 0, []uint64{6, 7}, 9}, {3, 6, []uint64{1}, 2}} {
		b := at(want.pc, want.reg)
		for _, v := range want.vals {
			if !b.Contains(v) {
				t.Errorf("slot %d: r%d can be %d, facts say %+v", want.pc, want.reg, v, *b)
			}
		}
		if b.Contains(want.not) {
			t.Errorf("slot %d: r%d is never %d, facts say %+v", want.pc, want.reg, want.not, *b)
		}
	}
}

// toy runs programs of genSpec on numbers: as pointers it takes fixed addresses
// far from each other. It is only as exact as the comparison with bounds needs.
type toy struct {
	regs  [11]uint64
	stack map[uint64]byte
	rng   *rand.Rand
	steps int
}

const toyStack = 0x7000_0000

func (m *toy) load(addr uint64, n int) uint64 {
	if addr < toyStack-512 || addr >= toyStack {
		return m.rng.Uint64() >> (64 - 8*n) // context or packet
	}
	var v uint64
	for i := n - 1; i >= 0; i-- {
		v = v<<8 | uint64(m.stack[addr+uint64(i)])
	}
	return v
}

func (m *toy) store(addr uint64, n int, v uint64) {
	for i := range n {
		m.stack[addr+uint64(i)] = byte(v >> (8 * i))
	}
}

// run calls see before each instruction until exit or enough steps.
func (m *toy) run(p isa.Program, see func(pc int, regs *[11]uint64)) {
	m.stack = map[uint64]byte{}
	m.regs[1], m.regs[10] = 0x5000_0000, toyStack
	for pc := 0; m.steps < 300; m.steps++ {
		see(pc, &m.regs)
		ins := p[pc]
		d, s := &m.regs[ins.Dst()], m.regs[ins.Src()]
		src := uint64(int64(ins.Imm))
		if ins.Op.Source() == isa.SrcX {
			src = s
		}
		addr := func(base uint64) uint64 { return base + uint64(int64(ins.Off)) }
		n := ins.Op.Size().Bytes()
		switch class := ins.Op.Class(); class {
		case isa.ClassALU, isa.ClassALU64:
			toyALU(d, ins, src, class == isa.ClassALU64)
		case isa.ClassLDX:
			*d = m.load(addr(s), n)
			if ins.Op.Mode() == isa.ModeMEMSX {
				k := 64 - 8*n
				*d = uint64(int64(*d<<k) >> k)
			}
		case isa.ClassSTX:
			m.store(addr(*d), n, s)
		case isa.ClassST:
			m.store(addr(*d), n, uint64(int64(ins.Imm)))
		default:
			switch ins.Op.Code() {
			case isa.CodeExit:
				return
			case isa.CodeCall:
				m.regs[0] = m.rng.Uint64()
				for r := 1; r <= 5; r++ {
					m.regs[r] = m.rng.Uint64()
				}
			case isa.CodeJa:
				pc += int(ins.Off)
			default:
				if concreteJump(ins.Op.Code(), *d, src, class == isa.ClassJMP32) {
					pc += int(ins.Off)
				}
			}
		}
		pc++
	}
}

func toyALU(d *uint64, ins isa.Instruction, src uint64, is64 bool) {
	low := func(v uint64) uint64 {
		if is64 {
			return v
		}
		return uint64(uint32(v))
	}
	switch code := ins.Op.Code(); code {
	case isa.CodeMov:
		if ins.Off != 0 {
			k := 64 - int(ins.Off)
			src = uint64(int64(src<<k) >> k)
		}
		*d = low(src)
	case isa.CodeNeg:
		*d = low(-*d)
	case isa.CodeEnd:
		r := RegState{Bounds: constBounds(*d)}
		r.swap(int(ins.Imm)/8, is64 || ins.Op.Source() == isa.SrcX)
		*d = r.VarOff.Value
	case isa.CodeDiv:
		if low(src) == 0 {
			*d = 0
		} else {
			*d = low(*d) / low(src)
		}
	case isa.CodeMod:
		if low(src) == 0 {
			*d = low(*d)
		} else {
			*d = low(*d) % low(src)
		}
	default:
		*d = concreteALU(code, *d, src, is64)
	}
}

// TestClosedStatesHoldRuns: in every run of every accepted program each register
// lies within the closed state, no slot is reached that facts call dead, and
// branches go the way that facts allow.
func TestClosedStatesHoldRuns(t *testing.T) {
	accepted, stackFacts := 0, 0
	for seed := range uint64(4000) {
		p := genSpec(seed)
		r, err := Verify(p, Options{MaxInsns: 20000})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if r.Verdict != Accepted {
			continue
		}
		accepted++
		for run := range uint64(6) {
			m := &toy{rng: rand.New(rand.NewPCG(seed, run))}
			prev := -1
			m.run(p.Insns, func(pc int, regs *[11]uint64) {
				f := &r.Facts.Slots[pc]
				if !f.Reached {
					t.Fatalf("seed %d: slot %d is reached, facts say never", seed, pc)
				}
				if prev >= 0 && r.Facts.Slots[prev].Branch != BothWays && p.Insns[prev].Off != 0 {
					if took := pc != prev+1; took != (r.Facts.Slots[prev].Branch == AlwaysTaken) {
						t.Fatalf("seed %d: branch at %d went to %d, facts say %v", seed, prev, pc, r.Facts.Slots[prev].Branch)
					}
				}
				prev = pc
				for i := range f.Regs {
					if !f.Regs[i].Contains(regs[i]) {
						t.Fatalf("seed %d, slot %d: r%d = %#x is outside of %s", seed, pc, i, regs[i],
							f.Regs[i])
					}
				}
				for _, sf := range f.Stack {
					stackFacts++
					if v := m.load(uint64(toyStack+sf.Off), 8); !sf.Contains(v) {
						t.Fatalf("seed %d, slot %d: fp%+d = %#x is outside of %s", seed, pc, sf.Off, v, sf.Bounds)
					}
				}
				if a := f.Access; a != nil && a.Kind == PtrToStack {
					ins := p.Insns[pc]
					base := ins.Src()
					if ins.Op.Class() != isa.ClassLDX {
						base = ins.Dst()
					}
					if off := int64(regs[base]) + int64(ins.Off) - toyStack; off < a.MinOff || off > a.MaxOff {
						t.Fatalf("seed %d, slot %d: access at fp%+d, facts say %d to %d", seed, pc, off, a.MinOff, a.MaxOff)
					}
				}
			})
		}
	}
	if accepted < 200 {
		t.Errorf("only %d programs were accepted", accepted)
	}
	if stackFacts < 1000 {
		t.Errorf("only %d facts about stack slots", stackFacts)
	}
}
