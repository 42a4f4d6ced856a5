// Package kernel asks the real kernel: it gives a program to bpf(2), reads back
// what the kernel's verifier and JIT made of it, and runs it on inputs.
//
// # The worker
//
// The kernel is asked by another process, the worker, which is this program
// started once more. There are three reasons. A program can make the kernel fail:
// the loading thread then dies inside the system call, and a Go process that lost
// a thread hangs. A program may take seconds to verify, and killing the process is
// the one way to stop that. And all that a program, a map or a BTF object needs to
// disappear is that its last descriptor is closed, which the end of a process does
// however it comes about.
//
//	our process                         worker
//	Kernel.Load(job)    --- job --->    BPF_BTF_LOAD, BPF_MAP_CREATE, BPF_PROG_LOAD
//	                    <-- result --   log, images, lines; everything closed
//
// So a program that imports this package calls WorkerMain first thing in main,
// and in TestMain. It returns at once, except in a worker.
//
// The worker takes one whole job at a time. A job that is not done at its deadline,
// or whose thread the kernel has killed, ends the worker; the caller gets a
// *WorkerError and the next job a new worker. The worker ends when its pipe is
// closed or its parent dies.
//
// # What it does to the machine
//
// A job loads, runs, reads back and closes. Nothing is pinned and no setting is
// changed. Only [Kernel.Attach] attaches: to events that the worker then makes itself,
// with programs that leave at once for every other thread, and never to interfaces,
// cgroups or sockets; what is attached ends with the job, however that comes about. Where the system allows, the worker is in a network
// namespace of its own with nothing in it but a loopback device that is down, so
// that a packet which a program sends goes nowhere.
//
// # A second kernel
//
// [Options.VM] has the worker run as init of another kernel, which qemu boots by
// software emulation (Linux on x86-64 only, where qemu and an image are). It takes
// the same jobs.
//
// # Verdicts
//
// Accepted and Rejected are the kernel's. NotTried means that the kernel had no
// chance to judge: a security policy refused the system call before the verifier
// ran, a map could not be made, the target of the program does not exist. Missing
// privilege is not a verdict but a *PrivilegeError.
//
// Linux only. Elsewhere Start gives an error that wraps errors.ErrUnsupported.
package kernel
