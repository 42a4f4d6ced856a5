package runtime

import (
	"errors"
	"fmt"
	"net/netip"

	"bpfvm/spec"
	"bpfvm/vm"
)

// Input is what a hook gives to a program: [XDP], [SKB], [Kprobe], [Tracepoint],
// [RawTracepoint], [Tracing], [Iter], [PerfEvent], [Context], [Netfilter] or
// [Syscall]. The zero CPU field is CPU 0.
type Input interface {
	// accepts says whether programs of the type run on it.
	accepts(t spec.ProgType) bool
	// on is the virtual CPU.
	on() int
	// setup lays the context out in the arena and returns it.
	setup(e *Env, p *Program) (*vm.Region, error)
	// finish takes what the program left behind into the result.
	finish(e *Env, res *Result)
}

// Result is what one run of one program did.
type Result struct {
	Prog  *Program
	R0    uint64
	Insns uint64   // instructions executed
	Trap  *vm.Trap // why the run ended early; nil when the program exited

	Packet   []byte     // of packet hooks: the packet as the program left it
	Meta     []byte     // XDP: the metadata before the packet, when there is some
	Ctx      []byte     // the context as the program left it
	Redirect *Redirect  // what bpf_redirect asked for, when R0 says to do it
	Clones   []Clone    // what bpf_clone_redirect sent
	Assigned *Socket    // what bpf_sk_assign gave the packet to
	Timers   []TimerRun // of timers that were due before the program ran, or after
	Signals  []Signal   // what bpf_send_signal sent
	Sockopts []SetSockopt
	Bound    netip.AddrPort // what bpf_bind chose; invalid when nothing

	Changed []FieldChange // of a Context: the fields that the program changed
	Output  []byte        // iterators: the text in the seq_file; flow dissectors: struct bpf_flow_keys; raw_tracepoint.w: the buffer; sysctl: the value set; lirc_mode2: what was reported
	Retval  int64         // cgroup hooks: what bpf_set_retval left

	Trace   []TraceLine // what bpf_trace_printk wrote
	Records []Record    // what was sent to user space; see Options.KeepRecords
}

// Redirect is the target that a helper of the redirect family chose.
type Redirect struct {
	// IfIndex is the interface; 0 when Map chose.
	IfIndex uint32
	Flags   uint64
	// Kind is the helper: "" for bpf_redirect, "peer" (the interface's peer in
	// another network namespace), "neigh" (the kernel writes the link-layer
	// addresses), "map".
	Kind string
	// NextHop is the address that bpf_redirect_neigh was given; invalid without one.
	NextHop netip.Addr
	// Map and Key are the place in the map that bpf_redirect_map was given.
	Map string
	Key uint64
}

// Clone is a copy of the packet that bpf_clone_redirect sent.
type Clone struct {
	Redirect
	Packet []byte
}

// Run runs the program once. The error says that it could not start; what went
// wrong in the program is Result.Trap.
func (p *Program) Run(in Input) (Result, error) {
	p.rt.mu.Lock()
	defer p.rt.mu.Unlock()
	return p.run(in, 0, 0)
}

// run runs the program; cookie is that of the attachment, retval what the programs
// before it at a cgroup hook have left.
func (p *Program) run(in Input, cookie uint64, retval int64) (Result, error) {
	rt := p.rt
	fail := func(err error) (Result, error) {
		return Result{Prog: p}, fmt.Errorf("run %s: %w", p.Name(), err)
	}
	if !in.accepts(p.Type()) {
		return fail(fmt.Errorf("a program of type %s does not run on %s", p.Type(), inputName(in)))
	}
	if in.on() < 0 || in.on() >= len(rt.cpus) {
		return fail(fmt.Errorf("cpu %d: there are %d", in.on(), len(rt.cpus)))
	}
	runner, err := p.bpfFunc()
	if err != nil {
		return fail(err)
	}
	e, err := rt.start(p, in)
	if err != nil {
		return fail(err)
	}
	e.cookie, e.retval = cookie, retval
	exit, err := runner.Run(e.m, e.ctx.Base)
	return rt.end(e, p, in, exit, err)
}

// start prepares a machine for a run: everything but the run itself.
func (rt *Runtime) start(p *Program, in Input) (*Env, error) {
	if err := rt.runTimers(); err != nil {
		return nil, err
	}
	c := rt.cpus[in.on()]
	e := &Env{rt: rt, m: c.m, cpu: in.on(), prog: p}
	c.m.Reset()
	c.m.Env = e
	c.m.PktData, c.m.PktEnd = 0, 0
	ctx, err := in.setup(e, p)
	if err != nil {
		return nil, err
	}
	e.ctx = ctx
	c.m.Ctx = ctx.Base
	return e, nil
}

// end collects the result of a run.
func (rt *Runtime) end(e *Env, p *Program, in Input, exit vm.Exit, err error) (Result, error) {
	res := Result{Prog: p, R0: exit.R0, Insns: exit.Insns, Trace: rt.trace.take(), Clones: e.clones, Assigned: e.assigned, Signals: e.signals, Sockopts: e.sockopts, Bound: e.bound}
	if err != nil {
		trap, ok := errors.AsType[*vm.Trap](err)
		if !ok {
			return res, fmt.Errorf("run %s: %w", p.Name(), err)
		}
		if exception, ok := thrownBy(trap); ok {
			res.R0, res.Insns = exception.cookie, trap.Insns+1
		} else {
			res.Trap, res.Insns, e.redirect = trap, trap.Insns, nil
		}
	}
	res.Retval = e.retval
	res.Ctx = append(res.Ctx, rt.mem.Raw(e.ctx.Base, e.ctx.Size)...)
	in.finish(e, &res)
	if t := p.Type(); (t == spec.ProgSKSKB || t == spec.ProgSKMsg) && res.Trap == nil && res.R0 == skPass {
		res.Redirect = e.redirect
	}
	if err := rt.runTimers(); err != nil {
		return res, err
	}
	res.Trace = append(res.Trace, rt.trace.take()...)
	res.Timers, rt.timerRuns = rt.timerRuns, nil
	if !rt.opts.KeepRecords {
		res.Records = rt.drain()
	}
	if rt.stats {
		p.runCnt++
		p.runTime += res.Insns
	}
	return res, nil
}

// drain consumes all records of all maps.
func (rt *Runtime) drain() []Record {
	var all []Record
	for _, m := range rt.maps {
		switch m := m.(type) {
		case *RingBuf:
			all = append(all, m.drain()...)
		case *PerfEventArray:
			all = append(all, m.drain()...)
		}
	}
	return all
}

// Session is a run that somebody else drives, step by step.
type Session struct {
	rt *Runtime
	p  *Program
	in Input
	e  *Env
}

// Begin prepares a run for a debugger: the machine of the input's CPU is ready and
// the context lies at Ctx. The caller steps the program and calls End. The runtime
// must not be used for other runs until then.
func (p *Program) Begin(in Input) (*Session, error) {
	p.rt.mu.Lock()
	defer p.rt.mu.Unlock()
	if !in.accepts(p.Type()) || in.on() < 0 || in.on() >= len(p.rt.cpus) {
		return nil, fmt.Errorf("run %s: a program of type %s does not run on %s, cpu %d",
			p.Name(), p.Type(), inputName(in), in.on())
	}
	if _, err := p.bpfFunc(); err != nil {
		return nil, fmt.Errorf("run %s: %w", p.Name(), err)
	}
	e, err := p.rt.start(p, in)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", p.Name(), err)
	}
	return &Session{p.rt, p, in, e}, nil
}

// Machine is what the program runs on.
func (s *Session) Machine() *vm.Machine { return s.e.m }

// Ctx is the context's address, for R1.
func (s *Session) Ctx() uint64 { return s.e.ctx.Base }

// End collects the result; err is the trap, if there was one.
func (s *Session) End(exit vm.Exit, err error) (Result, error) {
	s.rt.mu.Lock()
	defer s.rt.mu.Unlock()
	return s.rt.end(s.e, s.p, s.in, exit, err)
}

// inputName is the word for an input in errors.
func inputName(in Input) string {
	switch in.(type) {
	case *XDP:
		return "an XDP frame"
	case *SKB:
		return "a socket buffer"
	case *Kprobe:
		return "a kprobe"
	case *Tracepoint:
		return "a tracepoint"
	case *RawTracepoint:
		return "a raw tracepoint"
	case *PerfEvent:
		return "a perf event"
	case *Tracing:
		return "a traced call"
	case *Iter:
		return "an iterator"
	case *Netfilter:
		return "a netfilter hook"
	case *Context:
		return "the context of another type"
	}
	return "a system call"
}
