package verifier

import (
	"errors"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// Global functions are verified on their own, for all arguments that their BTF
// prototype allows; a call checks only that its arguments are such, and takes the
// result for any number.

// globalArg is what one parameter may be (struct bpf_subprog_arg_info).
type globalArg struct {
	ctx  bool
	mem  bool // else a number
	size uint32
}

// checkGlobals verifies the global functions that are called, from the program or
// from each other (do_check_subprogs).
func (env *env) checkGlobals() error {
	for again := true; again; {
		again = false
		for i := 1; i < len(env.subprogs); i++ {
			sp := &env.subprogs[i]
			if !sp.global || !sp.called || sp.verified {
				continue
			}
			if err := env.checkFunction(i); err != nil {
				return err
			}
			if env.log.wantInsns() {
				env.log.printf("Func#%d ('%s') is safe for any args that match its prototype\n", i, sp.name)
			}
			sp.verified, again = true, true
		}
	}
	return nil
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
	switch btf.UnderlyingType(proto.Return).(type) {
	case *btf.Int, *btf.Enum:
	case *btf.Void:
		return nil, notModelled("global function without result")
	default:
		return nil, env.reject(CodeGlobalProto, "Global function %s() doesn't return scalar. Only those are supported.\n", sp.name)
	}
	for _, tags := range fn.ParamTags {
		if len(tags) > 0 {
			return nil, notModelled("argument tag %s of a global function", tags[0])
		}
	}
	args := make([]globalArg, len(proto.Params))
	for i, p := range proto.Params {
		switch t := btf.UnderlyingType(p.Type).(type) {
		case *btf.Int, *btf.Enum:
		case *btf.Pointer:
			if env.isCtxType(t.Target) {
				args[i].ctx = true
				break
			}
			size, err := btf.Sizeof(t.Target)
			if err != nil || size == 0 {
				return nil, notModelled("argument %d of a global function, of unknown size", i+1)
			}
			args[i].mem, args[i].size = true, uint32(size)
		default:
			return nil, notModelled("argument %d of a global function, by value", i+1)
		}
	}
	return args, nil
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
			return q.Name == layout.Name
		default:
			return false
		}
	}
}

// globalArgs sets the registers that a global function begins with.
func (env *env) globalArgs(sub int, f *FuncState) error {
	if env.log.wantInsns() {
		env.log.printf("Validating %s() func#%d...\n", env.subprogs[sub].name, sub)
	}
	env.insnIdx = env.subprogs[sub].start
	args, err := env.prototype(sub)
	if err != nil {
		return err
	}
	for i, a := range args {
		r := &f.Regs[isa.R1+isa.Register(i)]
		switch {
		case a.ctx:
			r.setPointer(PtrToCtx)
		case a.mem:
			r.setPointer(PtrToMem | MaybeNull)
			r.MemSize, r.ID = a.size, env.newID()
		default:
			r.setUnknown()
		}
	}
	return nil
}

// callGlobal checks the arguments of a call and goes on behind it (the global
// part of check_func_call, btf_check_func_arg_match).
func (env *env) callGlobal(sub int) error {
	sp := &env.subprogs[sub]
	args, err := env.prototype(sub)
	if err != nil {
		return err
	}
	for i, a := range args {
		if err := env.checkGlobalArg(i, a); err != nil {
			if _, ok := errors.AsType[*rejection](err); ok {
				env.say("Caller passes invalid args into func#%d ('%s')\n", sub, sp.name)
			}
			return err
		}
	}
	if env.log.wantInsns() {
		env.log.printf("Func#%d ('%s') is global and assumed valid.\n", sub, sp.name)
	}
	if sp.changesPacket {
		env.dropPackets()
	}
	sp.called = true
	f := env.cur.cur()
	for r := range isa.Register(callerSaved) {
		f.Regs[r] = notInitReg()
		env.scratchReg(r)
	}
	f.Regs[isa.R0].setUnknown()
	return nil
}

func (env *env) checkGlobalArg(i int, a globalArg) error {
	regno := isa.R1 + isa.Register(i)
	r := env.reg(regno)
	switch {
	case a.ctx:
		if r.Type != PtrToCtx {
			return env.reject(CodeGlobalArg, "arg#%d expects pointer to ctx\n", i)
		}
		return env.checkFixedOffset(r, regno, false)
	case a.mem:
		if r.isNull() {
			return nil
		}
		// As if it were not NULL: the callee has to check that.
		saved := *r
		r.Type &^= MaybeNull
		err := env.checkHelperMem(regno, int64(a.size), spec.Read, true, nil)
		if err == nil {
			err = env.checkHelperMem(regno, int64(a.size), spec.Write, true, nil)
		}
		*env.reg(regno) = saved
		return err
	case r.Type != Scalar:
		return env.reject(CodeGlobalArg, "R%d is not a scalar\n", regno)
	}
	return nil
}
