package interp

import "bpfvm/isa"

// operand returns the second operand of an ALU or jump instruction.
func (s *Stepper) operand(ins isa.Instruction) (uint64, shadow) {
	if ins.Op.Source() == isa.SrcX {
		return s.reg[ins.Src()], s.shadow[ins.Src()]
	}
	return uint64(int64(ins.Imm)), number
}

// alu is class ALU64.
func (s *Stepper) alu(ins isa.Instruction) {
	dst, code := ins.Dst(), ins.Op.Code()
	src, srcShadow := s.operand(ins)
	switch {
	case code == isa.CodeEnd:
		s.set(dst, byteSwap(s.reg[dst], ins.Imm), number)
	case code == isa.CodeMov && ins.Off != 0:
		s.set(dst, signExtend(src, ins.Off), number)
	default:
		s.set(dst, alu64(code, ins.Off == 1, s.reg[dst], src), pointerMath(code, s.shadow[dst], srcShadow))
	}
}

// pointerMath tells what the result of a 64-bit operation points to: a pointer
// plus or minus a number keeps its object, whatever the sum is.
func pointerMath(code isa.Code, dst, src shadow) shadow {
	switch code {
	case isa.CodeMov:
		return src
	case isa.CodeAdd:
		if dst.kind == valuePointer && src.kind == valuePointer {
			return number
		}
		if src.kind == valuePointer {
			return src
		}
		if dst.kind == valuePointer {
			return dst
		}
	case isa.CodeSub:
		if dst.kind == valuePointer && src.kind != valuePointer {
			return dst
		}
	}
	return number
}

// alu32 is class ALU. Its results are numbers: half a pointer is none.
func (s *Stepper) alu32(ins isa.Instruction) {
	dst, code := ins.Dst(), ins.Op.Code()
	src, _ := s.operand(ins)
	var v uint64
	switch {
	case code == isa.CodeEnd && ins.Op.Source() == isa.SrcX:
		v = byteSwap(s.reg[dst], ins.Imm)
	case code == isa.CodeEnd:
		v = truncate(s.reg[dst], ins.Imm)
	case code == isa.CodeMov && ins.Off != 0:
		v = uint64(uint32(signExtend(src, ins.Off)))
	default:
		v = uint64(alu32(code, ins.Off == 1, uint32(s.reg[dst]), uint32(src)))
	}
	s.set(dst, v, number)
}

// jump is every jump but calls and exit.
func (s *Stepper) jump(ins isa.Instruction) {
	var taken bool
	src, _ := s.operand(ins)
	switch code := ins.Op.Code(); {
	case code == isa.CodeJa:
		taken = true
	case ins.Op == isa.OpMayGoto:
		taken = s.mayGoto == 0
		if !taken {
			s.mayGoto--
		}
	case ins.Op.Class() == isa.ClassJMP32:
		taken = compare32(code, uint32(s.reg[ins.Dst()]), uint32(src))
	default:
		taken = compare(code, s.reg[ins.Dst()], src)
	}
	target, _ := s.Code().Insns.JumpTarget(s.pc)
	if taken {
		s.pc = target
		return
	}
	s.pc++
}

// loadConstant is LDDW: the loader has put the final value into the two slots.
func (s *Stepper) loadConstant(ins isa.Instruction) {
	v, _ := s.Code().Insns.Imm64(s.pc)
	sh := number
	if isa.Pseudo(ins.Src()) != isa.PseudoImm64 {
		sh = pointerTo(s.m.Mem, v)
	}
	s.set(ins.Dst(), v, sh)
	s.pc += 2
}
