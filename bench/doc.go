// Package bench measures how fast the engines run programs: nanoseconds a run and
// an instruction, side by side with the kernel's JIT on the same machine.
//
// All engines of a call take turns: one sample of each, then the next of each, so
// that a machine that slows down for a moment slows all of them down. The kernel's
// samples come in groups of five, because its verifier works anew for each group. A
// sample is many runs in a row; its figure is their mean, and what is reported is the
// median of the samples with the smallest and the largest.
//
// A run is what the kernel's own figure of BPF_PROG_TEST_RUN counts: the call of
// bpf_func(ctx, insnsi) with the context and the packet in place. They are laid out
// once; a program that changes its packet finds it changed in the next run, in the
// kernel as here.
//
// [Measure] also compares r0 of the first run: figures of engines that do not agree
// are worth nothing. An engine that cannot run a program is named with the reason.
package bench
