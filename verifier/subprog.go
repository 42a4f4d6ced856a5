package verifier

import (
	"slices"

	"bpfvm/isa"
	"bpfvm/spec"
)

// subprog is one function of the program (struct bpf_subprog_info).
type subprog struct {
	name             string
	start, end       int
	global           bool
	stackDepth       int // bytes, from the lowest access
	tailCall         bool
	ldAbs            bool
	isCallback       bool
	asyncCB          bool
	called, verified bool // global functions
	// changesPacket says that a call may move the packet.
	changesPacket bool
	mightSleep    bool
	argsNoted     bool // that arguments do not fit the prototype
}

// findSubprogs makes a function of slot 0, of each call's target and of each
// function whose address is taken (add_subprog_and_kfunc).
func (env *env) findSubprogs() error {
	starts := []int{0}
	for pc := 0; pc < len(env.insns); pc++ {
		ins := env.insns[pc]
		if t, ok := env.insns.CallTarget(isa.PC(pc)); ok {
			if int(t) < 0 || int(t) >= len(env.insns) {
				env.insnIdx = pc
				return env.reject(CodeCallTarget, "call to invalid destination\n")
			}
			starts = append(starts, int(t))
		}
		if ins.IsWide() {
			pc++
		}
	}
	cb, err := env.findExceptionCallback()
	if err != nil {
		return err
	}
	if cb > 0 {
		starts = append(starts, cb)
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	// Functions that the object names are functions too: libbpf's func_info
	// must match the subprograms one to one, so a linked program has no others.
	if len(starts) > spec.MaxSubprogs {
		return env.reject(CodeTooManySubprogs, "too many subprograms\n")
	}
	for i, s := range starts {
		end := len(env.insns)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		sp := subprog{start: s, end: end}
		if f := env.prog.FuncAt(isa.PC(s)); f != nil && f.PC == isa.PC(s) {
			sp.name, sp.global = f.Name, f.Global && i > 0
		}
		if cb > 0 && s == cb {
			env.exceptionCB = i
			sp.called = true // by the kernel
		}
		env.subprogs = append(env.subprogs, sp)
	}
	if env.log.level&LogLevel2 != 0 {
		for i := range env.subprogs {
			env.log.printf("func#%d @%d\n", i, env.subprogs[i].start)
		}
	}
	return nil
}

// subprogAt returns the index of the function that contains the slot.
func (env *env) subprogAt(pc int) int {
	i, ok := slices.BinarySearchFunc(env.subprogs, pc, func(s subprog, pc int) int { return s.start - pc })
	if !ok {
		i--
	}
	return i
}

// checkSubprogs: jumps stay in their function, and each function ends with an
// exit or a jump (check_subprogs).
func (env *env) checkSubprogs() error {
	btf := len(env.prog.Lines) > 0
	for i := range env.prog.Funcs {
		btf = btf || env.prog.Funcs[i].TypeID != 0
	}
	cur := 0
	for pc := 0; pc < len(env.insns); pc++ {
		ins := env.insns[pc]
		sp := &env.subprogs[cur]
		class := ins.Op.Class()
		switch {
		case ins.IsHelperCall() && spec.HelperID(ins.Imm) == helperTailCall:
			sp.tailCall = true
			env.usesTailCall = true
		case class == isa.ClassLD && (ins.Op.Mode() == isa.ModeABS || ins.Op.Mode() == isa.ModeIND):
			sp.ldAbs = true
		}
		if class.IsJump() && ins.Op.Code() != isa.CodeExit && ins.Op.Code() != isa.CodeCall {
			off := pc + 1 + int(ins.Off)
			if ins.Op == isa.OpJa32 {
				off = pc + 1 + int(ins.Imm)
			}
			if off < sp.start || off >= sp.end {
				env.insnIdx = pc
				return env.reject(CodeJumpRange, "jump out of range from insn %d to %d\n", pc, off)
			}
		}
		if pc == sp.end-1 {
			// The last slot decides whether control can leave at the end.
			if ins.Op != isa.OpExit && ins.Op != isa.OpJa && ins.Op != isa.OpJa32 {
				env.insnIdx = pc
				return env.reject(CodeNoExit, "last insn is not an exit or jmp\n")
			}
			cur++
		}
	}
	env.insnIdx = -1
	for i := 1; i < len(env.subprogs) && btf; i++ { // check_btf_func
		sp := &env.subprogs[i]
		if !sp.ldAbs && !sp.tailCall || env.returnsInt(i) {
			continue
		}
		if sp.ldAbs {
			return env.reject(CodeLdAbs, "LD_ABS is only allowed in functions that return 'int'.\n")
		}
		return env.reject(CodeTailCallStack, "tail_call is only allowed in functions that return 'int'.\n")
	}
	for i := 1; i < len(env.subprogs) && !btf; i++ { // check_abnormal_return
		if env.subprogs[i].ldAbs {
			return env.reject(CodeLdAbs, "LD_ABS is not allowed in subprogs without BTF\n")
		}
		if env.subprogs[i].tailCall {
			return env.reject(CodeTailCallStack, "tail_call is not allowed in subprogs without BTF\n")
		}
	}
	return nil
}

// roundStack is the room that a frame takes on the machine's stack: the JIT
// rounds to 16 bytes (round_up_stack_depth).
func roundStack(n int) int { return (n + 15) / 16 * 16 }

// privateStackMin is the least depth that gets a stack of its own
// (BPF_PRIV_STACK_MIN_SIZE).
const privateStackMin = 64

// checkStackDepth adds up the stack along every chain of calls
// (check_max_stack_depth). Tracing programs without tail calls get a private
// stack for each deep frame instead.
func (env *env) checkStackDepth() error {
	env.insnIdx = -1
	private := env.prog.Type.Info().PrivateStack && !env.usesTailCall
	for i := len(env.subprogs) - 1; i >= 0; i-- {
		if i == 0 || env.subprogs[i].asyncCB || i == env.exceptionCB {
			if err := env.checkChain(i, private && i == 0); err != nil {
				return err
			}
		}
	}
	return nil
}

func (env *env) checkChain(root int, private bool) error {
	type frame struct{ sub, pc, room int }
	var chain []frame
	depth := 0
	enter := func(sub int) error {
		sp := &env.subprogs[sub]
		if sp.ldAbs {
			inCB := sp.isCallback
			for _, f := range chain {
				inCB = inCB || env.subprogs[f.sub].isCallback
			}
			if inCB {
				return env.reject(CodeLdAbs, "cannot use BPF_LD_[ABS|IND] within callback\n")
			}
		}
		if sub != 0 && sp.tailCall && depth >= spec.MaxStackTailCall {
			return env.reject(CodeTailCallStack,
				"tail_calls are not allowed when call stack of previous frames is %d bytes. Too large\n", depth)
		}
		room := roundStack(sp.stackDepth)
		if private && room >= privateStackMin {
			if room > maxStack {
				return env.reject(CodeStackDepth, "stack size of subprog %d is %d. Too large\n", sub, room)
			}
			room = 0
		}
		depth += room
		if depth > maxStack {
			return env.reject(CodeStackDepth, "combined stack size of %d calls is %d. Too large\n", len(chain)+1, depth)
		}
		chain = append(chain, frame{sub: sub, pc: sp.start, room: room})
		return nil
	}
	if err := enter(root); err != nil {
		return err
	}
	for steps := 0; len(chain) > 0; steps++ {
		if steps > 1<<24 {
			return notModelled("more than %d calls to follow for the depth of the stack", 1<<24)
		}
		top := &chain[len(chain)-1]
		next := -1
		for ; top.pc < env.subprogs[top.sub].end; top.pc++ {
			if env.throws(top.pc) {
				inCB := false
				for _, f := range chain {
					inCB = inCB || env.subprogs[f.sub].isCallback
				}
				if inCB {
					return env.reject(CodeException, "bpf_throw kfunc (insn %d) cannot be called from callback subprog %d\n", top.pc, top.sub)
				}
			}
			if t, ok := env.insns.CallTarget(isa.PC(top.pc)); ok {
				sub := env.subprogAt(int(t))
				if env.subprogs[sub].asyncCB && !env.insns[top.pc].IsPseudoCall() {
					continue
				}
				if sub == env.exceptionCB {
					return env.reject(CodeException, "insn %d cannot call exception cb directly", top.pc)
				}
				next = sub
				top.pc++
				break
			}
		}
		if next < 0 {
			depth -= top.room
			chain = chain[:len(chain)-1]
			continue
		}
		if len(chain) >= maxFrames {
			return env.reject(CodeCallDepth, "the call stack of %d frames is too deep !\n", len(chain))
		}
		if err := enter(next); err != nil {
			return err
		}
	}
	return nil
}
