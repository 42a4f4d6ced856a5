package amd64

import (
	"fmt"
	"sync"
	"sync/atomic"

	"bpfvm/isa"
	"bpfvm/vm"
)

// Engine is the JIT as a [vm.Engine].
type Engine struct {
	Options Options
}

// Name returns "jit".
func (Engine) Name() string { return "jit" }

// Compile translates the code; its error joins one *CompileError for each slot
// that cannot be compiled. It works on every host; where machine code cannot run,
// Run says so.
func (e Engine) Compile(code *vm.Code) (vm.Runner, error) {
	p, err := Compile(code, e.Options)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Program is a compiled program.
type Program struct {
	*source
	opt  Options
	fast loaded

	once     sync.Once
	exact    loaded
	exactErr error
}

// loaded is an image and, once it has run, where it lies in executable memory.
type loaded struct {
	*image
	prog *Program
	id   uint32
	once sync.Once
	err  error
	text []byte // executable
	base uint64
}

// lastID numbers the images of the process, so that machine code can tell which
// one it belongs to.
var lastID atomic.Uint32

// Compile translates a program.
func Compile(code *vm.Code, opt Options) (*Program, error) {
	s, err := prepare(code)
	if err != nil {
		return nil, err
	}
	p := &Program{source: s, opt: opt}
	if err := p.fast.translate(p, false); err != nil {
		return nil, err
	}
	return p, nil
}

func (l *loaded) translate(p *Program, exact bool) (err error) {
	l.prog, l.id = p, lastID.Add(1)
	l.image, err = translate(p.source, l.id, exact, p.opt)
	return err
}

// exactly returns the image that counts every instruction.
func (p *Program) exactly() (*loaded, error) {
	p.once.Do(func() { p.exactErr = p.exact.translate(p, true) })
	return &p.exact, p.exactErr
}

// Code returns what was compiled.
func (p *Program) Code() *vm.Code { return p.source.code }

// Size returns the bytes of machine code.
func (p *Program) Size() int { return len(p.fast.image.text) }

// Text returns the machine code as it is before it is loaded anywhere; it does not
// depend on its address. The slice must not be changed.
func (p *Program) Text() []byte { return p.fast.image.text }

// place fills in where a trap happened.
func place(t *vm.Trap, code *vm.Code, pc isa.PC, frame int, insns uint64) *vm.Trap {
	t.Prog, t.PC, t.Frame, t.Insns = code.Name, pc, frame, insns
	if int(pc) < len(code.Insns) {
		t.Insn = code.Insns[pc]
	}
	if f := code.FuncAt(pc); f != nil && f.Name != code.Name {
		t.Func = f.Name
	}
	return t
}

func budgetTrap(m *vm.Machine) *vm.Trap {
	return &vm.Trap{Kind: vm.TrapBudget, Msg: fmt.Sprintf("the run's budget of %d instructions is used up", m.Limit)}
}

// depthTrap says that a call would need one frame too many (verifier.c:
// check_max_stack_depth_subprog).
func depthTrap() *vm.Trap {
	return &vm.Trap{Kind: vm.TrapCall, Msg: fmt.Sprintf("the call stack of %d frames is full", vm.MaxFrames)}
}

func helperName(h *vm.Helper, id int32) string {
	if h.Proto != nil && h.Proto.Name != "" {
		return h.Proto.Name
	}
	return fmt.Sprintf("helper#%d", id)
}
