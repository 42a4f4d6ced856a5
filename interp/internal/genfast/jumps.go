package main

import "fmt"

// cond is a condition of two operands.
type cond struct {
	name   string
	format string // of x and y
	signed bool
}

var conds = []cond{
	{"Jeq", "%s == %s", false},
	{"Jne", "%s != %s", false},
	{"Jset", "%s & %s != 0", false},
	{"Jgt", "%s > %s", false},
	{"Jge", "%s >= %s", false},
	{"Jlt", "%s < %s", false},
	{"Jle", "%s <= %s", false},
	{"Jsgt", "%s > %s", true},
	{"Jsge", "%s >= %s", true},
	{"Jslt", "%s < %s", true},
	{"Jsle", "%s <= %s", true},
}

// test returns the condition for a width.
func (c cond) test(width int, x, y string) string {
	typ := "uint64"
	switch {
	case width == 64 && c.signed:
		typ = "int64"
	case width == 32 && c.signed:
		typ = "int32"
	case width == 32:
		typ = "uint32"
	default:
		return fmt.Sprintf(c.format, x, y)
	}
	return fmt.Sprintf(c.format, typ+"("+x+")", typ+"("+y+")")
}

func (c cond) opName(width int) string {
	if width == 64 {
		return "op" + c.name
	}
	return "op" + c.name + "32"
}

// jumps writes the conditional jumps: if d cond e goto off.
func (g *gen) jumps() {
	for _, width := range []int{64, 32} {
		for _, c := range conds {
			g.add(c.opName(width), "if %s {\nbreak\n}\ncontinue", c.test(width, "st.reg[in.d]", "st.reg[in.e]"))
		}
	}
	g.add("opJa", "")
	g.add("opMayGoto", `if st.mayGoto == 0 {
		break
	}
	st.mayGoto--
	continue`)
}

// control writes calls, exits and the counting of instructions.
func (g *gen) control() {
	g.add("opCount", `if st.acc+int64(in.off) >= st.limit {
		return st.trapBefore(pc, vm.BudgetTrap)
	}
	continue`)
	g.add("opCallHelper", `st.pc = pc
	if t := st.callHelper(&st.prog.helpers[in.delta], in.callPos()); t != nil {
		return t
	}
	continue outer`)
	g.add("opCallX", `st.pc = pc
	if t := st.callX(st.reg[in.b], in.b); t != nil {
		return t
	}
	continue outer`)
	g.add("opLdAbs", `st.pc = pc
	leave, t := st.loadPacket(in, st.reg[in.b])
	if t != nil {
		return t
	}
	if leave && st.leave() {
		return nil
	}
	continue outer`)
	g.add("opCall", `depth := st.m.Depth
	if depth >= vm.MaxFrames {
		return st.trapBefore(pc, fullStack)
	}
	c := &st.callers[depth]
	if c.list != st.list {
		c.prog, c.list = st.prog, st.list
	}
	c.pc, c.pos = pc, in.callPos()+1
	r := &st.reg
	c.r6, c.r7, c.r8, c.r9, c.fp = r[6], r[7], r[8], r[9], r[10]
	c.mayGoto = st.mayGoto
	st.mayGoto = mayGotoLimit
	st.m.Depth = depth + 1
	top := st.m.FrameTop(depth)
	r[10] = top
	if reach := uint64(in.e) | uint64(in.f)<<8; reach != 0 {
		st.clearStack(in, top, reach)
		continue outer
	}`)
	g.add("opExit", `depth := st.m.Depth
	if depth == st.floor {
		st.spend(st.list.from[pc-1].fault + 1)
		return nil
	}
	depth--
	c := &st.callers[depth]
	st.m.Depth = depth
	r := &st.reg
	r[6], r[7], r[8], r[9], r[10] = c.r6, c.r7, c.r8, c.r9, c.fp
	r[1], r[2], r[3], r[4], r[5] = vm.Poison+1, vm.Poison+2, vm.Poison+3, vm.Poison+4, vm.Poison+5
	st.mayGoto = c.mayGoto
	st.acc += int64(in.off) // now the instructions executed
	if c.list != st.list {
		st.returnTo(c, st.acc)
		continue outer
	}
	st.acc -= c.pos
	pc = c.pc
	if st.acc > st.lim {
		st.pc = pc
		st.nearEnd()
		continue outer
	}
	continue`)
}
