package amd64

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/arch/x86/x86asm"
)

// allInstrs yields each form of the table with all registers and edge values.
func allInstrs() (list []instr) {
	mems := []mem{}
	for b := rax; b <= r15; b++ {
		mems = append(mems, mem{b, noReg, 0}, mem{b, noReg, -8}, mem{b, noReg, 0x1234})
	}
	for i := rax; i <= r15; i++ {
		if i != rsp {
			mems = append(mems, mem{r12, i, 0}, mem{r12, i, -512}, mem{r12, i, -0x7fff0000})
		}
	}
	imms := []int64{0, 1, -1, 127, -128, 128, 0x7fffffff, -0x80000000}
	for o := range opCount {
		info := &opTable[o]
		is := imms
		switch {
		case info.width == 1:
			is = []int64{0, 1, 2, 3, -1, 127, -128}
		case info.width == 2 && o != opRolW:
			is = []int64{0, 1, -1, 0x7fff, -0x8000}
		case o == opRolW:
			is = []int64{8}
		case o >= opShlQ && o <= opSarL || o == opRolQ || o == opRolL:
			is = []int64{1, 7, 31}
		case o == opMovQ:
			is = append(slices.Clone(imms), 1<<40, -1<<40, 0x123456789abcdef)
		}
		for _, f := range info.forms {
			switch f {
			case fNone:
				list = append(list, instr{op: o})
			case fI:
				for _, v := range []int64{0, 1, 127, 128, 8 << 20, 0x7fffffff} {
					list = append(list, instr{op: o, form: f, imm: v})
				}
			case fM:
				for _, m := range mems {
					list = append(list, instr{op: o, form: f, mem: m})
				}
			case fMI:
				for _, m := range mems {
					for _, v := range is {
						if v == int64(int32(v)) {
							list = append(list, instr{op: o, form: f, mem: m, imm: v})
						}
					}
				}
			}
			for r := rax; r <= r15; r++ {
				switch f {
				case fR, fRCL:
					list = append(list, instr{op: o, form: f, dst: r})
				case fRI:
					for _, v := range is {
						list = append(list, instr{op: o, form: f, dst: r, imm: v})
					}
				case fRM:
					for _, m := range mems {
						list = append(list, instr{op: o, form: f, dst: r, mem: m})
					}
				case fMR:
					for _, m := range mems {
						list = append(list, instr{op: o, form: f, src: r, mem: m})
					}
				case fRR, fRRI, fRRR:
					for s := rax; s <= r15; s++ {
						switch f {
						case fRR:
							list = append(list, instr{op: o, form: f, dst: r, src: s})
						case fRRI:
							for _, v := range is {
								list = append(list, instr{op: o, form: f, dst: r, src: s, imm: v})
							}
						case fRRR:
							list = append(list, instr{op: o, form: f, dst: r, src: s, src2: r11}, instr{op: o, form: f, dst: r, src: s, src2: rcx})
						}
					}
				}
			}
		}
	}
	// golang-asm does not know spl, and nothing stores a byte of the stack pointer.
	return slices.DeleteFunc(list, func(in instr) bool {
		return in.src == rsp && (in.op == opMovB && in.form == fMR || in.form == fRR && mnemonics[in.op].src == 1)
	})
}

// Every form of the table decodes to the operation and the operands that were
// meant, and to nothing more.
func TestEncodingsDecode(t *testing.T) {
	list := allInstrs()
	enc := encoder{known: map[instr][]byte{}}
	for chunk := range slices.Chunk(list, 1000) {
		bytes, err := enc.encode(chunk)
		if err != nil {
			t.Fatal(err)
		}
		for i, in := range chunk {
			b := bytes[i]
			if in.op == opLock {
				if len(b) != 1 || b[0] != 0xf0 {
					t.Errorf("lock: % x", b)
				}
				continue
			}
			d, err := x86asm.Decode(b, 64)
			if err != nil || d.Len != len(b) {
				t.Errorf("%+v: % x: %v, %d bytes", in, b, err, d.Len)
				continue
			}
			got := x86asm.IntelSyntax(d, 0, nil)
			if want := in.String(); got != want && !slices.Contains(in.aliases(), got) {
				t.Errorf("% x is %q, want %q", b, got, want)
			}
		}
	}
	t.Logf("%d encodings", len(list))
}

// aliases are other spellings of the same instruction.
func (in instr) aliases() []string {
	s := in.String()
	if in.form == fRI && in.op == opMovQ && in.imm == int64(uint32(in.imm)) {
		return []string{strings.Replace(s, regNames[8][in.dst], regNames[4][in.dst], 1)}
	}
	return nil
}

var regNames = map[int][]string{
	1: {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", "r8b", "r9b", "r10b", "r11b", "r12b", "r13b", "r14b", "r15b"},
	2: {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8w", "r9w", "r10w", "r11w", "r12w", "r13w", "r14w", "r15w"},
	4: {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d"},
	8: {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"},
}

// mnemonics are the names in Intel's manual; the width of the first operand, and
// of the second where it differs.
var mnemonics = [opCount]struct {
	name     string
	dst, src int
}{
	opMovQ: {"mov", 8, 8}, opMovL: {"mov", 4, 4}, opMovW: {"mov", 2, 2}, opMovB: {"mov", 1, 1},
	opMovZxW: {"movzx", 4, 2}, opMovZxB: {"movzx", 4, 1},
	opMovSxL: {"movsxd", 8, 4}, opMovSxW: {"movsx", 8, 2}, opMovSxB: {"movsx", 8, 1},
	opMovSxWL: {"movsx", 4, 2}, opMovSxBL: {"movsx", 4, 1}, opLea: {"lea", 8, 0},
	opAddQ: {"add", 8, 8}, opAddL: {"add", 4, 4}, opSubQ: {"sub", 8, 8}, opSubL: {"sub", 4, 4},
	opOrQ: {"or", 8, 8}, opOrL: {"or", 4, 4}, opAndQ: {"and", 8, 8}, opAndL: {"and", 4, 4},
	opXorQ: {"xor", 8, 8}, opXorL: {"xor", 4, 4}, opCmpQ: {"cmp", 8, 8}, opCmpL: {"cmp", 4, 4},
	opTestQ: {"test", 8, 8}, opTestL: {"test", 4, 4}, opTestB: {"test", 1, 1},
	opImulQ: {"imul", 8, 8}, opImulL: {"imul", 4, 4}, opImul3Q: {"imul", 8, 8}, opImul3L: {"imul", 4, 4},
	opDivQ: {"div", 8, 8}, opDivL: {"div", 4, 4}, opIdivQ: {"idiv", 8, 8}, opIdivL: {"idiv", 4, 4},
	opCqo: {"cqo", 8, 8}, opCdq: {"cdq", 4, 4}, opNegQ: {"neg", 8, 8}, opNegL: {"neg", 4, 4},
	opShlQ: {"shl", 8, 8}, opShlL: {"shl", 4, 4}, opShrQ: {"shr", 8, 8}, opShrL: {"shr", 4, 4},
	opSarQ: {"sar", 8, 8}, opSarL: {"sar", 4, 4},
	opShlxQ: {"shlx", 8, 8}, opShlxL: {"shlx", 4, 4}, opShrxQ: {"shrx", 8, 8}, opShrxL: {"shrx", 4, 4},
	opSarxQ: {"sarx", 8, 8}, opSarxL: {"sarx", 4, 4},
	opRolW: {"rol", 2, 2}, opRolQ: {"rol", 8, 8}, opRolL: {"rol", 4, 4}, opBswapQ: {"bswap", 8, 8}, opBswapL: {"bswap", 4, 4},
	opXchgQ: {"xchg", 8, 8}, opXchgL: {"xchg", 4, 4}, opXaddQ: {"xadd", 8, 8}, opXaddL: {"xadd", 4, 4},
	opCmpxchgQ: {"cmpxchg", 8, 8}, opCmpxchgL: {"cmpxchg", 4, 4},
	opPush: {"push", 8, 8}, opPop: {"pop", 8, 8}, opRet: {"ret", 0, 0}, opJmpReg: {"jmp", 8, 8},
	opZeroX: {"xorps xmm0, xmm0", 0, 0}, opStoreX: {"movups", 16, 16},
}

// String writes the instruction as x86asm.IntelSyntax should.
func (in instr) String() string {
	m := mnemonics[in.op]
	r := func(n reg, w int) string { return regNames[w][n] }
	imm := func() string {
		v := in.imm
		if v != int64(int32(v)) { // the printer's way
			return fmt.Sprintf("%#x", uint64(v))
		}
		if m.dst == 1 { // likewise
			return hex(int64(uint8(v)))
		}
		return hex(v)
	}
	address := func() string {
		ptr := map[int]string{0: "ptr ", 1: "byte ptr ", 2: "word ptr ", 4: "dword ptr ", 8: "qword ptr ", 16: "xmmword ptr "}
		w := m.src
		if in.form == fMI || in.form == fMR || in.form == fM {
			w = m.dst
		}
		s := ptr[w] + "[" + r(in.mem.base, 8)
		if in.mem.index != noReg {
			s += "+" + r(in.mem.index, 8)
		}
		switch d := int64(in.mem.disp); {
		case d < 0 && in.mem.index != noReg: // the printer's way
			s += "+" + hex(int64(uint32(d)))
		case d > 0:
			s += "+" + hex(d)
		case d < 0:
			s += "-" + hex(-d)
		}
		return s + "]"
	}
	switch in.form {
	case fR:
		return m.name + " " + r(in.dst, m.dst)
	case fRR:
		return m.name + " " + r(in.dst, m.dst) + ", " + r(in.src, m.src)
	case fRI:
		return m.name + " " + r(in.dst, m.dst) + ", " + imm()
	case fRM:
		return m.name + " " + r(in.dst, m.dst) + ", " + address()
	case fMR:
		return m.name + " " + address() + ", " + r(in.src, m.src)
	case fMI:
		return m.name + " " + address() + ", " + imm()
	case fM:
		return m.name + " " + address() + ", xmm0"
	case fRRI:
		return m.name + " " + r(in.dst, m.dst) + ", " + r(in.src, m.src) + ", " + imm()
	case fRRR:
		return m.name + " " + r(in.dst, m.dst) + ", " + r(in.src, m.src) + ", " + r(in.src2, m.src)
	case fI:
		return m.name + " " + imm()
	case fRCL:
		return m.name + " " + r(in.dst, m.dst) + ", cl"
	}
	return m.name
}

func hex(v int64) string {
	if v < 0 {
		return fmt.Sprintf("-%#x", -v)
	}
	return fmt.Sprintf("%#x", v)
}
