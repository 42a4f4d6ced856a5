package runtime

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
	"bpfvm/vm/layout"
)

// progTypes are the program types that have a hook here.
var progTypes = map[spec.ProgType]bool{
	spec.ProgKprobe: true, spec.ProgTracepoint: true, spec.ProgRawTracepoint: true, spec.ProgRawTracepointWritable: true,
	spec.ProgPerfEvent: true, spec.ProgTracing: true, spec.ProgLSM: true,
	spec.ProgXDP: true, spec.ProgSocketFilter: true, spec.ProgSchedCls: true, spec.ProgSchedAct: true,
	spec.ProgCgroupSKB: true, spec.ProgLWTIn: true, spec.ProgLWTOut: true, spec.ProgLWTXmit: true, spec.ProgLWTSeg6Local: true,
	spec.ProgSKSKB: true, spec.ProgFlowDissector: true, spec.ProgNetfilter: true,
	spec.ProgSockOps: true, spec.ProgSKMsg: true, spec.ProgSKLookup: true, spec.ProgSKReuseport: true,
	spec.ProgCgroupSock: true, spec.ProgCgroupSockAddr: true, spec.ProgCgroupDevice: true,
	spec.ProgCgroupSysctl: true, spec.ProgCgroupSockopt: true, spec.ProgLircMode2: true,
	spec.ProgSyscall: true,
}

// Numbers that libbpf puts into calls that must never run: the verifier finds the
// code to be dead, or refuses it (tools/lib/bpf/relo_core.c and libbpf.c).
const (
	// poisonCore stands in an instruction whose CO-RE relocation failed.
	poisonCore = 195896080
	// poisonKfunc is in the call of a weak kernel function that does not exist.
	poisonKfunc = 2002000000
)

// checkProgram finds everything that keeps a program from being loaded.
func (l *loader) checkProgram(p *spec.ProgramSpec) error {
	var errs []error
	if !progTypes[p.Type] {
		errs = append(errs, &UnsupportedError{What: "program type", Name: p.Type.String(), Prog: p.Name})
	}
	if len(p.Insns) == 0 {
		errs = append(errs, fmt.Errorf("%s: no instructions: %w", p.Name, spec.EINVAL))
	}
	for pc, ins := range p.Insns.All() {
		switch {
		case ins.IsHelperCall():
			if err := l.checkHelper(p, pc, ins); err != nil {
				errs = append(errs, err)
			}
		case ins.IsKfuncCall():
			if err := l.checkKfunc(p, pc, ins); err != nil {
				errs = append(errs, err)
			}
		case ins.IsWide():
			if err := l.checkWide(p, pc, ins); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return joinErrors(errs)
}

// checkHelper judges a call as check_helper_call does.
func (l *loader) checkHelper(p *spec.ProgramSpec, pc isa.PC, ins isa.Instruction) error {
	id := spec.HelperID(ins.Imm)
	refuse := func(format string, args ...any) error {
		return &ProgError{Prog: p.Name, PC: pc, Op: ins.Op, Msg: fmt.Sprintf(format, args...), Errno: spec.EINVAL}
	}
	proto := spec.HelperByID(id)
	license := cmp.Or(p.License, l.cs.License)
	switch {
	case id == poisonCore || id == poisonKfunc:
		return nil
	case proto == nil:
		return refuse("invalid func unknown#%d", id)
	case !spec.HelperAllowed(p.Type, id):
		return refuse("program of this type cannot use helper %s#%d", proto.Name, id)
	case proto.GPLOnly && !spec.GPLCompatible(license):
		return refuse("cannot call GPL-restricted function from non-GPL compatible program (%s, license %q)", proto.Name, license)
	case l.rt.helper(p.Type, id) == nil:
		return &UnsupportedError{What: "helper", Name: fmt.Sprintf("%s#%d", proto.Name, id), Prog: p.Name, PC: pc, Op: ins.Op}
	}
	return nil
}

// checkWide judges the reference of a wide instruction.
func (l *loader) checkWide(p *spec.ProgramSpec, pc isa.PC, ins isa.Instruction) error {
	refuse := func(format string, args ...any) error {
		return &ProgError{Prog: p.Name, PC: pc, Op: ins.Op, Msg: fmt.Sprintf(format, args...), Errno: spec.EINVAL}
	}
	if int(pc)+1 == len(p.Insns) {
		return refuse("the second slot of this wide instruction is missing")
	}
	ref := p.RefAt(pc)
	switch isa.Pseudo(ins.Src()) {
	case isa.PseudoImm64:
		if ref != nil && ref.Kind == spec.RefKsym && !ref.Weak {
			return &UnsupportedError{What: "ksym", Name: ref.Name, Prog: p.Name, PC: pc, Op: ins.Op}
		}
	case isa.PseudoFunc:
		if target, ok := p.Insns.CallTarget(pc); !ok || target < 0 || int(target) >= len(p.Insns) {
			return refuse("function at slot %d is outside of the program", target)
		}
	case isa.PseudoBTFID:
		switch {
		case ref == nil:
			return &UnsupportedError{What: "ksym", Name: "without a name", Prog: p.Name, PC: pc, Op: ins.Op}
		case ref.Kind == spec.RefKfunc:
			return l.checkKfunc(p, pc, ins)
		case !ref.Weak:
			return &UnsupportedError{What: "ksym", Name: ref.Name, Prog: p.Name, PC: pc, Op: ins.Op}
		}
	default:
		if ref == nil {
			return refuse("the instruction refers to a map, but none is named")
		}
		if l.cs.Map(ref.Name) == nil {
			return refuse("map %q does not exist", ref.Name)
		}
	}
	return nil
}

// loadProgram links a program: references become addresses.
func (l *loader) loadProgram(s *spec.ProgramSpec) (*Program, error) {
	p := &Program{rt: l.rt, spec: s, coll: l.cs, id: uint32(len(l.rt.progs) + 1)}
	p.code = &vm.Code{
		Name: s.Name, Insns: slices.Clone(s.Insns), Funcs: s.Funcs, Helpers: map[int32]*vm.Helper{}, Arrays: map[uint64]layout.Array{}, Kfuncs: map[int32]*vm.Helper{},
		Ctx: ctxLayout(s), Spec: s, ProbeMem: l.rt.probeLoads(s),
	}
	var errs []error
	for pc, ins := range s.Insns.All() {
		var err error
		switch {
		case ins.IsHelperCall():
			err = p.linkHelper(pc, ins)
		case ins.IsKfuncCall():
			err = p.linkKfunc(pc)
		case ins.IsWide():
			err = l.linkWide(p, pc, ins)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if errs != nil {
		return nil, joinErrors(errs)
	}
	l.rt.progs = append(l.rt.progs, p)
	return p, nil
}

// ctxLayout is the context that the program gets.
func ctxLayout(s *spec.ProgramSpec) *spec.CtxLayout {
	if s.Type == spec.ProgTracepoint {
		if c := spec.Tracepoint(s.AttachTo); c != nil {
			return c
		}
	}
	return s.Type.Ctx()
}

func (p *Program) linkHelper(pc isa.PC, ins isa.Instruction) error {
	switch spec.HelperID(ins.Imm) {
	case poisonCore:
		p.code.Helpers[ins.Imm] = poisoned("invalid CO-RE relocation: the target kernel does not have what this code needs")
	case poisonKfunc:
		p.code.Helpers[ins.Imm] = poisoned("call of a weak kernel function that does not exist")
	default:
		h := p.rt.helper(p.Type(), spec.HelperID(ins.Imm))
		if h == nil {
			return &UnsupportedError{What: "helper", Name: spec.HelperID(ins.Imm).String(), Prog: p.Name(), PC: pc, Op: ins.Op}
		}
		p.code.Helpers[ins.Imm] = h
	}
	return nil
}

// poisoned is the helper behind a call that must never run.
func poisoned(msg string) *vm.Helper {
	return &vm.Helper{
		Proto: &spec.HelperProto{Name: "poisoned call"},
		Fn: func(*vm.Machine, uint64, uint64, uint64, uint64, uint64) (uint64, error) {
			return 0, errors.New(msg)
		},
	}
}

// linkWide gives a wide instruction its address; the pseudo source stays, for
// display and for engines that follow pointers.
func (l *loader) linkWide(p *Program, pc isa.PC, ins isa.Instruction) error {
	insns := p.code.Insns
	switch isa.Pseudo(ins.Src()) {
	case isa.PseudoImm64:
		return nil
	case isa.PseudoFunc:
		target, _ := insns.CallTarget(pc)
		fn := &vm.Func{Name: funcName(p.spec, target), PC: int(target)}
		r, err := p.rt.mem.Handle(vm.RegionFunc, fn.Name, fn)
		if err != nil {
			return fmt.Errorf("%s: function %s: %w", p.Name(), fn.Name, allocErr(err))
		}
		p.funcs = append(p.funcs, fn)
		insns.SetImm64(pc, r.Base)
		return nil
	case isa.PseudoBTFID:
		if ref := p.spec.RefAt(pc); ref.Kind == spec.RefKfunc {
			return p.linkKfuncAddr(pc, ref.Name)
		}
		// A weak kernel variable that does not exist.
		insns[pc] = ins.WithSrc(0)
		insns.SetImm64(pc, 0)
		return nil
	}
	ref := p.spec.RefAt(pc)
	m := l.c.maps[ref.Name]
	if m == nil { // its error is in the list already
		return fmt.Errorf("%s insn %d (%#02x): map %q was not created", p.Name(), pc, uint8(ins.Op), ref.Name)
	}
	if a, ok := m.(*ProgArray); ok && !a.compatible(p) {
		return &ProgError{
			Prog: p.Name(), PC: pc, Op: ins.Op, Errno: spec.EINVAL,
			Msg: fmt.Sprintf("prog array %q belongs to programs of type %s", a.Name(), a.owner.Type()),
		}
	}
	if ref.Kind != spec.RefMapValue {
		insns.SetImm64(pc, m.Addr())
		if a, ok := m.(interface{ layout() layout.Array }); ok {
			p.code.Arrays[m.Addr()] = a.layout()
		}
		return nil
	}
	// array_map_direct_value_addr
	a, ok := m.(*Array)
	if !ok || m.Spec().MaxEntries != 1 {
		return &ProgError{
			Prog: p.Name(), PC: pc, Op: ins.Op, Errno: spec.EINVAL,
			Msg: fmt.Sprintf("direct access to map %q: only arrays of one element have an address", ref.Name),
		}
	}
	if ref.Off >= m.Spec().ValueSize {
		return &ProgError{
			Prog: p.Name(), PC: pc, Op: ins.Op, Errno: spec.EINVAL,
			Msg: fmt.Sprintf("direct value offset of %d in map %q of %d bytes is not allowed", ref.Off, ref.Name, m.Spec().ValueSize),
		}
	}
	insns.SetImm64(pc, a.ValueAddr(0)+uint64(ref.Off))
	return nil
}

// funcName names the function at a slot.
func funcName(p *spec.ProgramSpec, pc isa.PC) string {
	if f := p.FuncAt(pc); f != nil && f.PC == pc {
		return f.Name
	}
	return fmt.Sprintf("%s+%d", strings.TrimSpace(p.Name), pc)
}

// indexOf reads the key of an array.
func indexOf(key []byte) uint32 { return binary.LittleEndian.Uint32(key) }
