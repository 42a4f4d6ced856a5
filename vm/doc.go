// Package vm is the contract between everything that runs BPF and everything
// that is run: the memory that a program sees, the machine state that a run
// owns, the code that an engine compiles, and how a run ends.
//
// # Memory
//
// All that a program may touch lives in one [Memory]: an arena whose addresses
// are 32-bit offsets, handed out from 64 KiB upwards in the order of loading.
//
//	0        64 KiB                                           limit     cap
//	+--------+-------+-+-----+-+------------+-+---------------+---------+
//	| never  | stack |g| ctx |g| packet     |g| map values .. | not yet |
//	| valid  |       | |     | |            | |               |         |
//	+--------+-------+-+-----+-+------------+-+---------------+---------+
//	                  ^ guard bytes: no permission
//
// Each byte has a permission ([Perm]), so an access is checked by looking at
// its first and its last byte: regions are at least one guard gap apart, and no
// access is wider than that gap. Addresses are the same on every host, in every
// engine and in every run, which makes pointers printable ([Memory.Symbolize])
// and runs comparable.
//
// What is not in the arena (kernel and user addresses of the scenario) is
// [Foreign] memory: a sparse table that only the probe_read helpers reach.
//
// # Running
//
// [Prepare] is how every engine begins: it refuses code that cannot run and finds
// the functions of what can, so that engines differ in how they run code, never in
// what they take.
//
// An [Engine] compiles a [Code] into a [Runner]; the runner is called with the
// context's address, like the kernel's bpf_func(ctx, insnsi), on a [Machine]
// that holds the state of this one run: CPU, budget, stack, packet window. It
// returns an [Exit], or a [Trap] that says which instruction did what to which
// object.
//
// Only this package maps arena memory and only this package and the JIT use
// unsafe.
package vm
