package interp

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"bpfvm/isa"
	"bpfvm/vm"
)

// isaCase is one run of one instruction: a program, the R0 that it must give, and
// what the 64 bytes of the map region must hold afterwards.
type isaCase struct {
	name    string
	insns   isa.Program
	r0      uint64
	memory  []byte // nil: unchanged
	refused string // Compile must refuse with this
}

// edges are the operands at which arithmetic goes wrong.
var edges = []uint64{
	0, 1, 2, 7, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
	0x123456789abcdef0, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffff80000000, 0xffffffffffffffff, 31, 32, 33, 63, 64, 65,
}

var edgeImmediates = []int32{0, 1, 2, 7, -1, -2, 31, 32, 33, 63, 64, 127, 128, 0x7fffffff, -0x80000000}

// value is where the test's memory lies: known before the run because the layout of
// the arena is.
func valueAddr(t *testing.T) uint64 { return newBench(t).value.Base }

func raw(form *isa.Op, dst, src isa.Register, off int16, imm int32) isa.Instruction {
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

func constant(r isa.Register, v uint64) isa.Program {
	return isa.Program{
		{Op: isa.OpLdImm64, Regs: isa.MakeRegs(r, 0), Imm: int32(uint32(v))},
		{Imm: int32(uint32(v >> 32))},
	}
}

func move(dst, src isa.Register) isa.Instruction {
	return isa.Instruction{Op: isa.ALUOp(isa.ClassALU64, isa.CodeMov, isa.SrcX), Regs: isa.MakeRegs(dst, src)}
}

func small(dst isa.Register, v int32) isa.Instruction {
	return isa.Instruction{Op: isa.ALUOp(isa.ClassALU64, isa.CodeMov, isa.SrcK), Regs: isa.MakeRegs(dst, 0), Imm: v}
}

var exit = isa.Instruction{Op: isa.OpExit}

func prog(parts ...any) (p isa.Program) {
	for _, part := range parts {
		switch v := part.(type) {
		case isa.Instruction:
			p = append(p, v)
		case isa.Program:
			p = append(p, v...)
		}
	}
	return p
}

// big numbers as the other formulation: no wrap-around, no host arithmetic.

func unsigned(v uint64, bits uint) *big.Int {
	n := new(big.Int).SetUint64(v)
	return n.Mod(n, new(big.Int).Lsh(big.NewInt(1), bits))
}

func signed(v uint64, bits uint) *big.Int {
	n := unsigned(v, bits)
	if n.Bit(int(bits)-1) == 1 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), bits))
	}
	return n
}

func wrap(n *big.Int, bits uint) uint64 {
	return new(big.Int).Mod(n, new(big.Int).Lsh(big.NewInt(1), bits)).Uint64()
}

// arithmeticWant computes "dst op src" of a width; name is the form's name up to the
// width.
func arithmeticWant(name string, bits uint, dst, src uint64) (uint64, bool) {
	x, y := unsigned(dst, bits), unsigned(src, bits)
	sx, sy := signed(dst, bits), signed(src, bits)
	n := new(big.Int)
	shift := uint(src % uint64(bits))
	switch name {
	case "add":
		n.Add(x, y)
	case "sub":
		n.Sub(x, y)
	case "mul":
		n.Mul(x, y)
	case "or":
		n.Or(x, y)
	case "and":
		n.And(x, y)
	case "xor":
		n.Xor(x, y)
	case "mov":
		n = y
	case "neg":
		n.Neg(x)
	case "lsh":
		n.Lsh(x, shift)
	case "rsh":
		n.Rsh(x, shift)
	case "arsh":
		n.Rsh(sx, shift) // big.Int shifts arithmetically
	case "div":
		if y.Sign() != 0 {
			n.Quo(x, y)
		}
	case "mod":
		n = x
		if y.Sign() != 0 {
			n = new(big.Int).Rem(x, y)
		}
	case "sdiv":
		if sy.Sign() != 0 {
			n.Quo(sx, sy)
		}
	case "smod":
		n = sx
		if sy.Sign() != 0 {
			n = new(big.Int).Rem(sx, sy)
		}
	default:
		return 0, false
	}
	return wrap(n, bits), true
}

// conditionWant decides a jump; name is the form's name up to its width.
func conditionWant(name string, bits uint, dst, src uint64) (taken, ok bool) {
	c := unsigned(dst, bits).Cmp(unsigned(src, bits))
	s := signed(dst, bits).Cmp(signed(src, bits))
	switch name {
	case "jeq":
		return c == 0, true
	case "jne":
		return c != 0, true
	case "jgt":
		return c > 0, true
	case "jge":
		return c >= 0, true
	case "jlt":
		return c < 0, true
	case "jle":
		return c <= 0, true
	case "jset":
		return new(big.Int).And(unsigned(dst, bits), unsigned(src, bits)).Sign() != 0, true
	case "jsgt":
		return s > 0, true
	case "jsge":
		return s >= 0, true
	case "jslt":
		return s < 0, true
	case "jsle":
		return s <= 0, true
	}
	return false, false
}

// splitName takes "add64_imm" apart: "add", 64.
func splitName(name string) (base string, bits uint) {
	base = strings.TrimSuffix(strings.TrimSuffix(name, "_imm"), "_reg")
	if b, ok := strings.CutSuffix(base, "32"); ok {
		return b, 32
	}
	return strings.TrimSuffix(base, "64"), 64
}

// casesFor returns the cases of a form of the table, none if there are none.
func casesFor(t *testing.T, form *isa.Op) []isaCase {
	switch class := form.Opcode.Class(); {
	case form.IsWide():
		return wideCases(form)
	case class.IsALU():
		return aluCases(form)
	case class.IsJump():
		return jumpCases(t, form)
	case class == isa.ClassLD:
		return packetCases(t, form)
	case form.Opcode.Mode() == isa.ModeATOMIC:
		return atomicCases(t, form)
	case class == isa.ClassLDX:
		return loadCases(t, form)
	}
	return storeCases(t, form)
}

func wideCases(form *isa.Op) (cases []isaCase) {
	for _, v := range edges {
		if form.Next.Rule == isa.RuleZero {
			v &= 0xffffffff
		}
		p := constant(isa.R3, v)
		p[0] = raw(form, isa.R3, 0, 0, p[0].Imm)
		cases = append(cases, isaCase{name: fmt.Sprintf("%#x", v), insns: prog(p, move(isa.R0, isa.R3), exit), r0: v})
	}
	return cases
}

func aluCases(form *isa.Op) (cases []isaCase) {
	if strings.HasPrefix(form.Name, "cast_") {
		return []isaCase{{
			name:    "refused",
			insns:   prog(small(isa.R2, 0), raw(form, isa.R1, isa.R2, 1, 1), small(isa.R0, 0), exit),
			refused: "cast between address spaces",
		}}
	}
	unary := form.Src.Rule == isa.RuleZero && form.Imm.Rule != isa.RuleAny
	for _, a := range edges {
		if unary {
			want, ok := unaryWant(form, a)
			if !ok {
				return nil
			}
			cases = append(cases, isaCase{
				name: fmt.Sprintf("%#x", a), r0: want,
				insns: prog(constant(isa.R1, a), raw(form, isa.R1, 0, 0, 0), move(isa.R0, isa.R1), exit),
			})
			continue
		}
		if form.Src.Rule == isa.RuleZero {
			for _, imm := range edgeImmediates {
				want, ok := binaryWant(form, a, uint64(int64(imm)))
				if !ok {
					return nil
				}
				cases = append(cases, isaCase{
					name: fmt.Sprintf("%#x, %d", a, imm), r0: want,
					insns: prog(constant(isa.R1, a), raw(form, isa.R1, 0, 0, imm), move(isa.R0, isa.R1), exit),
				})
			}
			continue
		}
		for _, b := range edges {
			want, ok := binaryWant(form, a, b)
			if !ok {
				return nil
			}
			cases = append(cases, isaCase{
				name: fmt.Sprintf("%#x, %#x", a, b), r0: want,
				insns: prog(constant(isa.R1, a), constant(isa.R2, b), raw(form, isa.R1, isa.R2, 0, 0), move(isa.R0, isa.R1), exit),
			})
		}
		want, _ := binaryWant(form, a, a)
		cases = append(cases, isaCase{
			name: fmt.Sprintf("%#x with itself", a), r0: want,
			insns: prog(constant(isa.R8, a), raw(form, isa.R8, isa.R8, 0, 0), move(isa.R0, isa.R8), exit),
		})
	}
	return cases
}

func binaryWant(form *isa.Op, dst, src uint64) (uint64, bool) {
	if width, from, ok := movsx(form.Name); ok {
		return wrap(signed(src, from), width), true
	}
	name, bits := splitName(form.Name)
	return arithmeticWant(name, bits, dst, src)
}

func movsx(name string) (width, from uint, ok bool) {
	n, err := fmt.Sscanf(name, "movsx%d_%d_reg", &width, &from)
	return width, from, err == nil && n == 2
}

func unaryWant(form *isa.Op, v uint64) (uint64, bool) {
	var bits uint
	if n, _ := fmt.Sscanf(form.Name, "le%d", &bits); n == 1 {
		return wrap(unsigned(v, bits), bits), true
	}
	if n, _ := fmt.Sscanf(strings.Replace(form.Name, "bswap", "be", 1), "be%d", &bits); n == 1 {
		var out uint64
		for i := range bits / 8 { // byte i becomes byte last-i
			out |= (v >> (8 * i) & 0xff) << (bits - 8 - 8*i)
		}
		return out, true
	}
	name, width := splitName(form.Name)
	return arithmeticWant(name, width, v, 0)
}

func jumpCases(t *testing.T, form *isa.Op) (cases []isaCase) {
	switch form.Name {
	case "ja", "ja32":
		j := raw(form, 0, 0, 1, 1)
		back := raw(form, 0, 0, -3, -3)
		return []isaCase{
			{name: "forward", insns: prog(small(isa.R0, 1), j, small(isa.R0, 2), exit), r0: 1},
			{name: "back", insns: prog(small(isa.R0, 1), raw(form, 0, 0, 2, 2), small(isa.R0, 5), exit, back), r0: 5},
		}
	case "exit":
		return []isaCase{{name: "r0", insns: prog(constant(isa.R0, 1<<63+5), exit), r0: 1<<63 + 5}}
	case "may_goto":
		// falls through 8,388,608 times and then jumps
		return []isaCase{{
			name: "limit", r0: 8388608,
			insns: prog(small(isa.R0, 0), raw(form, 0, 0, 2, 0),
				isa.Instruction{Op: isa.ALUOp(isa.ClassALU64, isa.CodeAdd, isa.SrcK), Imm: 1},
				isa.Instruction{Op: isa.OpJa, Off: -3}, exit),
		}}
	case "call_helper":
		return []isaCase{{
			name: "sum of arguments", r0: 1 + 2*10 + 3*100 + 4*1000 + 5*10000,
			insns: prog(small(1, 1), small(2, 2), small(3, 3), small(4, 4), small(5, 5), raw(form, 0, 0, 0, 9001), exit),
		}}
	case "callx":
		return []isaCase{{
			name: "sum of arguments", r0: 54321,
			insns: prog(small(1, 1), small(2, 2), small(3, 3), small(4, 4), small(5, 5), small(7, 9001), raw(form, 7, 0, 0, 0), exit),
		}}
	case "call_kfunc":
		return []isaCase{
			{name: "refused", insns: prog(raw(form, 0, 0, 0, 7), exit), refused: "kernel function (BTF id 7)"},
			{
				name: "sum of arguments", r0: 54321,
				insns: prog(small(1, 1), small(2, 2), small(3, 3), small(4, 4), small(5, 5), raw(form, 0, 0, 0, 9001), exit),
			},
		}
	case "call_local":
		return []isaCase{{
			name: "arguments, r6, result", r0: 40 + 2 + 7,
			insns: prog(small(6, 7), small(1, 40), small(2, 2), raw(form, 0, 0, 0, 2),
				isa.Instruction{Op: isa.ALUOp(isa.ClassALU64, isa.CodeAdd, isa.SrcX), Regs: isa.MakeRegs(0, 6)}, exit,
				small(6, 99), move(0, 1), isa.Instruction{Op: isa.ALUOp(isa.ClassALU64, isa.CodeAdd, isa.SrcX), Regs: isa.MakeRegs(0, 2)}, exit),
		}}
	}
	name, bits := splitName(form.Name)
	if _, ok := conditionWant(name, bits, 0, 0); !ok {
		return nil
	}
	add := func(what string, taken bool, setup ...any) {
		want := uint64(0)
		if taken {
			want = 1
		}
		cases = append(cases, isaCase{name: what, r0: want, insns: prog(prog(setup...), small(isa.R0, 0), exit, small(isa.R0, 1), exit)})
	}
	for _, a := range edges {
		if form.Src.Rule == isa.RuleZero {
			for _, imm := range edgeImmediates {
				taken, _ := conditionWant(name, bits, a, uint64(int64(imm)))
				add(fmt.Sprintf("%#x, %d", a, imm), taken, constant(isa.R1, a), raw(form, isa.R1, 0, 2, imm))
			}
			continue
		}
		for _, b := range edges {
			taken, _ := conditionWant(name, bits, a, b)
			add(fmt.Sprintf("%#x, %#x", a, b), taken, constant(isa.R1, a), constant(isa.R2, b), raw(form, isa.R1, isa.R2, 2, 0))
		}
		taken, _ := conditionWant(name, bits, a, a)
		add(fmt.Sprintf("%#x with itself", a), taken, constant(isa.R1, a), raw(form, isa.R1, isa.R1, 2, 0))
	}
	return cases
}

// Every form of the instruction table runs on both loops with edge values; a form
// without a case fails.
func TestEveryForm(t *testing.T) {
	for i := range isa.Ops() {
		form := &isa.Ops()[i]
		cases := casesFor(t, form)
		if len(cases) == 0 {
			t.Errorf("%s: no case", form.Name)
			continue
		}
		b := newBench(t)
		for _, tt := range cases {
			code := &vm.Code{Name: form.Name, Insns: tt.insns, Helpers: map[int32]*vm.Helper{9001: sumHelper}, Kfuncs: map[int32]*vm.Helper{9001: sumHelper}}
			for _, e := range engines {
				runISACase(t, b, e, code, tt)
			}
		}
	}
}

func runISACase(t *testing.T, b *bench, e vm.Engine, code *vm.Code, tt isaCase) {
	t.Helper()
	where := fmt.Sprintf("%s on %s, %s", code.Name, e.Name(), tt.name)
	r, err := e.Compile(code)
	if tt.refused != "" {
		if err == nil || !strings.Contains(err.Error(), tt.refused) || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v, want a refusal: %s", where, err, tt.refused)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	mem := b.mem.Raw(b.value.Base, 64)
	copy(mem, pattern())
	b.m.Reset()
	x, err := r.Run(b.m, b.ctx.Base)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	if x.R0 != tt.r0 {
		t.Errorf("%s: r0 %#x, want %#x", where, x.R0, tt.r0)
	}
	want := tt.memory
	if want == nil {
		want = pattern()
	}
	if !bytes.Equal(mem, want) {
		t.Errorf("%s: memory\n%x, want\n%x", where, mem, want)
	}
}
