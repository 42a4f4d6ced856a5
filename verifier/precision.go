package verifier

import (
	"errors"
	"fmt"
	"strings"

	"bpfvm/isa"
)

// backtrack is the set of registers and stack slots, by frame, whose values must
// have been exact at the instruction that the walk has come back to (struct
// backtrack_state).
type backtrack struct {
	frame int
	regs  [maxFrames]uint32
	slots [maxFrames]uint64
}

func (bt *backtrack) reset(frame int) { *bt = backtrack{frame: frame} }

func (bt *backtrack) empty() bool {
	var all uint64
	for i := 0; i <= bt.frame; i++ {
		all |= uint64(bt.regs[i]) | bt.slots[i]
	}
	return all == 0
}

func (bt *backtrack) has(r isa.Register) bool { return bt.regs[bt.frame]>>r&1 != 0 }
func (bt *backtrack) set(r isa.Register)      { bt.regs[bt.frame] |= 1 << r }
func (bt *backtrack) clear(r isa.Register)    { bt.regs[bt.frame] &^= 1 << r }

const argRegs = uint32(0x3e) // R1 to R5

// errGiveUp says that the walk cannot go on exactly (-ENOTSUPP): every scalar is
// taken as precise instead.
var errGiveUp = errors.New("precision walk gives up")

// pushHistory records for the precision walk what the current instruction did;
// several records of one instruction become one (push_jmp_history).
func (env *env) pushHistory(j jump) {
	if h := env.curHist; h != nil {
		if j.stack {
			h.stack, h.frame, h.spi = true, j.frame, j.spi
		}
		h.srcFP, h.dstFP = h.srcFP || j.srcFP, h.dstFP || j.dstFP
		if j.linked != nil {
			h.linked = j.linked
		}
		return
	}
	j.idx, j.prev = int32(env.insnIdx), int32(env.prevInsn)
	env.cur.history = append(env.cur.history, j)
	env.curHist = &env.cur.history[len(env.cur.history)-1]
}

// markPrecise says that the value of a scalar register matters exactly, and finds
// the registers and slots that it was made of, back to where they were constants
// or unknown (mark_chain_precision). States on the way are compared by range in
// these from now on. A negative register means none: a stored immediate.
func (env *env) markPrecise(regno int) error {
	if regno < 0 {
		return nil
	}
	env.bt.reset(env.cur.curFrame())
	r := &env.cur.cur().Regs[regno]
	if r.Type != Scalar {
		return bug("precision of R%d, which is %v", regno, r.Type)
	}
	env.bt.set(isa.Register(regno))
	_, err := env.walkBack(env.cur, true)
	return err
}

// markSlotPrecise does the same for a spilled scalar of a frame.
func (env *env) markSlotPrecise(frame, spi int) error {
	env.bt.reset(env.cur.curFrame())
	env.bt.slots[frame] |= 1 << spi
	_, err := env.walkBack(env.cur, true)
	return err
}

// walkBack follows bt back from the end of s to the beginning (the body of
// __mark_chain_precision). It returns whether it marked anything new.
func (env *env) walkBack(s *State, skipFirst bool) (changed bool, err error) {
	bt := &env.bt
	start := s
	last := env.insnIdx
	if s != env.cur {
		last = s.insnIdx
	}
	subseq := -1
	for {
		hist := s.history
		end := len(hist)
		first := s.firstInsn
		if env.log.level&LogLevel2 != 0 {
			env.log.printf("mark_precise: frame%d: last_idx %d first_idx %d subseq_idx %d \n", bt.frame, last, first, subseq)
		}
		if last < 0 {
			// Before the first instruction there are arguments only.
			if s.curFrame() == 0 && s.Frames[0].Subprog > 0 && s.Frames[0].CallSite == mainCall &&
				bt.slots[bt.frame] == 0 && bt.regs[bt.frame]&^argRegs == 0 {
				for r := isa.R1; r <= isa.R5; r++ {
					if bt.has(r) && s.Frames[0].Regs[r].Type == Scalar {
						s.Frames[0].Regs[r].Precise = true
					}
				}
				return changed, nil
			}
			return changed, bug("precision walk at the entry of a function: registers %#x, slots %#x", bt.regs[bt.frame], bt.slots[bt.frame])
		}
		for i := last; ; {
			var err error
			if skipFirst {
				skipFirst = false
			} else {
				var h *jump
				if end > 0 && int(hist[end-1].idx) == i {
					h = &hist[end-1]
				}
				err = env.walkInsn(i, subseq, h)
			}
			if errors.Is(err, errGiveUp) {
				env.allPrecise(start)
				bt.reset(0)
				return true, nil
			} else if err != nil {
				return changed, err
			}
			if bt.empty() {
				return changed, nil
			}
			subseq = i
			// The instruction before: told by the history where the path was
			// not straight (get_prev_insn_idx).
			if i == s.firstInsn && (end == 0 || end == 1 && int(hist[0].idx) == i) {
				break
			}
			if end > 0 && int(hist[end-1].idx) == i {
				end--
				i = int(hist[end].prev)
			} else {
				i--
			}
			if i < 0 || i >= len(env.insns) {
				return changed, bug("precision walk comes to slot %d", i)
			}
		}
		s = s.parent
		if s == nil {
			break
		}
		for fr := bt.frame; fr >= 0; fr-- {
			f := s.Frames[fr]
			for r := isa.R0; r <= isa.R10; r++ {
				if bt.regs[fr]>>r&1 == 0 {
					continue
				}
				switch reg := &f.Regs[r]; {
				case reg.Type != Scalar, reg.Precise:
					bt.regs[fr] &^= 1 << r
				default:
					reg.Precise, changed = true, true
				}
			}
			for spi := range 64 {
				if bt.slots[fr]>>spi&1 == 0 {
					continue
				}
				if spi >= len(f.Stack) {
					return changed, bug("precision walk: slot %d of %d", spi, len(f.Stack))
				}
				switch slot := &f.Stack[spi]; {
				case !slot.isSpilledScalar(), slot.Spilled.Precise:
					bt.slots[fr] &^= 1 << spi
				default:
					slot.Spilled.Precise, changed = true, true
				}
			}
			if env.log.level&LogLevel2 != 0 {
				env.log.printf("mark_precise: frame%d: parent state regs=%s stack=%s: %s", fr,
					regMask(bt.regs[fr]), slotMask(bt.slots[fr]), env.stateString(s, fr, true))
			}
		}
		if bt.empty() {
			return changed, nil
		}
		subseq = first
		last = s.lastInsn
	}
	if !bt.empty() {
		env.allPrecise(start)
		bt.reset(0)
		changed = true
	}
	return changed, nil
}

// linkPrecise makes all precise that one branch refined together, when one of
// them is (bt_sync_linked_regs).
func (bt *backtrack) linkPrecise(h *jump) {
	if h == nil || len(h.linked) == 0 {
		return
	}
	some := false
	for _, l := range h.linked {
		if l.isReg {
			some = some || bt.regs[l.frame]>>l.no&1 != 0
		} else {
			some = some || bt.slots[l.frame]>>l.no&1 != 0
		}
	}
	if !some {
		return
	}
	for _, l := range h.linked {
		if l.isReg {
			bt.regs[l.frame] |= 1 << l.no
		} else {
			bt.slots[l.frame] |= 1 << l.no
		}
	}
}

// enter and leave move the walk into a callee, when it meets its exit, and out,
// when it meets the call.
func (bt *backtrack) enter() error {
	if bt.frame == maxFrames-1 {
		return bug("precision walk: too many frames")
	}
	bt.frame++
	return nil
}

func (bt *backtrack) leave() error {
	if bt.frame == 0 {
		return bug("precision walk: leaves the first frame")
	}
	bt.frame--
	return nil
}

// walkInsn steps back over one instruction: what its result needed, its operands
// need (backtrack_insn).
func (env *env) walkInsn(pc, subseq int, h *jump) error {
	bt := &env.bt
	ins := env.insns[pc]
	if ins.Op == 0 {
		return nil
	}
	if env.log.level&LogLevel2 != 0 {
		env.log.printf("mark_precise: frame%d: regs=%s stack=%s before %d: %s\n", bt.frame,
			regMask(bt.regs[bt.frame]), slotMask(bt.slots[bt.frame]), pc, env.insnText(pc))
	}
	bt.linkPrecise(h)
	d, s := ins.Dst(), ins.Src()
	bySrc := ins.Op.Source() == isa.SrcX
	switch class := ins.Op.Class(); class {
	case isa.ClassALU, isa.ClassALU64:
		if !bt.has(d) {
			return nil
		}
		switch ins.Op.Code() {
		case isa.CodeEnd, isa.CodeNeg:
			return nil
		case isa.CodeMov:
			bt.clear(d)
			if bySrc && s != isa.R10 {
				bt.set(s)
			}
		default:
			if bySrc && s != isa.R10 {
				bt.set(s)
			}
		}
	case isa.ClassLDX:
		if !bt.has(d) {
			return nil
		}
		bt.clear(d)
		// A fill takes over the slot's value; what comes from elsewhere has no
		// history.
		if h != nil && h.stack {
			bt.slots[h.frame] |= 1 << h.spi
		}
	case isa.ClassSTX, isa.ClassST:
		if class == isa.ClassSTX && ins.Op.Mode() == isa.ModeATOMIC {
			load := d
			op := isa.AtomicOp(ins.Imm)
			switch {
			case op == isa.AtomicCmpXchg:
				load = isa.R0
			case op == isa.AtomicLoadAcq:
				load = d
			case op == isa.AtomicStoreRel:
				load = frameRegs
			case op&isa.AtomicFetch != 0:
				load = s
			default:
				load = frameRegs
			}
			if load < frameRegs {
				if !bt.has(load) {
					return nil
				}
				bt.clear(load)
				if h != nil && h.stack {
					bt.slots[h.frame] |= 1 << h.spi
				}
				break
			}
		}
		if bt.has(d) {
			return errGiveUp // a pointer was taken for a number
		}
		if h == nil || !h.stack || bt.slots[h.frame]>>h.spi&1 == 0 {
			return nil
		}
		bt.slots[h.frame] &^= 1 << h.spi
		if class == isa.ClassSTX {
			bt.set(s)
		}
	case isa.ClassJMP, isa.ClassJMP32:
		done, err := env.walkJump(ins, pc, subseq, h)
		if done || err != nil {
			return err
		}
	case isa.ClassLD:
		if ins.Op.Mode() == isa.ModeIMM {
			bt.clear(d)
			return nil
		}
		if bt.has(isa.R0) {
			return errGiveUp
		}
		return nil
	}
	bt.linkPrecise(h)
	return nil
}

// walkJump is the part of walkInsn for branches, calls and exits.
func (env *env) walkJump(ins isa.Instruction, pc, subseq int, h *jump) (done bool, err error) {
	bt := &env.bt
	switch {
	case ins.IsPseudoCall():
		t, _ := env.insns.CallTarget(isa.PC(pc))
		if env.subprogs[env.subprogAt(int(t))].global {
			if bt.regs[bt.frame]&argRegs != 0 {
				return true, bug("precision walk: arguments %#x of a global function", bt.regs[bt.frame])
			}
			bt.clear(isa.R0)
			return true, nil
		}
		// The beginning of a callee: its arguments are the caller's registers.
		if bt.regs[bt.frame]&^argRegs != 0 || bt.slots[bt.frame] != 0 {
			return true, bug("precision walk: registers %#x, slots %#x at the entry of a callee", bt.regs[bt.frame], bt.slots[bt.frame])
		}
		args := bt.regs[bt.frame]
		bt.regs[bt.frame] = 0
		if err := bt.leave(); err != nil {
			return true, err
		}
		bt.regs[bt.frame] |= args
		return true, nil
	case env.aux[pc].callsBack && pc != subseq-1:
		// The beginning of a callback: what it was given came from the kernel.
		if bt.regs[bt.frame]&^argRegs != 0 || bt.slots[bt.frame] != 0 {
			return true, bug("precision walk: registers %#x, slots %#x at the entry of a callback", bt.regs[bt.frame], bt.slots[bt.frame])
		}
		bt.regs[bt.frame] = 0
		return true, bt.leave()
	}
	switch ins.Op.Code() {
	case isa.CodeCall:
		bt.clear(isa.R0)
		if bt.regs[bt.frame]&argRegs != 0 {
			return true, bug("precision walk: registers %#x survive a call", bt.regs[bt.frame])
		}
	case isa.CodeExit:
		// The end of a callee or of a callback.
		fromCall := subseq >= 1 && env.insns[subseq-1].IsPseudoCall()
		r0 := fromCall && bt.has(isa.R0)
		if fromCall && bt.regs[bt.frame]&argRegs != 0 {
			return true, bug("precision walk: registers %#x survive a call", bt.regs[bt.frame])
		}
		bt.clear(isa.R0)
		if err := bt.enter(); err != nil {
			return true, err
		}
		if r0 {
			bt.set(isa.R0)
		}
		return true, nil
	case isa.CodeJa, isa.CodeJcond:
	default:
		if ins.Op.Source() != isa.SrcX {
			break
		}
		d, s := ins.Dst(), ins.Src()
		if !bt.has(d) && !bt.has(s) {
			return true, nil
		}
		// One bounds the other, so both matter.
		if h == nil || !h.srcFP {
			bt.set(s)
		}
		if h == nil || !h.dstFP {
			bt.set(d)
		}
	}
	return false, nil
}

// allPrecise is the way out where the walk cannot tell: every scalar in every
// state before s matters (mark_all_scalars_precise).
func (env *env) allPrecise(s *State) {
	env.debugf("mark_precise: frame%d: falling back to forcing all scalars precise\n", s.curFrame())
	for s = s.parent; s != nil; s = s.parent {
		s.scalars(func(frame int, name string, r *RegState) {
			if !r.Precise {
				r.Precise = true
				env.debugf("force_precise: frame%d: forcing %s to be precise\n", frame, name)
			}
		})
	}
}

// scalars calls f with every scalar register and spilled scalar but R10.
func (s *State) scalars(f func(frame int, name string, r *RegState)) {
	for i, fr := range s.Frames {
		for j := range isa.R10 {
			if fr.Regs[j].Type == Scalar {
				f(i, j.String(), &fr.Regs[j])
			}
		}
		for j := range fr.Stack {
			if fr.Stack[j].isSpilledScalar() {
				f(i, fmt.Sprintf("fp%d", -(j+1)*regSize), &fr.Stack[j].Spilled)
			}
		}
	}
}

// propagatePrecision makes those scalars of s precise that are in old, which s
// was found equal to, and what they were made of (propagate_precision).
func (env *env) propagatePrecision(old, s *State) (changed bool, err error) {
	bt := &env.bt
	bt.reset(s.curFrame())
	for fr := len(old.Frames) - 1; fr >= 0; fr-- {
		f := old.Frames[fr]
		var names []string
		for r := range isa.R10 {
			if f.Regs[r].Type == Scalar && f.Regs[r].Precise {
				bt.regs[fr] |= 1 << r
				names = append(names, r.String())
			}
		}
		for i := range f.Stack {
			if f.Stack[i].isSpilledScalar() && f.Stack[i].Spilled.Precise {
				bt.slots[fr] |= 1 << i
				names = append(names, fmt.Sprintf("fp%d", -(i+1)*regSize))
			}
		}
		if len(names) > 0 && env.log.level&LogLevel2 != 0 {
			env.log.printf("frame %d: propagating %s\n", fr, strings.Join(names, ","))
		}
	}
	if bt.empty() {
		return false, nil
	}
	return env.walkBack(s, true)
}

// regMask prints "r0,r6"; slotMask prints "-8,-16" (fmt_reg_mask and
// fmt_stack_mask).
func regMask(m uint32) string {
	var w []string
	for i := range 32 {
		if m>>i&1 != 0 {
			w = append(w, fmt.Sprintf("r%d", i))
		}
	}
	return strings.Join(w, ",")
}

func slotMask(m uint64) string {
	var w []string
	for i := range 64 {
		if m>>i&1 != 0 {
			w = append(w, fmt.Sprint(-(i+1)*regSize))
		}
	}
	return strings.Join(w, ",")
}
