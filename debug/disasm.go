package debug

import (
	"fmt"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// Insn is the text of an instruction, with the names of maps, helpers, functions
// and, for jumps, the slot they lead to.
func Insn(code *vm.Code, pc isa.PC) string {
	p := code.Spec
	if p == nil {
		p = &spec.ProgramSpec{Name: code.Name, Insns: code.Insns, Funcs: code.Funcs}
	}
	pr := p.Printer()
	pr.Label = func(pc isa.PC) string { return fmt.Sprint(pc) }
	refs := pr.Imm64
	pr.Imm64 = func(pc isa.PC, kind isa.Pseudo, v uint64) string {
		if kind == isa.PseudoFunc { // the linked form has the address of its handle
			target, _ := p.Insns.CallTarget(pc)
			return "func[" + spec.Plain(funcName(code, target)) + "]"
		}
		return refs(pc, kind, v)
	}
	return pr.Insn(code.Insns, pc)
}

// note says what the next instruction is about to do.
func note(p *Point, fault *vm.Trap) string {
	if fault != nil {
		return fault.Msg
	}
	code, pc := p.st.Code(), p.st.PC()
	ins := code.Insns[pc]
	if taken, ok := decides(p); ok {
		if taken {
			target, _ := code.Insns.JumpTarget(pc)
			return fmt.Sprintf("jumps to %d", target)
		}
		return "no jump"
	}
	switch class := ins.Op.Class(); {
	case class == isa.ClassLDX, class == isa.ClassST, class == isa.ClassSTX:
		a := accesses(p)[0]
		where := p.e.world.Memory.Symbolize(a.addr)
		old := peek(p, a.addr, a.size)
		if old == nil {
			return where
		}
		if class == isa.ClassLDX {
			if name, text, ok := p.ctxField(a.addr, a.size, old); ok {
				return name + " is " + text
			}
			return where + " is " + p.valueText(little(old), a.size)
		}
		v := uint64(int64(ins.Imm))
		if class == isa.ClassSTX {
			if ins.Op.Mode() == isa.ModeATOMIC {
				return where + " is " + number(little(old))
			}
			v, _ = p.st.Reg(ins.Src())
		}
		if a.size < 8 {
			v &= 1<<(8*a.size) - 1
		}
		return where + " = " + p.valueText(v, a.size)
	case ins.IsHelperCall():
		h := code.Helpers[ins.Imm]
		if h == nil || h.Proto == nil {
			return ""
		}
		var args []string
		for i := range h.Proto.NumArgs() {
			args = append(args, regOf(p, isa.R1+isa.Register(i)).Text)
		}
		return "(" + strings.Join(args, ", ") + ")"
	case ins.Op == isa.OpExit:
		v, known := p.st.Reg(isa.R0)
		if !known {
			return ""
		}
		s := "returns " + number(v)
		if p.Frame == 0 && code.Spec != nil {
			if name := spec.RetName(code.Spec.Type, v); name != "" {
				s += " " + name
			}
		}
		return s
	}
	return ""
}

// ctxField names the field of the context at an address and what is in it.
func (p *Point) ctxField(addr, size uint64, b []byte) (name, text string, ok bool) {
	m, layout := p.st.Machine(), p.st.Code().Ctx
	if layout == nil || addr < m.Ctx || addr-m.Ctx >= uint64(layout.Size) {
		return "", "", false
	}
	f := layout.FieldAt(uint32(addr - m.Ctx))
	if f == nil {
		return "", "", false
	}
	name = "ctx." + f.Name
	if off := uint32(addr-m.Ctx) - f.Off; off > 0 {
		name += offset(int64(off))
	}
	switch v := little(b); {
	case f.Kind == spec.FieldPacketEnd:
		return name, "pkt_end", true
	case f.Kind != spec.FieldScalar:
		return name, p.e.world.Memory.Symbolize(v), true
	default:
		return name, p.valueText(v, size), true
	}
}

// valueText prints a number, or what it points to.
func (p *Point) valueText(v, size uint64) string {
	if size == 8 && p.e.world.Memory.Find(v) != nil {
		return p.e.world.Memory.Symbolize(v)
	}
	return number(v)
}

// decides says what a conditional jump is about to do; ok is false for everything
// else (RFC 9669, section 4.3, table 8).
func decides(p *Point) (taken, ok bool) {
	ins := p.st.Code().Insns[p.st.PC()]
	class, op := ins.Op.Class(), ins.Op.Code()
	if !class.IsJump() || op == isa.CodeJa || op == isa.CodeCall || op == isa.CodeExit || op == isa.CodeJcond {
		return false, false
	}
	x, known := p.st.Reg(ins.Dst())
	if !known {
		return false, false
	}
	y := uint64(int64(ins.Imm))
	if ins.Op.Source() == isa.SrcX {
		if y, known = p.st.Reg(ins.Src()); !known {
			return false, false
		}
	}
	sx, sy := int64(x), int64(y)
	if class == isa.ClassJMP32 {
		x, y = uint64(uint32(x)), uint64(uint32(y))
		sx, sy = int64(int32(x)), int64(int32(y))
	}
	switch op {
	case isa.CodeJeq:
		taken = x == y
	case isa.CodeJne:
		taken = x != y
	case isa.CodeJgt:
		taken = x > y
	case isa.CodeJge:
		taken = x >= y
	case isa.CodeJlt:
		taken = x < y
	case isa.CodeJle:
		taken = x <= y
	case isa.CodeJset:
		taken = x&y != 0
	case isa.CodeJsgt:
		taken = sx > sy
	case isa.CodeJsge:
		taken = sx >= sy
	case isa.CodeJslt:
		taken = sx < sy
	case isa.CodeJsle:
		taken = sx <= sy
	default:
		return false, false
	}
	return taken, true
}
