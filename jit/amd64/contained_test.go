package amd64

import (
	"fmt"

	"bpfvm/isa"
)

// This file proves of an image that it reaches nothing but what it may, by what its
// x86 instructions do and nothing else: neither the eBPF program nor facts nor the
// compiler's own analysis are looked at. It is an abstract interpretation with
// intervals over the branches of the image.

// checker follows one image.
type checker struct {
	img    *image
	labels []int32
	at     []*xstate // before each item, at joins
	visits []int
	work   []int
	joins  []bool
	slotAt map[int]bool // items where a slot begins that Go may enter
	funcs  map[int]bool
	report bool
	err    error
}

// checkContained says which instruction of the image can reach something that it
// must not, if any.
func checkContained(img *image, code isa.Program) error {
	c := &checker{img: img, labels: img.labels, at: make([]*xstate, len(img.items)+1), visits: make([]int, len(img.items)+1),
		joins: make([]bool, len(img.items)+1), slotAt: map[int]bool{}, funcs: map[int]bool{}}
	for i := range img.items {
		if img.items[i].cond != 0 {
			c.joins[c.labels[img.items[i].to]] = true
			if img.items[i].cond == called {
				c.funcs[int(c.labels[img.items[i].to])] = true
			}
		}
	}
	for pc := range code.All() {
		if img.entry[pc] >= 0 {
			i := int(c.labels[img.slots[pc]])
			c.slotAt[i], c.joins[i] = true, true
		}
	}
	c.entries(func(i int, s *xstate) { c.flow(-1, i, s) })
	for len(c.work) > 0 && c.err == nil {
		i := c.work[len(c.work)-1]
		c.work = c.work[:len(c.work)-1]
		s := *c.at[i]
		c.run(i, &s, code)
	}
	// The states hold; what follows from them does so too, and says more.
	for range 2 {
		old := c.at
		c.at, c.visits = make([]*xstate, len(old)), make([]int, len(old))
		c.entries(func(i int, s *xstate) { c.join(i, s, false) })
		c.all(old, code)
	}
	c.report = true
	c.all(c.at, code)
	return c.err
}

// entries are where control comes from outside: the image's and each function's.
func (c *checker) entries(to func(i int, s *xstate)) {
	for i := range c.img.items {
		if i == 0 || c.funcs[i] && c.img.items[i].slot >= 0 {
			s := &xstate{}
			s.r[rbp] = xval{kind: xFrame}
			to(i, s)
		}
	}
}

// all follows every state.
func (c *checker) all(at []*xstate, code isa.Program) {
	for i, s := range at {
		if s != nil && c.err == nil {
			t := *s
			c.run(i, &t, code)
		}
	}
	c.work = nil
}

// flow hands a state on from one item to another.
func (c *checker) flow(from, i int, s *xstate) {
	if i <= from { // each loop has such a way
		c.visits[i]++
	}
	if c.join(i, s, i <= from && c.visits[i] > 6) {
		c.work = append(c.work, i)
	}
}

func (c *checker) join(i int, s *xstate, widen bool) bool {
	if c.report {
		return false
	}
	t := *s
	for r := range t.r {
		t.r[r].id, t.r[r].delta = 0, 0
	}
	if c.slotAt[i] { // Go may come in here
		t.r[regTmp], t.r[regAddr], t.flags = xval{}, xval{}, xcmp{}
		t.stack = [16]xval{}
	}
	if c.at[i] == nil {
		c.at[i] = &t
		return true
	}
	old, changed := c.at[i], false
	if old.depth != t.depth {
		c.err = fmt.Errorf("item %d: the stack has %d words and %d", i, old.depth, t.depth)
	}
	merge := func(a *xval, b xval) {
		b.id, b.delta = 0, 0
		if *a == b || a.kind == xTop {
			return
		}
		m := xval{}
		if a.kind == b.kind {
			m = xval{kind: a.kind, lo: min(a.lo, b.lo), hi: max(a.hi, b.hi)}
		}
		if m == *a {
			return
		}
		if widen {
			m = xval{}
		}
		*a, changed = m, true
	}
	for r := range t.r {
		merge(&old.r[r], t.r[r])
	}
	for k := range t.stack {
		merge(&old.stack[k], t.stack[k])
	}
	if old.flags != t.flags && old.flags.valid {
		old.flags, changed = xcmp{}, true
	}
	return changed
}

// run follows the code from an item up to the next join.
func (c *checker) run(i int, s *xstate, code isa.Program) {
	for first := true; ; first = false {
		if !first && c.joins[i] {
			c.flow(i-1, i, s)
			return
		}
		if i >= len(c.img.items) {
			c.err = fmt.Errorf("runs off the end")
			return
		}
		it := &c.img.items[i]
		switch {
		case it.cond == 0:
			if it.in.op == opRet || it.in.op == opJmpReg {
				return
			}
			if err := c.insn(s, it); err != nil {
				if c.report {
					c.err = fmt.Errorf("slot %d: item %d: %+v: %w", it.slot, i, it.in, err)
					return
				}
			}
		case it.cond == always:
			if c.img.items[c.labels[it.to]].slot >= 0 || it.slot < 0 {
				c.flow(i, int(c.labels[it.to]), s)
			}
			return
		case it.cond == called:
			c.called(s, i, code)
		default:
			t := *s
			if t.refine(it.cond) {
				c.flow(i, int(c.labels[it.to]), &t)
			}
			if !s.refine(it.cond ^ 1) {
				return
			}
		}
		i++
	}
}

// called is what holds behind a call, of a function or of the way out.
func (c *checker) called(s *xstate, i int, code isa.Program) {
	it := &c.img.items[i]
	keep := map[reg]bool{rbx: true, r13: true, r14: true, r15: true, rbp: true}
	if c.img.items[c.labels[it.to]].slot < 0 { // the way out
		if exitKind(uint32(c.img.items[i-1].in.imm)>>exitShift) == exitSlice {
			keep[rax], keep[rdi], keep[rsi], keep[rdx], keep[rcx], keep[r8] = true, true, true, true, true, true
		} else if ins := code[it.slot]; ins.Op.Class() == isa.ClassSTX {
			for r, x := range regMap {
				keep[x] = isa.Register(r) != ins.Src() && r != 0
			}
			keep[rbp] = true
		}
	}
	for r := range s.r {
		if !keep[reg(r)] {
			s.r[r] = xval{}
		}
	}
	s.flags = xcmp{}
}

// write sets a register.
func (s *xstate) write(r reg, v xval) {
	s.r[r] = v
	if s.flags.valid && s.flags.a == r {
		s.flags = xcmp{}
	}
}

// insn follows one instruction and says what is wrong with it.
func (c *checker) insn(s *xstate, it *item) error {
	in := it.in
	if in.form == fRM || in.form == fMR || in.form == fMI || in.form == fM {
		if err := s.memory(in); err != nil {
			return err
		}
	}
	var src xval
	switch in.form {
	case fRR, fRRI, fRRR:
		src = s.r[in.src]
	case fRI:
		src = xnum(in.imm, in.imm)
	}
	d := in.dst
	l := opTable[in.op].width == 4
	flags := xcmp{}
	switch in.op {
	case opMovQ, opMovL, opMovZxB, opMovZxW, opMovSxL, opMovSxW, opMovSxB, opMovSxWL, opMovSxBL, opLea:
		flags = s.flags
	case opCmpQ, opCmpL, opTestQ, opTestL:
		if in.form == fRR || in.form == fRI {
			flags = xcmp{true, !l, in.dst, src}
			if in.op == opTestQ || in.op == opTestL {
				flags.valid, flags.b = in.form == fRR && in.src == in.dst, xnum(0, 0)
			}
		}
		s.flags = flags
		return nil
	case opPush:
		if s.depth == len(s.stack) {
			return fmt.Errorf("pushes too much")
		}
		v := xval{}
		if in.form == fR {
			v = s.r[d]
		}
		s.stack[s.depth] = v
		s.depth++
		return nil
	case opPop:
		if s.depth == 0 { // the way out
			s.write(d, xval{})
			return nil
		}
		s.depth--
		s.write(d, s.stack[s.depth])
		return nil
	}
	defer func() {
		if flags.valid && in.hasDst() && flags.a == d {
			flags = xcmp{}
		}
		s.flags = flags
	}()
	switch in.form {
	case fMR:
		switch in.op {
		case opXchgQ, opXaddQ, opXchgL, opXaddL:
			s.write(in.src, xval{})
		case opCmpxchgQ, opCmpxchgL:
			s.write(rax, xval{})
		}
		return nil
	case fMI, fM:
		return nil
	case fNone:
		switch in.op {
		case opCqo, opCdq:
			s.write(rdx, xval{})
		case opRet, opLock, opZeroX:
		}
		return nil
	}
	v := s.value(in, src)
	if l && in.op != opLea {
		v = v.low()
	}
	switch in.op {
	case opDivQ, opDivL, opIdivQ, opIdivL:
		q := xval{}
		if a := s.r[rax]; (in.op == opDivQ && a.small() || in.op == opDivL) && s.r[rdx] == xnum(0, 0) {
			q = xnum(0, a.hi)
			if in.op == opDivL {
				q = xnum(0, a.low().hi)
			}
		}
		if in.op == opDivL || in.op == opIdivL {
			q = q.low()
		}
		s.write(rax, q)
		s.write(rdx, q)
		return nil
	}
	if d == rsp {
		if in.op == opLea && in.mem == (mem{rsp, noReg, 8}) {
			s.depth--
			return nil
		}
		if it.slot < 0 {
			return nil
		}
		return fmt.Errorf("writes the native stack's pointer")
	}
	if d == regArena {
		return fmt.Errorf("writes the arena's base")
	}
	if d == rbp && it.slot >= 0 {
		if in.op != opLea || in.mem.base != rbp || in.mem.index != noReg || in.mem.disp != frameStride && in.mem.disp != -frameStride {
			return fmt.Errorf("writes the frame pointer")
		}
		return nil // and back behind the call
	}
	s.write(d, v)
	return nil
}
