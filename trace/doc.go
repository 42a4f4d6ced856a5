// Package trace holds a run as data: everything that came from outside, and so
// everything that is needed to let the same run happen again.
//
// A run of bpfvm is a function of its inputs: the object file, the event script and
// packets, the maps' contents, the seed, the number of CPUs. Nothing looks at the
// host. [Inputs] is that list. A [Trace] is made of it by [New] and can be played any
// number of times: [Trace.Play] loads the programs into a fresh runtime, on an
// engine that the caller brings, and lets the events happen. A debugger that wants
// to go back plays the trace again and stops earlier; it numbers the steps of the
// whole trace from 0, and a step's number means the same in every playback.
//
// # File form
//
// [Trace.Format] writes a txtar archive (golang.org/x/tools/txtar), [Parse] reads
// it. The comment in front holds one setting a line, the files the inputs; what is
// not text is in base64:
//
//	bpfvm trace 1
//	program xdp_main
//	seed 7
//	-- object/firewall.bpf.o.base64 --
//	f0VMRgIBAQAAAAAAAAAAAAEA9wABAAAA...
//	-- script/firewall.events --
//	at 1ms xdp packet="eth/ipv4/tcp(dport=80)"
//	-- packets.pcap.base64 --
//	-- map/blocked.json --
//	-- file/frame.bin.base64 --
//	-- target.btf.base64 --
//
// The same inputs give the same bytes.
//
// # Checkpoints
//
// There are none yet: a playback starts at the beginning, and whole runs of programs
// that nobody looks at can be played by a fast engine, since both engines of
// package interp leave the same state behind. What a checkpoint needs is in one place:
// between two events, a playback's state is the [World] (the arena's pages, the
// clock, the random numbers, tasks and map tables of its runtime) and the number of
// events that have happened. A checkpoint will be a copy of it that shares unchanged
// pages with the one before, handed to the [Player] of a later playback to start from;
// step numbers, Inputs and the file's other parts stay as they are.
package trace
