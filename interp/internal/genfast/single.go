package main

import "fmt"

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
			g.add(o.opName(width), "r[in.a] = %s\ncontinue", o.calc(width, "r[in.b]", "r[in.c]"))
		}
	}
	for _, u := range []struct{ name, expr string }{
		{"opMov", "r[in.b]"},
		{"opMov32", "uint64(uint32(r[in.b]))"},
		{"opNeg", "-r[in.b]"},
		{"opNeg32", "uint64(-uint32(r[in.b]))"},
		{"opSext8", "uint64(int64(int8(r[in.b])))"},
		{"opSext16", "uint64(int64(int16(r[in.b])))"},
		{"opSext32", "uint64(int64(int32(r[in.b])))"},
		{"opSext8w", "uint64(uint32(int32(int8(r[in.b]))))"},
		{"opSext16w", "uint64(uint32(int32(int16(r[in.b]))))"},
		{"opZext16", "uint64(uint16(r[in.b]))"},
		{"opSwap16", "uint64(bits.ReverseBytes16(uint16(r[in.b])))"},
		{"opSwap32", "uint64(bits.ReverseBytes32(uint32(r[in.b])))"},
		{"opSwap64", "bits.ReverseBytes64(r[in.b])"},
		{"opConst", "uint64(uint32(in.off)) | uint64(uint32(in.delta))<<32"},
	} {
		g.add(u.name, "r[in.a] = %s\ncontinue", u.expr)
	}
}

// access is a memory width.
type access struct {
	bytes int
	get   string // expression that reads from %s, a slice of the arena
	put   string // statement that writes %[2]s to %[1]s
}

var accesses = []access{
	{1, "uint64(%s[0])", "%s[0] = byte(%s)"},
	{2, "uint64(binary.LittleEndian.Uint16(%s))", "binary.LittleEndian.PutUint16(%s, uint16(%s))"},
	{4, "uint64(binary.LittleEndian.Uint32(%s))", "binary.LittleEndian.PutUint32(%s, uint32(%s))"},
	{8, "binary.LittleEndian.Uint64(%s)", "binary.LittleEndian.PutUint64(%s, %s)"},
}

// check returns the code that refuses an access: addr is an expression, n
// distinguishes the variables, trap is the method for the error.
func check(n, addr string, bytes int, perm, trap string) string {
	end := fmt.Sprintf("addr%s + %d", n, bytes-1)
	if bytes == 1 {
		return fmt.Sprintf(`addr%[1]s := %[2]s
	if addr%[1]s >= uint64(len(buf)) || perm[addr%[1]s]&%[3]s == 0 {
		return st.%[4]s(pc, acc, addr%[1]s, 1, %[3]s)
	}
	`, n, addr, perm, trap)
	}
	return fmt.Sprintf(`addr%[1]s := %[2]s
	end%[1]s := %[3]s
	if addr%[1]s >= uint64(len(buf)) || end%[1]s >= uint64(len(buf)) || perm[addr%[1]s]&perm[end%[1]s]&%[4]s == 0 {
		return st.%[5]s(pc, acc, addr%[1]s, %[6]d, %[4]s)
	}
	`, n, addr, end, perm, trap, bytes)
}

// memory writes loads (a = *(b + off)) and stores (*(a + off) = b). The forms for
// R10 need no check: the compiler has seen that they stay in the frame.
func (g *gen) memory() {
	for _, m := range accesses {
		size := m.bytes * 8
		addrB, addrA := "r[in.b] + uint64(int64(in.off))", "r[in.a] + uint64(int64(in.off))"
		load := check("", addrB, m.bytes, "vm.PermRead", "memoryTrap")
		g.add(fmt.Sprintf("opLoad%d", size), "%sr[in.a] = %s\ncontinue", load, fmt.Sprintf(m.get, "buf[addr:]"))
		if size < 64 {
			g.add(fmt.Sprintf("opLoadSx%d", size), "%sr[in.a] = uint64(int64(int%d(%s)))\ncontinue", load, size, fmt.Sprintf(m.get, "buf[addr:]"))
		}
		store := check("", addrA, m.bytes, "vm.PermWrite", "memoryTrap")
		g.add(fmt.Sprintf("opStore%d", size), "%s%s\ncontinue", store, fmt.Sprintf(m.put, "buf[addr:]", "r[in.b]"))
		g.add(fmt.Sprintf("opLoadFP%d", size), "r[in.a] = %s\ncontinue", fmt.Sprintf(m.get, "buf["+addrB+":]"))
		g.add(fmt.Sprintf("opStoreFP%d", size), "%s\ncontinue", fmt.Sprintf(m.put, "buf["+addrA+":]", "r[in.b]"))
	}
	g.add("opAtomic", `st.pc, st.acc = pc, acc
	if t := st.atomic(in); t != nil {
		return t
	}
	continue`)
}
