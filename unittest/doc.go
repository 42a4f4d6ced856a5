// Package unittest runs unit tests of eBPF programs: no root, no kernel, no clang.
//
// A test file is one txtar archive (golang.org/x/tools/txtar): statements first,
// then the files that they name. This one is complete:
//
//	# ARP is dropped, everything else passes.
//	object drop.s
//	engine step interp
//
//	verify accepted
//
//	case arp is dropped
//	xdp packet="eth/arp"
//	expect r0 == XDP_DROP
//
//	case ip passes, and nobody touches it
//	xdp packet="eth/ipv4/udp(dport=53)"
//	expect r0 == XDP_PASS ; expect packet unchanged
//
//	-- drop.s --
//	.program drop xdp
//	    r2 = *(u32 *)(r1 +0)
//	    r3 = *(u32 *)(r1 +4)
//	    r0 = 2
//	    r4 = r2
//	    r4 += 14
//	    if r4 > r3 goto out
//	    r5 = *(u16 *)(r2 +12)
//	    if r5 != 0x608 goto out
//	    r0 = 1
//	out:
//	    exit
//
// # Statements
//
//	object FILE              an object file, or assembly when it ends in .s
//	program NAME ..          the programs of it to test; without it, all
//	engine NAME ..           what runs them, each case on each: step, interp, jit;
//	                         without it, step and interp
//	case NAME                a case begins; it ends where the next one begins
//	skip REASON              the case is not run, and its result says why
//	maps FILE                elements of maps in JSON, as "bpfvm run --map" reads them
//	events FILE              an event script that happens before the case's own lines
//	verify accepted          what the verifier must say of each program;
//	verify rejected [V012] ["REGEXP"]
//	                         the code, and what the kernel's message must contain
//	golden trace FILE        the lines of trace_pipe, without their left half
//	golden maps FILE         all that is in the maps at the end, in JSON
//	golden runs FILE         one line for each run
//
// Every other line is a line of an event script (package scenario, "bpfvm help
// events"): events, packets, mocks, tasks, memory, map elements, clock, and "expect"
// with everything that it can ask of r0, packets, maps, traces and traps. What
// stands before the first case belongs to all of them. A file without a case is one
// case with the file's name.
//
// FILE is one of the archive or else a path relative to the test file. Every case
// starts from nothing: fresh maps, the clock at its start, the same random numbers.
//
// A trap fails a case unless one of its lines says "expect trap"; so does a case in
// which nothing is expected.
//
// # From Go
//
//	func TestPrograms(t *testing.T) { unittest.Run(t, os.DirFS("testdata")) }
//
// runs every .txtar below testdata that has an "object" statement, each case as a
// subtest.
package unittest
