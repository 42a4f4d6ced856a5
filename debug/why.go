package debug

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// Why is the answer to "why is this so": the step that wrote it last.
type Why struct {
	What string // the question: "r2", "fp-8"
	Step uint64 // the step that wrote it
	Run  *Run
	Func string
	PC   isa.PC
	Insn string
	Line *spec.Line // nil where unknown
	Now  string     // what it holds at the present place
	// From are the registers that the step read: ask for them next, from there.
	From []isa.Register
}

// ErrNoWriter is the cause when nothing in the recording wrote what was asked for.
var ErrNoWriter = fmt.Errorf("nothing has written it")

// Why finds what wrote a register or memory last, before the present place:
//
//	r2           in the running function
//	fp-8 stack:-8 pkt+12 packet:12 ctx+4 counts[6]
//	*(u32 *)(r1 +4)   and any other address
//
// It does not move.
func (s *Session) Why(ctx context.Context, what string) (*Why, error) {
	what = strings.TrimSpace(what)
	if s.here.st == nil && !strings.Contains(what, "[") {
		return nil, fmt.Errorf("why %s: %w", what, errAtEnd)
	}
	w, err := s.why(ctx, what)
	if err != nil {
		return nil, fmt.Errorf("why %s: %w", what, err)
	}
	return w, nil
}

func (s *Session) why(ctx context.Context, what string) (*Why, error) {
	if r, ok := register(what); ok {
		return s.whyReg(ctx, r)
	}
	if name, key, ok := strings.Cut(what, "["); ok && !strings.HasPrefix(what, "*") && name != "pkt" {
		pl, err := parseMapPlace(name+"["+key, s)
		if err != nil {
			return nil, err
		}
		return s.whyMap(ctx, what, pl.(*mapPlace))
	}
	addr, size, err := s.address(what)
	if err != nil {
		return nil, err
	}
	return s.whyMem(ctx, what, addr, size)
}

// address reads the place of memory.
func (s *Session) address(what string) (addr, size uint64, err error) {
	for _, f := range []struct {
		prefix string
		kind   vm.RegionKind
		size   uint64
	}{
		{"stack:", vm.RegionStack, 8}, {"fp", vm.RegionStack, 8}, {"r10", vm.RegionStack, 8},
		{"packet:", vm.RegionPacket, 1}, {"pkt", vm.RegionPacket, 1}, {"ctx:", vm.RegionCtx, 1}, {"ctx", vm.RegionCtx, 1},
	} {
		rest, ok := strings.CutPrefix(what, f.prefix)
		if !ok {
			continue
		}
		rest = strings.Trim(strings.ReplaceAll(rest, " ", ""), "[]")
		off, err := strconv.ParseInt(rest, 0, 32)
		if err != nil {
			return 0, 0, fmt.Errorf("want an offset after %s", f.prefix)
		}
		start, ok := regionStart(s.here, f.kind)
		if !ok {
			return 0, 0, errNoPacket
		}
		return start + uint64(off), f.size, nil
	}
	size = 8
	expr := what
	if rest, ok := strings.CutPrefix(what, "*("); ok {
		typ, after, _ := strings.Cut(rest, "*)")
		if n, _, ok := loadType(strings.TrimSpace(typ)); ok {
			size, expr = uint64(n), after
		}
	}
	addr, err = s.Eval(expr)
	return addr, size, err
}

// site is a step that may turn out to be the answer.
type site struct {
	step uint64
	run  int
	code *vm.Code
	pc   isa.PC
	line *spec.Line
}

func siteOf(p *Point) *site { return &site{p.Step, p.Run, p.st.Code(), p.st.PC(), p.line()} }

// answer says what is known of the step.
func (s *Session) answer(at *site, what, now string) *Why {
	w := &Why{
		What: what, Now: now, Step: at.step, Run: &s.index.runs[at.run], Func: funcName(at.code, at.pc),
		PC: at.pc, Insn: Insn(at.code, at.pc), Line: at.line,
	}
	read, _ := registers(at.code, at.pc)
	for r := range isa.Register(isa.NumRegisters) {
		if read[r] && r != isa.FP {
			w.From = append(w.From, r)
		}
	}
	return w
}

// whyReg follows the writers of registers through the run: a callee has registers of
// its own, of which R0 comes back.
func (s *Session) whyReg(ctx context.Context, r isa.Register) (*Why, error) {
	type writers [isa.NumRegisters]*site
	var stack [vm.MaxFrames]writers
	depth := 0
	var last *site // the step before: it may be a call or a return
	var wrote [isa.NumRegisters]bool
	here := s.here.Step
	first := s.index.runs[s.here.Run].First
	err := s.scan(ctx, first, here, func(p *Point) {
		if last != nil {
			w := &stack[depth]
			switch {
			case p.Frame > depth: // entered: arguments stay who they were
				stack[p.Frame] = writers{}
				copy(stack[p.Frame][isa.R1:isa.R6], w[isa.R1:isa.R6])
			case p.Frame < depth:
				r0 := w[isa.R0]
				w = &stack[p.Frame]
				w[isa.R0] = r0
				for a := isa.R1; a <= isa.R5; a++ {
					w[a] = last
				}
			default:
				for a, yes := range wrote {
					if yes {
						w[a] = last
					}
				}
			}
			depth = p.Frame
		}
		if p.Step < here {
			last = siteOf(p)
			_, wrote = registers(p.st.Code(), p.st.PC())
		}
	})
	if err != nil {
		return nil, err
	}
	w := stack[depth][r]
	if w == nil {
		switch {
		case r == isa.R1 && depth == 0:
			return nil, fmt.Errorf("%w in this run: r1 is the context since its start", ErrNoWriter)
		case r == isa.FP:
			return nil, fmt.Errorf("%w: r10 is the frame pointer and never changes", ErrNoWriter)
		}
		return nil, fmt.Errorf("%w in this function", ErrNoWriter)
	}
	return s.answer(w, r.String(), regOf(s.here, r).Text), nil
}

// whyMem looks for the last step that wrote bytes at an address.
func (s *Session) whyMem(ctx context.Context, what string, addr, size uint64) (*Why, error) {
	mem := s.here.e.world.Memory
	region := mem.Find(addr)
	if region == nil {
		return nil, fmt.Errorf("%s is not memory of the program", mem.Symbolize(addr))
	}
	lo := uint64(0)
	if region.Kind == vm.RegionStack || region.Kind == vm.RegionPacket || region.Kind == vm.RegionCtx {
		lo = s.index.runs[s.here.Run].First // given anew to each run
	}
	var best, pending *site
	var before []byte
	writes := false
	here := s.here.Step
	err := s.scan(ctx, lo, here, func(p *Point) {
		if pending != nil && (writes || !bytes.Equal(before, peek(p, addr, size))) {
			best = pending
		}
		pending = nil
		if p.st == nil || p.Step >= here {
			return
		}
		acc := accesses(p)
		ins := p.st.Code().Insns[p.st.PC()]
		if len(acc) == 0 && !ins.IsHelperCall() {
			return
		}
		writes = false
		for _, a := range acc {
			writes = writes || a.write && a.overlaps(addr, size)
		}
		if writes || ins.IsHelperCall() {
			pending, before = siteOf(p), bytes.Clone(peek(p, addr, size))
		}
	})
	if err != nil {
		return nil, err
	}
	if best == nil {
		if lo > 0 || region.Kind == vm.RegionPacket || region.Kind == vm.RegionCtx || region.Kind == vm.RegionStack {
			return nil, fmt.Errorf("%w in this run", ErrNoWriter)
		}
		return nil, ErrNoWriter
	}
	now := ""
	if b, ok := s.Bytes(addr, int(size)); ok {
		now = s.here.valueText(little(b), size)
	}
	return s.answer(best, what, now), nil
}

// whyMap looks for the last step that wrote an element of a map.
func (s *Session) whyMap(ctx context.Context, what string, pl *mapPlace) (*Why, error) {
	var best, before *site
	here := s.here.Step
	err := s.scan(ctx, 0, here, func(p *Point) {
		if _, ok := pl.at(p); ok && before != nil {
			best = before
		}
		before = nil
		if p.st == nil || p.Step >= here {
			return
		}
		if pl.prepare(p); pl.armed {
			before = siteOf(p)
		}
	})
	if err != nil {
		return nil, err
	}
	if best == nil {
		return nil, fmt.Errorf("%w before this step", ErrNoWriter)
	}
	now := ""
	if m := s.here.e.world.Collection.Map(pl.name); m != nil && pl.key != nil {
		now = valueWords(pl.lookup(s.here, m))
	}
	return s.answer(best, what, now), nil
}

// registers tells which registers the instruction at the slot reads and writes.
func registers(code *vm.Code, pc isa.PC) (read, wrote [isa.NumRegisters]bool) {
	ins := code.Insns[pc]
	form, ok := isa.Lookup(ins)
	if !ok {
		return read, wrote
	}
	for _, f := range []struct {
		rule isa.Rule
		reg  isa.Register
	}{{form.Dst.Rule, ins.Dst()}, {form.Src.Rule, ins.Src()}} {
		if f.rule == isa.RuleRead || f.rule == isa.RuleReadWrite {
			read[f.reg] = true
		}
		if f.rule == isa.RuleWrite || f.rule == isa.RuleReadWrite {
			wrote[f.reg] = true
		}
	}
	switch {
	case ins.IsPseudoCall(): // arguments; what comes back is the callee's doing
		for r := isa.R1; r <= isa.R5; r++ {
			read[r] = true
		}
	case ins.Op == isa.OpCall, ins.Op == isa.OpCallX:
		n := 5
		if h := code.Helpers[ins.Imm]; h != nil && h.Proto != nil {
			n = h.Proto.NumArgs()
		}
		for r := isa.R0; r <= isa.R5; r++ {
			wrote[r] = true
			read[r] = r != isa.R0 && int(r) <= n
		}
	case ins.Op == isa.OpExit:
		read[isa.R0] = true
	case ins.Op.Class() == isa.ClassLD && !ins.IsWide():
		read[isa.R6] = true
		for r := isa.R0; r <= isa.R5; r++ {
			wrote[r] = true
		}
	case ins.Op.Class() == isa.ClassSTX && ins.Op.Mode() == isa.ModeATOMIC && isa.AtomicOp(ins.Imm) == isa.AtomicCmpXchg:
		read[isa.R0], wrote[isa.R0] = true, true
	}
	return read, wrote
}
