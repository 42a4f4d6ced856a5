package runtime

import (
	"slices"

	"github.com/cilium/ebpf/btf"

	"bpfvm/isa"
	"bpfvm/spec"
)

// Programs may follow pointers to kernel structures without a helper when the
// verifier knows their types. It turns such loads into BPF_PROBE_MEM, which never
// fault (kernel/bpf/verifier.c, bpf_convert_ctx_accesses). Programs run here
// without having been verified, too, so the loads are found by themselves: values
// that can be typed kernel pointers are followed from where they appear, which is
// the context of tracing programs and the results of some helpers and of kernel
// functions, through registers, stack slots and calls.
//
// Too many marks do no harm: a marked load of the arena gives what is there, and
// only loses the trap where nothing is.

// facts is what may hold before an instruction: one bit for each register, and for
// each 8 bytes of the frame.
type facts struct {
	btfRegs, ctxRegs uint16 // hold a typed kernel pointer; the context
	btfSlots         uint64 // stack slots, the highest address in bit 0
	ctxSlots         uint64
}

func (f *facts) merge(o facts) (changed bool) {
	was := *f
	f.btfRegs |= o.btfRegs
	f.ctxRegs |= o.ctxRegs
	f.btfSlots |= o.btfSlots
	f.ctxSlots |= o.ctxSlots
	return *f != was
}

// set notes what a register holds.
func (f *facts) set(r isa.Register, isBTF, isCtx bool) {
	bit := uint16(1) << r
	f.btfRegs, f.ctxRegs = f.btfRegs&^bit, f.ctxRegs&^bit
	if isBTF {
		f.btfRegs |= bit
	}
	if isCtx {
		f.ctxRegs |= bit
	}
}

func (f *facts) btf(r isa.Register) bool { return f.btfRegs&(1<<r) != 0 }
func (f *facts) ctx(r isa.Register) bool { return f.ctxRegs&(1<<r) != 0 }

// pointerFlow follows typed kernel pointers through one program.
type pointerFlow struct {
	insns  isa.Program
	ctxPtr func(off int16) bool // the field of the context is a typed pointer
	known  map[isa.PC]*facts
	todo   []isa.PC
	// Of functions by their first slot: where they are called, and whether they
	// return a typed pointer.
	calls   map[isa.PC][]isa.PC
	returns map[isa.PC]bool
	marks   []bool
}

// probeLoads marks the loads through typed kernel pointers; nil when there are none.
func (rt *Runtime) probeLoads(s *spec.ProgramSpec) []bool {
	ctxPtr := rt.typedContext(s)
	if ctxPtr == nil && !makesTyped(s.Insns) {
		return nil
	}
	if ctxPtr == nil {
		ctxPtr = func(int16) bool { return false }
	}
	w := &pointerFlow{
		insns: s.Insns, ctxPtr: ctxPtr, known: map[isa.PC]*facts{},
		calls: map[isa.PC][]isa.PC{}, returns: map[isa.PC]bool{},
	}
	var entry facts
	entry.set(isa.R1, false, true)
	w.flow(0, entry)
	for len(w.todo) > 0 {
		pc := w.todo[len(w.todo)-1]
		w.todo = w.todo[:len(w.todo)-1]
		w.step(pc, *w.known[pc])
	}
	return w.marks
}

// makesTyped reports whether an instruction brings typed kernel pointers into the
// program.
func makesTyped(insns isa.Program) bool {
	for _, ins := range insns.All() {
		if ins.IsKfuncCall() || ins.IsWide() && isa.Pseudo(ins.Src()) == isa.PseudoBTFID || returnsTyped(ins) {
			return true
		}
	}
	return false
}

// returnsTyped reports whether the instruction calls a helper that returns a typed
// kernel pointer.
func returnsTyped(ins isa.Instruction) bool {
	if !ins.IsHelperCall() {
		return false
	}
	proto := spec.HelperByID(spec.HelperID(ins.Imm))
	if proto == nil {
		return false
	}
	switch proto.Ret {
	case spec.RetBTFID, spec.RetBTFIDOrNull, spec.RetMemOrBTFID, spec.RetMemOrBTFIDOrNull:
		return true
	}
	return false
}

// flow says that control may reach pc with these facts.
func (w *pointerFlow) flow(pc isa.PC, f facts) {
	if pc < 0 || int(pc) >= len(w.insns) {
		return
	}
	at := w.known[pc]
	if at == nil {
		w.known[pc] = &f
		w.todo = append(w.todo, pc)
		return
	}
	if at.merge(f) {
		w.todo = append(w.todo, pc)
	}
}

// step applies one instruction.
func (w *pointerFlow) step(pc isa.PC, f facts) {
	ins := w.insns[pc]
	next := pc + 1
	dst, src := ins.Dst(), ins.Src()
	switch class := ins.Op.Class(); {
	case ins.IsWide():
		w.wide(pc, &f)
		next++
	case class == isa.ClassALU64 && ins.Op.Code() == isa.CodeMov && ins.Op.Source() == isa.SrcX && ins.Off == 0:
		f.set(dst, f.btf(src), f.ctx(src))
	case class == isa.ClassALU64 && (ins.Op.Code() == isa.CodeAdd || ins.Op.Code() == isa.CodeSub):
		// A pointer plus a number keeps its type.
	case class.IsALU():
		f.set(dst, false, false)
	case class == isa.ClassLDX:
		w.load(pc, ins, &f)
	case class == isa.ClassSTX && ins.Op.Mode() == isa.ModeMEM && dst == isa.FP:
		w.spill(ins, &f)
	case ins.Op == isa.OpExit:
		w.exit(pc, f)
		return
	case class == isa.ClassJMP && ins.Op.Code() == isa.CodeCall:
		w.call(pc, ins, &f)
	case class.IsJump():
		if t, ok := w.insns.JumpTarget(pc); ok {
			w.flow(t, f)
		}
		if ins.Op == isa.OpJa || ins.Op == isa.OpJa32 {
			return
		}
	}
	w.flow(next, f)
}

// wide is a constant, the address of a kernel variable, or a callback.
func (w *pointerFlow) wide(pc isa.PC, f *facts) {
	ins := w.insns[pc]
	pseudo := isa.Pseudo(ins.Src())
	f.set(ins.Dst(), pseudo == isa.PseudoBTFID, false)
	if pseudo != isa.PseudoFunc {
		return
	}
	if t, ok := w.insns.CallTarget(pc); ok {
		// Callbacks get elements, keys and numbers; bpf_find_vma's gets a task and
		// a vma, and which helper is called is not known yet.
		var entry facts
		entry.set(isa.R1, true, false)
		entry.set(isa.R2, true, false)
		w.flow(t, entry)
	}
}

func (w *pointerFlow) load(pc isa.PC, ins isa.Instruction, f *facts) {
	dst, src := ins.Dst(), ins.Src()
	whole := ins.Op.Size() == isa.SizeDW && ins.Op.Mode() == isa.ModeMEM
	switch {
	case f.btf(src):
		if w.marks == nil {
			w.marks = make([]bool, len(w.insns))
		}
		w.marks[pc] = true
		f.set(dst, whole, false)
	case f.ctx(src):
		f.set(dst, whole && w.ctxPtr(ins.Off), false)
	case src == isa.FP && whole:
		bit := slotBit(ins.Off)
		f.set(dst, f.btfSlots&bit != 0, f.ctxSlots&bit != 0)
	default:
		f.set(dst, false, false)
	}
}

// slotBit is the bit of the stack slot at an offset from R10; 0 for places that
// are not aligned or not in the frame.
func slotBit(off int16) uint64 {
	if off >= 0 || off < -512 || off%8 != 0 {
		return 0
	}
	return 1 << (-off/8 - 1)
}

func (w *pointerFlow) spill(ins isa.Instruction, f *facts) {
	bit := slotBit(ins.Off &^ 7)
	f.btfSlots, f.ctxSlots = f.btfSlots&^bit, f.ctxSlots&^bit
	if ins.Op.Size() != isa.SizeDW {
		return
	}
	if f.btf(ins.Src()) {
		f.btfSlots |= slotBit(ins.Off)
	}
	if f.ctx(ins.Src()) {
		f.ctxSlots |= slotBit(ins.Off)
	}
}

// call applies a call: of a helper, of a kernel function, or of one of the program's
// own, whose result is known once its exit has been seen.
func (w *pointerFlow) call(pc isa.PC, ins isa.Instruction, f *facts) {
	result := ins.IsKfuncCall() || returnsTyped(ins)
	if ins.IsPseudoCall() {
		if t, ok := w.insns.CallTarget(pc); ok {
			w.flow(t, facts{btfRegs: f.btfRegs & argRegs, ctxRegs: f.ctxRegs & argRegs})
			if !slices.Contains(w.calls[t], pc) {
				w.calls[t] = append(w.calls[t], pc)
			}
			result = w.returns[t]
		}
	}
	for r := isa.R1; r <= isa.R5; r++ {
		f.set(r, false, false)
	}
	f.set(isa.R0, result, false)
}

// argRegs has the bits of R1 to R5.
const argRegs = 0x3e

// exit notes what functions return. The function of an exit is the nearest one
// called that begins before it.
func (w *pointerFlow) exit(pc isa.PC, f facts) {
	fn, found := isa.PC(0), false
	for start := range w.calls {
		if start <= pc && (!found || start > fn) {
			fn, found = start, true
		}
	}
	if !found || !f.btf(isa.R0) || w.returns[fn] {
		return
	}
	w.returns[fn] = true
	w.todo = append(w.todo, w.calls[fn]...)
}

// typedContext tells which words of a program's context are typed kernel pointers;
// nil where none are.
func (rt *Runtime) typedContext(s *spec.ProgramSpec) func(off int16) bool {
	switch s.Type {
	case spec.ProgNetfilter:
		return func(int16) bool { return true }
	case spec.ProgTracing, spec.ProgLSM, spec.ProgStructOps:
	default:
		return nil
	}
	sig, err := rt.signature(s)
	if err != nil { // the words may be anything
		return func(int16) bool { return true }
	}
	return func(off int16) bool {
		if off%8 != 0 || off < 0 {
			return false
		}
		a := sig.argAt(int(off) / 8)
		return a != nil && pointsToStruct(a.Type)
	}
}

// pointsToStruct reports whether a type is a pointer to a struct or union.
func pointsToStruct(t btf.Type) bool {
	p, ok := btf.UnderlyingType(t).(*btf.Pointer)
	if !ok {
		return false
	}
	switch btf.UnderlyingType(p.Target).(type) {
	case *btf.Struct, *btf.Union, *btf.Fwd:
		return true
	}
	return false
}
