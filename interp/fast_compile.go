package interp

import (
	"bpfvm/isa"
	"bpfvm/vm"
)

// compileFast makes the records of a program.
func compileFast(code *vm.Code) (*fastProgram, error) {
	base, err := vm.Prepare(code)
	if err != nil {
		return nil, err
	}
	p := &fastProgram{Prepared: base}
	p.joined = translate(p, false)
	return p, nil
}

// compiler translates one program into one listing.
type compiler struct {
	p      *fastProgram
	list   *listing
	consts map[uint64]uint8
	helper map[*vm.Helper]int32
	leader []bool // slots that a jump, a call or a return leads to
}

// translate makes a listing. With exact, every instruction is preceded by a record
// that checks the budget; without, instructions are joined.
func translate(p *fastProgram, exact bool) *listing {
	n := len(p.Forms)
	c := &compiler{
		p:      p,
		list:   &listing{recs: make([]record, 0, n), from: make([]source, 0, n), at: make([]int32, n+1), exact: exact},
		consts: make(map[uint64]uint8),
		helper: make(map[*vm.Helper]int32),
	}
	for i, v := range p.consts {
		c.consts[v] = uint8(regConst + i)
	}
	for i, h := range p.helpers {
		c.helper[h.Helper] = int32(i)
	}
	for i := range c.list.at {
		c.list.at[i] = -1
	}
	if !exact {
		c.findLeaders()
	}
	for pc := isa.PC(0); int(pc) < n; {
		start := len(c.list.recs)
		if exact {
			c.emit(pc, record{op: opCount, off: p.Pos[pc]})
			pc = c.next(pc)
		} else {
			pc = c.line(pc)
		}
		for i := start; i < len(c.list.recs); i++ {
			if at := &c.list.at[c.list.from[i].slot]; *at < 0 {
				*at = int32(i)
			}
		}
	}
	c.resolve()
	return c.list
}

// next emits the instruction at pc and returns the slot after it.
func (c *compiler) next(pc isa.PC) isa.PC {
	c.emit(pc, c.single(pc))
	if c.p.Insns[pc].IsWide() {
		return pc + 2
	}
	return pc + 1
}

// line emits the instructions from pc on to the next leader and joins them.
func (c *compiler) line(pc isa.PC) isa.PC {
	start := len(c.list.recs)
	for pc = c.next(pc); !c.leader[pc] && int(pc) < len(c.p.Forms); {
		pc = c.next(pc)
	}
	line := make([]item, len(c.list.recs)-start)
	for i := range line {
		line[i] = item{c.list.recs[start+i], c.list.from[start+i]}
	}
	c.list.recs, c.list.from = c.list.recs[:start], c.list.from[:start]
	for _, it := range c.join(line) {
		c.list.recs = append(c.list.recs, it.r)
		c.list.from = append(c.list.from, it.from)
	}
	return pc
}

// findLeaders marks the slots at which a straight line ends because control can
// come from elsewhere. Nothing is joined across them.
func (c *compiler) findLeaders() {
	insns := c.p.Insns
	c.leader = make([]bool, len(insns)+1)
	c.leader[0] = true
	for pc, ins := range insns.All() {
		if t, ok := insns.JumpTarget(pc); ok {
			c.leader[t] = true
		}
		if t, ok := insns.CallTarget(pc); ok && ins.IsPseudoCall() {
			c.leader[t] = true
		}
		if ins.Op.Class() == isa.ClassJMP && ins.Op.Code() == isa.CodeCall {
			c.leader[pc+1] = true
		}
	}
	for _, f := range c.p.Funcs {
		if f.PC >= 0 && int(f.PC) < len(insns) {
			c.leader[f.PC] = true
		}
	}
}

func (c *compiler) emit(pc isa.PC, r record) {
	c.list.recs = append(c.list.recs, r)
	c.list.from = append(c.list.from, source{pc, pc, pc})
}

// resolve turns the slots that jumps and calls lead to into records.
func (c *compiler) resolve() {
	for i := range c.list.recs {
		if r := &c.list.recs[i]; isJump(r.op) || r.op == opCall {
			target := r.off
			r.off = c.list.at[target]
			r.delta = c.p.Pos[c.list.from[i].fault2] + 1 - c.p.Pos[target]
		}
	}
}

// isJump reports whether off is a target.
func isJump(op uint16) bool {
	return op >= opJeq && op <= opMayGoto || op >= opALUJumps && op < opLoadPairs
}

// constant returns the register that holds a constant. Programs with more constants
// than there is room for load the rest where they are used.
func (c *compiler) constant(pc isa.PC, v uint64) uint8 {
	if i, ok := c.consts[v]; ok {
		return i
	}
	if len(c.p.consts) < regCount-regConst && !c.list.exact {
		c.p.consts = append(c.p.consts, v)
		c.consts[v] = uint8(regConst + len(c.p.consts) - 1)
		return c.consts[v]
	}
	c.emit(pc, record{op: opConst, a: regScratch, off: int32(uint32(v)), delta: int32(uint32(v >> 32))})
	return regScratch
}

// operand returns the register of the second operand.
func (c *compiler) operand(pc isa.PC, ins isa.Instruction) uint8 {
	if ins.Op.Source() == isa.SrcX {
		return uint8(ins.Src())
	}
	return c.constant(pc, uint64(int64(ins.Imm)))
}

// single translates one instruction by itself. Jump targets are still slots.
func (c *compiler) single(pc isa.PC) record {
	ins := c.p.Insns[pc]
	dst, src := uint8(ins.Dst()), uint8(ins.Src())
	switch class := ins.Op.Class(); {
	case ins.IsWide():
		v, _ := c.p.Insns.Imm64(pc)
		return record{op: opMov, a: dst, b: c.constant(pc, v)}
	case class.IsALU():
		return c.alu(pc, ins)
	case class == isa.ClassJMP && ins.Op.Code() == isa.CodeCall:
		return c.call(pc, ins)
	case ins.Op == isa.OpExit:
		return record{op: opExit, off: c.p.Pos[pc] + 1}
	case class.IsJump():
		return c.jump(pc, ins)
	case class == isa.ClassLD:
		r := record{op: opLdAbs, b: src, c: uint8(ins.Op.Size().Bytes()), off: ins.Imm}
		if ins.Op.Mode() == isa.ModeABS {
			r.b = c.constant(pc, 0)
		}
		return r
	case ins.Op.Mode() == isa.ModeATOMIC:
		return record{op: opAtomic, a: dst, b: src, c: uint8(ins.Op.Size().Bytes()), off: int32(ins.Off), delta: ins.Imm}
	case class == isa.ClassLDX && c.p.Probes(pc):
		return record{op: opAtomic, a: dst, b: src, off: int32(ins.Off), delta: probeLoad}
	case class == isa.ClassLDX:
		return c.load(ins)
	}
	b := src
	if ins.Op.Class() == isa.ClassST {
		b = c.constant(pc, uint64(int64(ins.Imm)))
	}
	size := ins.Op.Size()
	op := [...]uint16{isa.SizeB >> 3: opStore8, isa.SizeH >> 3: opStore16, isa.SizeW >> 3: opStore32, isa.SizeDW >> 3: opStore64}[size>>3]
	if vm.InFrame(ins.Dst(), ins.Off, size.Bytes()) {
		op = [...]uint16{isa.SizeB >> 3: opStoreFP8, isa.SizeH >> 3: opStoreFP16, isa.SizeW >> 3: opStoreFP32, isa.SizeDW >> 3: opStoreFP64}[size>>3]
	}
	return record{op: op, a: dst, b: b, off: int32(ins.Off)}
}

func (c *compiler) load(ins isa.Instruction) record {
	r := record{a: uint8(ins.Dst()), b: uint8(ins.Src()), off: int32(ins.Off)}
	size := ins.Op.Size()
	switch {
	case ins.Op.Mode() == isa.ModeMEMSX:
		r.op = [...]uint16{isa.SizeB >> 3: opLoadSx8, isa.SizeH >> 3: opLoadSx16, isa.SizeW >> 3: opLoadSx32}[size>>3]
	case vm.InFrame(ins.Src(), ins.Off, size.Bytes()):
		r.op = [...]uint16{isa.SizeB >> 3: opLoadFP8, isa.SizeH >> 3: opLoadFP16, isa.SizeW >> 3: opLoadFP32, isa.SizeDW >> 3: opLoadFP64}[size>>3]
	default:
		r.op = [...]uint16{isa.SizeB >> 3: opLoad8, isa.SizeH >> 3: opLoad16, isa.SizeW >> 3: opLoad32, isa.SizeDW >> 3: opLoad64}[size>>3]
	}
	return r
}

// alu translates the classes ALU and ALU64.
func (c *compiler) alu(pc isa.PC, ins isa.Instruction) record {
	dst, wide := uint8(ins.Dst()), ins.Op.Class() == isa.ClassALU64
	pick := func(op64, op32 uint16) uint16 {
		if wide {
			return op64
		}
		return op32
	}
	r := record{a: dst, b: dst}
	switch code := ins.Op.Code(); code {
	case isa.CodeNeg:
		r.op = pick(opNeg, opNeg32)
		return r
	case isa.CodeEnd:
		r.op = endOp(ins, wide)
		return r
	case isa.CodeMov:
		r.b = c.operand(pc, ins)
		switch ins.Off {
		case 8:
			r.op = pick(opSext8, opSext8w)
		case 16:
			r.op = pick(opSext16, opSext16w)
		case 32:
			r.op = opSext32
		default:
			r.op = pick(opMov, opMov32)
			if !wide && ins.Op.Source() == isa.SrcK {
				r.op, r.b = opMov, c.constant(pc, uint64(uint32(ins.Imm)))
			}
		}
		return r
	default:
		r.c = c.operand(pc, ins)
		ops := aluOps[code>>4]
		if ins.Off == 1 {
			ops = [2]uint16{opSdiv, opSdiv32}
			if code == isa.CodeMod {
				ops = [2]uint16{opSmod, opSmod32}
			}
		}
		r.op = pick(ops[0], ops[1])
		return r
	}
}

var aluOps = [...][2]uint16{
	isa.CodeAdd >> 4:  {opAdd, opAdd32},
	isa.CodeSub >> 4:  {opSub, opSub32},
	isa.CodeMul >> 4:  {opMul, opMul32},
	isa.CodeDiv >> 4:  {opDiv, opDiv32},
	isa.CodeOr >> 4:   {opOr, opOr32},
	isa.CodeAnd >> 4:  {opAnd, opAnd32},
	isa.CodeLsh >> 4:  {opLsh, opLsh32},
	isa.CodeRsh >> 4:  {opRsh, opRsh32},
	isa.CodeMod >> 4:  {opMod, opMod32},
	isa.CodeXor >> 4:  {opXor, opXor32},
	isa.CodeArsh >> 4: {opArsh, opArsh32},
}

// endOp is the byte swap of an instruction: unconditional in class ALU64, else to
// big endian (a swap) or to little endian (a truncation).
func endOp(ins isa.Instruction, wide bool) uint16 {
	if wide || ins.Op.Source() == isa.SrcX {
		switch ins.Imm {
		case 16:
			return opSwap16
		case 32:
			return opSwap32
		}
		return opSwap64
	}
	switch ins.Imm {
	case 16:
		return opZext16
	case 32:
		return opMov32
	}
	return opMov
}

// jump translates jumps that stay in the function.
func (c *compiler) jump(pc isa.PC, ins isa.Instruction) record {
	target, _ := c.p.Insns.JumpTarget(pc)
	r := record{off: int32(target)}
	switch code := ins.Op.Code(); {
	case code == isa.CodeJa:
		r.op = opJa
	case ins.Op == isa.OpMayGoto:
		r.op = opMayGoto
	default:
		r.d, r.e = uint8(ins.Dst()), c.operand(pc, ins)
		r.op = jumpOps[code>>4]
		if ins.Op.Class() == isa.ClassJMP32 {
			r.op += opJeq32 - opJeq
		}
	}
	return r
}

var jumpOps = [...]uint16{
	isa.CodeJeq >> 4:  opJeq,
	isa.CodeJgt >> 4:  opJgt,
	isa.CodeJge >> 4:  opJge,
	isa.CodeJset >> 4: opJset,
	isa.CodeJne >> 4:  opJne,
	isa.CodeJsgt >> 4: opJsgt,
	isa.CodeJsge >> 4: opJsge,
	isa.CodeJlt >> 4:  opJlt,
	isa.CodeJle >> 4:  opJle,
	isa.CodeJslt >> 4: opJslt,
	isa.CodeJsle >> 4: opJsle,
}

// call translates calls of helpers and functions.
func (c *compiler) call(pc isa.PC, ins isa.Instruction) record {
	switch {
	case ins.Op == isa.OpCallX:
		return record{op: opCallX, b: uint8(ins.Dst())}
	case ins.IsPseudoCall():
		target, _ := c.p.Insns.CallTarget(pc)
		reach := c.p.ReachAt(target)
		r := record{op: opCall, off: int32(target), e: uint8(reach), f: uint8(reach >> 8)}
		r.setPos(c.p.Pos[pc])
		return r
	}
	callee := c.p.Callee(ins)
	i, ok := c.helper[callee]
	if !ok {
		i = int32(len(c.p.helpers))
		c.helper[callee] = i
		c.p.helpers = append(c.p.helpers, helper{ins.Imm, callee})
	}
	r := record{op: opCallHelper, delta: i}
	r.setPos(c.p.Pos[pc])
	return r
}

// setPos puts the number of a call, which has up to 20 bits, into a to c.
func (r *record) setPos(pos int32) { r.a, r.b, r.c = uint8(pos), uint8(pos>>8), uint8(pos>>16) }

// callPos returns what setPos has put there.
func (r *record) callPos() int64 { return int64(r.a) | int64(r.b)<<8 | int64(r.c)<<16 }
