package verifier

import (
	"fmt"
	"slices"

	"bpfvm/isa"
)

// maxTrace bounds the path that a report tells.
const maxTrace = 1 << 16

// trace returns the slots of the current path up to the current one, newest
// first, at most maxTrace of them.
func (env *env) trace() []int {
	var t []int
	s, pc := env.cur, env.insnIdx
	for s != nil {
		end := len(s.history)
		for {
			if len(t) == maxTrace {
				return t
			}
			t = append(t, pc)
			if pc == s.firstInsn && (end == 0 || end == 1 && int(s.history[0].idx) == pc) {
				break
			}
			if end > 0 && int(s.history[end-1].idx) == pc {
				end--
				pc = int(s.history[end].prev)
			} else {
				pc--
				if pc > 0 && env.insns[pc].Op == 0 && env.insns[pc-1].IsWide() {
					pc--
				}
			}
			if pc < 0 {
				return t
			}
		}
		if s = s.parent; s == nil || s.lastInsn < 0 {
			break
		}
		pc = s.lastInsn
	}
	return t
}

// path lists the branches of the current path, oldest first.
func (env *env) path() []Decision {
	t := env.trace()
	var out []Decision
	for i := len(t) - 1; i > 0; i-- {
		ins := env.insns[t[i]]
		if !ins.Op.Class().IsJump() {
			continue
		}
		switch ins.Op.Code() {
		case isa.CodeCall, isa.CodeExit, isa.CodeJa:
			continue
		}
		to := t[i-1]
		out = append(out, Decision{PC: isa.PC(t[i]), To: isa.PC(to), Taken: to != t[i]+1})
	}
	return out
}

// slice finds the instructions of the path that the current one depends on: what
// made its registers, through the stack and across calls, and the branches that
// were decided by them.
func (env *env) slice(code Code) []isa.PC {
	t := env.trace()
	if len(t) == 0 {
		return nil
	}
	type need struct {
		regs  uint16
		slots map[int]bool // offsets from R10, by 8 bytes
	}
	depth := env.cur.curFrame()
	frames := make([]need, maxFrames+1)
	for i := range frames {
		frames[i].slots = map[int]bool{}
	}
	use, _ := env.usesDefs(t[0])
	frames[depth].regs = use &^ (1 << isa.R10)
	in := []isa.PC{isa.PC(t[0])}
	for i, pc := range t[1:] {
		ins := env.insns[pc]
		next := t[i]
		f := &frames[depth]
		use, def := env.usesDefs(pc)
		use &^= 1 << isa.R10
		class := ins.Op.Class()
		hit := false
		switch {
		case class.IsJump() && ins.Op.Code() == isa.CodeCall:
			if ins.IsPseudoCall() && next != pc+1 {
				// Where the callee began: its arguments are the caller's.
				args := f.regs & 0x3e
				f.regs = 0
				if depth > 0 {
					depth--
				}
				frames[depth].regs |= args
				hit = args != 0
				break
			}
			hit = f.regs&1 != 0
			f.regs &^= 0x3f
			if hit {
				f.regs |= use
			}
		case class.IsJump() && ins.Op.Code() == isa.CodeExit:
			r0 := f.regs & 1
			f.regs &^= 0x3f
			if depth < maxFrames-1 {
				depth++
			}
			frames[depth].regs = r0
			hit = r0 != 0
		case class.IsJump() && ins.Op.Code() == isa.CodeJa:
		case class.IsJump():
			// What is proven of the packet is proven by comparisons with its end.
			if hit = f.regs&use != 0 || code == CodePacketBounds && env.aux[pc].packetCompare; hit {
				f.regs |= use
			}
		case class == isa.ClassST || class == isa.ClassSTX:
			slot := int(ins.Off) &^ 7
			if ins.Dst() == isa.R10 && f.slots[slot] {
				hit = true
				delete(f.slots, slot)
				f.regs |= use
			}
			if f.regs&def != 0 { // atomics
				hit = true
				f.regs = f.regs&^def | use
			}
		case f.regs&def != 0:
			hit = true
			f.regs &^= def
			if class == isa.ClassLDX && ins.Src() == isa.R10 {
				f.slots[int(ins.Off)&^7] = true
			}
			f.regs |= use
		}
		if hit {
			in = append(in, isa.PC(pc))
		}
	}
	slices.Sort(in)
	return slices.Compact(in)
}

// hint returns what usually helps, and the change that helps here when a rule
// can tell.
func (env *env) hint(r *Report) (hint, fix string) {
	if e := Explain(r.Code); e != nil {
		hint = e.Hint
	}
	if r.PC < 0 || int(r.PC) >= len(env.insns) || env.cur == nil {
		return hint, ""
	}
	ins := env.insns[r.PC]
	f := env.cur.cur()
	base, size := isa.Register(0), 0
	switch class := ins.Op.Class(); class {
	case isa.ClassLDX:
		base, size = ins.Src(), ins.Op.Size().Bytes()
	case isa.ClassST, isa.ClassSTX:
		base, size = ins.Dst(), ins.Op.Size().Bytes()
	}
	if base >= frameRegs {
		return hint, ""
	}
	reg := &f.Regs[base]
	switch r.Code {
	case CodePacketBounds:
		if size > 0 && reg.Type == PtrToPacket && reg.Range >= 0 {
			need := int(reg.Off) + int(ins.Off) + size
			fix = fmt.Sprintf("prove %d bytes: the access ends at byte %d, and %d are proven", need, need, reg.Range)
		}
	case CodeOrNullAccess:
		fix = fmt.Sprintf("compare R%d with 0 before slot %d, and leave when it is", base, r.PC)
	case CodeMapBounds:
		if size > 0 && reg.Type == PtrToMapValue && reg.VarOff.IsConst() {
			fix = fmt.Sprintf("the value of map %s has %d bytes, the access ends at byte %d", reg.Map.Name,
				reg.Map.ValueSize, int64(reg.Off)+int64(reg.VarOff.Value)+int64(ins.Off)+int64(size))
		} else if size > 0 && reg.Type == PtrToMapValue {
			limit := int64(reg.Map.ValueSize) - int64(size) - int64(ins.Off) - int64(reg.Off)
			if limit >= 0 {
				fix = fmt.Sprintf("make sure that the variable part is at most %d; it can be %s", limit, unum(reg.UMax))
			}
		}
	}
	return hint, fix
}
