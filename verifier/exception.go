package verifier

import (
	"strings"

	"github.com/cilium/ebpf/btf"
)

// findExceptionCallback returns the slot of the function that a declaration tag of
// the program names for bpf_throw, 0 for none
// (bpf_find_exception_callback_insn_off).
func (env *env) findExceptionCallback() (int, error) {
	main := env.prog.FuncAt(0)
	if main == nil || main.TypeID == 0 || len(env.opts.BTF) == 0 || env.loadTypes() != nil {
		return 0, nil
	}
	t, err := env.types.TypeByID(btf.TypeID(main.TypeID))
	if err != nil {
		return 0, nil
	}
	fn, ok := t.(*btf.Func)
	if !ok {
		return 0, nil
	}
	reject := func(format string, args ...any) (int, error) { return 0, env.reject(CodeException, format, args...) }
	name := ""
	for _, tag := range fn.Tags {
		cb, ok := strings.CutPrefix(tag, "exception_callback:")
		if !ok {
			continue
		}
		if name != "" {
			return reject("multiple exception callback tags for main subprog\n")
		}
		name = cb
	}
	if name == "" {
		return 0, nil
	}
	var cb *btf.Func
	if env.types.TypeByName(name, &cb) != nil {
		return reject("exception callback '%s' could not be found in BTF\n", name)
	}
	if cb.Linkage != btf.GlobalFunc {
		return reject("exception callback '%s' must have global linkage\n", name)
	}
	for _, f := range env.prog.Funcs {
		if f.Name != name {
			continue
		}
		if f.PC == 0 {
			return reject("invalid exception callback insn_off in func_info: 0\n")
		}
		return int(f.PC), nil
	}
	return reject("exception callback type id not found in func_info\n")
}

// throws reports whether a slot calls bpf_throw.
func (env *env) throws(pc int) bool {
	if !env.insns[pc].IsKfuncCall() {
		return false
	}
	k := env.kfuncAt(pc)
	return k != nil && k.Name == "bpf_throw"
}
