package isa

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// assignment parses what begins with a register: "r1 += 5", "r1 = ...".
func (p *parser) assignment(first token) {
	dst, width := p.registerOf(first)
	class := ClassALU64
	use := immSigned
	if width == 32 {
		class, use = ClassALU, immWord
	}
	op := p.next()
	if op.is("=") {
		p.value(first, dst, width)
		return
	}
	code, ok := aluAssign[op.text]
	if !ok || op.kind != tokPunct {
		p.fail(op, "want an assignment (= += -= *= /= %%= s/= s%%= |= &= ^= <<= >>= s>>=), found %s", op)
		return
	}
	var off int16
	if op.text == "s/=" || op.text == "s%=" {
		off = 1 // RFC 9669, section 4.1: signed division and modulo
	}
	if t := p.peek(); isRegister(t) || t.is("fp") {
		src, _ := p.register(width)
		p.emit(ALUOp(class, code, SrcX), dst, src, off, 0)
		return
	}
	p.emit(ALUOp(class, code, SrcK), dst, 0, off, p.imm32(use))
}

// value parses the right side of "=".
func (p *parser) value(left token, dst Register, width int) {
	class := ClassALU64
	if width == 32 {
		class = ClassALU
	}
	t := p.peek()
	switch {
	case isRegister(t) || t.is("fp"):
		src, _ := p.register(width)
		p.emit(ALUOp(class, CodeMov, SrcX), dst, src, 0, 0)
	case t.is("-") && isRegister(p.toks[p.pos+1]):
		p.next()
		operand := p.peek()
		if src, _ := p.register(width); src != dst {
			p.fail(operand, "negation works in place: %s = -%s", left.text, left.text)
		}
		p.emit(ALUOp(class, CodeNeg, SrcK), dst, 0, 0, 0)
	case t.kind == tokNumber || t.is("-") || t.is("+"):
		p.constant(left, dst, width)
	case t.is("("):
		p.signExtendedMove(dst, width)
	case t.is("*"):
		p.next()
		p.load(left, dst, width)
	case t.kind == tokWord:
		p.next()
		p.named(t, left, dst, width)
	default:
		p.fail(t, "want a value, found %s", t)
	}
}

// constant parses "5" into a move and "5 ll" into an LDDW. A dump shows an LDDW
// without the "ll", but then has its opcode in front.
func (p *parser) constant(left token, dst Register, width int) {
	at, start := p.peek(), p.pos
	neg := p.accept("-")
	if !neg {
		p.accept("+")
	}
	v := p.number()
	if p.accept("ll") || p.st.prefix.text == "18" {
		p.wants64(left, width)
		if neg {
			if v > 1<<63 {
				p.fail(at, "-%#x does not fit 64 bits", v)
			}
			v = -v
		}
		p.emitWide(dst, PseudoImm64, uint32(v), uint32(v>>32))
		return
	}
	p.pos = start
	class, use := ClassALU64, immSigned
	if width == 32 {
		class, use = ClassALU, immWord
	}
	p.emit(ALUOp(class, CodeMov, SrcK), dst, 0, 0, p.imm32(use))
}

// wants64 reports an error where a w register stands for a 64-bit value.
func (p *parser) wants64(left token, width int) {
	if width != 64 {
		p.fail(left, "this value is 64 bits wide; write r%s", left.text[1:])
	}
}

// signExtendedMove parses "(s8)r2".
func (p *parser) signExtendedMove(dst Register, width int) {
	p.expect("(")
	t := p.next()
	bits := map[string]int16{"s8": 8, "s16": 16, "s32": 32}[t.text]
	if bits == 0 || int(bits) >= width {
		p.fail(t, "want (s8), (s16) or, into an r register, (s32), found %s", t)
	}
	p.expect(")")
	src, _ := p.register(width)
	class := ClassALU64
	if width == 32 {
		class = ClassALU
	}
	p.emit(ALUOp(class, CodeMov, SrcX), dst, src, bits, 0)
}

// load parses what follows the "*" of a load: "(u32 *)(r2 +4)", or a legacy
// access to packet bytes, "(u8 *)skb[12]".
func (p *parser) load(left token, dst Register, width int) {
	m := p.pointerCast()
	if p.accept("skb") {
		p.packetLoad(left, dst, m)
		return
	}
	src, off := p.address()
	mode := ModeMEM
	if m.signed {
		mode = ModeMEMSX
	}
	// LLVM writes w where a zero-extending load fills the lower half only.
	if m.signed || m.size == SizeDW {
		p.wants64(left, width)
	}
	p.emit(MemOp(ClassLDX, mode, m.size), dst, src, off, 0)
}

func (p *parser) packetLoad(left token, dst Register, m memType) {
	if dst != R0 || left.text != "r0" {
		p.fail(left, "packet bytes are always loaded into r0")
	}
	if m.signed || m.size == SizeDW {
		p.fail(left, "packet loads are u8, u16 or u32")
	}
	p.expect("[")
	mode, src := ModeABS, R0
	var imm int32
	if isRegister(p.peek()) {
		mode = ModeIND
		src, _ = p.register(64)
		if t := p.peek(); t.is("+") && p.toks[p.pos+1].is("-") {
			p.next()
			imm = p.imm32(immWord)
		} else if t.is("+") || t.is("-") {
			imm = p.imm32(immWord)
		}
	} else {
		imm = p.imm32(immWord)
	}
	p.expect("]")
	p.emit(MemOp(ClassLD, mode, m.size), 0, src, 0, imm)
}

// byteSwaps maps the name without its width to the opcode.
var byteSwaps = map[string]Opcode{
	"le":    ALUOp(ClassALU, CodeEnd, SrcK),
	"be":    ALUOp(ClassALU, CodeEnd, SrcX),
	"bswap": ALUOp(ClassALU64, CodeEnd, SrcK),
}

// fetches maps the name after "atomic_" or "atomic64_" to the operation.
var fetches = map[string]AtomicOp{
	"fetch_add": AtomicAdd | AtomicFetch, "fetch_or": AtomicOr | AtomicFetch,
	"fetch_and": AtomicAnd | AtomicFetch, "fetch_xor": AtomicXor | AtomicFetch,
	"xchg": AtomicXchg, "cmpxchg": AtomicCmpXchg,
}

// valueWords are the names that can follow "=".
var valueWords = []string{
	"le16", "le32", "le64", "be16", "be32", "be64", "bswap16", "bswap32", "bswap64",
	"atomic_fetch_add", "atomic_fetch_or", "atomic_fetch_and", "atomic_fetch_xor", "atomic_xchg", "atomic_cmpxchg",
	"atomic64_fetch_add", "atomic64_fetch_or", "atomic64_fetch_and", "atomic64_fetch_xor", "atomic64_xchg",
	"atomic64_cmpxchg", "load_acquire", "addr_space_cast", "map", "btf", "subprog", "func", "data",
}

// named parses the values that begin with a word. But for LLVM's 32-bit atomics
// all of them are 64 bits wide.
func (p *parser) named(t, left token, dst Register, width int) {
	name, wide := strings.CutPrefix(t.text, "atomic64_")
	if !wide {
		name, _ = strings.CutPrefix(t.text, "atomic_")
	}
	if op, ok := fetches[name]; ok && name != t.text {
		p.fetch(left, op, wide, dst, width)
		return
	}
	if op, ok := llvmExchanges[t.text]; ok {
		p.exchange(left, t.text, op, dst, width)
		return
	}
	p.wants64(left, width)
	base := strings.TrimRight(t.text, "0123456789")
	if op, ok := byteSwaps[base]; ok {
		p.byteSwap(t, op, t.text[len(base):], dst)
		return
	}
	switch t.text {
	case "load_acquire":
		p.expect("(")
		size, src, off := p.typedAddress()
		p.expect(")")
		p.emit(MemOp(ClassSTX, ModeATOMIC, size), dst, src, off, int32(AtomicLoadAcq))
	case "addr_space_cast":
		p.addrSpaceCast(dst)
	case "map":
		p.mapRef(dst)
	case "btf":
		p.btfRef(dst)
	case "func", "subprog":
		p.funcRef(dst)
	case "data":
		p.dataRef(dst)
	default:
		p.fail(t, "unknown value %s%s", t, didYouMean(t.text, slices.Values(valueWords)))
	}
}

func (p *parser) byteSwap(t token, op Opcode, width string, dst Register) {
	n, err := strconv.Atoi(width)
	if err != nil || n != 16 && n != 32 && n != 64 {
		p.fail(t, "byte swaps are 16, 32 or 64 bits wide, not %q", width)
	}
	operand := p.peek()
	if r, _ := p.register(64); r != dst {
		p.fail(operand, "byte swaps work in place: %s = %s %s", dst, t.text, dst)
	}
	p.emit(op, dst, 0, 0, int32(n))
}

// fetch parses the rest of "r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)". LLVM
// leaves the width to the pointer: "atomic_fetch_add((u64 *)...)", and writes w
// registers where it is 32.
func (p *parser) fetch(left token, a AtomicOp, wide bool, result Register, width int) {
	p.expect("(")
	at := p.peek()
	size, dst, off := p.typedAddress()
	if size != SizeDW && (wide || size != SizeW) {
		p.fail(at, "atomics are 4 or 8 bytes wide: (u32 *) with atomic_..., (u64 *) with atomic64_...")
	}
	p.expect(",")
	p.fetchOperands(left, a, size, dst, off, result, width)
}

// llvmExchanges are LLVM's names for the two exchanges.
var llvmExchanges = map[string]AtomicOp{
	"xchg_64": AtomicXchg, "xchg32_32": AtomicXchg,
	"cmpxchg_64": AtomicCmpXchg, "cmpxchg32_32": AtomicCmpXchg,
}

// exchange parses the rest of LLVM's "w2 = xchg32_32(r1 + 0, w2)".
func (p *parser) exchange(left token, name string, a AtomicOp, result Register, width int) {
	size := SizeDW
	if strings.HasSuffix(name, "32") {
		size = SizeW
	}
	p.expect("(")
	dst, off := p.baseAndOffset()
	p.expect(",")
	p.fetchOperands(left, a, size, dst, off, result, width)
}

// fetchOperands parses the registers that end a fetching atomic: "r2)", and for
// cmpxchg "r0, r2)".
func (p *parser) fetchOperands(left token, a AtomicOp, size Size, dst Register, off int16, result Register, width int) {
	if size == SizeDW {
		p.wants64(left, width)
	}
	if a == AtomicCmpXchg {
		at := p.peek()
		if r, _ := p.register(width); r != R0 || result != R0 {
			p.fail(at, "cmpxchg compares with r0 and returns in r0")
		}
		p.expect(",")
	}
	at := p.peek()
	src, _ := p.register(width)
	if a != AtomicCmpXchg && src != result {
		p.fail(at, "the old value comes back in the operand's register: %s = ...(..., %s)", left.text, left.text)
	}
	p.expect(")")
	p.emit(MemOp(ClassSTX, ModeATOMIC, size), dst, src, off, int32(a))
}

// addrSpaceCast parses "(r1, 0, 1)": register, target space, source space.
func (p *parser) addrSpaceCast(dst Register) {
	p.expect("(")
	src, _ := p.register(64)
	p.expect(",")
	at := p.peek()
	to := p.number()
	p.expect(",")
	from := p.number()
	p.expect(")")
	if to+from != 1 || to > 1 {
		p.fail(at, "address spaces are 0 (kernel) and 1 (arena): write (%s, 0, 1) or (%s, 1, 0)", src, src)
	}
	p.emit(ALUOp(ClassALU64, CodeMov, SrcX), dst, src, 1, int32(to&1<<16|from&1))
}

// field32 parses "fd:5" after its word, signed or unsigned.
func (p *parser) field32() uint32 {
	p.expect(":")
	return uint32(p.imm32(immID))
}

// addend parses an optional "+4" after a value's address.
func (p *parser) addend() uint32 {
	if !p.accept("+") {
		return 0
	}
	at := p.peek()
	v := p.number()
	if v > math.MaxUint32 {
		p.fail(at, "offset %#x does not fit 32 bits", v)
	}
	return uint32(v)
}

// mapRef parses the forms of a map's address and of its first value's:
//
//	map[fd:5]   map[fd:5][0]+8   map[idx:5]   map[idx:5]+8   map[counts]   map[.rodata][0]+4
func (p *parser) mapRef(dst Register) {
	p.expect("[")
	t := p.next()
	if !p.peek().is(":") {
		p.namedMap(t, dst)
		return
	}
	kinds := map[string][2]Pseudo{
		"fd":  {PseudoMapFD, PseudoMapValue},
		"id":  {PseudoMapFD, PseudoMapValue}, // what bpftool prints in its place
		"idx": {PseudoMapIdx, PseudoMapIdxValue},
	}
	kind, ok := kinds[t.text]
	if !ok {
		p.fail(t, "want map[fd:N], map[idx:N] or map[NAME], found map[%s:", t.text)
	}
	v := p.field32()
	p.expect("]")
	hasIndex := p.index()
	if hasIndex || p.peek().is("+") {
		p.emitWide(dst, kind[1], v, p.addend())
		return
	}
	p.emitWide(dst, kind[0], v, 0)
}

// index parses the optional "[0]" that says "first value".
func (p *parser) index() bool {
	if !p.accept("[") {
		return false
	}
	at := p.peek()
	if p.number() != 0 {
		p.fail(at, "only the first value has an address at load time: [0]")
	}
	p.expect("]")
	return true
}

func (p *parser) namedMap(t token, dst Register) {
	if t.kind != tokWord && t.kind != tokString {
		p.fail(t, "want the name of a map, found %s", t)
	}
	p.expect("]")
	if p.index() {
		add := p.addend()
		p.st.ref = symbolRef{kind: symMapValue, name: t.text, col: t.col}
		p.emitWide(dst, PseudoMapValue, 0, add)
		return
	}
	if plus := p.peek(); plus.is("+") {
		p.fail(plus, "the address of a value is written %s", fmt.Sprintf("map[%s][0]+4", t.text))
	}
	p.st.ref = symbolRef{kind: symMap, name: t.text, col: t.col}
	p.emitWide(dst, PseudoMapFD, 0, 0)
}

// btfRef parses "[id:7 fd:0]"; the fd of a module's BTF may be left out.
func (p *parser) btfRef(dst Register) {
	p.expect("[")
	p.expect("id")
	id := p.field32()
	var fd uint32
	if p.accept("fd") {
		fd = p.field32()
	}
	p.expect("]")
	p.emitWide(dst, PseudoBTFID, id, fd)
}

// funcRef parses "[+5]" or "[name]".
func (p *parser) funcRef(dst Register) {
	p.expect("[")
	at := p.peek()
	d := p.distance(symFunc, "a subprogram's address")
	if int64(int32(d)) != d {
		p.fail(at, "distance %d does not fit 32 bits", d)
	}
	p.expect("]")
	p.emitWide(dst, PseudoFunc, uint32(int32(d)), 0)
}

// dataRef parses "[name]+4", the address of something a data directive defined.
func (p *parser) dataRef(dst Register) {
	p.expect("[")
	t := p.next()
	if t.kind != tokWord && t.kind != tokString {
		p.fail(t, "want the name of a data symbol, found %s", t)
	}
	p.expect("]")
	p.st.ref = symbolRef{kind: symData, name: t.text, col: t.col, addend: uint64(p.addend())}
	p.emitWide(dst, PseudoMapValue, 0, 0)
}
