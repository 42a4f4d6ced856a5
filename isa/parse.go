package isa

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// statement is one assembled line: one slot, or two for a wide instruction, and
// what is still to be filled in once all names are known.
type statement struct {
	slots  Program
	ref    symbolRef
	prefix token // the opcode in a dump's "(b7)", if the line has one
	number token // the slot number in a dump's "12:", if the line has one
}

// symbolRef is a name in an instruction.
type symbolRef struct {
	kind   symbolKind
	name   string
	col    int
	addend uint64
}

type symbolKind uint8

const (
	symNone     symbolKind = iota
	symJump                // off is a distance in slots
	symJumpLong            // imm is a distance in slots
	symCall                // a subprogram or, failing that, a helper
	symKfunc
	symFunc // address of a subprogram, in an LDDW
	symMap
	symMapValue
	symData // address of a data symbol, in an LDDW
)

// parser reads one line. The first error sticks; everything after it yields
// zero values, so that the grammar reads without error checks.
type parser struct {
	toks []token
	pos  int
	err  *AsmError
	st   statement
}

func (p *parser) peek() token { return p.toks[p.pos] }

func (p *parser) next() token {
	t := p.toks[p.pos]
	if t.kind != tokEnd {
		p.pos++
	}
	return t
}

// accept takes the next token if it is text.
func (p *parser) accept(text string) bool {
	if !p.peek().is(text) {
		return false
	}
	p.pos++
	return true
}

// expect takes the next token, which must be text.
func (p *parser) expect(text string) {
	if t := p.next(); !t.is(text) {
		p.fail(t, "want %q, found %s", text, t)
	}
}

func (p *parser) fail(at token, format string, args ...any) {
	if p.err == nil {
		p.err = &AsmError{Col: at.col, Msg: fmt.Sprintf(format, args...)}
	}
}

// emit sets the statement's only slot.
func (p *parser) emit(op Opcode, dst, src Register, off int16, imm int32) {
	p.st.slots = Program{{Op: op, Regs: MakeRegs(dst, src), Off: off, Imm: imm}}
}

// emitWide sets both slots of an LDDW.
func (p *parser) emitWide(dst Register, kind Pseudo, lo, hi uint32) {
	p.st.slots = Program{
		{Op: OpLdImm64, Regs: MakeRegs(dst, Register(kind)), Imm: int32(lo)},
		{Imm: int32(hi)},
	}
}

// keywords begin the statements that do not begin with a register or "*".
var keywords = []string{"if", "goto", "gotol", "may_goto", "call", "callx", "exit", "lock", "store_release", ".insn"}

// statement parses the instruction of a line, after labels.
func (p *parser) statement() {
	t := p.next()
	switch {
	case t.is("*"):
		p.store(false)
	case t.is("lock"):
		p.expect("*")
		p.store(true)
	case t.is("if"):
		p.conditional()
	case t.is("goto"):
		p.emit(OpJa, 0, 0, p.target(symJump), 0)
	case t.is("may_goto"):
		p.emit(OpMayGoto, 0, 0, p.target(symJump), 0)
	case t.is("gotol"):
		p.gotol()
	case t.is("call"):
		p.call()
	case t.is("callx"):
		r, _ := p.register(64)
		p.emit(OpCallX, r, 0, 0, 0)
	case t.is("exit"):
		p.emit(OpExit, 0, 0, 0, 0)
	case t.is("store_release"):
		p.storeRelease()
	case t.is(".insn"):
		p.rawInsn()
	case isRegister(t):
		p.assignment(t)
	default:
		p.fail(t, "unknown instruction %s%s", t, instructionHint(t))
	}
	if end := p.peek(); end.kind != tokEnd {
		p.fail(end, "%s after a complete instruction", end)
	}
}

// mnemonics of other assemblers, so that their users learn our form.
var otherSyntax = map[string]string{
	"mov": "r1 = r2", "mov64": "r1 = r2", "mov32": "w1 = w2", "add": "r1 += r2", "sub": "r1 -= r2",
	"add64": "r1 += r2", "lddw": "r1 = 0x12 ll", "ldxw": "r1 = *(u32 *)(r2 +4)", "ldxdw": "r1 = *(u64 *)(r2 +8)",
	"ldxb": "r1 = *(u8 *)(r2 +0)", "ldxh": "r1 = *(u16 *)(r2 +0)", "stxdw": "*(u64 *)(r10 -8) = r1",
	"stxw": "*(u32 *)(r10 -4) = w1", "ja": "goto pc+3", "jmp": "goto pc+3", "jeq": "if r1 == r2 goto pc+3",
	"jne": "if r1 != 0x0 goto pc+3", "ret": "exit", "return": "exit",
}

func instructionHint(t token) string {
	if t.kind != tokWord {
		return ""
	}
	word := strings.ToLower(t.text)
	known := slices.Concat(keywords, slices.Collect(maps.Keys(otherSyntax)))
	if s, ok := otherSyntax[nearest(word, slices.Values(known))]; ok {
		return fmt.Sprintf("; the verifier's syntax is used here, as in %q", s)
	}
	return didYouMean(word, slices.Values(keywords))
}

// isRegister reports whether t has the form of a register name.
func isRegister(t token) bool {
	if t.kind != tokWord || len(t.text) < 2 || len(t.text) > 3 || t.text[0] != 'r' && t.text[0] != 'w' {
		return false
	}
	return strings.Trim(t.text[1:], "0123456789") == ""
}

// registerOf reads a register name: r for all 64 bits, w for the lower 32.
func (p *parser) registerOf(t token) (r Register, width int) {
	if t.is("fp") {
		return FP, 64
	}
	if !isRegister(t) {
		p.fail(t, "want a register, found %s", t)
		return 0, 64
	}
	n, err := strconv.Atoi(t.text[1:])
	if err != nil || n >= NumRegisters || t.text[1] == '0' && len(t.text) > 2 {
		p.fail(t, "register %s does not exist; there are r0 to r10 and their lower halves w0 to w10", t.text)
		return 0, 64
	}
	if t.text[0] == 'w' {
		return Register(n), 32
	}
	return Register(n), 64
}

// register takes a register of the given width; 0 stands for either width.
func (p *parser) register(width int) (Register, int) {
	t := p.next()
	r, w := p.registerOf(t)
	if width != 0 && w != width {
		other := r.String()
		if width == 32 {
			other = r.Name32()
		}
		p.fail(t, "%s is %d bits wide where %d are meant; write %s", t.text, w, width, other)
	}
	return r, w
}

// aluAssign maps "+=" and its like to the operation.
var aluAssign = map[string]Code{
	"+=": CodeAdd, "-=": CodeSub, "*=": CodeMul, "/=": CodeDiv, "|=": CodeOr, "&=": CodeAnd,
	"<<=": CodeLsh, ">>=": CodeRsh, "%=": CodeMod, "^=": CodeXor, "s>>=": CodeArsh,
	"s/=": CodeDiv, "s%=": CodeMod,
}

// compare maps "==" and its like to the jump.
var compare = map[string]Code{
	"==": CodeJeq, ">": CodeJgt, ">=": CodeJge, "&": CodeJset, "!=": CodeJne,
	"s>": CodeJsgt, "s>=": CodeJsge, "<": CodeJlt, "<=": CodeJle, "s<": CodeJslt, "s<=": CodeJsle,
}

// conditional parses: if r1 > 0x5 goto pc+3.
func (p *parser) conditional() {
	dst, width := p.register(0)
	cmp := p.next()
	code, ok := compare[cmp.text]
	if !ok || cmp.kind != tokPunct {
		p.fail(cmp, "want a comparison (== != < <= > >= s< s<= s> s>= &), found %s", cmp)
	}
	class, use := ClassJMP, immJump
	if width == 32 {
		class, use = ClassJMP32, immWord
	}
	var (
		src  Register
		imm  int32
		kind = SrcK
	)
	if t := p.peek(); isRegister(t) || t.is("fp") {
		src, _ = p.register(width)
		kind = SrcX
	} else {
		imm = p.imm32(use)
	}
	p.expect("goto")
	p.emit(JumpOp(class, code, kind), dst, src, p.target(symJump), imm)
}

// target parses where a jump leads: a label, pc+3 or +3. For a label it
// remembers the name and returns 0.
func (p *parser) target(kind symbolKind) int16 {
	d := p.distance(kind, "a jump")
	if int64(int16(d)) != d {
		p.fail(p.toks[p.pos-1], "distance %d does not fit the 16 bits of a jump; gotol reaches further", d)
	}
	return int16(d)
}

// distance parses a label, "pc+3" or "+3" and returns the slots.
func (p *parser) distance(kind symbolKind, what string) int64 {
	t := p.next()
	switch {
	case t.is("pc"), t.is("+"), t.is("-"):
		sign := t
		if t.is("pc") {
			sign = p.next()
		}
		if !sign.is("+") && !sign.is("-") {
			p.fail(sign, "want a distance such as pc+3, found %s", sign)
			return 0
		}
		v := int64(min(p.number(), 1<<40))
		if sign.is("-") {
			v = -v
		}
		p.skipSymbol()
		return v
	case t.kind == tokWord || t.kind == tokString:
		p.st.ref = symbolRef{kind: kind, name: t.text, col: t.col}
		return 0
	}
	p.fail(t, "%s wants a label or a distance such as pc+3, found %s", what, t)
	return 0
}

// skipSymbol passes over what dumps print after a distance for the reader:
// "<LBB0_2>" of llvm-objdump, "#bpf_prog_5f2a_name" of bpftool.
func (p *parser) skipSymbol() {
	if t := p.peek(); t.is("<") || t.is("#") {
		p.pos = len(p.toks) - 1
	}
}

func (p *parser) gotol() {
	d := p.distance(symJumpLong, "a jump")
	if int64(int32(d)) != d {
		p.fail(p.toks[p.pos-1], "distance %d does not fit 32 bits", d)
	}
	p.emit(OpJa32, 0, 0, 0, int32(d))
}

// call parses the forms of a call:
//
//	call bpf_map_lookup_elem#1, call helper#1, call 1   helper by number
//	call bpf_map_lookup_elem                            helper or subprogram by name
//	call pc+5                                           subprogram by distance
//	call kfunc bpf_rcu_read_lock#123 off=2, call kfunc#123
func (p *parser) call() {
	t := p.peek()
	switch {
	case t.is("kfunc"):
		p.next()
		p.callKfunc()
		return
	case t.kind == tokNumber, t.is("#"):
		p.accept("#")
		p.emit(OpCall, 0, Register(PseudoHelper), 0, p.imm32(immID))
		return
	case t.kind == tokWord && p.toks[p.pos+1].is("#"):
		p.pos += 2
		p.st.ref = symbolRef{kind: symCall, name: t.text, col: t.col, addend: 1}
		p.emit(OpCall, 0, Register(PseudoHelper), 0, p.imm32(immID))
		return
	}
	d := p.distance(symCall, "a call")
	if int64(int32(d)) != d {
		p.fail(t, "distance %d does not fit 32 bits", d)
	}
	p.emit(OpCall, 0, Register(PseudoCall), 0, int32(d))
}

func (p *parser) callKfunc() {
	var id int32
	if t := p.peek(); t.kind == tokWord {
		p.next()
		p.st.ref = symbolRef{kind: symKfunc, name: t.text, col: t.col}
	}
	if p.st.ref.kind == symNone || p.peek().is("#") {
		p.expect("#")
		id = p.imm32(immID)
		p.st.ref = symbolRef{}
	}
	var off int16
	if p.accept("off") {
		p.expect("=")
		off = p.off16(p.accept("-"))
	}
	p.emit(OpCall, 0, Register(PseudoKfuncCall), off, id)
}

// rawInsn parses the five fields of a slot that need not be legal.
func (p *parser) rawInsn() {
	var v [5]int64
	for i, f := range [5]struct {
		name     string
		min, max int64
	}{{FieldOpcode, 0, 0xff}, {FieldDst, 0, 15}, {FieldSrc, 0, 15}, {FieldOff, -1 << 15, 1<<15 - 1}, {FieldImm, -1 << 31, 1<<32 - 1}} {
		if i > 0 {
			p.expect(",")
		}
		at := p.peek()
		neg := p.accept("-")
		v[i] = int64(min(p.number(), 1<<40))
		if neg {
			v[i] = -v[i]
		}
		if v[i] < f.min || v[i] > f.max {
			p.fail(at, "%s %d is not in %d..%d", f.name, v[i], f.min, f.max)
		}
	}
	p.emit(Opcode(v[0]), Register(v[1]), Register(v[2]), int16(v[3]), int32(uint32(v[4])))
}
