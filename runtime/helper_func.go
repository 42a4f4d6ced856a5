package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_get_func_arg":     getFuncArg,
		"bpf_get_func_ret":     getFuncRet,
		"bpf_get_func_arg_cnt": getFuncArgCnt,
	}, spec.ProgTracing)
}

// getFuncArg is bpf_get_func_arg(ctx, n, value): word n of the arguments
// (kernel/trace/bpf_trace.c).
func getFuncArg(e *Env, ctx, n, value, _, _ uint64) (uint64, error) {
	dst, err := e.write(value, 8)
	if err != nil {
		return 0, err
	}
	if uint64(uint32(n)) >= uint64(e.args) {
		return spec.EINVAL.Ret(), nil
	}
	return 0, e.word(dst, ctx, int(uint32(n)))
}

// getFuncRet is bpf_get_func_ret(ctx, value): the function's result, which fexit and
// fmod_ret programs have.
func getFuncRet(e *Env, ctx, value, _, _, _ uint64) (uint64, error) {
	dst, err := e.write(value, 8)
	switch {
	case err != nil:
		return 0, err
	case !e.result:
		return spec.EOPNOTSUPP.Ret(), nil
	}
	return 0, e.word(dst, ctx, e.args)
}

// getFuncArgCnt is bpf_get_func_arg_cnt(ctx).
func getFuncArgCnt(e *Env, _, _, _, _, _ uint64) (uint64, error) { return uint64(e.args), nil }

// word copies word i of the context.
func (e *Env) word(dst []byte, ctx uint64, i int) error {
	b, err := e.read(ctx+uint64(8*i), 8)
	if err == nil {
		binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(b))
	}
	return err
}
