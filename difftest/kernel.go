package difftest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/kernel"
	"bpfvm/scenario"
	"bpfvm/spec"
)

// Kernel is the running kernel as an engine: programs are loaded through bpf(2) and
// run by BPF_PROG_TEST_RUN. It can run cases with one program of a type that takes
// packets, or of type raw tracepoint, and gives the lower half of R0, the packet,
// records and maps.
type Kernel struct {
	k    *kernel.Kernel
	name string
}

// StartKernel starts a worker process that talks to the kernel. The error is a
// *kernel.PrivilegeError or wraps errors.ErrUnsupported where that cannot be.
func StartKernel(ctx context.Context) (*Kernel, error) {
	k, err := kernel.Start(ctx, kernel.Options{Deadline: 30 * time.Second})
	if err != nil {
		return nil, err
	}
	return &Kernel{k, "kernel"}, nil
}

// Engines that are a second kernel: with its JIT, and without, which makes it
// interpret.
const (
	KernelVM     = "kernel-vm"
	KernelInterp = "kernel-interp"
)

// StartVM boots a second kernel as the engine of that name. The error wraps
// errors.ErrUnsupported where what it needs is not there.
func StartVM(ctx context.Context, name string, vm *kernel.VM) (*Kernel, error) {
	v := *vm
	v.JITOff = name == KernelInterp
	k, err := kernel.Start(ctx, kernel.Options{VM: &v})
	if err != nil {
		return nil, err
	}
	return &Kernel{k, name}, nil
}

// Close ends the worker.
func (k *Kernel) Close() error { return k.k.Close() }

// Name returns "kernel", or the name of a second one.
func (k *Kernel) Name() string { return k.name }

// judges reports whether the kernel's verifier is the version that ours follows.
func (k *Kernel) judges() bool { return strings.HasPrefix(k.k.Release(), "6.18.") }

// Refused says that the kernel could not be compared on a case. It wraps
// errors.ErrUnsupported.
type Refused struct {
	Reason string // the same for all cases of a kind
	Detail string // the kernel's words
	// Rejected says that the kernel's verifier has judged, and refused, the program.
	Rejected bool
}

func (e *Refused) Error() string {
	if e.Detail == "" {
		return e.Reason
	}
	return e.Reason + ": " + e.Detail
}

func (e *Refused) Unwrap() error { return errors.ErrUnsupported }

// SkipReason is what skips are counted by.
func (e *Refused) SkipReason() string { return e.Reason }

// Lost says that a case took the worker with it: the kernel hangs on the program, or
// failed itself. That is no statement about the program, and worth keeping.
type Lost struct{ Worker *kernel.WorkerError }

func (e *Lost) Error() string { return e.Worker.Error() }

func (e *Lost) Unwrap() error { return e.Worker }

// SkipReason is what skips are counted by.
func (e *Lost) SkipReason() string { return "kernel worker lost: " + e.Worker.Err.Error() }

// Run runs a case. What the programs are given, packets and map contents, is taken
// from a run on the step loop.
func (k *Kernel) Run(ctx context.Context, c *Case) (*Outcome, error) {
	p, in, err := inputsFor(ctx, c)
	if err != nil {
		return nil, err
	}
	job := kernel.Job{Spec: c.Spec, Program: p.Name, Contents: in.maps, Log: kernel.LogStats}
	res, err := k.k.Run(ctx, job, in.inputs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, runError(err))
	}
	out := &Outcome{Engine: k.name, Expected: append(dependsOnMachine(p), k.dependsOnVersion(p)...)}
	for i, r := range res.Runs {
		if r.Errno != 0 {
			return nil, &Refused{Reason: "BPF_PROG_TEST_RUN refuses the input: " + r.Errno.Error()}
		}
		run := Run{Program: p.Name, Event: in.events[i], R0: uint64(r.R0)}
		if r.Data != nil {
			run.Packet = r.Data[min(in.strip, len(r.Data)):]
		}
		for _, rec := range r.Records {
			run.Records = append(run.Records, Record{Map: rec.Map, Data: rec.Data})
		}
		out.Runs = append(out.Runs, run)
	}
	for _, m := range res.Maps {
		if m.Errno == 0 && !m.Truncated {
			out.Maps = append(out.Maps, kernelMap(m, in.after))
		}
	}
	return out, nil
}

// inputsFor returns the program of a case and what it is to be given. The error is a
// *Refused where the kernel cannot run the case.
func inputsFor(ctx context.Context, c *Case) (*spec.ProgramSpec, *kernelInputs, error) {
	p, err := c.program()
	if err != nil {
		return nil, nil, &Refused{Reason: "the kernel runs one program by itself, not a collection on events"}
	}
	if err := canTestRun(c, p); err != nil {
		return nil, nil, err
	}
	in, err := inputsOf(ctx, c, p)
	return p, in, err
}

// runError makes a refusal of the load a reason to be counted.
func runError(err error) error {
	if e, ok := errors.AsType[*kernel.LoadError](err); ok {
		switch e.Result.Verdict {
		case kernel.Rejected:
			if msg := e.Result.Message(); verifierBug(msg) {
				return &Refused{Reason: "the kernel's verifier reports a bug of its own", Detail: msg}
			}
			return &Refused{"rejected by the kernel: " + e.Result.Errno.Error(), e.Result.Message(), e.Result.Verified}
		default:
			return &Refused{Reason: "not tried by the kernel", Detail: e.Result.Reason}
		}
	}
	if e, ok := errors.AsType[*kernel.WorkerError](err); ok {
		return &Lost{e}
	}
	return err
}

// canTestRun says why a case cannot be given to the kernel.
func canTestRun(c *Case, p *spec.ProgramSpec) error {
	if _, err := kernel.TestRun(p.Type, p.Attach); err != nil {
		return &Refused{Reason: err.Error()}
	}
	if hookOf(p.Type) == "" && p.Type != spec.ProgRawTracepoint {
		return &Refused{Reason: "inputs of " + p.Type.String() + " programs cannot be handed to the kernel"}
	}
	if c.Script == nil {
		return nil
	}
	for _, st := range c.Script.Stmts {
		switch st := st.(type) {
		case *scenario.Mock:
			return &Refused{Reason: "the kernel has no mocks: " + st.Helper}
		case *scenario.Event:
			for _, a := range st.Args {
				if hookOf(p.Type) != "" && !slices.Contains([]string{"packet", "hex", "file", "pcap", "frame"}, a.Name) {
					return &Refused{Reason: "the event sets " + a.Name + " of the context"}
				}
			}
		}
	}
	return nil
}

// kernelInputs is a case as the kernel takes it.
type kernelInputs struct {
	inputs []kernel.Input
	events []string
	maps   map[string][]spec.MapKV
	strip  int // bytes that the kernel takes off the front of a packet
	after  scenario.Snapshot
	result *scenario.Result // of the step loop
}

// inputsOf lets a case happen to the step loop and notes what the program was given.
func inputsOf(ctx context.Context, c *Case, p *spec.ProgramSpec) (*kernelInputs, error) {
	o := c.Runtime
	o.Engine = interp.Step
	l, err := c.load(o)
	if err != nil {
		return nil, err
	}
	defer l.rt.Close()
	in := &kernelInputs{maps: map[string][]spec.MapKV{}}
	if p.Type == spec.ProgSocketFilter {
		in.strip = ethBytes // net/bpf/test_run.c: bpf_prog_test_run_skb, is_l2
	}
	l.opts.KeepRuns = true
	l.opts.OnRun = func(r *scenario.ProgRun) error {
		in.events = append(in.events, r.Event)
		if r.Packet == nil {
			in.inputs = append(in.inputs, kernel.Input{Ctx: r.Raw.Ctx[:min(len(r.Raw.Ctx), maxRawArgs)]})
			return nil
		}
		pkt := r.Packet.Before
		if in.strip > 0 {
			head := append(make([]byte, 12), 0x88, 0xb5)
			if len(pkt) >= ethBytes {
				head = slices.Clone(pkt[:ethBytes])
			}
			pkt = append(head, pkt...)
		}
		in.inputs = append(in.inputs, kernel.Input{Data: pkt})
		return nil
	}
	res, err := scenario.Run(ctx, l.opts)
	if err != nil {
		return nil, err
	}
	for _, m := range res.Before {
		if !scenario.HoldsData(m.Spec.Type) {
			continue
		}
		var kvs []spec.MapKV
		for _, e := range m.Elems {
			kvs = append(kvs, spec.MapKV{Key: e.Key, Value: e.Value[:min(len(e.Value), int(m.Spec.ValueSize))]})
		}
		if len(kvs) > 0 {
			in.maps[m.Spec.Name] = kvs
		}
	}
	in.after, in.result = res.Maps, res
	return in, nil
}

// maxRawArgs is how much context BPF_PROG_TEST_RUN takes for a raw tracepoint in
// bytes: twelve arguments (kernel/trace/bpf_trace.c: MAX_BPF_FUNC_ARGS
// numbers, checked in net/bpf/test_run.c: bpf_prog_test_run_raw_tp).
const maxRawArgs = 96

// kernelMap is a map of the kernel's in the form of ours. Of the values of a per-CPU
// map it takes the one that ours has, if any CPU has it: we play one CPU, and the
// kernel ran on one of several.
func kernelMap(m kernel.MapDump, ours scenario.Snapshot) MapState {
	s := MapState{Spec: m.Spec}
	own := ours.Map(m.Name)
	array := m.Spec.Type == spec.MapArray || m.Spec.Type == spec.MapPerCPUArray
	for _, e := range m.Entries {
		v := slices.Concat(e.Values...)
		if m.Spec.Type.PerCPU() && len(e.Values) > 0 {
			v = padded(e.Values[0])
			if own != nil {
				for _, o := range own.Elems {
					if bytes.Equal(o.Key, e.Key) && slices.ContainsFunc(e.Values, func(k []byte) bool { return bytes.Equal(padded(k), o.Value) }) {
						v = o.Value
					}
				}
			}
		}
		if array && !slices.ContainsFunc(v, func(b byte) bool { return b != 0 }) {
			continue
		}
		s.Elems = append(s.Elems, scenario.Elem{Key: e.Key, Value: v})
	}
	return s
}

// padded is a value of a per-CPU map with its padding to 8 bytes.
func padded(v []byte) []byte { return append(slices.Clone(v), make([]byte, -len(v)&7)...) }

// machineHelpers are beginnings of the names of helpers whose results depend on the
// machine, the moment or the process.
var machineHelpers = []string{
	"bpf_ktime_get", "bpf_jiffies", "bpf_get_prandom", "bpf_get_smp_processor", "bpf_get_numa", "bpf_get_current",
	"bpf_get_stack", "bpf_get_func_ip", "bpf_get_ns_", "bpf_probe_", "bpf_get_cgroup", "bpf_get_netns", "bpf_get_socket",
	"bpf_perf_", "bpf_read_branch", "bpf_fib_lookup", "bpf_sk_lookup", "bpf_skc_lookup", "bpf_skb_cgroup", "bpf_get_hash",
	"bpf_get_route", "bpf_redirect", "bpf_clone_redirect", "bpf_this_cpu", "bpf_per_cpu", "bpf_snprintf",
}

// changed are helpers that give something else before a version of Linux.
var changed = map[string][2]int{
	"bpf_csum_diff": {6, 13}, // it gives 32 bits that are not folded (net/core/filter.c)
}

// dependsOnVersion names the helpers of a program that give something else on the
// kernel than on the one that ours follow.
func (k *Kernel) dependsOnVersion(p *spec.ProgramSpec) []string {
	var major, minor int
	fmt.Sscanf(k.k.Release(), "%d.%d", &major, &minor)
	var out []string
	for _, ins := range p.Insns.All() {
		if ins.Op != isa.OpCall || !ins.IsHelperCall() {
			continue
		}
		name := spec.HelperName(ins.Imm)
		if v, ok := changed[name]; ok && (major < v[0] || major == v[0] && minor < v[1]) {
			if why := fmt.Sprintf("%s, which was another before %d.%d", name, v[0], v[1]); !slices.Contains(out, why) {
				out = append(out, why)
			}
		}
	}
	return out
}

// dependsOnMachine names the helpers of a program whose results cannot be the same
// as the kernel's.
func dependsOnMachine(p *spec.ProgramSpec) []string {
	var out []string
	for _, r := range p.Refs {
		if linked := "links of lists and trees, which are addresses"; r.Kind == spec.RefKfunc &&
			(strings.HasPrefix(r.Name, "bpf_list_") || strings.HasPrefix(r.Name, "bpf_rbtree_")) && !slices.Contains(out, linked) {
			out = append(out, linked)
		}
		if r.Kind == spec.RefKfunc && r.Weak {
			out = append(out, r.Name+", which only the kernel has")
		}
	}
	for _, ins := range p.Insns.All() {
		if ins.Op == isa.OpMayGoto && !slices.Contains(out, "may_goto") {
			out = append(out, "may_goto") // the kernel's looks at the clock
		}
		if ins.Op != isa.OpCall || !ins.IsHelperCall() {
			continue
		}
		name := spec.HelperName(ins.Imm)
		if name == "bpf_perf_event_output" || slices.Contains(out, name) {
			continue
		}
		if slices.ContainsFunc(machineHelpers, func(h string) bool { return strings.HasPrefix(name, h) }) {
			out = append(out, name)
		}
	}
	return out
}
