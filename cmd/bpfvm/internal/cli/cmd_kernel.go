package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bpfvm/kernel"
	"bpfvm/spec"

	"github.com/spf13/cobra"
)

// kernelWords are what "kernel" can be asked for.
var kernelWords = []string{"status", "vm", "verify", "run", "dump"}

func cmdKernel() *command {
	return &command{
		name: "kernel", args: "status|vm|verify|run|dump [FILE[:PROG]]", short: "ask the real kernel: its verdict, result and machine code",
		long: "Gives programs to the Linux kernel of this machine through bpf(2), from a worker process with " +
			"a deadline, and lets go of them again. Nothing is attached unless --attach is given, and nothing pinned.\n\n" +
			"\"status\" says what is permitted here. \"verify\" prints the kernel's verdict and log (--log). " +
			"\"run\" calls the program with BPF_PROG_TEST_RUN, on packets or on a context (--ctx) as its type takes them, and " +
			"shows result, packet, context, records, maps and the kernel's statistics. With --attach it attaches the programs of the object to the events " +
			"that their sections name (kprobe, uprobe of bpfvm itself, tracepoint, raw and BTF tracepoint, perf_event, " +
			"fentry and fexit, as far as the kernel lets them), makes such events happen on a thread of its own, which " +
			"alone the programs see, detaches them and shows runs, output and maps. " +
			"\"dump\" shows the instructions as the kernel rewrote them, and its machine code with --jited.\n\n" +
			"\"vm\" boots a second kernel under qemu, whose init is bpfvm, and says what is permitted there; --vm " +
			"has the other words ask such a kernel. It wants qemu-system-x86_64 and an image (--vm=IMAGE, or " +
			"BPFVM_VM_KERNEL, or Debian's cloud kernel in /boot), and no privilege: kprobes and fentry can be " +
			"attached there whatever this machine allows.",
		examples: []example{
			{"bpfvm kernel status", "what is permitted, and which types can be test-run"},
			{"bpfvm kernel verify testdata/xdp/drop.bpf.o --log", "the verdict, and the log of the real verifier"},
			{"bpfvm kernel dump testdata/xdp/good.bpf.o --jited", "what do_jit made of it"},
		},
		exits: []int{exitNegative, exitInput, exitUnsupported, exitPrivilege}, seeAlso: []string{"verify", "diff", "run"},
		wants: argCount{1, 2}, json: true, pager: true,
		setup: setupKernel,
	}
}

// kernelFlags are the flags of kernel.
type kernelFlags struct {
	log      int
	pkts     []string
	pcap     string
	repeat   int
	jited    bool
	attach   bool
	allTasks bool
	vm       string
	noJIT    bool
	ctx      string
	unpriv   bool
	deadline time.Duration
}

func setupKernel(a *app, c *cobra.Command) func([]string) error {
	var f kernelFlags
	fs := c.Flags()
	fs.IntVar(&f.log, "log", 0, "verify: print the log at `LEVEL` 1, 2 or 4; they add up")
	fs.Lookup("log").NoOptDefVal = "1"
	fs.StringArrayVar(&f.pkts, "pkt", nil, "run: a `PACKET` in hex, in words or as a file; repeatable")
	fs.StringVar(&f.pcap, "pcap", "", "run: all packets of a capture `FILE`")
	fs.StringVar(&f.ctx, "ctx", "", "run: the context, bytes or hex digits of a `FILE`; for types that take one")
	fs.IntVar(&f.repeat, "repeat", 1, "run: `N` times on each packet; the time is the mean")
	fs.BoolVar(&f.jited, "jited", false, "dump: the machine code")
	fs.BoolVar(&f.attach, "attach", false, "run: attach the programs to the kernel's events instead, trigger them --repeat times, and detach them")
	fs.BoolVar(&f.allTasks, "all-tasks", false, "run --attach: let the programs see every thread, not bpfvm's alone")
	fs.StringVar(&f.vm, "vm", "", "ask a second kernel instead, booted by qemu from `IMAGE`, or from the newest of Debian's cloud kernels in /boot")
	fs.Lookup("vm").NoOptDefVal = vmAuto
	fs.BoolVar(&f.noJIT, "no-jit", false, "with --vm: the second kernel interprets")
	fs.BoolVar(&f.unpriv, "unprivileged", false, "verify: as a user without capabilities, where the kernel lets such users load")
	fs.DurationVar(&f.deadline, "deadline", 0, "give up on the kernel after `TIME` (1m, with --vm 5m)")
	return func(args []string) error {
		word := args[0]
		if word == "status" || word == "vm" {
			if len(args) > 1 {
				return usageErr("kernel %s takes no file, got %q", word, args[1])
			}
		} else if len(args) < 2 {
			if slices.Contains(kernelWords, word) {
				return usageErr("kernel %s: operand missing: bpfvm kernel %s FILE[:PROG]", word, word)
			}
			return usageErr("kernel %s: want one of %s%s", word, strings.Join(kernelWords, ", "), didYouMean(word, kernelWords))
		}
		if f.repeat < 1 {
			return usageErr("--repeat=%d: want at least 1", f.repeat)
		}
		k, err := a.startKernel(word, f)
		if errors.Is(err, errors.ErrUnsupported) {
			return withCode(exitPrivilege, fmt.Errorf("kernel %s: %w", word, err))
		} else if err != nil {
			return kernelErr(err)
		}
		defer k.Close()
		switch word {
		case "status", "vm":
			return kernelErr(a.kernelStatus(k))
		case "verify":
			return kernelErr(a.kernelVerify(k, args[1], f))
		case "run":
			if f.attach {
				return kernelErr(a.kernelAttach(k, args[1], f))
			}
			return kernelErr(a.kernelRun(k, args[1], f))
		case "dump":
			return kernelErr(a.kernelDump(k, args[1], f))
		}
		return usageErr("kernel %s: want one of %s%s", word, strings.Join(kernelWords, ", "), didYouMean(word, kernelWords))
	}
}

// kernelErr gives the errors of package kernel their exit codes.
func kernelErr(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*kernel.PrivilegeError](err); ok {
		return withCode(exitPrivilege, err)
	}
	if _, ok := errors.AsType[*kernel.LoadError](err); ok {
		return withCode(exitNegative, err)
	}
	return err
}

// kernelDoc is the document of "kernel". Which parts it has depends on the word.
type kernelDoc struct {
	docHead
	What     string          `json:"what"` // status, verify, run or dump
	Release  string          `json:"release"`
	Status   *kernelStatus   `json:"status,omitempty"`
	Programs []kernelProgram `json:"programs,omitempty"`

	// Of "run --attach", whose word is "attach".
	Attached []kernelAttached `json:"attached,omitempty"`
	Records  []kernelRecord   `json:"records,omitempty"`
	Trace    []string         `json:"trace,omitempty"`
	Maps     []kernelMap      `json:"maps,omitempty"`
}

// kernelStatus is what is permitted on this machine.
type kernelStatus struct {
	Arch         string       `json:"arch"`
	CPUs         int          `json:"cpus"`
	Privileged   bool         `json:"privileged"`
	Missing      []string     `json:"missing"` // capabilities
	JIT          string       `json:"jit"`
	BTF          bool         `json:"btf"`
	Kprobes      bool         `json:"kprobes"`
	Uprobes      bool         `json:"uprobes"`
	Stats        bool         `json:"run_statistics"`
	Unprivileged string       `json:"unprivileged_bpf"`
	Types        []kernelType `json:"types"`
}

// kernelType is what may be done with a program type.
type kernelType struct {
	Type    string `json:"type"`
	Loads   bool   `json:"loads"`
	Errno   string `json:"errno,omitempty"`
	TestRun string `json:"test_run,omitempty"` // what BPF_PROG_TEST_RUN takes
}

// kernelProgram is one program and what the kernel said to it.
type kernelProgram struct {
	Object   string      `json:"object"`
	Name     string      `json:"name"`
	Section  string      `json:"section"`
	Verdict  string      `json:"verdict"` // accepted, rejected, not_tried
	Errno    string      `json:"errno,omitempty"`
	Reason   string      `json:"reason,omitempty"`
	Message  string      `json:"message,omitempty"` // the log's last words
	Log      string      `json:"log,omitempty"`
	Insns    uint32      `json:"processed"`
	TookNS   int64       `json:"took_ns"`
	Tag      string      `json:"tag,omitempty"`
	JitBytes uint32      `json:"jited_bytes,omitempty"`
	Runs     []kernelRun `json:"runs,omitempty"`

	// The kernel's statistics over all runs, and what they left.
	RunCount  uint64         `json:"run_cnt,omitempty"`
	RunTimeNS int64          `json:"run_time_ns,omitempty"`
	Records   []kernelRecord `json:"records,omitempty"`
	Maps      []kernelMap    `json:"maps,omitempty"`

	Xlated []string `json:"xlated,omitempty"`
	Jited  []x86Row `json:"jited,omitempty"`
}

// kernelRun is one test run.
type kernelRun struct {
	R0     uint32 `json:"r0"`
	Ret    string `json:"ret,omitempty"`
	Errno  string `json:"errno,omitempty"`
	TimeNS int64  `json:"time_ns"`
	Before string `json:"before"`
	After  string `json:"after,omitempty"` // where the packet changed
	Ctx    string `json:"ctx,omitempty"`   // as the program left it
}

func (a *app) kernelStatus(k *kernel.Kernel) error {
	st, err := k.Status(a.ctx)
	if err != nil {
		return err
	}
	doc := &kernelStatus{
		Arch: st.Arch, CPUs: st.CPUs, Privileged: st.Privileged, Missing: append([]string{}, st.Missing...), JIT: st.JIT, BTF: st.BTF,
		Kprobes: st.Kprobes, Uprobes: st.Uprobes, Stats: st.RunStats, Unprivileged: st.Unprivileged, Types: []kernelType{},
	}
	for _, ty := range st.Types {
		row := kernelType{Type: ty.Type.String(), Loads: ty.Load == 0, TestRun: ty.TestRun}
		if ty.Load != 0 {
			row.Errno = ty.Load.Error()
		}
		doc.Types = append(doc.Types, row)
	}
	if a.jsonWanted() {
		a.writeJSON(kernelDoc{docHead: head("kernel"), What: "status", Release: st.Release, Status: doc})
		return nil
	}
	yes := map[bool]string{true: "yes", false: "no"}
	for _, row := range [][2]string{
		{"kernel", "Linux " + st.Release + " " + st.Arch}, {"privilege", privilegeText(st)},
		{"JIT", st.JIT}, {"BTF", yes[st.BTF]}, {"kprobes", yes[st.Kprobes]}, {"uprobes", yes[st.Uprobes]},
		{"statistics", map[bool]string{true: "on", false: "off"}[st.RunStats]}, {"unprivileged", st.Unprivileged},
	} {
		fmt.Fprintf(a.out, "%-13s %s\n", row[0], row[1])
	}
	fmt.Fprintln(a.out)
	t := newTable("PROGRAM TYPE", "LOADS", "TEST RUN")
	t.paint(0, a.style.name)
	for _, ty := range doc.Types {
		loads := "yes"
		if !ty.Loads {
			loads = "no: " + ty.Errno
		}
		t.add(ty.Type, loads, ty.TestRun)
	}
	t.write(a.out, a, "")
	a.next = "bpfvm kernel verify FILE"
	return nil
}

func privilegeText(st *kernel.Status) string {
	if st.Privileged {
		return "yes"
	}
	return "missing " + strings.Join(st.Missing, ", ")
}

// kernelPrograms runs ask on each program that arg names.
func (a *app) kernelPrograms(k *kernel.Kernel, what, arg string, ask func(*object, *spec.ProgramSpec) (kernelProgram, error)) error {
	t := splitTarget(arg)
	doc := kernelDoc{docHead: head("kernel"), What: what, Programs: []kernelProgram{}}
	if st, err := k.Status(a.ctx); err == nil {
		doc.Release = st.Release
	}
	var refused []refusal
	err := a.eachObject(t.path, &refused, func(o *object) error {
		progs, err := o.programs(t.prog)
		if err != nil {
			return err
		}
		for _, p := range progs {
			kp, err := ask(o, p)
			if err != nil {
				return err
			}
			kp.Object, kp.Name, kp.Section = display(o.path), p.Name, p.Section
			doc.Programs = append(doc.Programs, kp)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if a.jsonWanted() {
		a.writeJSON(doc)
	}
	worst := exitOK
	for _, p := range doc.Programs {
		if !a.jsonWanted() {
			a.writeKernelProgram(p)
		}
		switch p.Verdict {
		case "rejected":
			worst = exitNegative
		case "not_tried":
			if worst == exitOK {
				worst = exitUnsupported
			}
		}
	}
	if worst != exitOK {
		return withCode(worst, errAnswered)
	}
	return nil
}

// said turns the result of a load into a row.
func said(r *kernel.LoadResult, withLog bool) kernelProgram {
	p := kernelProgram{Verdict: strings.ReplaceAll(r.Verdict.String(), " ", "_"), Reason: r.Reason, TookNS: r.Took.Nanoseconds(), Insns: uint32(r.Stats.Processed)}
	if r.Errno != 0 {
		p.Errno = r.Errno.Error()
	}
	if r.Verdict == kernel.Rejected {
		p.Message = lastWords(r.Log)
	}
	if withLog {
		p.Log = r.Log
	}
	if r.Prog != nil {
		p.Tag, p.JitBytes, p.Insns = r.Prog.Tag, r.Prog.JitedLen, r.Prog.VerifiedInsns
	}
	return p
}

// lastWords returns the reason in a log: the lines after the last instruction,
// without the statistics.
func lastWords(log string) string {
	var out []string
	for line := range strings.Lines(log) {
		line = strings.TrimRight(line, "\n")
		first := strings.TrimLeft(line, "0123456789")
		switch {
		case first != line && strings.HasPrefix(first, ":"), strings.HasPrefix(line, "; "), strings.HasPrefix(line, "from "):
			out = out[:0]
		case strings.HasPrefix(line, "processed "), strings.HasPrefix(line, "verification time"), strings.HasPrefix(line, "stack depth"), line == "":
		default:
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

func (a *app) kernelVerify(k *kernel.Kernel, arg string, f kernelFlags) error {
	return a.kernelPrograms(k, "verify", arg, func(o *object, p *spec.ProgramSpec) (kernelProgram, error) {
		level := kernel.LogInsns | kernel.LogStats
		if f.log != 0 {
			level = kernel.LogLevel(f.log)
		}
		r, err := k.Load(a.ctx, kernel.Job{Spec: o.coll, Program: p.Name, Log: level, Unprivileged: f.unpriv})
		if err != nil {
			return kernelProgram{}, err
		}
		return said(r, f.log != 0), nil
	})
}
