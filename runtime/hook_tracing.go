package runtime

import (
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
	"bpfvm/vm"
)

// Tracing is one call of a function that is traced by its BTF prototype (fentry,
// fexit, fmod_ret), one hit of a BTF tracepoint (tp_btf), or one call of a security
// hook (lsm). The context is an array of 64-bit words, the arguments; where there is
// a result it stands behind the last one (kernel/bpf/trampoline.c and
// kernel/bpf/btf.c, btf_ctx_access).
type Tracing struct {
	Args []uint64 // words; see Signature.Slots
	// Ret is the result: of the function for fexit, of the programs before for
	// fmod_ret and lsm. It stands behind the arguments that the prototype has, or
	// behind Args where there is none.
	Ret uint64
	CPU int
}

// maxTracingWords bounds the words of a context: arguments (MAX_BPF_FUNC_ARGS of
// include/linux/bpf.h) and the result.
const maxTracingWords = 12 + 1

func (t *Tracing) accepts(pt spec.ProgType) bool {
	return pt == spec.ProgTracing || pt == spec.ProgLSM
}

func (t *Tracing) on() int { return t.CPU }

func (t *Tracing) setup(e *Env, p *Program) (*vm.Region, error) {
	if p.spec.Attach == spec.AttachTraceIter && p.Type() == spec.ProgTracing {
		return nil, fmt.Errorf("an iterator runs on an element, not on a call: %w", spec.EINVAL)
	}
	if len(t.Args) >= maxTracingWords {
		return nil, fmt.Errorf("%d words of arguments: at most %d: %w", len(t.Args), maxTracingWords-1, spec.EINVAL)
	}
	var words [maxTracingWords]uint64
	e.args = copy(words[:], t.Args)
	size := len(words) // without a prototype all words that a function can have
	if sig, err := e.rt.signature(p.spec); err == nil {
		e.args = min(sig.words(), maxTracingWords-1)
		clear(words[e.args:])
		size = e.args
	}
	if e.result = hasResult(p.spec); e.result {
		words[e.args] = t.Ret
		size = max(size, e.args+1)
	}
	ctx, err := e.rt.windowAt(e.rt.cpus[e.cpu], vm.RegionCtx, uint64(8*max(size, 1)), vm.PermRead)
	if err != nil {
		return nil, err
	}
	b := e.rt.mem.Raw(ctx.Base, ctx.Size)
	for i, w := range words[:size] {
		binary.LittleEndian.PutUint64(b[8*i:], w)
	}
	return ctx, nil
}

// hasResult reports whether a program of the attach type sees a result behind the
// arguments.
func hasResult(s *spec.ProgramSpec) bool {
	switch s.Attach {
	case spec.AttachTraceFexit, spec.AttachModifyReturn, spec.AttachLSMMAC, spec.AttachLSMCgroup:
		return true
	}
	return false
}

func (t *Tracing) finish(*Env, *Result) {}
