package amd64

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/vm"
)

// edges are the operands at which arithmetic goes wrong.
var edges = []uint64{
	0, 1, 7, 0x80, 0x7fffffff, 0x80000000, 0xffffffff, 0x123456789abcdef0,
	0x8000000000000000, 0xffffffff80000000, 0xffffffffffffffff, 33,
}

var edgeImmediates = []int32{0, 1, 7, -1, 31, 33, 64, 127, 128, -129, 0x7fffffff, -0x80000000}

func wide(r isa.Register, v uint64) isa.Program {
	return isa.Program{
		{Op: isa.OpLdImm64, Regs: isa.MakeRegs(r, 0), Imm: int32(uint32(v))},
		{Imm: int32(uint32(v >> 32))},
	}
}

var exitInsn = isa.Instruction{Op: isa.OpExit}

// dump stores R0 to R9 in the frame, where the comparison of memory sees them.
func dump() (p isa.Program) {
	for r := range isa.R10 {
		p = append(p, isa.Instruction{
			Op:   isa.MemOp(isa.ClassSTX, isa.ModeMEM, isa.SizeDW),
			Regs: isa.MakeRegs(isa.FP, r), Off: int16(-8 * (int(r) + 1)),
		})
	}
	return append(p, exitInsn)
}

// sumHelper weighs its arguments, so that a mix-up shows.
var sumHelper = &vm.Helper{Fn: func(_ *vm.Machine, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	return r1 + 10*r2 + 100*r3 + 1000*r4 + 10000*r5, nil
}}

// fill makes an instruction of a form; fields that the form fixes stay as it says.
func fill(form *isa.Op, dst, src isa.Register, off int16, imm int32) isa.Instruction {
	fix := func(f isa.Field, v int32) int32 {
		switch f.Rule {
		case isa.RuleFixed:
			return f.Value
		case isa.RuleZero, isa.RuleNone:
			return 0
		}
		return v
	}
	return isa.Instruction{
		Op:   form.Opcode,
		Regs: isa.MakeRegs(isa.Register(fix(form.Dst, int32(dst))), isa.Register(fix(form.Src, int32(src)))),
		Off:  int16(fix(form.Off, int32(off))),
		Imm:  fix(form.Imm, imm),
	}
}

// formProgram loads R0 to R9 from a place in memory, runs one instruction and dumps
// all of them. A jump leads over one instruction.
func formProgram(ins isa.Instruction, from uint64) isa.Program {
	p := wide(isa.R9, from)
	for r := range isa.R10 {
		p = append(p, isa.Instruction{
			Op:   isa.MemOp(isa.ClassLDX, isa.ModeMEM, isa.SizeDW),
			Regs: isa.MakeRegs(r, isa.R9), Off: int16(8 * r),
		})
	}
	p = append(p, ins)
	if ins.IsWide() {
		p = append(p, isa.Instruction{Imm: 0})
	}
	p = append(p, isa.Instruction{Op: isa.ALUOp(isa.ClassALU64, isa.CodeMov, isa.SrcK), Regs: isa.MakeRegs(isa.R0, 0), Imm: 77})
	return append(p, dump()...)
}

// registerPairs are those at which the register map matters: rax, rdx and rcx are
// wanted by divisions and shifts.
var registerPairs = [][2]isa.Register{{0, 3}, {3, 0}, {3, 4}, {4, 8}, {9, 4}, {4, 4}, {0, 0}, {3, 3}, {6, 5}}

func (d *duel) form(t *testing.T, form *isa.Op) {
	t.Helper()
	n := 0
	var last isa.Instruction
	var a, b vm.Runner
	try := func(ins isa.Instruction, values map[isa.Register]uint64) {
		t.Helper()
		n++
		if a == nil || ins != last { // values change more often than the program
			last = ins
			code := &vm.Code{Name: form.Name, Insns: formProgram(ins, d.jit.regs.Base), Helpers: map[int32]*vm.Helper{9001: sumHelper}, Kfuncs: map[int32]*vm.Helper{9001: sumHelper}}
			a, b = compile(t, interp.Fast, code), compile(t, Engine{d.opt}, code)
		}
		for r := range isa.R10 {
			v, ok := values[r]
			if !ok {
				v = 0x1111111111111111 * uint64(r+1)
			}
			d.interp.setReg(r, v)
			d.jit.setReg(r, v)
		}
		d.compare(t, a, b, 10_000)
	}
	class := form.Opcode.Class()
	pairs := registerPairs
	if !strings.Contains(form.Name, "div") && !strings.Contains(form.Name, "mod") && !strings.Contains(form.Name, "sh") && class.IsALU() || class.IsJump() {
		pairs = pairs[2:6] // no register is special
	}
	base := d.jit.value.Base + 8
	switch {
	case form.Name == "call_local":
		code := assemble(t, "r6 = 1\n r1 = 2\n call f\n exit\n f: r6 = 5\n r0 = r1\n exit")
		d.run(t, code, 100)
		return
	case strings.HasPrefix(form.Name, "cast_"):
		_, err := Engine{}.Compile(&vm.Code{Name: "x", Insns: isa.Program{fill(form, 1, 2, 1, 1), exitInsn}})
		if ce, ok := errors.AsType[*vm.CompileError](err); !ok || ce.PC != 0 || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", form.Name, err)
		}
		return
	case form.Name == "call_helper", form.Name == "call_kfunc":
		try(fill(form, 0, 0, 0, 9001), nil)
	case form.Name == "callx":
		try(fill(form, 7, 0, 0, 0), map[isa.Register]uint64{7: 9001})
		try(fill(form, 7, 0, 0, 0), map[isa.Register]uint64{7: 9002})
		try(fill(form, 7, 0, 0, 0), map[isa.Register]uint64{7: 1<<32 + 9001})
	case form.IsWide():
		for _, imm := range edgeImmediates {
			try(fill(form, 3, 0, 0, imm), nil)
		}
	case class == isa.ClassLD:
		for _, off := range []int32{0, 1, 13, 56, 57, 58, 59, 60, 61, 1000, -5, -0x200001} {
			try(fill(form, 0, 7, 0, off), map[isa.Register]uint64{6: d.jit.ctx.Base, 7: 0})
			try(fill(form, 0, 7, 0, off), map[isa.Register]uint64{6: d.jit.ctx.Base, 7: 3})
		}
	case class.IsALU() || class.IsJump():
		for _, pair := range pairs {
			for _, a := range edges {
				if form.Src.Rule == isa.RuleZero || form.Name == "ja" {
					for _, imm := range edgeImmediates {
						if form.Imm.Rule == isa.RuleJump {
							imm = 1
						}
						try(fill(form, pair[0], 0, 1, imm), map[isa.Register]uint64{pair[0]: a})
						if form.Imm.Rule != isa.RuleAny {
							break
						}
					}
					continue
				}
				for _, b := range edges {
					if pair[0] == pair[1] && a != b {
						continue
					}
					try(fill(form, pair[0], pair[1], 1, 0), map[isa.Register]uint64{pair[0]: a, pair[1]: b})
				}
			}
		}
	default:
		for _, pair := range pairs {
			for _, off := range []int16{-8, -5, 0, 32767} {
				values := map[isa.Register]uint64{pair[0]: base, pair[1]: base}
				try(fill(form, pair[0], pair[1], off, -2), values)
				if pair[0] == pair[1] {
					continue
				}
				for _, swap := range []bool{false, true} { // for loads the base is the source
					dst, src := pair[0], pair[1]
					if swap {
						dst, src = src, dst
					}
					for _, v := range []uint64{0x8000000000000000, 1, 0xfedcba9876543210, 1<<32 + base, ^uint64(0)} {
						values[pair[1]] = v
						try(fill(form, dst, src, off, -2), values)
					}
				}
				if r := form.Dst.Rule; off < 0 && r == isa.RuleRead {
					try(fill(form, isa.FP, pair[1], off, 3), nil)
				}
				if r := form.Src.Rule; off < 0 && r == isa.RuleRead && form.Dst.Rule == isa.RuleWrite {
					try(fill(form, pair[0], isa.FP, off, 3), nil)
				}
			}
		}
	}
	if n == 0 {
		t.Errorf("%s: no case", form.Name)
	}
}

// Every form of the instruction table gives the same as the interpreter with edge
// values in the registers that x86 treats specially.
func TestEveryForm(t *testing.T) {
	for _, opt := range []Options{{}, {NoBMI2: true}} {
		d := newDuel(t)
		d.opt = opt
		for i := range isa.Ops() {
			form := &isa.Ops()[i]
			if opt.NoBMI2 && !strings.Contains(form.Name, "sh") {
				continue
			}
			if form.Name == "may_goto" || form.Name == "exit" {
				continue // TestMayGoto; all of them
			}
			d.form(t, form)
		}
	}
}

// Every legal form of the table compiles where it has a meaning, and is refused
// with its slot and the interpreter's words where not.
func TestLegalForms(t *testing.T) {
	n := 0
	for form, p := range isa.LegalForms() {
		n++
		if testing.Short() && n%8 != 0 {
			continue
		}
		p = append(p[:len(p):len(p)], exitInsn)
		code := &vm.Code{Name: form.Name, Insns: p, Helpers: map[int32]*vm.Helper{9001: sumHelper}, Kfuncs: map[int32]*vm.Helper{9001: sumHelper}}
		sameRefusal(t, code)
	}
	t.Logf("%d forms", n)
}

// sameRefusal compares what the engines say of code and reports whether it can run.
func sameRefusal(t *testing.T, code *vm.Code) bool {
	t.Helper()
	_, want := interp.Fast.Compile(code)
	_, got := Engine{}.Compile(code)
	if fmt.Sprint(got) != fmt.Sprint(want) || errors.Is(got, errors.ErrUnsupported) != errors.Is(want, errors.ErrUnsupported) {
		t.Errorf("%s: jit %v, interp %v", code.Name, got, want)
	}
	return want == nil
}
