package main

import "fmt"

// Operations that are joined with a neighbour.
var (
	pairOps = []string{"Add", "Sub", "Mul", "Or", "And", "Xor", "Lsh", "Rsh", "Mov"}
	jumpOps = []string{"Add", "Sub", "And", "Rsh", "Mov"}
	loadOps = []string{"Add", "Or", "And", "Xor", "Lsh"}
)

// find returns the arithmetic operation of a name; Mov is the one that takes its
// first operand.
func find(name string) op {
	for _, o := range arithmetic {
		if o.name == name {
			return o
		}
	}
	return op{"Mov", "%[1]s", "%[1]s"}
}

// joined writes the records that stand for two or three instructions. Their order
// follows the tables that fast_join.go computes with.
func (g *gen) joined() {
	g.pairs()
	g.aluJumps()
	g.jumpElse()
	g.loadJumps()
	g.loadPairs()
	g.rotates()
}

// pairs writes a = b op c; d = e op f in three forms: the results are independent
// (N), the first is the second's left operand (L) or its right one (R).
func (g *gen) pairs() {
	g.mark("opPairs")
	for _, width := range []int{64, 32} {
		for _, x := range pairOps {
			for _, y := range pairOps {
				first, second := find(x), find(y)
				name := first.opName(width) + y
				calc := first.calc(width, "st.reg[in.b]", "st.reg[in.c]")
				g.add(name+"N", "st.reg[in.a] = %s\nst.reg[in.d] = %s\ncontinue", calc,
					second.calc(width, "st.reg[in.e]", "st.reg[in.f]"))
				g.add(name+"L", "v := %s\nst.reg[in.a] = v\nst.reg[in.d] = %s\ncontinue", calc,
					second.calc(width, "v", "st.reg[in.f]"))
				if y == "Mov" {
					g.skip() // it has no right operand
					continue
				}
				g.add(name+"R", "v := %s\nst.reg[in.a] = v\nst.reg[in.d] = %s\ncontinue", calc,
					second.calc(width, "st.reg[in.e]", "v"))
			}
		}
	}
}

// aluJumps writes a = b op c; if d cond e goto off. In form L, d is a. f is what a
// jump not taken takes back from the count: the goto that it skips.
func (g *gen) aluJumps() {
	g.mark("opALUJumps")
	const tail = "break\n}\nst.acc -= int64(in.f)\ncontinue"
	for _, width := range []int{64, 32} {
		for _, o := range jumpOps {
			calc := find(o).calc(width, "st.reg[in.b]", "st.reg[in.c]")
			for _, jumpWidth := range []int{64, 32} {
				for _, c := range conds {
					name := find(o).opName(width) + c.opName(jumpWidth)[2:]
					g.add(name+"N", "st.reg[in.a] = %s\nif %s {\n%s", calc, c.test(jumpWidth, "st.reg[in.d]", "st.reg[in.e]"), tail)
					g.add(name+"L", "v := %s\nst.reg[in.a] = v\nif %s {\n%s", calc, c.test(jumpWidth, "v", "st.reg[in.e]"), tail)
				}
			}
		}
	}
}

// jumpElse writes the jumps that are followed by a goto: if d cond e goto off, else
// take the goto back from the count.
func (g *gen) jumpElse() {
	g.mark("opJumpElse")
	for _, width := range []int{64, 32} {
		for _, c := range conds {
			if c.name == "Jset" {
				g.skip() // its opposite is not a condition
				continue
			}
			g.add(c.opName(width)+"Else", "if %s {\nbreak\n}\nst.acc--\ncontinue", c.test(width, "st.reg[in.d]", "st.reg[in.e]"))
		}
	}
}

// loadJumps writes a = *(b + displacement); if a cond e goto off. The displacement is
// in c and d, the place of off is taken.
func (g *gen) loadJumps() {
	const addr = "st.reg[in.b] + uint64(int64(int16(uint16(in.c)|uint16(in.d)<<8)))"
	g.mark("opLoadJumps")
	for _, m := range accesses {
		for _, width := range []int{64, 32} {
			for _, c := range conds {
				g.add(fmt.Sprintf("opLoad%d%s", int(m)*8, c.opName(width)[2:]),
					"%sv := %s\nst.reg[in.a] = v\nif %s {\nbreak\n}\nst.acc -= int64(in.f)\ncontinue",
					m.check("", addr, "vm.PermRead", "memoryTrap"), m.get(""), c.test(width, "v", "st.reg[in.e]"))
			}
		}
	}
}

// loadPairs writes what stands beside loads.
func (g *gen) loadPairs() {
	const addr = "st.reg[in.b] + uint64(int64(in.off))"
	g.mark("opLoadPairs")
	for _, m := range accesses {
		// a = *(b + off); d = e op a, or a op f
		check := m.check("", addr, "vm.PermRead", "memoryTrap")
		for _, width := range []int{64, 32} {
			for _, o := range loadOps {
				name := fmt.Sprintf("opLoad%d%s", int(m)*8, find(o).opName(width)[2:])
				g.add(name+"L", "%sv := %s\nst.reg[in.a] = v\nst.reg[in.d] = %s\ncontinue", check, m.get(""), find(o).calc(width, "v", "st.reg[in.f]"))
				g.add(name+"R", "%sv := %s\nst.reg[in.a] = v\nst.reg[in.d] = %s\ncontinue", check, m.get(""), find(o).calc(width, "st.reg[in.e]", "v"))
			}
		}
	}
	g.mark("opAddLoads")
	for _, m := range accesses {
		// a = b + c; d = *(a + off)
		g.add(fmt.Sprintf("opAddLoad%d", int(m)*8), "v := st.reg[in.b] + st.reg[in.c]\nst.reg[in.a] = v\n%sst.reg[in.d] = %s\ncontinue",
			m.check("", "v + uint64(int64(in.off))", "vm.PermRead", "memoryTrap2"), m.get(""))
	}
	g.mark("opLoadLoads")
	for _, m := range accesses {
		// a = *(b + off); d = *(e + delta)
		g.add(fmt.Sprintf("opLoadLoad%d", int(m)*8), "%sst.reg[in.a] = %s\n%sst.reg[in.d] = %s\ncontinue",
			m.check("", addr, "vm.PermRead", "memoryTrap"), m.get(""),
			m.check("2", "st.reg[in.e] + uint64(int64(in.delta))", "vm.PermRead", "memoryTrap2"), m.get("2"))
	}
}

// rotates writes a = b << c; d = e >> f, then d |= a (form D) or a |= d (form A),
// and the same with the shifts the other way round: rotations, mostly.
func (g *gen) rotates() {
	g.mark("opRotates")
	for _, width := range []int{64, 32} {
		for _, shifts := range [][2]string{{"Lsh", "Rsh"}, {"Rsh", "Lsh"}} {
			x := find(shifts[0]).calc(width, "st.reg[in.b]", "st.reg[in.c]")
			y := find(shifts[1]).calc(width, "st.reg[in.e]", "st.reg[in.f]")
			name := fmt.Sprintf("op%s%sOr%d", shifts[0], shifts[1], width)
			g.add(name+"D", "v := %s\nst.reg[in.a] = v\nst.reg[in.d] = v | %s\ncontinue", x, y)
			g.add(name+"A", "v, w := %s, %s\nst.reg[in.a] = v | w\nst.reg[in.d] = w\ncontinue", x, y)
		}
	}
}
