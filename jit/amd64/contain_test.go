package amd64

import (
	"fmt"
	"testing"

	"bpfvm/isa"
	"bpfvm/vm"
)

// checkContained looks at each memory operand of an image and says which one is not
// contained:
//
//   - [r12+rbp+d] with all of it in the frame (rbp is written by calls only);
//   - [r12+x] after "cmp x, NativeLimit-7; jae" in the code of the same slot, with
//     no write of x in between;
//   - [r12+x+NativePerm+0..7], a test, after the same comparison;
//   - the native stack at rsp, and the context after "or x, stackMask".
func checkContained(img *image) error {
	below := noReg   // found to be below NativeLimit-7
	inCtx := noReg   // holds the end of the context
	slot := int32(0) // whose code this is
	for i, it := range img.items {
		if it.slot != slot {
			slot, below, inCtx = it.slot, noReg, noReg
		}
		if it.cond != 0 {
			if it.cond == condAE && i > 0 {
				if cmp := img.items[i-1].in; cmp.op == opCmpQ && cmp.form == fRI && cmp.imm == vm.NativeLimit-7 {
					below = cmp.dst
				}
			}
			continue
		}
		in := it.in
		fail := func(why string) error { return fmt.Errorf("slot %d: %+v: %s", it.slot, in, why) }
		hasMem := in.form == fRM || in.form == fMR || in.form == fMI || in.form == fM
		switch m := in.mem; {
		case !hasMem || in.op == opLea:
		case m.base == rsp && m.index == noReg && m.disp == 0:
		case inCtx != noReg && m.base == inCtx && m.index == noReg && m.disp >= ctxBase && m.disp <= 0:
		case m.base != regArena || m.index == noReg:
			return fail("neither arena nor stack nor context")
		case m.index == rbp && m.index != below:
			if m.disp < -vm.StackSize || int(m.disp)+widthOf(in) > 0 {
				return fail("not in the frame")
			}
		case m.index != below:
			return fail("the index was not compared")
		case in.op == opTestB:
			if m.disp < vm.NativePerm || m.disp > vm.NativePerm+7 {
				return fail("not a permission")
			}
		case m.disp != 0:
			return fail("displacement")
		}
		// what the instruction writes
		writes := in.form == fR || in.form == fRR || in.form == fRI || in.form == fRM || in.form == fRRI || in.form == fRRR || in.form == fRCL
		if writes && in.op != opCmpQ && in.op != opCmpL && in.op != opTestQ && in.op != opTestL && in.op != opPush {
			if in.dst == below {
				below = noReg
			}
			if in.dst == inCtx {
				inCtx = noReg
			}
			switch {
			case in.op == opOrQ && in.form == fRI && in.imm == stackMask:
				inCtx = in.dst
			case in.op == opMovQ && in.form == fRR && in.src == below && below != noReg:
				below = in.dst
			case in.dst == regArena:
				return fail("writes the arena's base")
			case in.dst == rbp && (in.op != opLea || in.mem.base != rbp) && it.slot >= 0:
				return fail("writes the frame pointer")
			}
		}
	}
	return nil
}

// widthOf is the bytes of memory that an instruction touches.
func widthOf(in instr) int {
	switch in.op {
	case opMovZxB, opMovSxB:
		return 1
	case opMovZxW, opMovSxW:
		return 2
	case opMovSxL:
		return 4
	}
	return int(opTable[in.op].width)
}

// Whatever the program, its machine code reaches nothing but what it should.
func TestContainment(t *testing.T) {
	b := newBench(t)
	check := func(code *vm.Code) {
		t.Helper()
		p, err := Compile(code, Options{NoBMI2: len(code.Insns)%2 == 0})
		if err != nil {
			t.Fatal(err)
		}
		for _, exact := range []bool{false, true} {
			img, err := translate(p.src, 1, exact, p.opt)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkContained(img); err != nil {
				t.Fatalf("%s, exact %v: %v", code.Name, exact, err)
			}
		}
	}
	for seed := range uint64(100) {
		g := newGenerator(seed, b)
		check(&vm.Code{Name: fmt.Sprint("random ", seed), Insns: g.program(), Helpers: map[int32]*vm.Helper{9001: sumHelper}})
	}
	for i := range isa.Ops() {
		form := &isa.Ops()[i]
		if class := form.Opcode.Class(); !class.IsMem() || form.IsWide() || class == isa.ClassLD {
			continue
		}
		for _, off := range []int16{0, 8, -8, -9, -1, -512, -516, 32767, -32768} {
			for _, base := range []isa.Register{isa.R0, isa.R1, isa.R4, isa.R10} {
				code := &vm.Code{Name: form.Name, Insns: isa.Program{fill(form, base, isa.R4, off, 5), exitInsn}}
				if form.Dst.Rule == isa.RuleWrite {
					code.Insns[0] = fill(form, isa.R4, base, off, 5)
				}
				check(code)
			}
		}
	}
}

// The check above can fail.
func TestContainmentSees(t *testing.T) {
	for name, emit := range map[string]func(c *code){
		"no comparison":      func(c *code) { c.rm(opMovQ, rax, mem{regArena, rdi, 0}) },
		"other register":     func(c *code) { below(c, rsi); c.rm(opMovQ, rax, mem{regArena, rdi, 0}) },
		"written since":      func(c *code) { below(c, rdi); c.ri(opAddQ, rdi, 8); c.rm(opMovQ, rax, mem{regArena, rdi, 0}) },
		"displacement":       func(c *code) { below(c, rdi); c.rm(opMovQ, rax, mem{regArena, rdi, 8}) },
		"host pointer":       func(c *code) { c.rm(opMovQ, rax, mem{rdi, noReg, 0}) },
		"above the frame":    func(c *code) { c.rm(opMovQ, rax, mem{regArena, rbp, -4}) },
		"base written":       func(c *code) { c.rr(opMovQ, regArena, rdi) },
		"frame pointer":      func(c *code) { c.rr(opMovQ, rbp, rdi) },
		"deep in the stack":  func(c *code) { c.rm(opMovQ, rax, mem{rsp, noReg, 64}) },
		"permission of more": func(c *code) { below(c, rdi); c.mi(opTestB, mem{regArena, rdi, vm.NativePerm + 8}, 1) },
	} {
		var c code
		emit(&c)
		if checkContained(&image{items: c.items}) == nil {
			t.Errorf("%s: not seen", name)
		}
	}
}

func below(c *code, r reg) {
	c.ri(opCmpQ, r, vm.NativeLimit-7)
	c.jump(condAE, c.newLabel())
}
