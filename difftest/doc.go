// Package difftest runs the same program on several engines and says where they
// part.
//
// # What is compared
//
// A [Case] is a collection of programs with what happens to them: an event script
// or packets. An [Engine] runs a case and gives an [Outcome]: for each run the
// return value, the packet and the context afterwards, the trap, the number of
// instructions, what was printed and sent, a digest of all memory that outlives
// the run; at the end the maps. [Compare] lists the differences of two outcomes,
// as far as both engines can know: the kernel tells the lower half of R0 only, and
// counts no instructions. What may differ from the kernel's result for a good
// reason (time, random numbers, addresses) is named, and not counted.
//
//	Case --- step   ---> Outcome ---+
//	     --- interp ---> Outcome ---+--> Compare --> Locate --> Shrink --> Save
//	     --- jit    ---> Outcome ---+    differences  first     fewer     a txtar
//	     --- kernel ---> Outcome ---+                 step      slots     to replay
//
// The step loop is the reference. It checks more than the others: where it traps
// and they do not, because only it knows that a register was never written or that
// a pointer left its object, nothing is wrong, and [Outcome.Strict] says so.
//
// # The first differing step
//
// [Locate] stops both engines after the same number of instructions, by their
// budget, and compares registers, frames, maps and packets there; the first number
// at which they differ names the instruction before it.
//
// # Runs and proofs
//
// [CheckSound] holds a run on the step loop against what our verifier has proven of
// the program: before each instruction the registers and stack slots must be within
// its closed states, which hold in every run ([bpfvm/verifier.Facts] says why the
// states of its log do not). [Campaign.Sound] does so for every case. What leaves
// them is a mismatch between the engines "verifier" and "step".
//
// # Generated programs
//
// [Generate] writes a random program for a seed: arithmetic, jumps, bounded loops,
// calls, stack, packet, context, maps and atomics. It is made so that the kernel's
// verifier takes it: every register has a value, every access stays inside. At the
// end all registers go into a map value and a hash of them and of the stack into
// R0, so that a wrong bit anywhere shows.
//
// Callbacks, queues of records and helpers that give the same on every machine are
// among it. [Mutate] makes programs of another kind: real ones with a few slips.
//
// # Shrinking
//
// [Shrink] leaves out instructions as long as the engines still differ, with jumps
// kept right, and then makes constants small. [Save] writes what is left as a txtar
// of assembly and event script, which [Open] reads back.
//
// # Verdicts
//
// [CompareVerdicts] gives programs to our verifier and to the kernel's and puts each
// into a class: both accept, same message, another message, and so on.
package difftest
