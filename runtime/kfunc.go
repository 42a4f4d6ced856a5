package runtime

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// kfunc is a kernel function that programs call by its BTF id.
type kfunc struct {
	proto *spec.HelperProto
	fn    helperFunc
}

// kfuncs maps the names of kernel functions to what they do; the files kfunc_*.go
// fill it, one for each family.
var kfuncs = map[string]*kfunc{}

// kfuncArgs are the words for arguments in the tables of kernel functions; a number
// behind a colon is the size of the memory.
var kfuncArgs = map[string]spec.ArgKind{
	"any":       spec.ArgAnything,
	"ctx":       spec.ArgCtx,
	"iter":      spec.ArgIterator,
	"dynptr":    spec.ArgDynptr,
	"newdynptr": spec.ArgUninitDynptr,
	"mem":       spec.ArgMem,
	"mem?":      spec.ArgMemOrNull,
	"out":       spec.ArgUninitMem,
	"size":      spec.ArgSizeOrZero,
	"fixed":     spec.ArgFixedMem,
	"func":      spec.ArgFunc,
	"obj":       spec.ArgBTFID,
	"obj?":      spec.ArgBTFIDOrNull,
}

// registerKfunc adds a kernel function. Its arguments are words of [kfuncArgs].
func registerKfunc(name string, ret spec.RetKind, args string, fn helperFunc) {
	proto := &spec.HelperProto{Name: name, Ret: ret}
	for i, word := range strings.Fields(args) {
		kind, size, _ := strings.Cut(word, ":")
		proto.Args[i] = kfuncArgs[kind]
		n, _ := strconv.Atoi(size)
		proto.ArgSizes[i] = uint32(n)
	}
	kfuncs[name] = &kfunc{proto, fn}
}

// Kfuncs returns the names of the kernel functions that programs of a type can
// call, sorted.
func Kfuncs(t spec.ProgType) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(kfuncs)) {
		if k := spec.KfuncByName(name); k != nil && slices.Contains(k.Types(), t) {
			names = append(names, name)
		}
	}
	return names
}

// kfuncID returns the BTF id of a kernel function in the target, 0 when the target
// does not have it, and the bits of R0 that are its result.
func (rt *Runtime) kfuncID(name string) (id int32, ret uint64) {
	var fn *btf.Func
	if err := rt.opts.Target.TypeByName(name, &fn); err != nil {
		return 0, 0
	}
	n, err := rt.opts.Target.TypeID(fn)
	if err != nil {
		return 0, 0
	}
	ret = ^uint64(0)
	if proto, ok := fn.Type.(*btf.FuncProto); ok {
		if size, err := btf.Sizeof(proto.Return); err == nil && size > 0 && size < 8 {
			ret = 1<<(8*size) - 1
		}
	}
	return int32(n), ret
}

// hasKfunc reports whether a kernel function is there: in the target and here.
func (rt *Runtime) hasKfunc(name string) bool {
	id, _ := rt.kfuncID(name)
	return id != 0 && kfuncs[name] != nil && spec.KfuncByName(name) != nil
}

// checkKfunc judges a call as check_kfunc_call does. A weak function that does not
// exist is fine as long as the call is never reached.
func (l *loader) checkKfunc(p *spec.ProgramSpec, pc isa.PC, ins isa.Instruction) error {
	ref := p.RefAt(pc)
	if ref == nil {
		name := fmt.Sprintf("with BTF id %d", ins.Imm)
		return &UnsupportedError{What: "kfunc", Name: name, Prog: p.Name, PC: pc, Op: ins.Op}
	}
	switch {
	case ref.Weak && !l.rt.hasKfunc(ref.Name):
		return nil
	case !l.rt.hasKfunc(ref.Name):
		return &UnsupportedError{What: "kfunc", Name: ref.Name, Prog: p.Name, PC: pc, Op: ins.Op}
	case !spec.KfuncByName(ref.Name).Allowed(p.Type, p.Attach):
		return &ProgError{
			Prog: p.Name, PC: pc, Op: ins.Op, Errno: spec.EACCES,
			Msg: fmt.Sprintf("calling kernel function %s is not allowed", ref.Name),
		}
	}
	if ref.Name == "bpf_throw" {
		if callback := l.exceptionCallback(p); callback != "" {
			return &UnsupportedError{What: "exception callback", Name: callback, Prog: p.Name, PC: pc, Op: ins.Op}
		}
	}
	return nil
}

// exceptionCallback returns the function that a program names for its exceptions, by
// a declaration tag of its own BTF (__exception_cb); empty: the default, which gives
// the cookie.
func (l *loader) exceptionCallback(p *spec.ProgramSpec) string {
	if len(l.cs.BTF) == 0 || len(p.Funcs) == 0 {
		return ""
	}
	local, err := l.rt.localTypes(l.cs)
	if err != nil {
		return ""
	}
	t, err := local.TypeByID(btf.TypeID(p.Funcs[0].TypeID))
	fn, ok := t.(*btf.Func)
	if err != nil || !ok {
		return ""
	}
	for _, tag := range fn.Tags {
		if name, ok := strings.CutPrefix(tag, "exception_callback:"); ok {
			return name
		}
	}
	return ""
}

// linkKfunc gives a call the function's BTF id in the target, as libbpf does, and
// the program the function. A result of less than 8 bytes comes without a sign: the
// kernel's compiler leaves it in eax. What checkKfunc let pass without it must never run.
func (p *Program) linkKfunc(pc isa.PC) error {
	ref := p.spec.RefAt(pc)
	if !p.rt.hasKfunc(ref.Name) {
		p.code.Insns[pc] = isa.Instruction{Op: isa.OpCall, Imm: poisonKfunc}
		return p.linkHelper(pc, p.code.Insns[pc])
	}
	k := kfuncs[ref.Name]
	id, ret := p.rt.kfuncID(ref.Name)
	p.code.Insns[pc].Imm, p.code.Insns[pc].Off = id, 0
	p.code.Kfuncs[id] = &vm.Helper{Proto: k.proto, Fn: func(m *vm.Machine, r1, r2, r3, r4, r5 uint64) (uint64, error) {
		r0, err := k.fn(m.Env.(*Env), r1, r2, r3, r4, r5)
		return r0 & ret, err
	}}
	return nil
}

// linkKfuncAddr makes a wide instruction give the address of a kernel function:
// something that is not 0, for programs that ask whether it exists.
func (p *Program) linkKfuncAddr(pc isa.PC, name string) error {
	p.code.Insns[pc] = p.code.Insns[pc].WithSrc(0)
	addr := uint64(0)
	if p.rt.hasKfunc(name) {
		r, err := p.rt.mem.Handle(vm.RegionFunc, name, kfuncs[name])
		if err != nil {
			return fmt.Errorf("%s: kernel function %s: %w", p.Name(), name, allocErr(err))
		}
		addr = r.Base
	}
	p.code.Insns.SetImm64(pc, addr)
	return nil
}
