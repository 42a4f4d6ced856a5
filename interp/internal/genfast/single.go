package main

import (
	"fmt"
	"strings"
)

// op is an arithmetic operation; x and y stand for the operands in expr64, and for
// their lower halves (of type uint32) in expr32.
type op struct {
	name           string
	expr64, expr32 string
}

var arithmetic = []op{
	{"Add", "%s + %s", "%s + %s"},
	{"Sub", "%s - %s", "%s - %s"},
	{"Mul", "%s * %s", "%s * %s"},
	{"Or", "%s | %s", "%s | %s"},
	{"And", "%s & %s", "%s & %s"},
	{"Xor", "%s ^ %s", "%s ^ %s"},
	{"Lsh", "%s << (%s & 63)", "%s << (%s & 31)"},
	{"Rsh", "%s >> (%s & 63)", "%s >> (%s & 31)"},
	{"Arsh", "uint64(int64(%s) >> (%s & 63))", "uint32(int32(%s) >> (%s & 31))"},
	{"Div", "div64(%s, %s)", "div32(%s, %s)"},
	{"Mod", "mod64(%s, %s)", "mod32(%s, %s)"},
	{"Sdiv", "sdiv64(%s, %s)", "sdiv32(%s, %s)"},
	{"Smod", "smod64(%s, %s)", "smod32(%s, %s)"},
}

// calc returns the expression for x op y of a width, as a uint64.
func (o op) calc(width int, x, y string) string {
	if width == 64 {
		return fmt.Sprintf(o.expr64, x, y)
	}
	return "uint64(" + fmt.Sprintf(o.expr32, "uint32("+x+")", "uint32("+y+")") + ")"
}

// opName is the name of the record kind of an operation and width.
func (o op) opName(width int) string {
	if width == 64 {
		return "op" + o.name
	}
	return "op" + o.name + "32"
}

// single writes the records with one result: a = b op c.
func (g *gen) single() {
	for _, width := range []int{64, 32} {
		for _, o := range arithmetic {
			g.add(o.opName(width), "st.reg[in.a] = %s\ncontinue", o.calc(width, "st.reg[in.b]", "st.reg[in.c]"))
		}
	}
	for _, u := range []struct{ name, expr string }{
		{"opMov", "st.reg[in.b]"},
		{"opMov32", "uint64(uint32(st.reg[in.b]))"},
		{"opNeg", "-st.reg[in.b]"},
		{"opNeg32", "uint64(-uint32(st.reg[in.b]))"},
		{"opSext8", "uint64(int64(int8(st.reg[in.b])))"},
		{"opSext16", "uint64(int64(int16(st.reg[in.b])))"},
		{"opSext32", "uint64(int64(int32(st.reg[in.b])))"},
		{"opSext8w", "uint64(uint32(int32(int8(st.reg[in.b]))))"},
		{"opSext16w", "uint64(uint32(int32(int16(st.reg[in.b]))))"},
		{"opZext16", "uint64(uint16(st.reg[in.b]))"},
		{"opSwap16", "uint64(bits.ReverseBytes16(uint16(st.reg[in.b])))"},
		{"opSwap32", "uint64(bits.ReverseBytes32(uint32(st.reg[in.b])))"},
		{"opSwap64", "bits.ReverseBytes64(st.reg[in.b])"},
		{"opConst", "uint64(uint32(in.off)) | uint64(uint32(in.delta))<<32"},
	} {
		g.add(u.name, "st.reg[in.a] = %s\ncontinue", u.expr)
	}
}

// access is a memory width. Bytes are taken one by one, which the compiler turns into
// one load or store without a further check; slicing would cost more.
type access int

// check returns the code that refuses an access: addr is an expression, n
// distinguishes the variables, trap is the method for the error.
func (a access) check(n, addr, perm, trap string) string {
	if a == 1 {
		return fmt.Sprintf(`i%[1]s := int(%[2]s)
	b%[1]s, perm%[1]s := st.buf, st.perm
	if uint(i%[1]s) >= uint(len(b%[1]s)) || uint(i%[1]s) >= uint(len(perm%[1]s)) || perm%[1]s[i%[1]s]&%[3]s == 0 {
		return st.%[4]s(pc, uint64(i%[1]s), 1, %[3]s)
	}
	`, n, addr, perm, trap)
	}
	return fmt.Sprintf(`i%[1]s := int(%[2]s)
	b%[1]s, perm%[1]s := st.buf, st.perm
	if i%[1]s < 0 || i%[1]s >= len(b%[1]s)-%[3]d || i%[1]s >= len(perm%[1]s)-%[3]d || perm%[1]s[i%[1]s]&perm%[1]s[i%[1]s+%[3]d]&%[4]s == 0 {
		return st.%[5]s(pc, uint64(i%[1]s), %[6]d, %[4]s)
	}
	`, n, addr, int(a)-1, perm, trap, int(a))
}

// get is the expression that reads the bytes that check has allowed.
func (a access) get(n string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "uint64(b%[1]s[i%[1]s])", n)
	for k := 1; k < int(a); k++ {
		fmt.Fprintf(&s, " | uint64(b%[1]s[i%[1]s+%[2]d])<<%[3]d", n, k, 8*k)
	}
	return s.String()
}

// put is the statement that writes v to them.
func (a access) put(n, v string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "v%s := %s\n", n, v)
	for k := range int(a) {
		fmt.Fprintf(&s, "b%[1]s[i%[1]s+%[2]d] = byte(v%[1]s>>%[3]d)\n", n, k, 8*k)
	}
	return s.String()
}

var accesses = []access{1, 2, 4, 8}

// frame returns the code that bounds an access through R10, which the compiler has
// seen to stay in the frame.
func (a access) frame(addr string) string {
	return fmt.Sprintf("b := st.buf\ni := int(%s)\nif i < 0 || i >= len(b)-%d {\nreturn st.memoryTrap(pc, uint64(i), %d, vm.PermRead)\n}\n", addr, int(a)-1, int(a))
}

// memory writes loads (a = *(b + off)) and stores (*(a + off) = b). The forms for
// R10 need no check: the compiler has seen that they stay in the frame.
func (g *gen) memory() {
	for _, m := range accesses {
		size := int(m) * 8
		addrB, addrA := "st.reg[in.b] + uint64(int64(in.off))", "st.reg[in.a] + uint64(int64(in.off))"
		load := m.check("", addrB, "vm.PermRead", "memoryTrap")
		g.add(fmt.Sprintf("opLoad%d", size), "%sst.reg[in.a] = %s\ncontinue", load, m.get(""))
		if size < 64 {
			g.add(fmt.Sprintf("opLoadSx%d", size), "%sst.reg[in.a] = uint64(int64(int%d(%s)))\ncontinue", load, size, m.get(""))
		}
		store := m.check("", addrA, "vm.PermWrite", "memoryTrap")
		g.add(fmt.Sprintf("opStore%d", size), "%s%scontinue", store, m.put("", "st.reg[in.b]"))
		g.add(fmt.Sprintf("opLoadFP%d", size), "%sst.reg[in.a] = %s\ncontinue", m.frame(addrB), m.get(""))
		g.add(fmt.Sprintf("opStoreFP%d", size), "%s%scontinue", m.frame(addrA), m.put("", "st.reg[in.b]"))
	}
	g.add("opAtomic", `st.pc = pc
	if t := st.atomic(in); t != nil {
		return t
	}
	continue outer`)
}
