package verifier

import (
	"errors"
	"fmt"

	"bpfvm/isa"
	"bpfvm/spec"

	"github.com/cilium/ebpf/btf"
)

// Options steer one verification. The zero value is Linux 6.18 without a log.
type Options struct {
	// Maps are the maps that the program's references name.
	Maps []*spec.MapSpec
	// BTF is the object's raw .BTF section; global functions and timers in map
	// values need it.
	BTF []byte
	// Target is the kernel's BTF; nil is that of Linux 6.18 which comes along.
	Target *btf.Spec
	// Symbol reports whether the kernel tells the address of a variable; nil stands
	// for a kernel that tells all.
	Symbol func(name string) bool
	// LogLevel is a combination of LogLevel1, LogLevel2 and LogStats.
	LogLevel int
	// LogLimit bounds the log's length in bytes; 0 is 64 MiB.
	LogLimit int
	// MaxInsns is the number of instructions to look at before giving up; 0 is
	// the kernel's million.
	MaxInsns int
	// CPUs is the number of CPUs of the machine, which bounds the result of
	// bpf_get_smp_processor_id; 0 is the largest that x86-64 kernels are made for.
	CPUs int
	// Kernel labels the report; only "6.18" is modelled, which is the default.
	Kernel string
	// NoFacts leaves out the closed states and what follows from them.
	NoFacts bool
	// Observer hears of what happens; nil hears nothing.
	Observer Observer
}

// Observer hears what the verifier does, as it does it: for a step by step view
// and for statistics. It must not keep the states that it is shown.
type Observer interface {
	// Insn comes before each instruction that is looked at.
	Insn(pc isa.PC, s *State)
	// Branch comes when a path splits: taken is explored later.
	Branch(pc isa.PC, taken isa.PC, s *State)
	// Pruned comes when the state cur at pc is covered by one already explored.
	Pruned(pc isa.PC, old, cur *State)
	// Compared comes when it was not, with the reason.
	Compared(pc isa.PC, old, cur *State, why string)
}

// Verdict is the outcome of a verification.
type Verdict uint8

// Verdicts.
const (
	Accepted Verdict = iota
	Rejected
	NotModelled
)

var verdictNames = [...]string{"accepted", "rejected", "not_modelled"}

func (v Verdict) String() string { return verdictNames[v] }

// Report is everything that there is to say about a program.
type Report struct {
	Verdict Verdict
	// Code is the kind of refusal, "" unless rejected.
	Code Code
	// Errno is what bpf(2) fails with, 0 unless rejected.
	Errno spec.Errno
	// Message is the kernel's text, verbatim; of a feature that is not modelled
	// it is our own.
	Message string
	// Feature is what was met that is not modelled.
	Feature string
	// PC is the slot at which it ended, -1 for faults of the whole program.
	PC isa.PC
	// Line is the C line of PC, nil if unknown.
	Line *spec.Line
	// Path are the branches that led to PC, oldest first.
	Path []Decision
	// Slice are the slots that the refused instruction depends on, ascending.
	Slice []isa.PC
	// State is what was known at PC when it was refused, nil if accepted.
	State *State
	// Hint says what usually helps; Fix what does here, when a rule knows.
	Hint, Fix string

	Log string
	// Statistics, as the log's last line has them.
	Processed      int
	MaxStatesPerPC int
	TotalStates    int
	PeakStates     int
	StackDepths    []int // bytes, by subprogram
	ProcessedPerPC []int // how often each slot was looked at
	Subprogs       []Subprog
	KernelLabel    string
	Facts          *Facts // nil unless accepted and asked for
}

// Decision is one branch on the way to the end.
type Decision struct {
	PC, To isa.PC
	Taken  bool
}

// Subprog is one function of the program.
type Subprog struct {
	Name       string
	Start, End isa.PC
	Global     bool
	StackDepth int
}

// env is one verification (struct bpf_verifier_env).
type env struct {
	prog    *spec.ProgramSpec
	opts    Options
	insns   isa.Program
	aux     []insnAux
	printer isa.Printer
	printed int // the slot that is being printed
	maps    map[string]*spec.MapSpec
	gpl     bool

	subprogs []subprog
	cur      *State
	pending  []pendingBranch
	buckets  [][]*stateEntry
	live     liveness
	loops    map[loopKey]*loopVisit

	insnIdx, prevInsn   int
	processed, maxInsns int
	jumps               int
	prevJumps           int
	prevProcessed       int
	idGen               uint32
	curHist             *jump // history entry of this instruction, if it has one
	bt                  backtrack
	idmap               idmap

	scratchedRegs  uint32
	scratchedStack uint64

	maxStatesPerPC, totalStates int
	exploredStates, freeStates  int
	peakStates, backedges       int
	usesTailCall                bool
	returned                    bool // the instruction returned to its caller
	notes                       []accessNote

	types   *btf.Spec // of the program
	target  *btf.Spec // of the kernel
	records map[btf.Type]*record
	attach  attachTarget
	// exceptionCB is the subprogram that bpf_throw calls, -1 for the default.
	exceptionCB int
	addresses   map[string]uint64 // of the kernel's symbols
	inner       map[*spec.MapSpec]*spec.MapSpec

	log vlog
}

// insnAux is what the verifier keeps beside each slot.
type insnAux struct {
	prune         bool // states are compared here (mark_prune_point)
	jumpPoint     bool // the way here is not straight (mark_jmp_point)
	checkpoint    bool // a state is always kept here (mark_force_checkpoint)
	packetCompare bool // compares with the packet\'s end
	callsBack     bool // a helper that calls a subprogram while it runs
	async         bool // or later
	asyncSleeps   bool // where it may sleep
	iterNext      bool // advances an open-coded iterator
	seen          int  // how often it was looked at
	ref           *spec.Ref
	ptrType       RegType // the pointer that a load or store went through
	scc           int
	mapUsed       *spec.MapSpec
	// Of a call of bpf_loop: whether it can be a plain loop, and its callback.
	loopSeen, loopInline bool
	loopSub              int
	ksym                 *RegState // what a load of a kernel variable's address gives
	taken, fell          bool      // ways that the branch has gone
}

// Verify looks at every path of the program and reports whether the kernel would
// load it. The error is not nil only for input that is no program at all, such as
// one without instructions; a refusal is a report.
func Verify(prog *spec.ProgramSpec, opts Options) (*Report, error) {
	if prog == nil || len(prog.Insns) == 0 {
		return nil, errors.New("verify: the program has no instructions")
	}
	if opts.Kernel == "" {
		opts.Kernel = "6.18"
	} else if opts.Kernel != "6.18" {
		return nil, fmt.Errorf("verify as Linux %s: %w", opts.Kernel, errors.ErrUnsupported)
	}
	env := newEnv(prog, opts)
	err := env.check()
	return env.report(err)
}

func newEnv(prog *spec.ProgramSpec, opts Options) *env {
	env := &env{
		prog: prog, opts: opts, insns: prog.Insns,
		aux:      make([]insnAux, len(prog.Insns)),
		maps:     make(map[string]*spec.MapSpec, len(opts.Maps)),
		gpl:      spec.GPLCompatible(prog.License),
		maxInsns: opts.MaxInsns, exceptionCB: -1,
	}
	if env.maxInsns <= 0 {
		env.maxInsns = spec.MaxInsns
	}
	env.log.level = opts.LogLevel
	env.log.limit = opts.LogLimit
	if env.log.limit == 0 {
		env.log.limit = 64 << 20
	}
	for _, m := range opts.Maps {
		env.maps[m.Name] = m
	}
	for i := range prog.Refs {
		if pc := int(prog.Refs[i].PC); pc >= 0 && pc < len(env.aux) {
			env.aux[pc].ref = &prog.Refs[i]
		}
	}
	env.printer = isa.Printer{
		HelperName: spec.HelperName,
		Imm64: func(pc isa.PC, kind isa.Pseudo, v uint64) string {
			switch {
			case kind == isa.PseudoImm64:
				return fmt.Sprintf("%#x", v)
			case env.aux[pc].ref == nil:
				return ""
			case kind == isa.PseudoMapFD || kind == isa.PseudoMapIdx:
				return fmt.Sprintf("map[%s]", env.aux[pc].ref.Name)
			case kind == isa.PseudoMapValue || kind == isa.PseudoMapIdxValue:
				return fmt.Sprintf("map[%s][0]+%d", env.aux[pc].ref.Name, env.aux[pc].ref.Off)
			}
			return ""
		},
		KfuncName: func(id int32, off int16) string {
			return env.kfuncName()
		},
	}
	return env
}

// kfuncName is the name of the kernel function that the printed slot calls.
func (env *env) kfuncName() string {
	if ref := env.aux[env.printed].ref; ref != nil {
		return ref.Name
	}
	return ""
}

func (env *env) newID() uint32 {
	env.idGen++
	return env.idGen
}

// check is the kernel's order of things (bpf_check): what concerns the program
// as a whole first, then global functions on their own, then the program.
func (env *env) check() error {
	env.insnIdx = -1
	if env.prog.Type.Info() == nil || env.prog.Type == spec.ProgUnspec {
		return notModelled("program type %v", env.prog.Type)
	}
	if len(env.insns) > spec.MaxInsns {
		return env.reject(CodeTooLarge, "program of %d instructions is larger than %d\n", len(env.insns), spec.MaxInsns)
	}
	if err := env.programTypeModelled(); err != nil {
		return err
	}
	steps := []func() error{
		env.findAttachTarget, env.findSubprogs, env.checkSubprogs, env.resolveWide, env.prepareKfuncs, env.checkCFG,
		env.computeLiveRegs, env.checkMain, env.checkGlobals, env.checkStackDepth,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// report turns the outcome into a report.
func (env *env) report(err error) (*Report, error) {
	r := &Report{PC: -1, KernelLabel: env.opts.Kernel}
	var rej *rejection
	var nm *NotModelledError
	switch {
	case err == nil:
		r.Verdict = Accepted
	case errors.As(err, &rej):
		r.Verdict, r.Code = Rejected, rej.code
		r.Message = message(env.log.msg)
		r.Errno = rej.errno
		if e := Explain(rej.code); e != nil && r.Errno == 0 {
			r.Errno = e.Errno
		}
		env.where(r)
	case errors.As(err, &nm):
		r.Verdict, r.Feature = NotModelled, nm.Feature
		r.Message = nm.Error()
		env.where(r)
	default:
		return nil, fmt.Errorf("verify %s: slot %d: %w", env.prog.Name, env.insnIdx, err)
	}
	env.printStats()
	r.Log = string(env.log.buf)
	r.Processed = env.processed
	r.MaxStatesPerPC, r.TotalStates, r.PeakStates = env.maxStatesPerPC, env.totalStates, env.peakStates
	r.ProcessedPerPC = make([]int, len(env.aux))
	for i := range env.aux {
		r.ProcessedPerPC[i] = env.aux[i].seen
	}
	for i := range env.subprogs {
		sp := &env.subprogs[i]
		r.StackDepths = append(r.StackDepths, sp.stackDepth)
		r.Subprogs = append(r.Subprogs, Subprog{
			Name: sp.name, Start: isa.PC(sp.start), End: isa.PC(sp.end), Global: sp.global, StackDepth: sp.stackDepth,
		})
	}
	if err == nil && !env.opts.NoFacts {
		r.Facts = env.facts()
	}
	return r, nil
}

// where fills in the place of a refusal and how control got there.
func (env *env) where(r *Report) {
	if env.insnIdx < 0 {
		return
	}
	r.PC = isa.PC(env.insnIdx)
	r.Line = env.prog.LineAt(r.PC)
	r.State = env.cur
	if env.cur != nil {
		r.Path = env.path()
		r.Slice = env.slice(r.Code)
	}
	r.Hint, r.Fix = env.hint(r)
}

// printStats writes the log's last lines (print_verification_stats).
func (env *env) printStats() {
	if env.log.level == 0 {
		return
	}
	if env.log.level&LogStats != 0 {
		env.log.write("stack depth ")
		for i := range env.subprogs {
			if i > 0 {
				env.log.write("+")
			}
			env.log.printf("%d", env.subprogs[i].stackDepth)
		}
		env.log.write("\n")
	}
	env.log.limit = 0
	env.log.printf("processed %d insns (limit %d) max_states_per_insn %d total_states %d peak_states %d mark_read %d\n",
		env.processed, spec.MaxInsns, env.maxStatesPerPC, env.totalStates, env.peakStates, 0)
}
