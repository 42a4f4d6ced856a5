package runtime

import (
	"fmt"
	"strings"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// Program is a loaded program: struct bpf_prog with its insnsi and bpf_func.
type Program struct {
	rt     *Runtime
	spec   *spec.ProgramSpec
	id     uint32
	code   *vm.Code
	funcs  []*vm.Func // of the code, that handles stand for
	runner vm.Runner  // nil until the first run

	runCnt, runTime uint64
}

// Name is the program's function.
func (p *Program) Name() string { return p.spec.Name }

// ID is the number of the program, counted from 1 in the order of loading.
func (p *Program) ID() uint32 { return p.id }

// Spec is what the program was made from.
func (p *Program) Spec() *spec.ProgramSpec { return p.spec }

// Type is the program's type.
func (p *Program) Type() spec.ProgType { return p.spec.Type }

// Insns are the instructions as the engine gets them, the kernel's insnsi: maps
// and functions are addresses.
func (p *Program) Insns() isa.Program { return p.code.Insns }

// Code is what the engine compiles.
func (p *Program) Code() *vm.Code { return p.code }

// Stats returns how often the program ran and for how long, while statistics
// were on. The virtual clock stands still while a program runs, so the time is
// counted as one nanosecond for each instruction.
func (p *Program) Stats() (runCnt, runTimeNs uint64) { return p.runCnt, p.runTime }

// Func returns the compiled program, bpf_func; the engine compiles it when it is
// asked for first, and again after mocks have changed.
func (p *Program) Func() (vm.Runner, error) {
	p.rt.mu.Lock()
	defer p.rt.mu.Unlock()
	return p.bpfFunc()
}

func (p *Program) bpfFunc() (vm.Runner, error) {
	if p.runner != nil {
		return p.runner, nil
	}
	for id := range p.code.Helpers {
		if h := p.rt.helper(p.spec.Type, spec.HelperID(id)); h != nil {
			p.code.Helpers[id] = h
		}
	}
	r, err := p.rt.opts.Engine.Compile(p.code)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	p.runner = r
	for _, f := range p.funcs {
		f.Target = r
	}
	return r, nil
}

// Target is where the program asks to be attached, as [Runtime.Fire] names it:
// "kprobe:do_unlinkat", "tracepoint:syscalls/sys_enter_openat", "xdp".
func (p *Program) Target() string {
	prefix, rest, _ := strings.Cut(strings.TrimPrefix(p.spec.Section, "?"), "/")
	prefix, _, _ = strings.Cut(prefix, ".") // kprobe.multi, xdp.frags, uprobe.s
	if p.spec.AttachTo != "" {
		rest = p.spec.AttachTo
	}
	switch p.spec.Type {
	case spec.ProgKprobe:
		switch prefix {
		case "kprobe", "kretprobe", "uprobe", "uretprobe", "ksyscall", "kretsyscall", "usdt":
			return prefix + ":" + rest
		}
		return "kprobe:" + rest
	case spec.ProgTracepoint:
		return "tracepoint:" + rest
	case spec.ProgRawTracepoint:
		return "raw_tracepoint:" + rest
	case spec.ProgXDP:
		return "xdp"
	case spec.ProgSchedCls, spec.ProgSchedAct:
		return "tc"
	case spec.ProgSocketFilter:
		return "socket"
	case spec.ProgPerfEvent:
		return "perf_event"
	}
	return p.spec.Type.String()
}
