package cover

import (
	"crypto/sha256"
	"encoding/binary"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/vm"
)

// Recorder counts what runs. It is not safe for concurrent use, as runtimes are not.
type Recorder struct {
	byCode map[*vm.Code]*program
	byKey  map[key]*program
	progs  []*program // in the order in which they were first loaded
}

// key names a program by what it is, since every runtime makes its own copy.
type key struct {
	section, name string
	insns         [sha256.Size]byte
}

// program is what is counted of one program.
type program struct {
	spec  *spec.ProgramSpec
	count []uint64 // by slot: executions
	taken []uint64 // by slot of a conditional jump: how often it jumped
}

// New returns a recorder that has counted nothing.
func New() *Recorder {
	return &Recorder{byCode: map[*vm.Code]*program{}, byKey: map[key]*program{}}
}

// Engine returns the checked interpreter with the recorder looking on. Engines
// compile what runs; programs that should be in the report though they never do are
// told to [Recorder.Add].
func (r *Recorder) Engine() vm.Engine { return engine{interp.StepEngine{Executed: r.executed}, r} }

type engine struct {
	interp.StepEngine
	rec *Recorder
}

// Compile prepares the code and enters it into the report.
func (e engine) Compile(code *vm.Code) (vm.Runner, error) {
	p, err := e.StepEngine.Compile(code)
	if err == nil {
		e.rec.program(code)
	}
	return p, err
}

// Add enters a program into the report, with nothing counted so far.
func (r *Recorder) Add(s *spec.ProgramSpec) { r.counters(s) }

// program returns the counters of the code; code made by hand has a program of its
// own made for it.
func (r *Recorder) program(code *vm.Code) *program {
	if p := r.byCode[code]; p != nil {
		return p
	}
	s := code.Spec
	if s == nil {
		s = &spec.ProgramSpec{Name: code.Name, Insns: code.Insns, Funcs: code.Funcs}
	}
	p := r.counters(s)
	r.byCode[code] = p
	return p
}

func (r *Recorder) counters(s *spec.ProgramSpec) *program {
	k := key{s.Section, s.Name, sum(s.Insns)}
	p := r.byKey[k]
	if p == nil {
		p = &program{spec: s, count: make([]uint64, len(s.Insns)), taken: make([]uint64, len(s.Insns))}
		r.byKey[k] = p
		r.progs = append(r.progs, p)
	}
	return p
}

// executed is told of every instruction: where it was and where the program goes on.
func (r *Recorder) executed(code *vm.Code, from, to isa.PC) {
	p := r.program(code)
	p.count[from]++
	if target, ok := branch(p.spec.Insns, from); ok && to == target {
		p.taken[from]++
	}
}

// branch returns where a conditional jump goes when it is taken. A jump to the next
// instruction is no branch: both ways are one.
func branch(p isa.Program, pc isa.PC) (target isa.PC, ok bool) {
	ins := p[pc]
	if !ins.Op.Class().IsJump() {
		return 0, false
	}
	switch ins.Op.Code() {
	case isa.CodeJa, isa.CodeCall, isa.CodeExit:
		return 0, false
	}
	target, ok = p.JumpTarget(pc)
	return target, ok && target != pc+1
}

// sum is a hash of the instructions as they are on the wire.
func sum(p isa.Program) [sha256.Size]byte {
	h := sha256.New()
	var b [8]byte
	for _, ins := range p {
		b[0], b[1] = byte(ins.Op), ins.Regs
		binary.LittleEndian.PutUint16(b[2:], uint16(ins.Off))
		binary.LittleEndian.PutUint32(b[4:], uint32(ins.Imm))
		h.Write(b[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}
