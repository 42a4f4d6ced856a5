package verifier

import (
	"fmt"

	"bpfvm/isa"
	"bpfvm/spec"
)

// Liveness: which registers and stack slots can still be read. Dead ones do not
// matter when states are compared.
//
// Registers are found before the walk, from the code alone
// (compute_live_registers). Of stack slots the code does not tell which one a
// pointer leads to, so the walk marks what each instruction reads and writes, by
// chain of calls, and a data flow analysis spreads the marks when a state is
// looked at (kernel/bpf/liveness.c of 6.18).
type liveness struct {
	regs      []uint16 // live before each slot
	instances map[chain]*liveInstance
	write     [maxFrames]uint64 // written by the current instruction
	wrote     bool
	dirty     []*liveInstance
}

// chain is a call chain: the first function, then the slots of the calls.
type chain [maxFrames]int32

func (s *State) chain(frame int, env *env) chain {
	var c chain
	c[0] = int32(env.subprogs[s.Frames[0].Subprog].start)
	for i := 1; i <= frame; i++ {
		c[i] = int32(s.Frames[i].CallSite) + 1
	}
	return c
}

// liveInstance holds the marks of one function as called along one chain; it
// may touch its own frame and those of its callers.
type liveInstance struct {
	key        chain
	outer      *liveInstance
	sub, depth int
	start      int
	frames     [maxFrames][]slotMarks
	dirty      bool
}

// slotMarks are the slots of one frame that one instruction may read, surely
// writes, and that are live before it; a bit each.
type slotMarks struct {
	read, write, live uint64
	visited           bool
}

func (l *liveness) reset() {
	l.instances = map[chain]*liveInstance{}
	l.dirty = nil
}

// instance returns the marks of the function in that frame of the state.
func (env *env) instance(s *State, frame int) *liveInstance {
	key := s.chain(frame, env)
	if in := env.live.instances[key]; in != nil {
		return in
	}
	f := s.Frames[frame]
	in := &liveInstance{key: key, sub: f.Subprog, depth: frame, start: env.subprogs[f.Subprog].start}
	if frame > 0 {
		in.outer = env.instance(s, frame-1)
	}
	env.live.instances[key] = in
	return in
}

func (in *liveInstance) marks(env *env, frame int) []slotMarks {
	if in.frames[frame] == nil {
		sp := &env.subprogs[in.sub]
		in.frames[frame] = make([]slotMarks, sp.end-sp.start)
	}
	return in.frames[frame]
}

func (env *env) dirtied(in *liveInstance) {
	if !in.dirty {
		in.dirty = true
		env.live.dirty = append(env.live.dirty, in)
	}
}

func (l *liveness) begin() {
	if l.wrote {
		l.write = [maxFrames]uint64{}
		l.wrote = false
	}
}

// markStackRead notes that the current instruction may read the slot.
func (env *env) markStackRead(frame, spi int) {
	in := env.instance(env.cur, env.cur.curFrame())
	m := &in.marks(env, frame)[env.insnIdx-in.start]
	if bit := uint64(1) << min(spi, 63); m.read&bit == 0 {
		m.read |= bit
		env.dirtied(in)
	}
}

// markStackWrite notes that the current instruction overwrites all of the slot.
func (env *env) markStackWrite(frame, spi int) {
	env.live.write[frame] |= 1 << min(spi, 63)
	env.live.wrote = true
}

// commitStackWrites keeps of an instruction's writes those that it makes each
// time.
func (env *env) commitStackWrites(pc int) {
	class := env.insns[pc].Op.Class()
	if class != isa.ClassST && class != isa.ClassSTX {
		return
	}
	in := env.instance(env.cur, env.cur.curFrame())
	for f := 0; f <= in.depth; f++ {
		w := env.live.write[f]
		if w == 0 && in.frames[f] == nil {
			continue
		}
		m := &in.marks(env, f)[pc-in.start]
		now := w
		if m.visited {
			now &= m.write
		}
		if now != m.write {
			env.dirtied(in)
		}
		m.write, m.visited = now, true
	}
}

// spread brings the live sets of all marked functions up to date.
func (env *env) spread() {
	for len(env.live.dirty) > 0 {
		// Callees first: what they read of their callers' frames counts there.
		best := 0
		for i, in := range env.live.dirty {
			if in.depth > env.live.dirty[best].depth {
				best = i
			}
		}
		in := env.live.dirty[best]
		env.live.dirty = append(env.live.dirty[:best], env.live.dirty[best+1:]...)
		in.dirty = false
		env.spreadIn(in)
		if in.outer == nil {
			continue
		}
		call := int(in.key[in.depth]) - 1
		for f := 0; f < in.depth; f++ {
			if in.frames[f] == nil {
				continue
			}
			m := &in.outer.marks(env, f)[call-in.outer.start]
			if live := in.frames[f][0].live; live&^m.read != 0 {
				m.read |= live
				env.dirtied(in.outer)
			}
		}
	}
}

func (env *env) spreadIn(in *liveInstance) {
	sp := &env.subprogs[in.sub]
	for f := 0; f <= in.depth; f++ {
		marks := in.frames[f]
		if marks == nil {
			continue
		}
		for changed := true; changed; {
			changed = false
			for pc := sp.end - 1; pc >= sp.start; pc-- {
				var after uint64
				to, n := env.successors(pc)
				for _, t := range to[:n] {
					after |= marks[t-sp.start].live
				}
				m := &marks[pc-sp.start]
				if before := after&^m.write | m.read; before != m.live {
					m.live = before
					changed = true
				}
			}
		}
	}
}

// successors returns the slots of the same function that may run after pc.
func (env *env) successors(pc int) (to [2]int, n int) {
	ins := env.insns[pc]
	next := pc + 1
	if ins.IsWide() {
		next++
	}
	if ins.Op.Class().IsJump() {
		switch ins.Op.Code() {
		case isa.CodeExit:
			return to, 0
		case isa.CodeCall:
		case isa.CodeJa:
			t, _ := env.insns.JumpTarget(isa.PC(pc))
			return [2]int{int(t)}, 1
		default:
			return [2]int{next, next + int(ins.Off)}, 2
		}
	}
	if ins.Op == 0 || next >= len(env.insns) {
		return to, 0 // the second slot of a wide instruction
	}
	return [2]int{next}, 1
}

// slotAlive reports whether a slot of a frame can be read after the state's
// point: in the function that runs, or after it in one of its callers
// (bpf_stack_slot_alive).
func (env *env) slotAlive(s *State, frame, spi int) bool {
	bit := uint64(1) << min(spi, 63)
	live := func(in *liveInstance, pc int) bool {
		m := in.frames[frame]
		return m != nil && pc-in.start < len(m) && m[pc-in.start].live&bit != 0
	}
	last := s.curFrame()
	if live(env.instance(s, last), s.insnIdx) {
		return true
	}
	for i := frame; i < last; i++ {
		call := s.Frames[i+1].CallSite
		pc := call + 1
		if env.aux[call].callsBack {
			pc = call // the callback may be called again
		}
		if live(env.instance(s, i), pc) {
			return true
		}
	}
	return false
}

// clean forgets what cannot be read any more in a state whose paths are all done
// (clean_verifier_state).
func (env *env) clean(s *State) {
	s.cleaned = true
	env.spread()
	for i, f := range s.Frames {
		live := env.live.regs[s.frameInsn(i)]
		for r := range isa.R10 {
			if live>>r&1 == 0 {
				f.Regs[r] = notInitReg()
			}
		}
		for spi := range f.Stack {
			if !env.slotAlive(s, i, spi) {
				f.Stack[spi] = StackSlot{Spilled: notInitReg()}
			}
		}
	}
}

// frameInsn is the slot that a frame is at: the state's own, or that of the call
// into the next frame (frame_insn_idx).
func (s *State) frameInsn(frame int) int {
	if frame == s.curFrame() {
		return s.insnIdx
	}
	return s.Frames[frame+1].CallSite
}

// usesDefs returns the registers that an instruction reads and overwrites
// (compute_insn_live_regs).
func (env *env) usesDefs(pc int) (use, def uint16) {
	ins := env.insns[pc]
	d, s := uint16(1)<<ins.Dst(), uint16(1)<<ins.Src()
	const saved, args = uint16(0x3f), uint16(0x3e)
	switch ins.Op.Class() {
	case isa.ClassLD:
		if ins.Op.Mode() == isa.ModeIMM {
			return 0, d
		}
		return 1<<frameRegs - 1, 0 // the kernel does not look closer
	case isa.ClassLDX:
		return s, d
	case isa.ClassST:
		return d, 0
	case isa.ClassSTX:
		if ins.Op.Mode() != isa.ModeATOMIC {
			return d | s, 0
		}
		switch op := isa.AtomicOp(ins.Imm); {
		case op == isa.AtomicCmpXchg:
			return 1<<isa.R0 | d | s, 1 << isa.R0
		case op == isa.AtomicLoadAcq:
			return s, d
		case op == isa.AtomicStoreRel:
			return d | s, 0
		case op&isa.AtomicFetch != 0:
			return d | s, s
		}
		return d | s, 0
	case isa.ClassALU, isa.ClassALU64:
		bySrc := ins.Op.Source() == isa.SrcX
		switch ins.Op.Code() {
		case isa.CodeEnd:
			return d, d
		case isa.CodeMov:
			if bySrc {
				return s, d
			}
			return 0, d
		}
		if bySrc {
			return d | s, d
		}
		return d, d
	}
	switch ins.Op.Code() {
	case isa.CodeJa, isa.CodeJcond:
		return 0, 0
	case isa.CodeExit:
		return 1 << isa.R0, 0
	case isa.CodeCall:
		if ins.IsHelperCall() {
			id := spec.HelperID(ins.Imm)
			if h := spec.HelperByID(id); h != nil && env.helperAllowed(id) {
				return uint16(1)<<(h.NumArgs()+1) - 2, saved
			}
		} else if k := env.kfuncAt(pc); ins.IsKfuncCall() && k != nil && k.Allowed(env.prog.Type, env.prog.Attach) {
			return uint16(1)<<(len(k.Args)+1) - 2, saved
		}
		return args, saved
	}
	if ins.Op.Source() == isa.SrcX {
		return d | s, 0
	}
	return d, 0
}

// computeLiveRegs finds the registers that are live before each slot
// (compute_live_registers), then the loops that states may go round.
func (env *env) computeLiveRegs() error {
	live := make([]uint16, len(env.insns)+1)
	for changed := true; changed; {
		changed = false
		for pc := len(env.insns) - 1; pc >= 0; pc-- {
			use, def := env.usesDefs(pc)
			if env.insns[pc].Op == 0 {
				continue
			}
			var after uint16
			to, n := env.successors(pc)
			for _, t := range to[:n] {
				after |= live[t]
			}
			if before := after&^def | use; before != live[pc] {
				live[pc] = before
				changed = true
			}
		}
	}
	for i := range live {
		live[i] &^= 1 << isa.R10
	}
	env.live.regs = live
	env.findLoops()
	env.printLiveRegs()
	return nil
}

func (env *env) printLiveRegs() {
	if env.log.level&LogLevel2 == 0 {
		return
	}
	env.log.write("Live regs before insn:\n")
	for pc := 0; pc < len(env.insns); pc++ {
		regs := [10]byte{}
		for r := range regs {
			regs[r] = '.'
			if env.live.regs[pc]>>r&1 != 0 {
				regs[r] = '0' + byte(r)
			}
		}
		scc := "    "
		if n := env.aux[pc].scc; n > 0 {
			scc = fmt.Sprintf("%3d ", n)
		}
		env.log.printf("%s%3d: %s %s\n", scc, pc, regs[:], env.insnText(pc))
		if env.insns[pc].IsWide() {
			pc++
		}
	}
}
