package elf

import (
	delf "debug/elf"
	"fmt"
	"slices"

	"bpfvm/isa"
	"bpfvm/spec"
)

// insnError is a fault at one instruction of a function.
type insnError struct {
	pc     isa.PC // in the function
	symbol string
	err    error
}

func (e *insnError) Error() string { return e.err.Error() }
func (e *insnError) Unwrap() error { return e.err }

// prepare decodes a function and resolves everything in it that does not depend
// on which program it becomes part of: references, CO-RE, line information. Calls
// stay open. It is done once, however many programs contain the function.
func (l *loader) prepare(fn *function) error {
	if fn.prepared || fn.err != nil {
		return fn.err
	}
	fn.prepared = true
	fn.err = l.prepareCode(fn)
	return fn.err
}

func (l *loader) prepareCode(fn *function) error {
	data := fn.sec.data[fn.off : fn.off+fn.size]
	if err := l.b.take("instructions", int64(len(data)), 1); err != nil {
		return err
	}
	// Nothing is judged here: reserved fields and unknown opcodes are for the
	// verifier to refuse, at their place in the program.
	var err error
	if fn.code, err = isa.Decode(data); err != nil {
		return err
	}
	if err := l.applyCore(fn); err != nil {
		return err
	}
	wide := false // the slot before is the first of two
	rels := within(l.f.Relocs(fn.sec.Index), fn.off, fn.off+fn.size, func(r Reloc) uint64 { return r.Off })
	for i := range fn.code {
		pc := isa.PC(i)
		off := fn.off + uint64(i)*isa.SlotSize
		var rel *Reloc
		if len(rels) > 0 && rels[0].Off < off+isa.SlotSize {
			rel, rels = &rels[0], rels[1:]
			if rel.Off != off {
				return &insnError{pc, l.f.Symbols[rel.Sym].Name, formatErr("relocation at %#x, inside an instruction", rel.Off)}
			}
		}
		if wide {
			wide = false
			if rel != nil {
				return &insnError{pc, l.f.Symbols[rel.Sym].Name, formatErr("relocation of the second half of a wide instruction")}
			}
			continue
		}
		insn := fn.code[i]
		if insn.IsWide() {
			if i+1 == len(fn.code) {
				return &insnError{pc, "", formatErr("wide instruction without its second half")}
			}
			wide = true
		}
		if rel != nil {
			if err := l.relocate(fn, pc, rel); err != nil {
				return &insnError{pc, l.f.Symbols[rel.Sym].Name, err}
			}
			continue
		}
		if insn.IsPseudoCall() || insn.IsWide() && isa.Pseudo(insn.Src()) == isa.PseudoFunc {
			// A reference inside its section needs no relocation: the distance
			// counts from the instruction's place in the section.
			to, err := l.functionAt(fn.sec.Index, off+isa.SlotSize+uint64(int64(insn.Imm))*isa.SlotSize)
			if err == nil {
				err = l.addCall(fn, pc, to)
			}
			if err != nil {
				return &insnError{pc, "", fmt.Errorf("call: %w", err)}
			}
		}
	}
	l.attachInfo(fn)
	return nil
}

// relocate makes the instruction at pc refer to what the relocation's symbol
// stands for. Which kind of reference it is follows from the instruction and the
// symbol's section; the relocation's type only has to be one that occurs in code
// (libbpf.c, bpf_program__record_reloc).
func (l *loader) relocate(fn *function, pc isa.PC, rel *Reloc) error {
	sym := &l.f.Symbols[rel.Sym]
	insn := fn.code[pc]
	if rel.Type != Reloc64_64 && rel.Type != Reloc64_32 {
		return unsupported("%v in code", rel.Type)
	}
	call := insn.Op == isa.OpCall
	if !call && !insn.IsWide() {
		return formatErr("relocation of opcode %#02x, which is neither call nor lddw", uint8(insn.Op))
	}
	if sym.Section == 0 {
		return l.relocateExtern(fn, pc, rel.Sym)
	}
	kind := l.kindOf(sym.Section)
	if call {
		if kind != secCode {
			return formatErr("call of a symbol in section %s, which has no code", l.sectionName(sym.Section))
		}
		if isa.Pseudo(insn.Src()) != isa.PseudoCall {
			return formatErr("call of a function with source %d instead of %d (BPF_PSEUDO_CALL)", insn.Src(), isa.PseudoCall)
		}
		to, err := l.functionAt(sym.Section, callTarget(rel, sym, insn.Imm))
		if err != nil {
			return fmt.Errorf("call: %w", err)
		}
		return l.addCall(fn, pc, to)
	}

	inPlace := int64(insn.Imm)
	off := l.f.addend(rel, sym, inPlace)
	switch kind {
	case secCode:
		to, err := l.functionAt(sym.Section, off)
		if err != nil {
			return fmt.Errorf("address of a function: %w", err)
		}
		fn.setWide(pc, isa.PseudoFunc, 0)
		return l.addCall(fn, pc, to)
	case secBTFMaps, secLegacyMaps:
		if !sym.isSection() && !rel.HasAddend {
			off = sym.Value // the symbol is the map; nothing lies inside of it
		}
		m, err := l.mapAt(mapKey{sym.Section, off})
		if err != nil {
			return err
		}
		fn.setWide(pc, isa.PseudoMapFD, 0)
		return l.addRef(fn, spec.Ref{PC: pc, Kind: spec.RefMap, Name: m.Name})
	case secData:
		m, err := l.mapAt(mapKey{sym.Section, 0})
		if err != nil {
			return err
		}
		if off > uint64(m.ValueSize) {
			return formatErr("address %#x is outside section %s of %#x bytes", off, quoteName(m.Section), m.ValueSize)
		}
		fn.setWide(pc, isa.PseudoMapValue, uint64(off)<<32)
		return l.addRef(fn, spec.Ref{PC: pc, Kind: spec.RefMapValue, Name: m.Name, Off: uint32(off)})
	case secArena:
		m, err := l.mapAt(mapKey{sym.Section, 0})
		if err != nil {
			return err
		}
		if size := l.f.Sections[sym.Section].Size; off > size {
			return formatErr("address %#x is outside section %s of %#x bytes", off, arenaSection, size)
		}
		fn.setWide(pc, isa.PseudoMapValue, uint64(off)<<32)
		return l.addRef(fn, spec.Ref{PC: pc, Kind: spec.RefMapValue, Name: m.Name, Off: uint32(off)})
	}
	return unsupported("reference to section %s", l.sectionName(sym.Section))
}

// callTarget returns the offset in the symbol's section that a call goes to. The
// immediate counts slots, less one; binutils leaves the value of a global symbol in
// it, in bytes and less one, which libbpf does not understand.
func callTarget(rel *Reloc, sym *Symbol, imm int32) uint64 {
	if !sym.isSection() && !rel.HasAddend && uint64(int64(imm)+1) == sym.Value {
		return sym.Value
	}
	if rel.HasAddend {
		return sym.Value + uint64(rel.Addend)
	}
	return sym.Value + uint64((int64(imm)+1)*isa.SlotSize)
}

// addend returns the offset in the symbol's section that a relocation of data or of
// an LDDW means. What is added to the symbol is in place, or beside the relocation
// in SHT_RELA sections.
//
// The assembler of binutils (2.40, with bpf-gcc 12) leaves the sum in place where
// the symbol is not a section's: a loader that adds the symbol's value again, as
// libbpf does, ends up beside it. Such objects are known by their sections.
func (f *File) addend(rel *Reloc, sym *Symbol, inPlace int64) uint64 {
	if rel.HasAddend {
		return sym.Value + uint64(rel.Addend)
	}
	if f.binutils && !sym.isSection() && uint64(inPlace)-sym.Value <= sym.Size {
		return uint64(inPlace)
	}
	return sym.Value + uint64(inPlace)
}

// madeByBinutils reports whether GNU as wrote the object: it begins with .text,
// .data and .bss, used or not, where LLVM has .strtab and only what it needs.
func (f *File) madeByBinutils() bool {
	want := []string{".text", ".data", ".bss"}
	for i := 1; i < len(f.Sections) && len(want) > 0; i++ {
		switch s := &f.Sections[i]; {
		case s.Name == want[0]:
			want = want[1:]
		case s.Type != shtRel && s.Type != shtRela:
			return false
		}
	}
	return len(want) == 0
}

// relocateExtern makes the instruction refer to something of the kernel.
func (l *loader) relocateExtern(fn *function, pc isa.PC, sym int) error {
	e := l.externs[sym]
	if e == nil {
		return formatErr("relocation against an undefined symbol that is no extern")
	}
	if e.err != nil {
		return e.err
	}
	insn := &fn.code[pc]
	if insn.Op == isa.OpCall {
		if e.kind != externKfunc {
			return formatErr("call of a variable")
		}
		*insn = insn.WithSrc(isa.Register(isa.PseudoKfuncCall))
		insn.Imm = 0
		return l.addRef(fn, spec.Ref{PC: pc, Kind: spec.RefKfunc, Name: e.name, Weak: e.sym.Weak()})
	}
	switch e.kind {
	case externKconfig:
		m, err := l.mapAt(mapKey{0, 0})
		if err != nil {
			return err
		}
		fn.setWide(pc, isa.PseudoMapValue, uint64(e.off)<<32)
		return l.addRef(fn, spec.Ref{PC: pc, Kind: spec.RefMapValue, Name: m.Name, Off: e.off})
	case externKfunc:
		fn.setWide(pc, isa.PseudoBTFID, 0)
		return l.addRef(fn, spec.Ref{PC: pc, Kind: spec.RefKfunc, Name: e.name, Weak: e.sym.Weak()})
	case externKsym:
		fn.setWide(pc, isa.PseudoBTFID, 0)
	case externKsymAddr:
		fn.setWide(pc, isa.PseudoImm64, 0)
	}
	return l.addRef(fn, spec.Ref{PC: pc, Kind: spec.RefKsym, Name: e.sym.Name, Weak: e.sym.Weak()})
}

// mapAt returns the map defined at that place, or why there is none.
func (l *loader) mapAt(k mapKey) (*spec.MapSpec, error) {
	if m := l.maps[k]; m != nil {
		return m, nil
	}
	if err := l.badMaps[k]; err != nil {
		return nil, err
	}
	return nil, formatErr("no map at %#x of section %s", k.off, l.sectionName(k.sec))
}

func (l *loader) sectionName(sec int) string {
	if s := l.f.section(sec); s != nil {
		return quoteName(s.Name)
	}
	return l.f.specialSection(sec)
}

// specialSection names the section numbers that are no sections (gABI, chapter 4,
// "Special Section Indexes").
func (f *File) specialSection(sec int) string {
	switch delf.SectionIndex(sec) {
	case delf.SHN_UNDEF:
		return "UNDEF"
	case delf.SHN_ABS:
		return "ABS"
	case delf.SHN_COMMON:
		return "COMMON" // a variable that no section holds yet: int x; with -fcommon
	}
	return fmt.Sprintf("%#x", sec)
}

// setWide gives the wide instruction at pc another source and immediate.
func (fn *function) setWide(pc isa.PC, src isa.Pseudo, imm uint64) {
	fn.code[pc] = fn.code[pc].WithSrc(isa.Register(src))
	fn.code.SetImm64(pc, imm)
}

const (
	refCost  = 56
	callCost = 24

	linkedFuncCost = 64 // of a spec.Func, with its place in a table
)

func (l *loader) addRef(fn *function, r spec.Ref) error {
	fn.refs = append(fn.refs, r)
	return l.b.take("references", 1, refCost)
}

func (l *loader) addCall(fn *function, pc isa.PC, to *function) error {
	fn.calls = append(fn.calls, call{pc, to})
	return l.b.take("calls", 1, callCost)
}

// attachInfo takes the function's records of .BTF.ext.
func (l *loader) attachInfo(fn *function) {
	if l.ext == nil {
		return
	}
	end := fn.off + fn.size
	for _, fi := range within(l.ext.funcs[fn.sec.Index], fn.off, fn.off+1, func(fi funcInfo) uint64 { return fi.off }) {
		fn.typeID = fi.typeID
	}
	lines := within(l.ext.lines[fn.sec.Index], fn.off, end, func(li lineInfo) uint64 { return li.off })
	fn.lines = make([]spec.Line, 0, len(lines))
	for _, li := range lines {
		line := li.line
		line.PC = isa.PC((li.off - fn.off) / isa.SlotSize)
		fn.lines = append(fn.lines, line)
	}
}

// cost is what the function takes in memory in each program that contains it.
func (fn *function) cost() int64 {
	return int64(len(fn.code))*isa.SlotSize + int64(len(fn.lines))*lineCost +
		int64(len(fn.refs))*refCost + int64(len(fn.core))*coreCost + linkedFuncCost
}

// compose makes a program of prepared functions, each at its placedAt, and points
// the calls among them at each other.
func compose(p *spec.ProgramSpec, order []*function, slots int) {
	var refs, lines, core int
	for _, fn := range order {
		refs, lines, core = refs+len(fn.refs), lines+len(fn.lines), core+len(fn.core)
	}
	p.Insns = make(isa.Program, 0, slots)
	p.Funcs = make([]spec.Func, 0, len(order))
	p.Refs = slices.Grow(p.Refs, refs)
	p.Lines = slices.Grow(p.Lines, lines)
	p.Core = slices.Grow(p.Core, core)
	for _, fn := range order {
		base := fn.placedAt
		p.Insns = append(p.Insns, fn.code...)
		p.Funcs = append(p.Funcs, spec.Func{Name: fn.name, PC: base, TypeID: fn.typeID, Global: fn.global})
		for _, r := range fn.refs {
			r.PC += base
			p.Refs = append(p.Refs, r)
		}
		for _, li := range fn.lines {
			li.PC += base
			p.Lines = append(p.Lines, li)
		}
		for _, c := range fn.core {
			c.PC += base
			p.Core = append(p.Core, c)
		}
		for _, c := range fn.calls {
			at := base + c.pc
			p.Insns[at].Imm = int32(c.to.placedAt - at - 1)
		}
	}
}
