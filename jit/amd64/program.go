package amd64

import (
	"sync"
	"sync/atomic"

	"bpfvm/vm"
)

// Engine is the JIT as a [vm.Engine].
type Engine struct {
	Options Options
}

// UsesFacts says that proven accesses are compiled without checks.
func (e Engine) UsesFacts() bool { return e.Options.on(PassProven) }

// Name returns "jit".
func (Engine) Name() string { return "jit" }

// Compile translates the code; its error joins one *vm.CompileError for each slot
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
	src  *source
	opt  Options
	fast loaded

	// maxDepth is the deepest frame, counted from 1, in which the fast image may begin
	// at slot 0: those that it calls find room.
	maxDepth int

	once     sync.Once
	exact    loaded
	exactErr error

	plainOnce sync.Once
	plain     *Program
	plainErr  error
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
	// ready says that base is set: runs on several machines share an image.
	ready atomic.Bool
}

// lastID numbers the images of the process, so that machine code can tell which
// one it belongs to.
var lastID atomic.Uint32

// Compile translates a program.
func Compile(code *vm.Code, opt Options) (*Program, error) {
	s, err := prepare(code, opt)
	if err != nil {
		return nil, err
	}
	p := &Program{src: s, opt: opt}
	if err := p.fast.translate(p, false); err != nil {
		return nil, err
	}
	if p.maxDepth = vm.MaxFrames; !p.fast.checksDepth {
		p.maxDepth -= s.funcs[0].frames - 1
	}
	return p, nil
}

func (l *loaded) translate(p *Program, exact bool) (err error) {
	l.prog, l.id = p, lastID.Add(1)
	l.image, err = translate(p.src, l.id, exact, p.opt)
	return err
}

// exactly returns the image that counts every instruction.
func (p *Program) exactly() (*loaded, error) {
	p.once.Do(func() { p.exactErr = p.exact.translate(p, true) })
	return &p.exact, p.exactErr
}

// plainly returns the program without any pass: one that can begin at any slot with
// anything in the registers, and be left and entered everywhere.
func (p *Program) plainly() (*Program, error) {
	p.plainOnce.Do(func() {
		opt := p.opt
		opt.Off = AllPasses
		p.plain, p.plainErr = Compile(p.Code(), opt)
	})
	return p.plain, p.plainErr
}

// Code returns what was compiled.
func (p *Program) Code() *vm.Code { return p.src.Code }

// Size returns the bytes of machine code.
func (p *Program) Size() int { return len(p.fast.image.text) }

// Text returns the machine code as it is before it is loaded anywhere; it does not
// depend on its address. The slice must not be changed.
func (p *Program) Text() []byte { return p.fast.image.text }
