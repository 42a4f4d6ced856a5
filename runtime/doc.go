// Package runtime is a small kernel: it loads the programs and maps of an object,
// attaches them to hooks, and runs them on an engine when something happens.
//
// # The life of a program
//
// [New] makes a kernel without programs: memory, CPUs, a clock that stands still
// and a generator of random numbers with a known seed.
//
// [Runtime.Load] takes what package elf read. It creates the maps, with the
// kernel's checks, and stores their initial contents; it looks at every call and
// reference of the programs and refuses, by name and all at once, what does not
// exist here; and it links the programs: an LDDW of a map gets the address of the
// map's handle, one of a global variable the address of the variable. What comes
// out is the kernel's insnsi ([Program.Insns]), with R1 to be the context.
//
// [Runtime.Attach] puts a program on a hook, [Runtime.Fire] lets something happen
// there: the run array of the hook is walked as trace_call_bpf does, each program
// is compiled by the engine when it runs first ([Program.Func], bpf_func), gets its
// context laid out in the arena, runs, and gives a [Result]. [Program.Run] does
// that for one program that is not attached, as BPF_PROG_TEST_RUN does.
//
//	elf.Load -> spec.CollectionSpec -> Runtime.Load -> Collection{Program, Map}
//	                                                     | Attach
//	event -> Runtime.Fire -> run array -> bpf_func(ctx, insnsi) -> Result
//	                                         | helpers
//	                      maps, clock, task, random numbers, trace, records
//
// # What there is
//
// Map types: [MapTypes] lists them. Program types: all but struct_ops and freplace
// (ext) programs, each with the context that its hook gives ([ProgTypes]). Helpers:
// [Helpers] lists them, and [Kfuncs] kernel functions. Everything else is refused
// with an [UnsupportedError].
//
// # Who checks what
//
// What the kernel reports to the program is a negative number in R0. What no
// verified program can do, a bad pointer or a map of the wrong type, ends the run
// with a trap that names the helper and the argument's place.
//
// # Where it differs from Linux
//
//   - Hash maps are not seeded at random: keys come in the order that the kernel
//     has with BPF_F_ZERO_SEED. Elements are allocated when they are needed, so a
//     map that the kernel refuses for lack of memory may be created here, and an
//     update may give ENOMEM where the arena is full.
//   - Where user space passes file descriptors and reads ids, both are numbers here:
//     of programs and maps ([Program.ID], [Map.ID]), pids, cookies of sockets, ids of
//     cgroups. Only tasks, sockets and cgroups have numbers as owners of storage.
//   - Values of local storage and of cgroup storage stay when their object goes, and an
//     element that is deleted keeps the reference of a pointer in it.
//   - Bloom filters are not seeded at random either.
//   - LRU maps drop exactly the element that was used least recently, and only to
//     add another. The kernel approximates that, drops several at once, and may do
//     so before the map is full.
//   - User space is there already: perf event arrays have an open event for each
//     CPU, and records are read after each run (Options.KeepRecords).
//   - Socket buffers lie in one piece and carry no checksum of the network card.
//     Links, routes, neighbours, sockets and cgroups are those of [World]; what
//     helpers send, redirect or set is told in the [Result] and goes nowhere.
//   - Timers run right after a program or before the next event, at the time that
//     they were due; the hash of a packet's flow is that of its addresses alone.
//   - Lists and trees of objects are kept beside the program's memory, whose heads
//     and nodes stay zero; programs with an exception callback are refused.
//   - %p prints the address, not a hash of it; symbols print as addresses.
//   - Calls nest at most 8 deep also where subprograms end in tail calls; Linux bounds
//     only the number of tail calls there.
//   - Kernel structures that nobody has laid out are zeros, one for each type.
//   - run_time_ns counts one nanosecond for each instruction.
//   - The arena plays the kernel's memory: bpf_probe_read_kernel reads the
//     program's own stack and maps.
//
// # Stepping
//
// [Program.Begin] prepares a run that a debugger drives; [Session.End] collects its
// result.
//
// # Determinism
//
// The same calls give the same results, byte for byte, on every host: no host
// clock, no host randomness, fixed addresses, a fixed order of map keys, and one
// run at a time.
package runtime
