package interp

import "bpfvm/isa"

// item is a record on its way into the listing, with the instructions it stands for.
type item struct {
	r    record
	from source
}

// join makes fewer records of a straight line of them: the dispatch costs more than
// the work, and a value that stays in a machine register arrives sooner than one
// that goes through memory.
func (c *compiler) join(line []item) []item {
	line = c.dropMoves(line)
	line = joinGotos(line)
	line = joinRotates(line)
	return c.joinPairs(line)
}

// dropMoves turns "a = b; a op= c" into "a = b op c".
func (c *compiler) dropMoves(line []item) []item {
	out := line[:0]
	for _, y := range line {
		n := len(out) - 1
		if n >= 0 && c.absorbs(out[n].r, y.r) {
			x := out[n]
			if y.r.c == x.r.a && isBinary(y.r.op) {
				y.r.c = x.r.b
			}
			y.r.b = x.r.b
			y.from.slot = x.from.slot
			out[n] = y
			continue
		}
		out = append(out, y)
	}
	return out
}

// absorbs reports whether y overwrites the copy x and can read its source instead.
func (c *compiler) absorbs(x, y record) bool {
	if y.a != x.a || y.b != x.a {
		return false
	}
	switch x.op {
	case opMov:
		return isBinary(y.op) || y.op >= opNeg && y.op <= opSwap64
	case opMov32:
		return y.op >= opAdd32 && y.op <= opSmod32
	}
	return false
}

// isBinary reports whether the record is a = b op c.
func isBinary(op uint16) bool { return op <= opSmod32 }

// opposite is the condition that holds when another does not; 0 for none.
var opposite = [...]uint16{
	0:              opJne, // of opJeq
	opJne - opJeq:  opJeq,
	opJset - opJeq: 0,
	opJgt - opJeq:  opJle,
	opJge - opJeq:  opJlt,
	opJlt - opJeq:  opJge,
	opJle - opJeq:  opJgt,
	opJsgt - opJeq: opJsle,
	opJsge - opJeq: opJslt,
	opJslt - opJeq: opJsge,
	opJsle - opJeq: opJsgt,
}

const condCount = uint16(len(opposite))

// joinGotos turns "if x goto +1; goto L" into "if not x goto L".
func joinGotos(line []item) []item {
	out := line[:0]
	for _, y := range line {
		n := len(out) - 1
		if n >= 0 && y.r.op == opJa && out[n].r.op >= opJeq && out[n].r.op < opJeq+2*condCount &&
			isa.PC(out[n].r.off) == y.from.slot+1 {
			cond := out[n].r.op - opJeq
			if to := opposite[cond%condCount]; to != 0 {
				out[n].r.op = opJumpElse + cond/condCount*condCount + (to - opJeq)
				out[n].r.off = y.r.off
				out[n].from.fault, out[n].from.fault2 = y.from.slot, y.from.slot
				continue
			}
		}
		out = append(out, y)
	}
	return out
}

// joinRotates finds two shifts in opposite directions whose results are ORed.
func joinRotates(line []item) []item {
	out := line[:0]
	for _, z := range line {
		n := len(out) - 2
		if n >= 0 {
			if r, ok := rotate(out[n].r, out[n+1].r, z.r); ok {
				out[n].r = r
				out[n].from.fault, out[n].from.fault2 = z.from.fault, z.from.fault2
				out = out[:n+1]
				continue
			}
		}
		out = append(out, z)
	}
	return out
}

func rotate(x, y, z record) (record, bool) {
	op, lsh, rsh, width := opOr, opLsh, opRsh, uint16(0)
	if z.op == opOr32 {
		op, lsh, rsh, width = opOr32, opLsh32, opRsh32, 1
	}
	var shifts uint16
	switch {
	case x.op == lsh && y.op == rsh:
	case x.op == rsh && y.op == lsh:
		shifts = 1
	default:
		return record{}, false
	}
	if z.op != op || x.a == y.a || y.b == x.a || y.c == x.a {
		return record{}, false
	}
	if !(z.b == x.a && z.c == y.a || z.b == y.a && z.c == x.a) {
		return record{}, false
	}
	var form uint16
	switch z.a {
	case y.a:
	case x.a:
		form = 1
	default:
		return record{}, false
	}
	return record{
		op: opRotates + (width*2+shifts)*2 + form,
		a:  x.a, b: x.b, c: x.c, d: y.a, e: y.b, f: y.c,
	}, true
}

// Costs of records, to choose between ways of pairing. Independent results save the
// dispatch only.
const (
	costSingle    = 10
	costPair      = 14
	costDependent = 11
)

// joinPairs chooses the neighbours to join so that the line is cheapest.
func (c *compiler) joinPairs(line []item) []item {
	n := len(line)
	cost := make([]int, n+2) // from item i to the end
	pair := make([]bool, n+1)
	for i := n - 1; i >= 0; i-- {
		cost[i] = costSingle + cost[i+1]
		if i+1 < n {
			if _, price, ok := c.pair(line[i].r, line[i+1].r); ok && price+cost[i+2] < cost[i] {
				cost[i], pair[i] = price+cost[i+2], true
			}
		}
	}
	out := line[:0]
	for i := 0; i < n; i++ {
		it := line[i]
		if pair[i] {
			next := line[i+1]
			it.r, _, _ = c.pair(it.r, next.r)
			if !isLoad(line[i].r.op) {
				it.from.fault = next.from.fault
			}
			it.from.fault2 = next.from.fault2
			i++
		}
		out = append(out, it)
	}
	return out
}

// pair joins two neighbours if there is a record for both.
func (c *compiler) pair(x, y record) (r record, cost int, ok bool) {
	switch {
	case isLoad(x.op) && isCond(y.op):
		return pairLoadJump(x, y)
	case isLoad(x.op):
		return pairLoad(x, y)
	case x.op == opAdd && isLoad(y.op) && y.b == x.a:
		return record{op: opAddLoads + loadSize(y.op), a: x.a, b: x.b, c: x.c, d: y.a, off: y.off}, costDependent, true
	case isCond(y.op):
		return c.pairJump(x, y)
	}
	for width := range uint16(2) {
		i, ok1 := c.pairIndex(x, width)
		j, ok2 := c.pairIndex(y, width)
		if !ok1 || !ok2 {
			continue
		}
		r = record{a: x.a, b: x.b, c: x.c, d: y.a, e: y.b, f: y.c}
		form, cost := uint16(0), costPair
		switch {
		case j == pairMov && y.b == x.a, j != pairMov && y.b == x.a && y.c != x.a:
			form, cost = 1, costDependent
		case j != pairMov && y.c == x.a && y.b != x.a:
			form, cost = 2, costDependent
		}
		r.op = opPairs + ((width*(pairMov+1)+i)*(pairMov+1)+j)*3 + form
		return r, cost, true
	}
	return record{}, 0, false
}

// pairMov is the place of Mov among the operations that are paired; before it are
// the first eight arithmetic ones.
const pairMov = 8

// pairIndex is the place of a record among the operations paired in a width (0: 64
// bits, 1: 32 bits).
func (c *compiler) pairIndex(r record, width uint16) (uint16, bool) {
	switch base := opAdd + width*(opAdd32-opAdd); {
	case r.op >= base && r.op < base+pairMov:
		return r.op - base, true
	case r.op == opMov+width*(opMov32-opMov):
		return pairMov, true
	case r.op == opMov && r.b >= regConst && c.p.consts[r.b-regConst] <= 0xffff_ffff:
		return pairMov, true // a constant that 32 bits hold
	}
	return 0, false
}

// isCond reports whether the record is a conditional jump, possibly with the goto
// after it.
func isCond(op uint16) bool {
	return op >= opJeq && op < opJeq+2*condCount || op >= opJumpElse && op < opJumpElse+2*condCount
}

// pairJump joins an operation with the conditional jump after it.
func (c *compiler) pairJump(x, y record) (r record, cost int, ok bool) {
	r = record{a: x.a, b: x.b, c: x.c, d: y.d, e: y.e, off: y.off}
	cond := y.op - opJeq
	if y.op >= opJumpElse {
		cond, r.f = y.op-opJumpElse, 1
	}
	for width := range uint16(2) {
		i, ok := c.pairIndex(x, width)
		if !ok {
			continue
		}
		var o uint16
		switch i {
		case 0: // opAdd
			o = 0
		case opSub - opAdd:
			o = 1
		case opAnd - opAdd:
			o = 2
		case opRsh - opAdd:
			o = 3
		case pairMov:
			o = 4
		default:
			return record{}, 0, false
		}
		r.op = opALUJumps + ((width*5+o)*2*condCount+cond)*2
		if y.d == x.a && y.e != x.a {
			r.op++
			return r, costDependent, true
		}
		return r, costPair, true
	}
	return record{}, 0, false
}

// loadSize is 0 to 3 for loads of 8 to 64 bits.
func loadSize(op uint16) uint16 {
	switch op {
	case opLoad8:
		return 0
	case opLoad16:
		return 1
	case opLoad32:
		return 2
	}
	return 3
}

func isLoad(op uint16) bool {
	return op == opLoad8 || op == opLoad16 || op == opLoad32 || op == opLoad64
}

// pairLoadJump joins a load with the conditional jump on what it has loaded.
func pairLoadJump(x, y record) (r record, cost int, ok bool) {
	if y.d != x.a || y.e == x.a {
		return record{}, 0, false
	}
	r = record{a: x.a, b: x.b, c: uint8(x.off), d: uint8(x.off >> 8), e: y.e, off: y.off}
	cond := y.op - opJeq
	if y.op >= opJumpElse {
		cond, r.f = y.op-opJumpElse, 1
	}
	r.op = opLoadJumps + loadSize(x.op)*2*condCount + cond
	return r, costDependent, true
}

// pairLoad joins a load with another of its width or with an operation on what it
// has loaded.
func pairLoad(x, y record) (r record, cost int, ok bool) {
	r = record{a: x.a, b: x.b, off: x.off, d: y.a, e: y.b, f: y.c}
	if y.op == x.op {
		r.op, r.delta = opLoadLoads+loadSize(x.op), y.off
		return r, costPair, true
	}
	width, base := uint16(0), opAdd
	if y.op >= opAdd32 {
		width, base = 1, opAdd32
	}
	var o uint16
	switch y.op - base {
	case 0: // opAdd
		o = 0
	case opOr - opAdd:
		o = 1
	case opAnd - opAdd:
		o = 2
	case opXor - opAdd:
		o = 3
	case opLsh - opAdd:
		o = 4
	default:
		return record{}, 0, false
	}
	r.op = opLoadPairs + ((loadSize(x.op)*2+width)*5+o)*2
	switch {
	case y.b == x.a && y.c != x.a:
	case y.c == x.a && y.b != x.a:
		r.op++
	default:
		return record{}, 0, false
	}
	return r, costDependent, true
}
