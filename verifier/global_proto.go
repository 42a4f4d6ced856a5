package verifier

import (
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// globalKind is what a parameter of a global function may be.
type globalKind uint8

const (
	globalNumber globalKind = iota
	globalCtx
	globalMem
	globalBTF
	globalDynptr
	globalArena
)

// globalArg is one parameter (struct bpf_subprog_arg_info).
type globalArg struct {
	kind  globalKind
	flags RegType
	size  uint32   // of the memory
	btf   btf.Type // the kernel's structure
}

// Tags of parameters: __arg_ctx and others of libbpf's bpf_helpers.h.
const (
	tagCtx = 1 << iota
	tagTrusted
	tagUntrusted
	tagNonNull
	tagNullable
	tagArena
)

var argTags = map[string]int{
	"ctx": tagCtx, "trusted": tagTrusted, "untrusted": tagUntrusted, "nonnull": tagNonNull,
	"nullable": tagNullable, "arena": tagArena,
}

// prototype reads a function's parameters from BTF (btf_prepare_func_args).
func (env *env) prototype(sub int) ([]globalArg, error) {
	sp := &env.subprogs[sub]
	f := env.prog.FuncAt(isa.PC(sp.start))
	if f == nil || f.TypeID == 0 || len(env.opts.BTF) == 0 || env.loadTypes() != nil {
		return nil, notModelled("global function %s without BTF", sp.name)
	}
	t, err := env.types.TypeByID(btf.TypeID(f.TypeID))
	if err != nil {
		return nil, notModelled("global function %s without BTF", sp.name)
	}
	fn, ok := t.(*btf.Func)
	if !ok {
		return nil, notModelled("global function %s without BTF", sp.name)
	}
	proto, ok := fn.Type.(*btf.FuncProto)
	if !ok {
		return nil, notModelled("global function %s without prototype", sp.name)
	}
	if len(proto.Params) > spec.MaxHelperArgs {
		return nil, env.reject(CodeGlobalProto, "Global function %s() with %d > %d args. Buggy compiler.\n",
			sp.name, len(proto.Params), spec.MaxHelperArgs)
	}
	if !isScalarType(bare(proto.Return)) {
		return nil, env.reject(CodeGlobalProto, "Global function %s() doesn't return scalar. Only those are supported.\n", sp.name)
	}
	args := make([]globalArg, len(proto.Params))
	for i, p := range proto.Params {
		var tags []string
		if i < len(fn.ParamTags) {
			tags = fn.ParamTags[i]
		}
		if args[i], err = env.globalParam(sp.name, i, p, tags); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// globalParam tells what one parameter may be, by its tags and its type.
func (env *env) globalParam(fn string, i int, p btf.FuncParam, tagNames []string) (globalArg, error) {
	reject := func(format string, args ...any) (globalArg, error) {
		return globalArg{}, env.reject(CodeGlobalProto, format, args...)
	}
	tags := 0
	for _, name := range tagNames {
		name, ok := strings.CutPrefix(name, "arg:")
		if !ok {
			continue
		}
		bit, ok := argTags[name]
		if !ok {
			return reject("arg#%d has unsupported set of tags\n", i)
		}
		tags |= bit
	}
	t := bare(p.Type)
	ptr, ok := t.(*btf.Pointer)
	if !ok {
		switch {
		case tags != 0:
			return reject("arg#%d has pointer tag, but is not a pointer type\n", i)
		case isScalarType(t):
			return globalArg{}, nil
		}
		return reject("Arg#%d type %s in %s() is not supported yet.\n", i, kindName(t), fn)
	}
	target := bare(ptr.Target)
	combination := func(allowed int) bool { return tags&^allowed == 0 }
	invalid := func() (globalArg, error) { return reject("arg#%d has invalid combination of tags\n", i) }
	switch {
	case tags&tagCtx != 0 || env.isCtxType(ptr.Target):
		if !combination(tagCtx) {
			return invalid()
		}
		if tags&tagCtx != 0 {
			if err := env.checkCtxParam(i, ptr, target); err != nil {
				return globalArg{}, err
			}
		}
		return globalArg{kind: globalCtx}, nil
	case isStruct(target) && typeName(target) == "bpf_dynptr":
		if tags != 0 {
			return invalid()
		}
		return globalArg{kind: globalDynptr}, nil
	case tags&tagTrusted != 0:
		if tags&tagNonNull != 0 {
			return invalid()
		}
		s, err := env.kernelTwin(i, target)
		a := globalArg{kind: globalBTF, flags: Trusted, btf: s}
		if tags&tagNullable != 0 {
			a.flags |= MaybeNull
		}
		return a, err
	case tags&tagUntrusted != 0:
		if !combination(tagUntrusted) {
			return reject("arg#%d untrusted cannot be combined with any other tags\n", i)
		}
		switch target.(type) {
		case *btf.Void, *btf.Int, *btf.Enum, *btf.Float:
			return globalArg{kind: globalMem, flags: RdOnly | Untrusted}, nil
		}
		s, err := env.kernelTwin(i, target)
		return globalArg{kind: globalBTF, flags: Untrusted, btf: s}, err
	case tags&tagArena != 0:
		if !combination(tagArena) {
			return reject("arg#%d arena cannot be combined with any other tags\n", i)
		}
		return globalArg{kind: globalArena}, nil
	case tags&tagNullable != 0:
		return invalid()
	}
	size, err := btf.Sizeof(target)
	if _, void := target.(*btf.Void); err != nil || void {
		return reject("arg#%d reference type('%s %s') size cannot be determined: %d\n", i, kindName(target), target.TypeName(), -int(eInval))
	}
	a := globalArg{kind: globalMem, size: uint32(size), flags: MaybeNull}
	if tags&tagNonNull != 0 {
		a.flags = 0
	}
	return a, nil
}

// kernelTwin is the kernel's structure of the name (btf_get_ptr_to_btf_id); what
// follows three underscores is the program's own.
func (env *env) kernelTwin(i int, t btf.Type) (btf.Type, error) {
	name, _, _ := strings.Cut(t.TypeName(), "___")
	if s := env.kernelStruct(name); s != nil && isStruct(t) {
		return s, nil
	}
	return nil, env.reject(CodeGlobalProto, "arg#%d reference type('%s %s') has no matches\n", i, kindName(t), t.TypeName())
}

// checkCtxParam checks the type of a parameter that is tagged as the context
// (btf_validate_prog_ctx_type).
func (env *env) checkCtxParam(i int, ptr *btf.Pointer, target btf.Type) error {
	if _, void := target.(*btf.Void); void || env.isCtxType(ptr.Target) {
		return nil
	}
	name := target.TypeName()
	n, _ := btf.Sizeof(target)
	_, isInt := target.(*btf.Int)
	words := isInt && n == 8 // u64 *
	ok := false
	switch env.prog.Type {
	case spec.ProgKprobe, spec.ProgPerfEvent:
		ok = isStruct(target) && name == "pt_regs" || env.isCtxType(ptr.Target)
		for t := ptr.Target; !ok; {
			td, isTypedef := t.(*btf.Typedef)
			if !isTypedef {
				break
			}
			ok, t = td.Name == "bpf_user_pt_regs_t", td.Type
		}
	case spec.ProgRawTracepoint, spec.ProgRawTracepointWritable, spec.ProgLSM, spec.ProgStructOps:
		ok = words
	case spec.ProgTracing:
		switch env.prog.Attach {
		case spec.AttachTraceRawTP:
			ok = words || isStruct(target) && name == "bpf_raw_tracepoint_args"
		case spec.AttachTraceIter:
			ok = isStruct(target) && strings.HasPrefix(name, "bpf_iter__")
		default:
			ok = words
		}
	case spec.ProgTracepoint, spec.ProgSyscall, spec.ProgExt:
		ok = true
	}
	if ok {
		return nil
	}
	layout := env.prog.Type.Ctx()
	if layout == nil || env.prog.Type == spec.ProgTracing || env.prog.Type == spec.ProgLSM {
		return env.reject(CodeGlobalProto, "arg#%d should be void pointer\n", i)
	}
	return env.reject(CodeGlobalProto, "arg#%d should be 'struct %s *'\n", i, layout.Name)
}

// isCtxType reports whether the type is the program's context, by name
// (btf_is_prog_ctx_type).
func (env *env) isCtxType(t btf.Type) bool {
	layout := env.prog.Type.Ctx()
	if layout == nil {
		return false
	}
	for {
		switch q := t.(type) {
		case *btf.Const:
			t = q.Type
		case *btf.Volatile:
			t = q.Type
		case *btf.Typedef:
			if q.Name == "bpf_user_pt_regs_t" && layout.Name == "pt_regs" {
				return true
			}
			t = q.Type
		case *btf.Struct:
			return q.Name == layout.Name || layout.Name == "pt_regs" && q.Name == "bpf_user_pt_regs_t"
		default:
			return false
		}
	}
}

// staticArgs reads the parameters of a static function; false where only global
// functions have a meaning for one.
func (env *env) staticArgs(f *spec.Func) ([]globalArg, bool) {
	t, err := env.types.TypeByID(btf.TypeID(f.TypeID))
	if err != nil {
		return nil, false
	}
	fn, ok := t.(*btf.Func)
	if !ok {
		return nil, false
	}
	proto, ok := fn.Type.(*btf.FuncProto)
	if !ok || len(proto.Params) > spec.MaxHelperArgs || !isScalarType(bare(proto.Return)) {
		return nil, false
	}
	args := make([]globalArg, len(proto.Params))
	for i, p := range proto.Params {
		switch t := bare(p.Type).(type) {
		case *btf.Int, *btf.Enum:
		case *btf.Pointer:
			switch target := bare(t.Target); {
			case env.isCtxType(t.Target):
				args[i].kind = globalCtx
			case isStruct(target) && typeName(target) == "bpf_dynptr":
				args[i].kind = globalDynptr
			default:
				return nil, false
			}
		default:
			return nil, false
		}
	}
	return args, true
}
