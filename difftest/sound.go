package difftest

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/verifier"
	"bpfvm/vm"
)

// Unsound is a place where a run does what the verifier has proven not to happen:
// the verifier, or the engine, is wrong.
type Unsound struct {
	Program  string `json:"program"`
	Func     string `json:"func,omitempty"`
	Slot     int    `json:"slot"`
	Insn     string `json:"insn"`
	Run      int    `json:"run"`      // index of the run
	Step     uint64 `json:"step"`     // the instruction's number in the run, from 1
	What     string `json:"what"`     // "r6", "fp-8", "access", "branch", "reached"
	Concrete string `json:"concrete"` // what is
	Abstract string `json:"abstract"` // what was proven
}

// String is the violation in a line.
func (u *Unsound) String() string {
	return fmt.Sprintf("slot %d: %s: %s = %s is outside of %s", u.Slot, u.Insn, u.What, u.Concrete, u.Abstract)
}

// Soundness is what came of holding runs against the verifier's facts.
type Soundness struct {
	Programs int    // that were accepted, and ran
	Checked  uint64 // instructions before which the state was compared
	Found    []Unsound
}

// CheckSound runs a case on the step loop and compares the state before each
// instruction with what our verifier has proven of accepted programs: the values of
// registers and stack slots, where accesses go, which way branches lead, which slots
// are reached (verifier.Facts: closed states, which hold in every run). Programs that
// are rejected, or not modelled, are not compared. A run is given up at its first
// violation.
func CheckSound(ctx context.Context, c *Case) (*Soundness, error) {
	w := newWatcher(c)
	_, err := w.engine().Run(ctx, c)
	return &w.Soundness, err
}

// watcher compares while the step loop runs.
type watcher struct {
	Soundness
	c       *Case
	reports map[*spec.ProgramSpec]*verifier.Report // nil: the verifier gave an error
	checked map[*spec.ProgramSpec]bool
	runs    int  // that are over
	found   bool // in the present run

	// The jump that was executed last, if the verifier says where it leads.
	jumpCode *vm.Code
	jumpPC   isa.PC
	jump     verifier.BranchFact
}

func newWatcher(c *Case) *watcher {
	return &watcher{c: c, reports: map[*spec.ProgramSpec]*verifier.Report{}, checked: map[*spec.ProgramSpec]bool{}}
}

// engine is the step loop under observation.
func (w *watcher) engine() Engine {
	return machine{engine: interp.StepEngine{Before: w.before}, onRun: func(*scenario.ProgRun) {
		w.runs++
		w.found, w.jumpCode = false, nil
	}}
}

// report verifies a program, once.
func (w *watcher) report(p *spec.ProgramSpec) *verifier.Report {
	r, known := w.reports[p]
	if p == nil || known {
		return r
	}
	r, err := verifier.Verify(p, verifier.Options{Maps: w.c.Spec.Maps, BTF: w.c.Spec.BTF})
	if err != nil {
		r = nil
	}
	w.reports[p] = r
	return r
}

// factsOf returns what is proven of a program that begins to run, or nil.
func (w *watcher) factsOf(p *spec.ProgramSpec) *verifier.Facts {
	r := w.report(p)
	if r == nil || r.Verdict != verifier.Accepted {
		return nil
	}
	w.checked[p] = true
	w.Programs = len(w.checked)
	return r.Facts
}

// before looks at the machine before an instruction.
func (w *watcher) before(s *interp.Stepper) {
	if w.found {
		return
	}
	code := s.Code()
	facts := w.factsOf(code.Spec)
	if facts == nil || len(facts.Slots) != len(code.Insns) {
		w.jumpCode = nil
		return
	}
	w.Checked++
	pc := s.PC()
	f := &facts.Slots[pc]
	w.branch(s)
	if !f.Reached {
		w.violation(s, "reached", "yes", "no run")
		return
	}
	w.registers(s, f)
	w.stack(s, f)
	if f.Access != nil {
		w.access(s, f.Access)
	}
	w.jumpCode = nil
	if _, ok := code.Insns.JumpTarget(pc); ok && f.Branch != verifier.BothWays && code.Insns[pc].Off != 0 {
		w.jumpCode, w.jumpPC, w.jump = code, pc, f.Branch
	}
}

// branch compares where the last jump led with where it must.
func (w *watcher) branch(s *interp.Stepper) {
	if w.jumpCode == nil || w.jumpCode != s.Code() {
		return
	}
	if taken := s.PC() != w.jumpPC+1; taken != (w.jump == verifier.AlwaysTaken) {
		words := map[bool]string{true: "taken", false: "not taken"}
		w.violationAt(s, w.jumpPC, "branch", words[taken], words[!taken]+" in every run")
	}
}

func (w *watcher) registers(s *interp.Stepper, f *verifier.SlotFacts) {
	if f.Regs == nil {
		return
	}
	for r := range isa.R10 {
		if v, ok := s.Reg(r); ok && !f.Regs[r].Contains(v) {
			w.violation(s, r.String(), fmt.Sprintf("%#x", v), f.Regs[r].String())
			return
		}
	}
}

func (w *watcher) stack(s *interp.Stepper, f *verifier.SlotFacts) {
	if len(f.Stack) == 0 {
		return
	}
	frame := s.Machine().Frame(s.Frame())
	for i := range f.Stack {
		slot := &f.Stack[i]
		if v := binary.LittleEndian.Uint64(frame[len(frame)+slot.Off:]); !slot.Contains(v) {
			w.violation(s, fmt.Sprintf("fp%d", slot.Off), fmt.Sprintf("%#x", v), slot.Bounds.String())
			return
		}
	}
}

// access compares where a load or store goes with where it must: relative to the
// frame, the context or the map value that the verifier names.
func (w *watcher) access(s *interp.Stepper, a *verifier.Access) {
	ins := s.Code().Insns[s.PC()]
	base := ins.Dst()
	if ins.Op.Class() == isa.ClassLDX || ins.Op.Mode() == isa.ModeATOMIC && isa.AtomicOp(ins.Imm) == isa.AtomicLoadAcq {
		base = ins.Src()
	}
	v, ok := s.Reg(base)
	if !ok {
		return
	}
	addr := v + uint64(int64(ins.Off))
	m := s.Machine()
	obj, ok := m.Mem.Object(addr)
	var start uint64
	kind := vm.RegionStack
	switch a.Kind {
	case verifier.PtrToStack:
		start = m.FrameTop(s.Frame() - a.FrameUp)
	case verifier.PtrToCtx:
		start, kind = m.Ctx, vm.RegionCtx
	case verifier.PtrToMapValue:
		start, kind = obj.Base, vm.RegionMapValue
	case verifier.PtrToPacket:
		if !ok || obj.Region.Kind != vm.RegionPacket {
			w.violation(s, "access", m.Mem.Symbolize(addr), "the packet")
		}
		return
	default:
		return
	}
	off := int64(addr - start)
	if !ok || obj.Region.Kind != kind || off < a.MinOff || off > a.MaxOff {
		w.violation(s, "access", fmt.Sprintf("%s (offset %d)", m.Mem.Symbolize(addr), off),
			fmt.Sprintf("%s, offsets %d to %d", a.Kind, a.MinOff, a.MaxOff))
	}
}

func (w *watcher) violation(s *interp.Stepper, what, concrete, abstract string) {
	w.violationAt(s, s.PC(), what, concrete, abstract)
}

// violationAt notes a violation, the first of a run.
func (w *watcher) violationAt(s *interp.Stepper, pc isa.PC, what, concrete, abstract string) {
	if w.found {
		return
	}
	w.found = true
	if len(w.Found) >= maxDifferences {
		return
	}
	code := s.Code()
	u := Unsound{
		Program: code.Name, Slot: int(pc), Insn: insnText(code.Spec, pc), Run: w.runs, Step: s.Insns() + 1,
		What: what, Concrete: concrete, Abstract: abstract,
	}
	if fn := code.FuncAt(pc); fn != nil {
		u.Func = cmp.Or(fn.Name, u.Program)
	}
	w.Found = append(w.Found, u)
}

// isUnsound is what Shrink keeps a case for: our verifier takes the program, and a
// run leaves what it has proven.
func isUnsound(ctx context.Context, whole *Case) func(*Case) bool {
	limit := uint64(1 << 20)
	if o, err := Machine(interp.Step).Run(ctx, whole); err == nil {
		for _, r := range o.Runs {
			limit = max(limit, 2*r.Insns)
		}
	}
	return func(c *Case) bool {
		d := *c
		d.Runtime.Budget = limit
		s, err := CheckSound(ctx, &d)
		return err == nil && len(s.Found) > 0
	}
}
