package amd64

import (
	"fmt"
	"testing"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
	"bpfvm/vm/layout"
)

// lies says of every access that it is proven.
func lies(insns isa.Program) *spec.Facts {
	f := &spec.Facts{Access: make([]spec.AccessFact, len(insns))}
	for pc, ins := range insns.All() {
		if ins.Op.Class().IsMem() && !ins.IsWide() {
			f.Access[pc] = spec.AccessFact{Kind: spec.MemMapValue, Size: uint8(ins.Op.Size().Bytes())}
		}
	}
	return f
}

// Whatever the program, its machine code reaches nothing but what it should.
func TestContainment(t *testing.T) {
	b := newBench(t)
	checkWith := func(code *vm.Code, opt Options) {
		t.Helper()
		p, err := Compile(code, opt)
		if err != nil {
			t.Fatal(err)
		}
		for _, exact := range []bool{false, true} {
			img, err := translate(p.src, 1, exact, p.opt)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkContained(img, code.Insns); err != nil {
				t.Fatalf("%s, exact %v: %v", code.Name, exact, err)
			}
		}
	}
	check := func(code *vm.Code) {
		t.Helper()
		checkWith(code, Options{NoBMI2: len(code.Insns)%2 == 0})
		checkWith(code, Options{Off: AllPasses})
		code.Facts = lies(code.Insns)
		checkWith(code, Options{})
		checkWith(code, Options{Off: PassKnown})
	}
	for seed := range uint64(100) {
		g := newGenerator(seed, b)
		check(&vm.Code{Name: fmt.Sprint("random ", seed), Insns: g.program(), Helpers: map[int32]*vm.Helper{9001: sumHelper}})
	}
	// Elements of arrays are reached without a check.
	for _, a := range []layout.Array{
		{Base: 0x12010, Stride: 8, Count: 4, CPUs: 1}, {Base: 0x12010, Stride: 24, Count: 1 << 20, CPUs: 1},
		{Base: 0x12010, Stride: 4096, Count: 3, CPUs: 64, Distance: 1 << 20}, {Base: 1, Stride: 1, Count: 1<<31 - 1<<20, CPUs: 1},
		{Base: 0x12010, Stride: 1 << 20, Count: 1 << 20, CPUs: 1}, {Base: 0x12010, Stride: 8, Count: 8, CPUs: 1 << 20, Distance: 1 << 40},
	} {
		for _, key := range []string{"r2 = r10\n r2 += -4", "r2 = r10\n r2 += -2", "r2 = r1", "r2 = *(u64 *)(r10 -8)"} {
			code := assemble(t, "loop: "+key+"\n r1 = 0x5000 ll\n call 1\n if r0 == 0 goto out\n *(u64 *)(r0 +32767) = r0\n r0 = *(u8 *)(r0 -32768)\n goto loop\nout: exit")
			code.Helpers = map[int32]*vm.Helper{1: {Op: vm.OpMapLookup}}
			code.Arrays = map[uint64]layout.Array{0x5000: a}
			check(code)
		}
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
		"no comparison":  func(c *code) { c.rm(opMovQ, rax, mem{regArena, rdi, 0}) },
		"other register": func(c *code) { below(c, rsi); c.rm(opMovQ, rax, mem{regArena, rdi, 0}) },
		"written since":  func(c *code) { below(c, rdi); c.ri(opShlQ, rdi, 4); c.rm(opMovQ, rax, mem{regArena, rdi, 0}) },
		"sum of two": func(c *code) {
			c.rr(opMovL, r10, rdi)
			c.rm(opLea, r11, mem{r10, r10, 0})
			c.rm(opMovQ, rax, mem{regArena, r11, 0})
		},
		"truncated and moved on": func(c *code) {
			c.rr(opMovL, r10, rdi)
			c.ri(opAddQ, r10, 1<<17)
			c.rm(opMovQ, rax, mem{regArena, r10, 0})
		},
		"host pointer":       func(c *code) { c.rm(opMovQ, rax, mem{rdi, noReg, 0}) },
		"below the window":   func(c *code) { c.rm(opMovQ, rax, mem{regArena, rbp, -1 << 17}) },
		"base written":       func(c *code) { c.rr(opMovQ, regArena, rdi) },
		"frame pointer":      func(c *code) { c.rr(opMovQ, rbp, rdi) },
		"deep in the stack":  func(c *code) { c.rm(opMovQ, rax, mem{rsp, noReg, 64}) },
		"permission of more": func(c *code) { below(c, rdi); c.mi(opTestB, mem{regArena, rdi, vm.NativePerm + 8}, 1) },
	} {
		var c code
		emit(&c)
		c.none(opRet)
		if checkContained(&image{items: c.items, labels: c.labels, entry: []int32{-1}}, isa.Program{exitInsn}) == nil {
			t.Errorf("%s: not seen", name)
		}
	}
}

func below(c *code, r reg) {
	out := c.newLabel()
	c.ri(opCmpQ, r, vm.NativeLimit-7)
	c.jump(condB, out)
	c.none(opRet)
	c.bind(out)
}
