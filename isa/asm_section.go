package isa

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// asmSection collects the statements of a section until all are known.
type asmSection struct {
	name    string
	stmts   []placed
	funcs   []AsmFunc
	labels  map[scopedName]labelPlace
	pending []pendingLabel // labels and functions that wait for their statement
	next    PC             // where a statement without slot number goes
	at      map[PC]int     // statement at each slot, second slots included
	entry   map[string]PC  // first slot of each function, once finished
}

// placed is a statement at its slot.
type placed struct {
	statement
	pc    PC
	line  int
	scope string // the function it belongs to
}

// scopedName is a label within its function: two functions may both have "out".
type scopedName struct{ scope, name string }

type labelPlace struct {
	pc   PC
	line int
}

type pendingLabel struct {
	name scopedName
	fn   int // index in funcs, or -1 for a plain label
}

// scope returns the name of the function being assembled.
func (s *asmSection) scope() string {
	if len(s.funcs) == 0 {
		return ""
	}
	return s.funcs[len(s.funcs)-1].Name
}

// label defines a jump target at the next statement.
func (s *asmSection) label(a *assembler, t token, line int) {
	if isRegister(t) || t.is("pc") || t.is("fp") || t.is("if") || t.is("kfunc") {
		a.errorf(line, t.col, "%q has a meaning of its own and cannot be a label", t.text)
		return
	}
	name := scopedName{s.scope(), t.text}
	if old, ok := s.labels[name]; ok {
		if t.is("caller") || t.is("callee") { // headings of the verifier's log, not labels
			return
		}
		a.errorf(line, t.col, "label %q is defined on line %d already", t.text, old.line)
		return
	}
	s.labels[name] = labelPlace{s.next, line}
	s.pending = append(s.pending, pendingLabel{name, -1})
}

// function begins a function at the next statement.
func (s *asmSection) function(a *assembler, f AsmFunc, col int) {
	if other, ok := a.funcs[f.Name]; ok {
		i := slices.IndexFunc(other.funcs, func(g AsmFunc) bool { return g.Name == f.Name })
		a.errorf(f.Line, col, "function %q is defined on line %d already", f.Name, other.funcs[i].Line)
		return
	}
	a.funcs[f.Name] = s
	f.PC = s.next
	s.funcs = append(s.funcs, f)
	s.pending = append(s.pending, pendingLabel{fn: len(s.funcs) - 1})
}

// place puts a statement at its slot: the number that a dump gives it, or after
// the statement before it. A verifier's log passes some slots several times;
// they must then hold the same each time.
func (s *asmSection) place(a *assembler, st statement, line int) {
	pc := s.next
	if st.number.kind == tokNumber {
		n, err := parseNumber(st.number.text)
		if err != nil || n >= 1<<24 {
			a.errorf(line, st.number.col, "slot number %s is out of reach", st.number.text)
			return
		}
		pc = PC(n)
	}
	s.settle(pc)
	s.next = pc + PC(len(st.slots))
	for i := range st.slots {
		old, ok := s.at[pc+PC(i)]
		if !ok {
			continue
		}
		if o := s.stmts[old]; o.pc != pc || !slices.Equal(o.slots, st.slots) || o.ref.name != st.ref.name {
			a.errorf(line, st.number.col, "slot %d is taken by another instruction on line %d", int(pc)+i, o.line)
		}
		return
	}
	for i := range st.slots {
		s.at[pc+PC(i)] = len(s.stmts)
	}
	s.stmts = append(s.stmts, placed{st, pc, line, s.scope()})
}

// settle gives the labels that wait their slot.
func (s *asmSection) settle(pc PC) {
	for _, l := range s.pending {
		if l.fn >= 0 {
			s.funcs[l.fn].PC = pc
			continue
		}
		p := s.labels[l.name]
		p.pc = pc
		s.labels[l.name] = p
	}
	s.pending = s.pending[:0]
}

// finish settles the places of statements, labels and functions.
func (s *asmSection) finish(a *assembler) {
	s.settle(s.next)
	slices.SortStableFunc(s.stmts, func(x, y placed) int { return cmp.Compare(x.pc, y.pc) })
	want := PC(0)
	for _, st := range s.stmts {
		if st.pc > want {
			a.errorf(st.line, st.number.col, "%s missing before this one; slots are counted from 0 within a section", missing(want, st.pc))
			break
		}
		want = st.pc + PC(len(st.slots))
	}
	slices.SortStableFunc(s.funcs, func(x, y AsmFunc) int { return cmp.Compare(x.PC, y.PC) })
	for i, f := range s.funcs {
		if f.PC == want || i+1 < len(s.funcs) && f.PC == s.funcs[i+1].PC {
			a.errorf(f.Line, 1, "function %q is empty", f.Name)
		}
	}
	if len(s.stmts) > 0 && (len(s.funcs) == 0 || s.funcs[0].PC != 0) {
		name := implicitName(s.name)
		for a.funcs[name] != nil {
			name += "_"
		}
		a.funcs[name] = s
		s.funcs = slices.Insert(s.funcs, 0, AsmFunc{Name: name, Line: s.stmts[0].line})
	}
	s.entry = make(map[string]PC, len(s.funcs))
	for _, f := range s.funcs {
		s.entry[f.Name] = f.PC
	}
}

func missing(from, to PC) string {
	if to == from+1 {
		return fmt.Sprintf("slot %d is", from)
	}
	return fmt.Sprintf("slots %d to %d are", from, to-1)
}

// implicitName names the function of a section that declares none.
func implicitName(section string) string {
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && (isWordStart(byte(r)) && r != '.' && r != '$' || isDigit(byte(r))) {
			return r
		}
		return '_'
	}, strings.TrimLeft(section, "."))
	if name == "" || isDigit(name[0]) {
		return "main"
	}
	return name
}

// link fills in labels and lists the references that remain.
func (s *asmSection) link(a *assembler) AsmSection {
	out := AsmSection{Name: s.name, Funcs: s.funcs}
	for _, st := range s.stmts {
		if len(a.errs) > maxAsmErrors {
			break
		}
		s.resolve(a, &st, &out)
		for _, ins := range st.slots {
			out.Insns = append(out.Insns, ins)
			out.Lines = append(out.Lines, st.line)
		}
	}
	return out
}

// resolve fills the name in a statement with its value, or adds a Ref.
func (s *asmSection) resolve(a *assembler, st *placed, out *AsmSection) {
	ref := st.ref
	fail := func(format string, args ...any) { a.errorf(st.line, ref.col, format, args...) }
	add := func(r Ref) {
		r.PC = st.pc
		out.Refs = append(out.Refs, r)
	}
	switch ref.kind {
	case symNone:
	case symJump, symJumpLong:
		s.resolveJump(st, fail)
	case symCall, symFunc:
		s.resolveFunc(a, st, fail, add)
	case symKfunc:
		add(Ref{Kind: RefKfunc, Symbol: ref.name})
	case symMap, symMapValue:
		if !a.maps[ref.name] && !a.opts.AllowUndefined {
			fail("map %q is not defined%s", ref.name, didYouMean(ref.name, maps.Keys(a.maps)))
			return
		}
		if ref.kind == symMap {
			add(Ref{Kind: RefMap, Symbol: ref.name})
			return
		}
		add(Ref{Kind: RefMapValue, Symbol: ref.name, Addend: uint32(st.slots[1].Imm)})
	case symData:
		d, ok := a.data[ref.name]
		if !ok {
			fail("data symbol %q is not defined%s", ref.name, didYouMean(ref.name, maps.Keys(a.data)))
			return
		}
		off := uint32(uint64(d.offset) + ref.addend)
		st.slots[1].Imm = int32(off)
		add(Ref{Kind: RefMapValue, Symbol: d.section, Addend: off})
	}
}

func (s *asmSection) resolveJump(st *placed, fail func(string, ...any)) {
	to, ok := s.labels[scopedName{st.scope, st.ref.name}]
	if !ok {
		fail("label %q is not defined in this function%s", st.ref.name, didYouMean(st.ref.name, s.labelNames(st.scope)))
		return
	}
	d := to.pc - st.pc - 1
	if st.ref.kind == symJumpLong {
		st.slots[0].Imm = int32(d)
		return
	}
	if PC(int16(d)) != d {
		fail("label %q is %d slots away, and a jump has 16 bits for that; gotol reaches further", st.ref.name, d)
		return
	}
	st.slots[0].Off = int16(d)
}

func (s *asmSection) labelNames(scope string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for n := range s.labels {
			if n.scope == scope && !yield(n.name) {
				return
			}
		}
	}
}

// resolveFunc settles "call name" and "func[name]": a function of the unit, a
// label of the same section or, for calls, a helper.
func (s *asmSection) resolveFunc(a *assembler, st *placed, fail func(string, ...any), add func(Ref)) {
	name, kind := st.ref.name, RefCall
	if st.ref.kind == symFunc {
		kind = RefFunc
	}
	ins := &st.slots[0]
	if st.ref.addend != 0 { // "call name#5": the number is there already
		s.resolveNumbered(a, st, fail)
		return
	}
	if sec, ok := a.funcs[name]; ok {
		if sec == s {
			ins.Imm = int32(s.entry[name] - st.pc - 1)
		}
		add(Ref{Kind: kind, Symbol: name, Local: sec == s})
		return
	}
	if to, ok := s.labels[scopedName{st.scope, name}]; ok {
		ins.Imm = int32(to.pc - st.pc - 1)
		return
	}
	if kind == RefCall && a.opts.HelperID != nil {
		if id, ok := a.opts.HelperID(name); ok {
			*ins = Instruction{Op: OpCall, Imm: id}
			return
		}
	}
	if a.opts.AllowUndefined {
		add(Ref{Kind: kind, Symbol: name})
		return
	}
	hint := didYouMean(name, maps.Keys(a.funcs))
	if hint == "" && kind == RefCall && a.opts.HelperNames != nil {
		hint = didYouMean(name, a.opts.HelperNames)
	}
	if kind == RefFunc {
		fail("function %q is not defined%s", name, hint)
		return
	}
	fail("%q is neither a function here nor a helper%s", name, hint)
}

// resolveNumbered checks the name in "call bpf_ktime_get_ns#5" where the
// helpers' names are known. The kernel prints calls of its own functions in the
// same form, so a name that is no helper's is one of those.
func (s *asmSection) resolveNumbered(a *assembler, st *placed, fail func(string, ...any)) {
	name, ins := st.ref.name, &st.slots[0]
	if a.opts.HelperID == nil || name == "helper" || name == "unknown" {
		return
	}
	const maxHelper = 0xffff // beyond it, the number is the address that a translated program calls
	id, ok := a.opts.HelperID(name)
	switch {
	case !ok:
		ins.Regs = MakeRegs(0, Register(PseudoKfuncCall))
	case ins.Imm > maxHelper || ins.Imm < 0:
		ins.Imm = id
	case id != ins.Imm:
		fail("helper %q has number %d, not %d", name, id, ins.Imm)
	}
}
