package runtime

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf/btf"

	"bpfvm/spec"
	"bpfvm/types"
)

// Signature is what a traced function, tracepoint, hook or iterator gives to
// programs: the words of their context by name and type.
type Signature struct {
	Args []types.Param
	// Ret is what the function returns; nil for hooks without a result, and for
	// programs that run before there is one.
	Ret btf.Type
}

// Signature looks up what programs of a hook get. Hooks are the words of targets:
// fentry, fexit, fmod_ret, tp_btf, lsm, lsm_cgroup, iter.
func (rt *Runtime) Signature(hook, name string) (Signature, error) {
	return SignatureIn(rt.opts.Target, hook, name)
}

// SignatureIn is [Runtime.Signature] in the BTF of a kernel.
func SignatureIn(target *btf.Spec, hook, name string) (Signature, error) {
	switch hook {
	case "tp_btf":
		args, err := types.TracepointArgs(target, name)
		return Signature{Args: args}, err
	case "lsm", "lsm_cgroup":
		args, ret, err := types.FuncArgs(target, "bpf_lsm_"+name)
		return Signature{args, ret}, err
	case "iter":
		fields, err := types.StructLayout(target, "struct bpf_iter__"+name)
		if err != nil {
			return Signature{}, err
		}
		var sig Signature
		for _, f := range fields {
			sig.Args = append(sig.Args, types.Param{Name: f.Name, Type: f.Type})
		}
		return sig, nil
	case "fentry":
		args, _, err := types.FuncArgs(target, name)
		return Signature{Args: args}, err
	case "fexit", "fmod_ret":
		args, ret, err := types.FuncArgs(target, name)
		return Signature{args, ret}, err
	}
	return Signature{}, fmt.Errorf("%s: %w", hook, ErrNoHook)
}

// signature is that of the program's own target.
func (rt *Runtime) signature(s *spec.ProgramSpec) (Signature, error) {
	hook, name, _ := strings.Cut(targetOf(s), ":")
	return rt.Signature(hook, name)
}

// Slots returns how many 64-bit words each argument takes: structures that are
// passed by value take one for each 8 bytes (kernel/bpf/btf.c, get_ctx_arg_idx).
func (s Signature) Slots() []int {
	n := make([]int, len(s.Args))
	for i, a := range s.Args {
		size, err := btf.Sizeof(a.Type)
		if err != nil {
			size = 8
		}
		n[i] = max(1, (size+7)/8)
	}
	return n
}

// words is the number of words of all arguments.
func (s Signature) words() int {
	n := 0
	for _, w := range s.Slots() {
		n += w
	}
	return n
}

// argAt returns the argument whose word is at index i, nil behind the last one.
func (s Signature) argAt(i int) *types.Param {
	for k, n := range s.Slots() {
		if i < n {
			return &s.Args[k]
		}
		i -= n
	}
	return nil
}

// PointsTo returns the structure that a type is a pointer to, or nil.
func PointsTo(t btf.Type) btf.Type {
	p, ok := btf.UnderlyingType(t).(*btf.Pointer)
	if !ok {
		return nil
	}
	switch to := btf.UnderlyingType(p.Target).(type) {
	case *btf.Struct, *btf.Union:
		return to
	}
	return nil
}
