package amd64

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	golangasm "github.com/twitchyliquid64/golang-asm"
	"github.com/twitchyliquid64/golang-asm/obj"
	"github.com/twitchyliquid64/golang-asm/obj/x86"
)

// This file alone knows golang-asm. That assembler is made for one big run of a
// compiler: its tables are filled by the first builder without a lock, a bad
// instruction is printed, and some of its paths end the process, the relaxing of
// branches among them. So it is only asked for instructions without branches, of
// the forms in the table below, one encoding each; what it answers is kept,
// because programs use the same few hundred encodings again and again. Branches
// are laid out here.

// reg is an x86 register by its number in the encoding.
type reg uint8

const (
	rax reg = iota
	rcx
	rdx
	rbx
	rsp
	rbp
	rsi
	rdi
	r8
	r9
	r10
	r11
	r12
	r13
	r14
	r15
	noReg
)

// op is an instruction that the compiler uses. Its width is part of it: q is 8
// bytes, l is 4, w is 2, b is 1.
type op uint8

const (
	opMovQ op = iota
	opMovL
	opMovW
	opMovB
	opMovZxW // zero-extending to 64 bits
	opMovZxB
	opMovSxL // sign-extending to 64 bits
	opMovSxW
	opMovSxB
	opMovSxWL // sign-extending to 32 bits
	opMovSxBL
	opLea
	opAddQ
	opAddL
	opSubQ
	opSubL
	opOrQ
	opOrL
	opAndQ
	opAndL
	opXorQ
	opXorL
	opCmpQ
	opCmpL
	opTestQ
	opTestL
	opTestB
	opImulQ
	opImulL
	opImul3Q
	opImul3L
	opDivQ
	opDivL
	opIdivQ
	opIdivL
	opCqo
	opCdq
	opNegQ
	opNegL
	opShlQ
	opShlL
	opShrQ
	opShrL
	opSarQ
	opSarL
	opShlxQ
	opShlxL
	opShrxQ
	opShrxL
	opSarxQ
	opSarxL
	opRolW
	opRolQ
	opRolL
	opBswapQ
	opBswapL
	opXchgQ
	opXchgL
	opXaddQ
	opXaddL
	opCmpxchgQ
	opCmpxchgL
	opLock
	opPush
	opPop
	opRet
	opJmpReg
	opZeroX // clears xmm0
	opStoreX
	opCount
)

// form says which operands an instruction has, destination first.
type form uint8

const (
	fNone form = iota
	fR         // reg
	fRR        // reg, reg
	fRI        // reg, imm
	fRM        // reg, [mem]
	fMR        // [mem], reg
	fMI        // [mem], imm
	fM         // [mem]
	fRRI       // reg, reg, imm
	fRRR       // reg, reg, reg
	fI         // imm
	fRCL       // reg, cl
)

// mem is base + index + disp; index may be noReg.
type mem struct {
	base, index reg
	disp        int32
}

// instr is one instruction. It is comparable: the key under which its encoding is
// kept.
type instr struct {
	op   op
	form form
	dst  reg
	src  reg
	src2 reg
	mem  mem
	imm  int64
}

// opInfo is a row of the table of all that is ever asked of the assembler.
type opInfo struct {
	as    obj.As
	width uint8  // of register operands in bytes; 16 for xmm0
	swap  bool   // golang-asm wants the operands of this one as written (cmp)
	forms []form // legal
}

var alu = []form{fRR, fRI, fRM, fMR, fMI}

var opTable = [opCount]opInfo{
	opMovQ:     {x86.AMOVQ, 8, false, []form{fRR, fRI, fRM, fMR, fMI}},
	opMovL:     {x86.AMOVL, 4, false, []form{fRR, fRI, fRM, fMR, fMI}},
	opMovW:     {x86.AMOVW, 2, false, []form{fMR, fMI}},
	opMovB:     {x86.AMOVB, 1, false, []form{fMR, fMI}},
	opMovZxW:   {x86.AMOVWLZX, 4, false, []form{fRR, fRM}},
	opMovZxB:   {x86.AMOVBLZX, 4, false, []form{fRR, fRM}},
	opMovSxL:   {x86.AMOVLQSX, 8, false, []form{fRR, fRM}},
	opMovSxW:   {x86.AMOVWQSX, 8, false, []form{fRR, fRM}},
	opMovSxB:   {x86.AMOVBQSX, 8, false, []form{fRR, fRM}},
	opMovSxWL:  {x86.AMOVWLSX, 4, false, []form{fRR}},
	opMovSxBL:  {x86.AMOVBLSX, 4, false, []form{fRR}},
	opLea:      {x86.ALEAQ, 8, false, []form{fRM}},
	opAddQ:     {x86.AADDQ, 8, false, alu},
	opAddL:     {x86.AADDL, 4, false, alu},
	opSubQ:     {x86.ASUBQ, 8, false, alu},
	opSubL:     {x86.ASUBL, 4, false, alu},
	opOrQ:      {x86.AORQ, 8, false, alu},
	opOrL:      {x86.AORL, 4, false, alu},
	opAndQ:     {x86.AANDQ, 8, false, alu},
	opAndL:     {x86.AANDL, 4, false, alu},
	opXorQ:     {x86.AXORQ, 8, false, alu},
	opXorL:     {x86.AXORL, 4, false, alu},
	opCmpQ:     {x86.ACMPQ, 8, true, []form{fRR, fRI, fRM, fMI}},
	opCmpL:     {x86.ACMPL, 4, true, []form{fRR, fRI, fRM, fMI}},
	opTestQ:    {x86.ATESTQ, 8, false, []form{fRR, fRI}},
	opTestL:    {x86.ATESTL, 4, false, []form{fRR, fRI}},
	opTestB:    {x86.ATESTB, 1, false, []form{fMI}},
	opImulQ:    {x86.AIMULQ, 8, false, []form{fRR}},
	opImulL:    {x86.AIMULL, 4, false, []form{fRR}},
	opImul3Q:   {x86.AIMUL3Q, 8, false, []form{fRRI}},
	opImul3L:   {x86.AIMUL3L, 4, false, []form{fRRI}},
	opDivQ:     {x86.ADIVQ, 8, false, []form{fR}},
	opDivL:     {x86.ADIVL, 4, false, []form{fR}},
	opIdivQ:    {x86.AIDIVQ, 8, false, []form{fR}},
	opIdivL:    {x86.AIDIVL, 4, false, []form{fR}},
	opCqo:      {x86.ACQO, 8, false, []form{fNone}},
	opCdq:      {x86.ACDQ, 4, false, []form{fNone}},
	opNegQ:     {x86.ANEGQ, 8, false, []form{fR}},
	opNegL:     {x86.ANEGL, 4, false, []form{fR}},
	opShlQ:     {x86.ASHLQ, 8, false, []form{fRI, fRCL}},
	opShlL:     {x86.ASHLL, 4, false, []form{fRI, fRCL}},
	opShrQ:     {x86.ASHRQ, 8, false, []form{fRI, fRCL}},
	opShrL:     {x86.ASHRL, 4, false, []form{fRI, fRCL}},
	opSarQ:     {x86.ASARQ, 8, false, []form{fRI, fRCL}},
	opSarL:     {x86.ASARL, 4, false, []form{fRI, fRCL}},
	opShlxQ:    {x86.ASHLXQ, 8, false, []form{fRRR}},
	opShlxL:    {x86.ASHLXL, 4, false, []form{fRRR}},
	opShrxQ:    {x86.ASHRXQ, 8, false, []form{fRRR}},
	opShrxL:    {x86.ASHRXL, 4, false, []form{fRRR}},
	opSarxQ:    {x86.ASARXQ, 8, false, []form{fRRR}},
	opSarxL:    {x86.ASARXL, 4, false, []form{fRRR}},
	opRolW:     {x86.AROLW, 2, false, []form{fRI}},
	opRolQ:     {x86.AROLQ, 8, false, []form{fRI}},
	opRolL:     {x86.AROLL, 4, false, []form{fRI}},
	opBswapQ:   {x86.ABSWAPQ, 8, false, []form{fR}},
	opBswapL:   {x86.ABSWAPL, 4, false, []form{fR}},
	opXchgQ:    {x86.AXCHGQ, 8, false, []form{fMR}},
	opXchgL:    {x86.AXCHGL, 4, false, []form{fMR}},
	opXaddQ:    {x86.AXADDQ, 8, false, []form{fMR}},
	opXaddL:    {x86.AXADDL, 4, false, []form{fMR}},
	opCmpxchgQ: {x86.ACMPXCHGQ, 8, false, []form{fMR}},
	opCmpxchgL: {x86.ACMPXCHGL, 4, false, []form{fMR}},
	opLock:     {x86.ALOCK, 0, false, []form{fNone}},
	opPush:     {x86.APUSHQ, 8, false, []form{fR, fI}},
	opPop:      {x86.APOPQ, 8, false, []form{fR}},
	opRet:      {obj.ARET, 0, false, []form{fNone}},
	opJmpReg:   {obj.AJMP, 8, false, []form{fR}},
	opZeroX:    {x86.AXORPS, 16, false, []form{fNone}},
	opStoreX:   {x86.AMOVUPS, 16, false, []form{fM}},
}

func regOperand(r reg, width uint8) obj.Addr {
	base := int16(x86.REG_AX)
	if width == 1 {
		base = x86.REG_AL
		if r >= rsp && r <= rdi {
			base = x86.REG_SPB - int16(rsp)
		} else if r >= r8 {
			base = x86.REG_R8B - int16(r8)
		}
	}
	return obj.Addr{Type: obj.TYPE_REG, Reg: base + int16(r)}
}

func memOperand(m mem) obj.Addr {
	a := obj.Addr{Type: obj.TYPE_MEM, Reg: x86.REG_AX + int16(m.base), Offset: int64(m.disp)}
	if m.index != noReg {
		a.Index, a.Scale = x86.REG_AX+int16(m.index), 1
	}
	return a
}

func immOperand(v int64) obj.Addr { return obj.Addr{Type: obj.TYPE_CONST, Offset: v} }

// fill writes an instruction in golang-asm's terms, sources before destination.
func (in instr) fill(p *obj.Prog) {
	info := &opTable[in.op]
	p.As = info.as
	src := info.width
	switch in.op { // the source is narrower than the destination
	case opMovZxB, opMovSxB, opMovSxBL:
		src = 1
	}
	switch in.form {
	case fR:
		switch in.op {
		case opPop, opNegQ, opNegL, opBswapQ, opBswapL, opJmpReg:
			p.To = regOperand(in.dst, info.width)
		default:
			p.From = regOperand(in.dst, info.width)
		}
	case fRR:
		p.From, p.To = regOperand(in.src, src), regOperand(in.dst, info.width)
	case fRI:
		p.From, p.To = immOperand(in.imm), regOperand(in.dst, info.width)
	case fRM:
		p.From, p.To = memOperand(in.mem), regOperand(in.dst, info.width)
	case fMR:
		p.From, p.To = regOperand(in.src, info.width), memOperand(in.mem)
	case fMI:
		p.From, p.To = immOperand(in.imm), memOperand(in.mem)
	case fRRI:
		p.From, p.To = immOperand(in.imm), regOperand(in.dst, info.width)
		p.RestArgs = []obj.Addr{regOperand(in.src, info.width)}
	case fRRR: // dst = src shifted by src2
		p.From, p.To = regOperand(in.src2, info.width), regOperand(in.dst, info.width)
		p.RestArgs = []obj.Addr{regOperand(in.src, info.width)}
	case fI:
		p.From = immOperand(in.imm)
	case fRCL:
		p.From, p.To = obj.Addr{Type: obj.TYPE_REG, Reg: x86.REG_CX}, regOperand(in.dst, info.width)
	case fM:
		p.From = obj.Addr{Type: obj.TYPE_REG, Reg: x86.REG_X0}
		p.To = memOperand(in.mem)
	case fNone:
		if in.op == opZeroX {
			p.From = obj.Addr{Type: obj.TYPE_REG, Reg: x86.REG_X0}
			p.To = p.From
		}
	}
	if info.swap {
		p.From, p.To = p.To, p.From
	}
}

// encoder keeps what the assembler has said. Encodings never change, so all
// compilations of the process share one.
type encoder struct {
	mu    sync.Mutex
	known map[instr][]byte
}

var encodings = encoder{known: map[instr][]byte{}}

// maxKnown bounds the memory that programs with many different constants take.
const maxKnown = 1 << 16

// encode returns the bytes of each instruction, in order.
func (e *encoder) encode(list []instr) ([][]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.known) > maxKnown {
		clear(e.known)
	}
	var missing []instr
	for _, in := range list {
		if _, ok := e.known[in]; !ok {
			missing = append(missing, in)
			e.known[in] = nil
		}
	}
	if err := e.ask(missing); err != nil {
		for _, in := range missing {
			delete(e.known, in)
		}
		return nil, err
	}
	out := make([][]byte, len(list))
	for i, in := range list {
		out[i] = e.known[in]
	}
	return out, nil
}

// ask runs the assembler. The mutex makes the first builder safe too.
func (e *encoder) ask(list []instr) error {
	if len(list) == 0 {
		return nil
	}
	b, err := golangasm.NewBuilder("amd64", len(list))
	if err != nil {
		return fmt.Errorf("assembler: %w", err)
	}
	progs := make([]*obj.Prog, len(list))
	var errs []error
	for i := range progs {
		p := b.NewProg()
		list[i].fill(p)
		b.AddInstruction(p)
		progs[i] = p
	}
	progs[0].Ctxt.DiagFunc = func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("assembler: "+format, args...))
	}
	code := b.Assemble()
	if errs != nil {
		return errors.Join(errs...)
	}
	for i, in := range list {
		at, end := progs[i].Pc, progs[i].Pc+int64(progs[i].Isize) // padding may follow
		e.known[in] = bytes.Clone(code[at:end])
	}
	return nil
}

// cond is a condition of a jump by its number in the encoding (Intel SDM, volume 2,
// appendix B.1.4.7).
type cond uint8

const (
	condB  cond = 2
	condAE cond = 3
	condE  cond = 4
	condNE cond = 5
	condBE cond = 6
	condA  cond = 7
	condL  cond = 12
	condGE cond = 13
	condLE cond = 14
	condG  cond = 15
	always cond = 16
	called cond = 17 // call
)

// label is a place in the code, bound once.
type label int32

// item is an instruction or, with cond != 0, a branch to a label.
type item struct {
	in   instr
	cond cond
	to   label
	slot int32 // of the eBPF instruction that it belongs to, -1: none
}

// code is machine code in the making: items and where the labels are among them.
type code struct {
	items  []item
	labels []int32 // index of an item; -1: not bound yet
	slot   int32
	cache  cache // what r10 and r11 hold
}

func (c *code) newLabel() label {
	c.labels = append(c.labels, -1)
	return label(len(c.labels) - 1)
}

func (c *code) bind(l label) { c.labels[l] = int32(len(c.items)) }

func (c *code) add(in instr) {
	c.items = append(c.items, item{in: in, slot: c.slot})
	if in.hasDst() && (in.dst == regTmp || in.dst == regAddr) {
		c.cache.of[in.dst-regTmp] = cached{}
	}
}

// hasDst reports whether dst is an operand.
func (in instr) hasDst() bool {
	switch in.form {
	case fR, fRR, fRI, fRM, fRRI, fRRR, fRCL:
		return true
	}
	return false
}

func (c *code) jump(cc cond, to label) {
	c.items = append(c.items, item{cond: cc, to: to, slot: c.slot})
}

func (c *code) rr(o op, dst, src reg) { c.add(instr{op: o, form: fRR, dst: dst, src: src}) }
func (c *code) ri(o op, dst reg, v int64) {
	c.add(instr{op: o, form: fRI, dst: dst, imm: v})
}
func (c *code) rm(o op, dst reg, m mem)     { c.add(instr{op: o, form: fRM, dst: dst, mem: m}) }
func (c *code) mr(o op, m mem, src reg)     { c.add(instr{op: o, form: fMR, src: src, mem: m}) }
func (c *code) mi(o op, m mem, v int64)     { c.add(instr{op: o, form: fMI, mem: m, imm: v}) }
func (c *code) r(o op, r reg)               { c.add(instr{op: o, form: fR, dst: r}) }
func (c *code) rri(o op, d, s reg, v int64) { c.add(instr{op: o, form: fRRI, dst: d, src: s, imm: v}) }
func (c *code) rrr(o op, d, s, by reg) {
	c.add(instr{op: o, form: fRRR, dst: d, src: s, src2: by})
}
func (c *code) none(o op) { c.add(instr{op: o}) }

// assembled is finished code.
type assembled struct {
	text   []byte
	at     []int32 // offset of each item, and of the end
	labels []int32 // offset of each label
}

// sizes of branches in bytes: short, near
func branchSize(cc cond, short bool) int32 {
	switch {
	case short && cc != called:
		return 2
	case cc >= always:
		return 5
	}
	return 6
}

// assemble encodes the items and lays out the branches: all near at first, then
// short where the distance allows, which only brings things closer.
func (c *code) assemble() (*assembled, error) {
	list := make([]instr, 0, len(c.items))
	for i := range c.items {
		if c.items[i].cond == 0 {
			list = append(list, c.items[i].in)
		}
	}
	enc, err := encodings.encode(list)
	if err != nil {
		return nil, err
	}
	a := &assembled{at: make([]int32, len(c.items)+1), labels: make([]int32, len(c.labels))}
	short := make([]bool, len(c.items))
	for range 3 {
		c.layout(a, enc, short)
		for i := range c.items {
			if it := &c.items[i]; it.cond != 0 && it.cond != called {
				d := a.labels[it.to] - a.at[i]
				short[i] = short[i] || d > -120 && d < 120
			}
		}
	}
	c.layout(a, enc, short)
	c.write(a, enc, short)
	return a, nil
}

func (c *code) layout(a *assembled, enc [][]byte, short []bool) {
	pos, k := int32(0), 0
	for i := range c.items {
		a.at[i] = pos
		if cc := c.items[i].cond; cc != 0 {
			pos += branchSize(cc, short[i])
			continue
		}
		pos += int32(len(enc[k]))
		k++
	}
	a.at[len(c.items)] = pos
	for l, i := range c.labels {
		if i >= 0 {
			a.labels[l] = a.at[i]
		}
	}
}

func (c *code) write(a *assembled, enc [][]byte, short []bool) {
	text := make([]byte, 0, a.at[len(c.items)])
	k := 0
	for i := range c.items {
		it := &c.items[i]
		if it.cond == 0 {
			text = append(text, enc[k]...)
			k++
			continue
		}
		d := a.labels[it.to] - a.at[i+1]
		switch {
		case it.cond == called:
			text = append(text, 0xe8)
		case short[i] && it.cond == always:
			text = append(text, 0xeb, byte(d))
			continue
		case short[i]:
			text = append(text, 0x70|byte(it.cond), byte(d))
			continue
		case it.cond == always:
			text = append(text, 0xe9)
		default:
			text = append(text, 0x0f, 0x80|byte(it.cond))
		}
		text = binary.LittleEndian.AppendUint32(text, uint32(d))
	}
	a.text = text
}
