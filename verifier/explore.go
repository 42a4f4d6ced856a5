package verifier

import (
	"bpfvm/isa"
	"bpfvm/spec"
)

// pendingBranch is a path that is yet to be followed.
type pendingBranch struct {
	state    *State
	pc, prev int
	logLen   int // what the log was when the path split
}

// push puts a copy of the current state aside, to go on with it at pc later
// (push_stack).
func (env *env) push(pc, prev int) (*State, error) {
	s := env.cur.clone()
	env.pending = append(env.pending, pendingBranch{state: s, pc: pc, prev: prev, logLen: env.log.pos()})
	if len(env.pending) > spec.MaxPendingBranches {
		return nil, env.reject(CodeTooManyBranches, "The sequence of %d jumps is too complex.\n", len(env.pending))
	}
	if s.parent != nil {
		s.parent.branches++
	}
	if env.opts.Observer != nil {
		env.opts.Observer.Branch(isa.PC(prev), isa.PC(pc), s)
	}
	return s, nil
}

// pop goes on with the path that was put aside last; false when there is none.
func (env *env) pop() bool {
	n := len(env.pending)
	if n == 0 {
		return false
	}
	p := env.pending[n-1]
	env.pending[n-1] = pendingBranch{}
	env.pending = env.pending[:n-1]
	if env.log.level&LogLevel2 == 0 {
		env.log.cut(p.logLen)
	}
	env.cur = p.state
	env.insnIdx, env.prevInsn = p.pc, p.prev
	return true
}

// checkMain verifies the program itself (do_check_main).
func (env *env) checkMain() error { return env.checkFunction(0) }

// checkFunction follows every path of a function (do_check_common).
func (env *env) checkFunction(sub int) error {
	f := newFuncState(mainCall, 0, sub)
	f.inException = sub > 0 && sub == env.exceptionCB
	env.cur = &State{Frames: []*FuncState{f}, branches: 1, firstInsn: env.subprogs[sub].start, lastInsn: -1}
	if sub == 0 {
		f.Regs[isa.R1].setPointer(PtrToCtx)
		env.noteMainArgs()
	} else if err := env.globalArgs(sub, f); err != nil {
		return err
	}
	env.insnIdx, env.prevInsn = env.subprogs[sub].start, -1
	env.buckets = make([][]*stateEntry, len(env.insns))
	env.live.reset()
	env.loops = nil
	env.log.prevLine = nil
	env.scratchAll()
	if err := env.explore(); err != nil {
		return err
	}
	if env.log.level&LogLevel2 == 0 {
		env.log.cut(0) // what was said of functions before goes, too
	}
	env.cur = nil
	env.buckets = nil
	return nil
}

// explore is the walk over paths (do_check): one instruction after the other,
// states compared at prune points, until no path is left.
func (env *env) explore() error {
	printState := false
	prev := env.prevInsn
	for {
		env.curHist = nil
		env.prevInsn = prev
		if env.insnIdx < 0 || env.insnIdx >= len(env.insns) {
			return bug("slot %d of %d", env.insnIdx, len(env.insns))
		}
		if len(env.log.msg) > 0 {
			env.log.msg = env.log.msg[:0]
		}
		pc := env.insnIdx
		ins := env.insns[pc]
		aux := &env.aux[pc]
		env.processed++
		if env.processed > env.maxInsns {
			return env.reject(CodeTooComplex, "BPF program is too large. Processed %d insn\n", env.processed)
		}
		env.cur.lastInsn = prev
		env.cur.insnIdx = pc

		done := false
		if aux.prune {
			hit, err := env.visited(pc)
			if err != nil {
				return err
			}
			if hit {
				if env.log.wantInsns() {
					if printState {
						env.log.printf("\nfrom %d to %d: safe\n", prev, pc)
					} else {
						env.log.printf("%d: safe\n", pc)
					}
				}
				done = true
			}
		}
		if !done {
			if aux.jumpPoint {
				env.pushHistory(jump{})
			}
			if env.log.level&LogLevel2 != 0 && printState {
				env.log.printf("\nfrom %d to %d:%s", prev, pc, env.stateString(env.cur, env.cur.curFrame(), true))
				printState = false
			}
			env.printInsn()
			aux.seen++
			if env.opts.Observer != nil {
				env.opts.Observer.Insn(isa.PC(pc), env.cur)
			}
			prev = pc
			env.live.begin()
			var err error
			done, err = env.step(ins)
			if err != nil {
				return err
			}
			env.commitStackWrites(pc)
			if env.returned {
				env.returned = false
				printState = true
				continue
			}
		}
		if done {
			env.scratchAll()
			if err := env.endPath(); err != nil {
				return err
			}
			if !env.pop() {
				return nil
			}
			prev = env.prevInsn
			printState = true
		}
	}
}

// endPath settles a path that is done: its state and the states before it have a
// branch less (update_branch_counts).
func (env *env) endPath() error {
	for s := env.cur; s != nil; s = s.parent {
		s.branches--
		if s.branches > 0 {
			break
		}
		if err := env.exitLoop(s); err != nil {
			return err
		}
		if s.dropped {
			env.freeStates--
		}
	}
	return nil
}

// step checks one instruction and moves on; done says that the path ends here.
func (env *env) step(ins isa.Instruction) (done bool, err error) {
	switch class := ins.Op.Class(); class {
	case isa.ClassALU, isa.ClassALU64:
		err = env.checkALU(ins)
	case isa.ClassLDX:
		err = env.checkLoad(ins)
	case isa.ClassSTX:
		if ins.Op.Mode() == isa.ModeATOMIC {
			err = env.checkAtomic(ins)
		} else if ins.Op.Mode() != isa.ModeMEM || ins.Imm != 0 {
			err = env.reject(CodeReserved, "BPF_STX uses reserved fields\n")
		} else {
			err = env.checkStore(ins)
		}
	case isa.ClassST:
		if ins.Op.Mode() != isa.ModeMEM || ins.Src() != 0 {
			err = env.reject(CodeReserved, "BPF_ST uses reserved fields\n")
		} else {
			err = env.checkStoreImm(ins)
		}
	case isa.ClassJMP, isa.ClassJMP32:
		env.jumps++
		return env.stepJump(ins, class)
	case isa.ClassLD:
		switch ins.Op.Mode() {
		case isa.ModeABS, isa.ModeIND:
			err = env.checkLdAbs(ins)
		case isa.ModeIMM:
			err = env.checkLdImm(ins)
			env.insnIdx++
		default:
			err = env.reject(CodeBadOpcode, "invalid BPF_LD mode\n")
		}
	}
	if err == nil {
		env.insnIdx++
	}
	return false, err
}

func (env *env) stepJump(ins isa.Instruction, class isa.Class) (done bool, err error) {
	byReg := ins.Op.Source() == isa.SrcX
	switch ins.Op.Code() {
	case isa.CodeCall:
		kind := isa.Pseudo(ins.Src())
		if byReg || kind != isa.PseudoKfuncCall && ins.Off != 0 || kind > isa.PseudoKfuncCall ||
			ins.Dst() != 0 || class == isa.ClassJMP32 {
			return false, env.reject(CodeReserved, "BPF_CALL uses reserved fields\n")
		}
		name := ""
		if k := env.kfuncAt(env.insnIdx); kind == isa.PseudoKfuncCall && k != nil {
			name = k.Name
		}
		if kind != isa.PseudoCall {
			if err := env.callInSection(ins, name); err != nil {
				return false, err
			}
		}
		switch kind {
		case isa.PseudoCall:
			err = env.checkFuncCall(ins)
		case isa.PseudoKfuncCall:
			err = env.checkKfuncCall(ins)
		default:
			err = env.checkHelperCall(ins)
		}
		if err != nil {
			return false, err
		}
		env.scratchReg(isa.R0)
		if name == "bpf_throw" {
			// All frames are left at once.
			return true, env.checkLeaks(true, true, "bpf_throw")
		}
	case isa.CodeJa:
		if byReg || ins.Src() != 0 || ins.Dst() != 0 ||
			class == isa.ClassJMP && ins.Imm != 0 || class == isa.ClassJMP32 && ins.Off != 0 {
			return false, env.reject(CodeReserved, "BPF_JA uses reserved fields\n")
		}
		if class == isa.ClassJMP {
			env.insnIdx += int(ins.Off)
		} else {
			env.insnIdx += int(ins.Imm)
		}
	case isa.CodeExit:
		if byReg || ins.Imm != 0 || ins.Src() != 0 || ins.Dst() != 0 || class == isa.ClassJMP32 {
			return false, env.reject(CodeReserved, "BPF_EXIT uses reserved fields\n")
		}
		return env.checkExit()
	default:
		if err := env.checkBranch(ins); err != nil {
			return false, err
		}
	}
	env.insnIdx++
	return false, nil
}

// checkExit ends a function: the program, or a call into its caller.
func (env *env) checkExit() (done bool, err error) {
	if err := env.checkLeaks(false, env.cur.curFrame() == 0, "BPF_EXIT instruction in main prog"); err != nil {
		return false, err
	}
	if env.cur.curFrame() > 0 {
		if err := env.returnToCaller(); err != nil {
			return false, err
		}
		env.returned = true
		return false, nil
	}
	if err := env.checkReturn(isa.R0); err != nil {
		return false, err
	}
	return true, nil
}

// readReg demands that a register holds something (check_reg_arg, SRC_OP).
func (env *env) readReg(r isa.Register) error {
	if r >= frameRegs {
		return env.reject(CodeBadRegister, "R%d is invalid\n", r)
	}
	env.scratchReg(r)
	if env.reg(r).Type == NotInit {
		return env.reject(CodeUninitReg, "R%d !read_ok\n", r)
	}
	return nil
}

// writeReg demands that a register may be written (check_reg_arg,
// DST_OP_NO_MARK).
func (env *env) writeReg(r isa.Register) error {
	if r >= frameRegs {
		return env.reject(CodeBadRegister, "R%d is invalid\n", r)
	}
	if r == isa.R10 {
		return env.reject(CodeFramePointer, "frame pointer is read only\n")
	}
	env.scratchReg(r)
	return nil
}

// defineReg writes a number of which nothing is known (check_reg_arg, DST_OP).
func (env *env) defineReg(r isa.Register) error {
	if err := env.writeReg(r); err != nil {
		return err
	}
	env.reg(r).setUnknown()
	return nil
}
