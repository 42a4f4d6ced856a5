package elf

import (
	"cmp"
	delf "debug/elf"
	"fmt"
	"slices"

	"bpfvm/isa"
	"bpfvm/spec"
)

// function is a piece of a code section that a symbol names: a program or a
// subprogram.
type function struct {
	name   string
	sec    *Section
	off    uint64 // bytes from the start of the section
	size   uint64 // bytes
	global bool   // verified on its own
	main   bool   // a program, not only a subprogram
	err    error  // why it cannot be used

	prepared bool
	code     isa.Program
	refs     []spec.Ref
	lines    []spec.Line
	core     []spec.CoreReloc
	calls    []call
	typeID   uint32

	// in is the first program that the function became part of, at base;
	// placedIn and placedAt are the same of the last one.
	in, placedIn   *spec.ProgramSpec
	base, placedAt isa.PC
}

// call is a reference from code to another function of the object: a call
// instruction, or an LDDW that takes a callback's address.
type call struct {
	pc isa.PC
	to *function
}

const functionCost = 320

// findFunctions cuts code sections into functions at their symbols. Old compilers
// give functions no type and assemblers no size. A section without any symbol is
// one program, which is how the loaders of Linux 4.x saw every section
// (samples/bpf/bpf_load.c, load_and_attach).
func (l *loader) findFunctions() {
	bySection := make(map[int][]*function)
	for i := range l.f.Symbols {
		sym := &l.f.Symbols[i]
		if l.kindOf(sym.Section) != secCode || sym.Name == "" {
			continue
		}
		if sym.Type != uint8(delf.STT_FUNC) && (sym.Type != uint8(delf.STT_NOTYPE) || !sym.Global()) {
			continue
		}
		if err := l.b.take("functions", 1, functionCost); err != nil {
			l.errs.add(err)
			break
		}
		bySection[sym.Section] = append(bySection[sym.Section], &function{
			name: sym.Name, sec: l.f.section(sym.Section), off: sym.Value, size: sym.Size,
			global: sym.Global() && !sym.hidden(), main: sym.Global(),
		})
	}
	total := 0
	for i := range l.f.Sections {
		s := &l.f.Sections[i]
		if l.secs[i] != secCode {
			continue
		}
		if s.Name == textSection {
			l.textSec = i
		}
		list := bySection[i]
		if len(list) == 0 && s.Name != textSection {
			list = []*function{{name: programName(s.Name), sec: s, size: s.Size, global: true, main: true}}
		}
		slices.SortStableFunc(list, func(a, b *function) int {
			return cmp.Or(cmp.Compare(a.off, b.off), cmp.Compare(b.size, a.size))
		})
		// A function without a size ends where the next one begins, which is not
		// another name of the same function.
		next, here := s.Size, s.Size
		for _, fn := range slices.Backward(list) {
			if fn.off < here {
				next, here = here, fn.off
			}
			if fn.size == 0 {
				fn.size = next - fn.off
			}
		}
		end, prev := uint64(0), (*function)(nil)
		for _, fn := range list {
			alias := prev != nil && fn.off == prev.off && fn.size == prev.size
			switch {
			case fn.off%isa.SlotSize != 0 || fn.size%isa.SlotSize != 0 || fn.size == 0:
				fn.err = formatErr("%d bytes at %#x are no whole instructions", fn.size, fn.off)
			case fn.off < end && !alias:
				fn.err = formatErr("bytes %#x to %#x belong to function %s as well", fn.off, end, quoteName(prev.name))
			default:
				end, prev = fn.off+fn.size, fn
			}
			if fn.sec.Index == l.textSec {
				fn.main = false
			}
		}
		l.funcs[i] = list
		total += len(list)
	}
	// The only function of an object is a program even in .text.
	if text := l.funcs[l.textSec]; total == 1 && len(text) == 1 {
		text[0].main = true
	}
}

// programName makes a program's name from a section name, as the kernel wants
// names: letters, digits, dot and underscore.
func programName(section string) string {
	b := []byte(section)
	for i, c := range b {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.') {
			b[i] = '_'
		}
	}
	return string(b)
}

// functionAt returns the function that begins at the offset, or says what is
// there instead.
func (l *loader) functionAt(sec int, off uint64) (*function, error) {
	list := l.funcs[sec]
	i, ok := slices.BinarySearchFunc(list, off, func(fn *function, off uint64) int { return cmp.Compare(fn.off, off) })
	if ok {
		return list[i], nil
	}
	name := fmt.Sprint(sec)
	if s := l.f.section(sec); s != nil {
		name = s.Name
	}
	if i > 0 && off-list[i-1].off < list[i-1].size {
		return nil, formatErr("%#x of section %s is inside function %s, not at its start", off, quoteName(name), quoteName(list[i-1].name))
	}
	return nil, formatErr("no function at %#x of section %s", off, quoteName(name))
}

// functionOver returns the function that contains the offset, or nil.
func (l *loader) functionOver(sec int, off uint64) *function {
	list := l.funcs[sec]
	i, ok := slices.BinarySearchFunc(list, off, func(fn *function, off uint64) int { return cmp.Compare(fn.off, off) })
	if !ok {
		i--
	}
	if i < 0 || off-list[i].off >= list[i].size {
		return nil
	}
	return list[i]
}

// linkPrograms makes a ProgramSpec of each program, in the order of sections and
// of places in them. A static function in a section of programs is one too, if
// no program calls it.
func (l *loader) linkPrograms() {
	type linked struct {
		fn *function
		p  *spec.ProgramSpec
	}
	var list []linked
	seen := make(map[string]bool)
	link := func(fn *function) {
		p, err := l.linkProgram(fn)
		if err == nil && seen[p.Name] {
			err = &ProgramError{Program: p.Name, Section: p.Section, Off: int64(fn.off), Err: formatErr("two programs of this name")}
		}
		if err != nil {
			l.errs.add(err)
			return
		}
		seen[p.Name] = true
		list = append(list, linked{fn, p})
	}
	each := func(do func(*function)) {
		for i := range l.f.Sections {
			for _, fn := range l.funcs[i] {
				do(fn)
			}
		}
	}
	each(func(fn *function) {
		if fn.main {
			link(fn)
		}
	})
	each(func(fn *function) {
		if !fn.main && !fn.prepared && fn.sec.Index != l.textSec {
			link(fn)
		}
	})
	slices.SortStableFunc(list, func(a, b linked) int {
		return cmp.Or(cmp.Compare(a.fn.sec.Index, b.fn.sec.Index), cmp.Compare(a.fn.off, b.fn.off))
	})
	for _, x := range list {
		l.out.Programs = append(l.out.Programs, x.p)
	}
}

// linkProgram lays a program out: its own function first, then each subprogram
// when a call to it is first met, before the rest of the caller is looked at
// (libbpf.c, bpf_object__reloc_code).
func (l *loader) linkProgram(fn *function) (*spec.ProgramSpec, error) {
	p := &spec.ProgramSpec{
		Name:    fn.name,
		Section: fn.sec.Name,
		License: l.out.License,
		Version: l.out.Version,
	}
	fail := func(in *function, err error) error {
		pe := &ProgramError{Program: fn.name, Func: in.name, Section: in.sec.Name, Off: int64(in.off), Err: err}
		if at, ok := err.(*insnError); ok {
			pe.Off, pe.Symbol, pe.Err = int64(in.off)+int64(at.pc)*isa.SlotSize, at.symbol, at.err
		}
		return pe
	}
	matchSection(p)
	if l.extErr != nil {
		return nil, fail(fn, l.extErr)
	}
	var order []*function
	type frame struct {
		fn   *function
		next int // call to look at next
	}
	var stack []frame
	slots := 0
	enter := func(sub *function) error {
		if err := l.prepare(sub); err != nil {
			return fail(sub, err)
		}
		if slots+len(sub.code) > spec.MaxInsns {
			return fail(fn, formatErr("more than %d instruction slots, the most that the kernel reads", spec.MaxInsns))
		}
		if err := l.b.take("linked programs", 1, sub.cost()); err != nil {
			return fail(fn, err)
		}
		if sub.in == nil {
			sub.in, sub.base = p, isa.PC(slots)
		}
		sub.placedIn, sub.placedAt = p, isa.PC(slots)
		slots += len(sub.code)
		order = append(order, sub)
		stack = append(stack, frame{fn: sub})
		return nil
	}
	if err := enter(fn); err != nil {
		return nil, err
	}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if top.next == len(top.fn.calls) {
			stack = stack[:len(stack)-1]
			continue
		}
		to := top.fn.calls[top.next].to
		top.next++
		if to.placedIn != p {
			if err := enter(to); err != nil {
				return nil, err
			}
		}
	}
	compose(p, order, slots)
	return p, nil
}
