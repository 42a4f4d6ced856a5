package verifier

import "bpfvm/spec"

// Codes of refusals. The numbers are for ever: a code that is no longer used
// stays, a new kind gets a new number.
const (
	CodeJumpRange       Code = "V001"
	CodeNoExit          Code = "V002"
	CodeUnreachable     Code = "V003"
	CodeMiddleOfWide    Code = "V004"
	CodeInfiniteLoop    Code = "V005"
	CodeTooComplex      Code = "V006"
	CodeTooManyBranches Code = "V007"
	CodeBadOpcode       Code = "V008"
	CodeReserved        Code = "V009"
	CodeUninitReg       Code = "V010"
	CodeFramePointer    Code = "V011"
	CodePacketBounds    Code = "V012"
	CodeMapBounds       Code = "V013"
	CodeBadPointer      Code = "V014"
	CodeOrNullAccess    Code = "V015"
	CodeStackBounds     Code = "V016"
	CodeStackDepth      Code = "V017"
	CodeCallDepth       Code = "V018"
	CodeDivZero         Code = "V019"
	CodeShift           Code = "V020"
	CodeCtxAccess       Code = "V021"
	CodeModifiedPtr     Code = "V022"
	CodePtrArith        Code = "V023"
	CodePtrOrNullArith  Code = "V024"
	CodePtr32           Code = "V025"
	CodePtrOffset       Code = "V026"
	CodePtrUnbounded    Code = "V027"
	CodeMisaligned      Code = "V028"
	CodePartialSpill    Code = "V029"
	CodeStackOfCaller   Code = "V030"
	CodeBadHelper       Code = "V031"
	CodeHelperType      Code = "V032"
	CodeGPL             Code = "V033"
	CodeSleep           Code = "V034"
	CodeArgType         Code = "V035"
	CodeSizeArg         Code = "V036"
	CodeZeroSize        Code = "V037"
	CodeMapHelper       Code = "V038"
	CodeRefLeak         Code = "V039"
	CodeRefNotHeld      Code = "V040"
	CodeReturnValue     Code = "V041"
	CodeReadOnly        Code = "V042"
	CodePacketWrite     Code = "V043"
	CodePacketArg       Code = "V044"
	CodeLdAbs           Code = "V045"
	CodeAtomicTarget    Code = "V046"
	CodeNegativeIndex   Code = "V047"
	CodeUnbounded       Code = "V048"
	CodeMemBounds       Code = "V049"
	CodeTailCallStack   Code = "V050"
	CodeBadWide         Code = "V051"
	CodeMixedPointers   Code = "V052"
	CodeReturnsStack    Code = "V053"
	CodeCallbackReturn  Code = "V054"
	CodeCallback        Code = "V055"
	CodeCallTarget      Code = "V056"
	CodeTooManySubprogs Code = "V057"
	CodeTooLarge        Code = "V058"
	CodeBadRegister     Code = "V059"
	CodeTooManyMaps     Code = "V060"
	CodeMapProgram      Code = "V061"
	CodeGlobalProto     Code = "V062"
	CodeGlobalArg       Code = "V063"
	CodeBTFAccess       Code = "V064"
	CodeAttachTarget    Code = "V065"
	CodeSpecialField    Code = "V066"
	CodeKptr            Code = "V067"
	CodeLock            Code = "V068"
	CodeSection         Code = "V069"
	CodeKfunc           Code = "V070"
	CodeKfuncArg        Code = "V071"
	CodeKfuncNull       Code = "V072"
	CodeDynptr          Code = "V073"
	CodeIter            Code = "V074"
	CodeGraph           Code = "V075"
	CodeException       Code = "V076"
)

// Explanation is what there is to say about a code without a program at hand.
type Explanation struct {
	Code Code
	// Errno is what bpf(2) fails with.
	Errno spec.Errno
	Title string
	// Kernel is the text that the kernel says, with %d and %s where it fills in.
	Kernel string
	// Why says what the rule protects from; Hint what usually helps.
	Why, Hint string
}

// Errors of bpf(2) (include/uapi/asm-generic/errno-base.h).
const (
	e2Big  spec.Errno = 7
	eAcces spec.Errno = 13
	eInval spec.Errno = 22
)

var explanations = []Explanation{
	{CodeJumpRange, eInval, "jump out of the function", "jump out of range from insn %d to %d",
		"A jump must stay within its own function; otherwise control would run into code of another function, or past the program.",
		"Offsets count slots, from the slot after the jump, and an LDDW takes two slots."},
	{CodeNoExit, eInval, "control runs off the end", "last insn is not an exit or jmp",
		"After its last instruction a function would go on in whatever comes next in memory.",
		"End each function with exit, or with a jump backwards."},
	{CodeUnreachable, eInval, "code that is never reached", "unreachable insn %d",
		"Dead code is taken for a mistake in the program or in the compiler that made it.",
		"Remove it. In C it often comes from a call of a function that never returns, or from undefined behaviour."},
	{CodeMiddleOfWide, eInval, "jump into the middle of an LDDW", "jump into the middle of ldimm64 insn %d",
		"The second slot of an LDDW is data: executed, it would mean something else.",
		"Jump to the first of the two slots."},
	{CodeInfiniteLoop, eInval, "a loop that never ends", "infinite loop detected at insn %d",
		"The same state was seen twice on one path, so the loop has made no progress and will go on for ever.",
		"Change something that ends the loop in each round, and keep it where the verifier sees it: in a register or on the stack."},
	{CodeTooComplex, e2Big, "too much to verify", "BPF program is too large. Processed %d insn",
		"The verifier follows every path; after a million instructions it gives up.",
		"Make loops shorter or use bpf_loop, move code into functions that are verified on their own, and make branches meet again with equal states."},
	{CodeTooManyBranches, e2Big, "too many open branches", "The sequence of %d jumps is too complex.",
		"Of each branch one side is put aside for later, and there were more than 8192 of them.",
		"Shorten the longest run of conditions, or move it into a function of its own."},
	{CodeBadOpcode, eInval, "no such instruction", "unknown opcode %02x",
		"The opcode has no meaning, or not in this place.", "Check the encoding against the table: bpfvm explain opcodes."},
	{CodeReserved, eInval, "a field that must be zero is not", "BPF_ALU uses reserved fields",
		"Fields that an instruction does not use are kept for future meanings.", "Set the unused fields of the slot to zero."},
	{CodeUninitReg, eAcces, "a register is read before it is written", "R%d !read_ok",
		"What is in it is unknown, and may be a kernel address. R1 to R5 hold nothing after a call, and R0 nothing before one.",
		"Keep values in R6 to R9 or on the stack across calls, and set R0 before exit on every path."},
	{CodeFramePointer, eAcces, "R10 is written", "frame pointer is read only",
		"R10 is the base of the stack frame, and everything relies on it.", "Copy R10 to another register and change that."},
	{CodePacketBounds, eAcces, "packet bytes that are not proven to be there", "invalid access to packet, off=%d size=%d, R%d(id=%d,off=%d,r=%d)",
		"Packets may be shorter than the access: on this path, no comparison with data_end has proven that many bytes.",
		"Compare (start + number of bytes) with data_end before the access, with the same pointer that is accessed."},
	{CodeMapBounds, eAcces, "outside of a map value", "invalid access to map value, value_size=%d off=%d size=%d",
		"The access could touch what lies beside the value.", "Check the index against the size, or mask it, before it is added to the pointer."},
	{CodeBadPointer, eAcces, "memory access without a pointer", "R%d invalid mem access '%s'",
		"The register holds a number, or a pointer that cannot be followed. A kernel address that was read from somewhere is a number as well.",
		"Use bpf_probe_read_kernel for kernel memory. If a pointer got lost, look where it was last changed: 32-bit arithmetic and most operators make a number of it."},
	{CodeOrNullAccess, eAcces, "a pointer that may be NULL", "R%d invalid mem access 'map_value_or_null'",
		"The helper returns NULL when there is nothing, and this path has not excluded it.",
		"Compare the result with 0 before it is used."},
	{CodeStackBounds, eAcces, "outside of the stack", "invalid write to stack R%d off=%d size=%d",
		"A frame has 512 bytes below R10; what lies beyond belongs to others.",
		"Use offsets from -512 to -1; put large buffers into a map (a per-CPU array of one element)."},
	{CodeStackDepth, eAcces, "the stack is too deep", "combined stack size of %d calls is %d. Too large",
		"All frames of a call chain share 512 bytes, unless the program type gets private stacks.",
		"Use less local memory, inline small functions, or move buffers into a map."},
	{CodeCallDepth, e2Big, "too many nested calls", "the call stack of %d frames is too deep",
		"At most eight frames may be active.", "Inline some functions; recursion is not possible."},
	{CodeDivZero, eInval, "division by the constant zero", "div by zero",
		"It can only be a mistake. Division by a register that is zero gives 0 at run time.", "Use another constant."},
	{CodeShift, eInval, "shift by too much", "invalid shift %d",
		"A shift must be by less than the width, 32 or 64 bits.", "Use a smaller constant."},
	{CodeCtxAccess, eAcces, "a context field that cannot be accessed so", "invalid bpf_context access off=%d size=%d",
		"The context is a window of fields: each has its size, and some may be read or written by some program types only.",
		"Access a whole field at its offset. Compilers merge or split accesses: read into a volatile variable if so."},
	{CodeModifiedPtr, eAcces, "a pointer that was moved", "dereference of modified %s ptr R%d off=%d disallowed",
		"Accesses through this pointer are rewritten by the kernel, or handed to it as they are, so it must be the original.",
		"Keep the original pointer and put the offset into the instruction."},
	{CodePtrArith, eAcces, "arithmetic that pointers do not allow", "R%d pointer arithmetic on %s prohibited",
		"Only numbers can be added to or subtracted from pointers, and to some pointers not even these.",
		"Copy the pointer to a number through memory if only its bits are of interest."},
	{CodePtrOrNullArith, eAcces, "arithmetic before the NULL check", "R%d pointer arithmetic on %s prohibited, null-check it first",
		"NULL plus something is not NULL, so a check that comes later proves nothing.", "Check for NULL first."},
	{CodePtr32, eAcces, "32-bit arithmetic on a pointer", "R%d 32-bit pointer arithmetic prohibited",
		"It would cut the pointer in half.", "Use the 64-bit form."},
	{CodePtrOffset, eInval, "an offset that is far too large", "math between %s pointer and %lld is not allowed",
		"Sums of offsets must not overflow.", "Check the number's range before it is added."},
	{CodePtrUnbounded, eInval, "an offset without a lower limit", "math between %s pointer and register with unbounded min value is not allowed",
		"The number may be anything, negative too.", "Bound it from both sides, or make it unsigned and bound it from above."},
	{CodeMisaligned, eAcces, "an address that is not aligned", "misaligned stack access off %s+%d+%d size %d",
		"Stack slots are tracked as wholes; atomics need natural alignment.", "Use an offset that is a multiple of the size."},
	{CodePartialSpill, eAcces, "part of a pointer", "invalid size of register spill",
		"A pointer is stored and loaded whole, or it is none any more.", "Use 8 bytes."},
	{CodeStackOfCaller, eInval, "a stack pointer left with the caller", "cannot spill pointers to stack into stack frame of the caller",
		"The frame that it points to is gone when the function returns.", "Return a value instead."},
	{CodeBadHelper, eInval, "no such helper", "invalid func %s#%d", "The kernel has no helper of this number.",
		"Check the number, and with which kernel the helper came."},
	{CodeHelperType, eInval, "a helper that this program type lacks", "program of this type cannot use helper %s#%d",
		"Each program type has the helpers that make sense where it runs.", "See bpfvm explain HELPER for the types that may call it."},
	{CodeGPL, eInval, "a GPL-only helper", "cannot call GPL-restricted function from non-GPL compatible program",
		"The helper is part of the kernel's inner interface.", "Declare a compatible license if that is what the program is under."},
	{CodeSleep, eInval, "sleeping where that is not possible", "helper call might sleep in a non-sleepable prog",
		"The program runs where the kernel must not sleep.", "Load the program as sleepable, if its type can be."},
	{CodeArgType, eAcces, "the wrong kind of argument", "R%d type=%s expected=%s",
		"The helper would take the register for something that it is not.", "Look at the helper's prototype and at what the register holds on this path."},
	{CodeSizeArg, eAcces, "a size that is not bounded", "R%d unbounded memory access, use 'var &= const' or 'if (var < const)'",
		"The helper would go beyond the memory it is given.", "Bound the size, as an unsigned number, right before the call."},
	{CodeZeroSize, eAcces, "a size that may be zero", "R%d invalid zero-sized read: u64=[%lld,%lld]",
		"This helper wants at least one byte.", "Exclude zero before the call."},
	{CodeMapHelper, eInval, "map and helper do not go together", "cannot pass map_type %d into func %s#%d",
		"The helper works on other map types.", "Use a map of a type that the helper takes."},
	{CodeRefLeak, eInval, "something was taken and not given back", "Unreleased reference id=%d alloc_insn=%d",
		"On this path the program ends while it holds a resource.", "Release it on every path: submit or discard a ring buffer record, release a socket."},
	{CodeRefNotHeld, eInval, "something is given back that is not held", "R%d must be referenced when passed to release function",
		"The pointer is not the one that was acquired, or it was released before.", "Pass the pointer that the acquiring helper returned."},
	{CodeReturnValue, eInval, "a result that has no meaning", "At program exit the register R0 has smin=%lld smax=%lld should have been in [%d, %d]",
		"The hook knows only some values.", "Return a constant on every path."},
	{CodeReadOnly, eAcces, "write to read-only memory", "write into map forbidden, value_size=%d off=%d size=%d",
		"The memory may only be read: constants, keys, sockets.", "Copy the data to the stack and change the copy."},
	{CodePacketWrite, eAcces, "this program type cannot write packets", "cannot write into packet", "Only some hooks may change packets.", "Use a helper, or another hook."},
	{CodePacketArg, eAcces, "packet memory as argument", "helper access to the packet is not allowed",
		"This helper, or this program type, does not take packet memory.", "Copy the bytes to the stack first."},
	{CodeLdAbs, eInval, "old packet loads out of place", "BPF_LD_[ABS|IND] instructions not allowed for this program type",
		"They work on a socket buffer in R6 only.", "Use data and data_end, or bpf_skb_load_bytes."},
	{CodeAtomicTarget, eAcces, "atomics on this memory", "BPF_ATOMIC stores into R%d %s is not allowed",
		"Atomic instructions cannot be rewritten by the kernel as accesses to the context or packet are.", "Do it on the stack or in a map value."},
	{CodeNegativeIndex, eAcces, "an index that may be negative", "R%d min value is negative, either use unsigned index or do a if (index >=0) check.",
		"Signed numbers can lead before the object.", "Use an unsigned type, or exclude negative values."},
	{CodeUnbounded, eAcces, "an index without upper limit", "R%d unbounded memory access, make sure to bounds check any such access",
		"Nothing says how large the number can be.", "Compare it with a constant, in the same register that is used."},
	{CodeMemBounds, eAcces, "outside of a memory object", "invalid access to memory, mem_size=%u off=%d size=%d",
		"The access could touch what lies beside the object.", "Stay within the size that was asked for."},
	{CodeTailCallStack, eAcces, "tail call with too much stack in use", "tail_calls are not allowed when call stack of previous frames is %d bytes. Too large",
		"A program that is tail-called from a subprogram starts with the stack that is in use.", "Use less than 256 bytes before the call."},
	{CodeBadWide, eInval, "a bad LDDW", "invalid bpf_ld_imm64 insn", "The second slot is missing or not empty, or what it names cannot be addressed.", "Encode two slots; only arrays of one element have direct values."},
	{CodeMixedPointers, eInval, "one instruction, several kinds of pointers", "same insn cannot be used with different pointers",
		"The kernel rewrites accesses to the context; it cannot when the same instruction also goes elsewhere.", "Keep the accesses apart, with a barrier or a volatile variable."},
	{CodeReturnsStack, eInval, "a stack pointer as result", "cannot return stack pointer to the caller", "The frame is gone after the return.", "Let the caller pass a buffer."},
	{CodeCallbackReturn, eInval, "a callback's result", "At callback return the register R0 has smin=%lld smax=%lld should have been in [%d, %d]",
		"0 goes on, 1 stops.", "Return 0 or 1."},
	{CodeCallback, eInval, "a function that cannot be a callback", "callback function not static", "Callbacks are verified with the call, so they must be static and known by BTF.", "Declare it static and keep BTF."},
	{CodeCallTarget, eInval, "call of nothing", "call to invalid destination", "The target lies outside the program.", "Check the offset: it counts slots from the slot after the call."},
	{CodeTooManySubprogs, e2Big, "too many functions", "too many subprograms", "A program has at most 256 functions.", "Inline some."},
	{CodeTooLarge, e2Big, "too many instructions", "program of %d instructions is larger than %d", "A program has at most a million slots.", "Split it with tail calls."},
	{CodeBadRegister, eInval, "no such register", "R%d is invalid", "There are R0 to R10.", "Check the encoding."},
	{CodeTooManyMaps, e2Big, "too many maps", "The total number of maps per program has reached the limit of %d", "A program uses at most 64 maps.", "Put several values into one map."},
	{CodeMapProgram, eInval, "a map that programs cannot use", "bpf_struct_ops map cannot be used in prog", "The map is for user space only.", "Use another map."},
	{CodeGlobalProto, eInval, "a global function that cannot stand on its own", "Global function %s() doesn't return scalar. Only those are supported.",
		"Global functions are verified for all arguments of their prototype, so the prototype must say enough.",
		"Make it static, or let it take and return numbers and pointers to structures of known size."},
	{CodeGlobalArg, eInval, "the wrong argument for a global function", "R%d is not a scalar",
		"The function was verified for arguments of its prototype only.", "Pass what the prototype says, or make the function static."},
	{CodeBTFAccess, eAcces, "a load that the kernel's structure does not allow", "access beyond struct %s at off %u size %u",
		"A typed pointer leads to a structure of the kernel: whole pointers and numbers within it may be read, nothing else.",
		"Let CO-RE find the field: BPF_CORE_READ or a struct with preserve_access_index. Most fields are read-only."},
	{CodeAttachTarget, eInval, "nothing to attach to", "attach_btf_id %u is not a function",
		"The program's context is the arguments of its target, so the target must be one of the kernel's.",
		"Check the name in the section against the kernel's BTF."},
	{CodeSpecialField, eAcces, "a field that belongs to the kernel", "%s cannot be accessed directly by load/store",
		"Locks, timers, list heads and nodes hold addresses of the kernel; a program that could change them could change it.",
		"Use the helpers of the field, and copy or update the other fields one by one."},
	{CodeKptr, eAcces, "a kernel pointer in a map, handled otherwise than as one", "store to referenced kptr disallowed",
		"The map owns what the pointer leads to, so it must stay whole and of its type.",
		"Exchange referenced pointers by bpf_kptr_xchg and release what you get back; load them with 8 bytes."},
	{CodeLock, eInval, "a spin lock that is not handled as one", "bpf_spin_unlock without taking a lock",
		"A lock that is held twice, or not given back, stops the machine; what it protects may be touched with it only.",
		"Take one lock, do little, call nothing, and give the same lock back on every path."},
	{CodeSection, eInval, "a section that is not left as it was entered", "%s cannot be used inside %s-ed region",
		"RCU read sections and sections without preemption or interrupts must end, and nothing in them may sleep.",
		"Pair the calls on every path, and move what sleeps out of the section."},
	{CodeKfunc, eAcces, "a kernel function that this program cannot call", "calling kernel function %s is not allowed",
		"Kernel functions are open to the program types that they were made for.", "See the function's page for the types that may call it."},
	{CodeKfuncArg, eInval, "the wrong argument for a kernel function", "kernel function %s args#%d expected pointer to %s %s but R%d has a pointer to %s %s",
		"The function takes what it is given for what its prototype says.",
		"Pass a pointer of that type as it came from the kernel: trusted, or acquired by another function."},
	{CodeKfuncNull, eAcces, "a pointer that may be NULL for a kernel function", "Possibly NULL pointer passed to trusted arg%d",
		"The function follows the pointer without looking.", "Compare it with NULL before the call."},
	{CodeDynptr, eInval, "a dynptr that is not there, or one too many", "Expected an initialized dynptr as arg #%d",
		"A dynptr is made by one helper and ended by another; between, only helpers touch its 16 bytes.",
		"Initialise it on every path, and submit or discard those of ring buffers."},
	{CodeIter, eInval, "an iterator that is not there, or one too many", "expected an initialized iter_%s as arg #%d",
		"An iterator is made by new, advanced by next and ended by destroy, in this order.",
		"Use the bpf_for macros, which pair the calls."},
	{CodeGraph, eInval, "a list or tree that does not hold such nodes", "%s not found at offset=%u",
		"The declaration tag of the root says which member of which structure links its objects.",
		"Pass the root, and the node member that its __contains names."},
	{CodeException, eInval, "an exception that cannot be thrown or caught", "bpf_throw kfunc (insn %d) cannot be called from callback subprog %d",
		"bpf_throw leaves all frames of the program at once, so the kernel must not be among them; its callback is named by a tag of the program.",
		"Throw outside of callbacks, and give the program one global function of one integer as exception callback."},
}

// Explanations returns all codes with what they mean, in order. The slice is
// shared: do not change it.
func Explanations() []Explanation { return explanations }

// Explain tells what a code means, or nil for an unknown one.
func Explain(c Code) *Explanation {
	for i := range explanations {
		if explanations[i].Code == c {
			return &explanations[i]
		}
	}
	return nil
}
