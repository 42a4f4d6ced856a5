package kernel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Options says how to ask the kernel.
type Options struct {
	// Deadline is the time that one job may take. Zero means a minute; the longest
	// verification of a real program seen so far took 22 seconds.
	Deadline time.Duration
	// CPU is where programs are loaded and run, so that per-CPU maps and
	// bpf_get_smp_processor_id are the same each time. Zero is the first CPU that
	// this process may use; -1 leaves the choice to the kernel.
	CPU int
	// VM, when set, is a second kernel to be booted and asked instead of the running
	// one.
	VM *VM
}

// Kernel is the running kernel behind a worker process. Its methods may be called
// from several goroutines, which then wait for each other; for work side by side
// start several.
type Kernel struct {
	opts    Options
	stop    context.CancelFunc
	stopped context.Context
	turn    chan struct{} // holds one token while nobody talks to the worker
	hook    string        // for tests: sent with each request

	mu       sync.Mutex
	w        *worker // nil until the next job starts one
	workers  int     // started so far
	possible int     // CPUs
	release  string
}

// ErrClosed is what a closed Kernel answers.
var ErrClosed = errors.New("kernel: closed")

// Start starts a worker and asks whether bpf(2) may be used: a *PrivilegeError says
// that it may not, an error that wraps errors.ErrUnsupported that there is none.
func Start(ctx context.Context, opts Options) (*Kernel, error) {
	if opts.Deadline <= 0 {
		opts.Deadline = defaultDeadline
		if opts.VM != nil {
			opts.Deadline = vmDeadline
		}
	}
	k := &Kernel{opts: opts, turn: make(chan struct{}, 1)}
	k.stopped, k.stop = context.WithCancel(context.Background())
	w, err := startWorker(ctx, opts)
	if err != nil {
		return nil, err
	}
	k.setWorker(w)
	k.turn <- struct{}{}
	return k, nil
}

func (k *Kernel) setWorker(w *worker) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.w = w; w != nil {
		k.workers++
		k.possible, k.release = w.hello.CPUs, w.hello.Release
	}
}

// CPUs returns the number of possible CPUs: per-CPU maps have as many values.
func (k *Kernel) CPUs() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.possible
}

// Release returns the kernel's version, "6.18.44".
func (k *Kernel) Release() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.release
}

// Workers returns how many workers have been started: one, and one for each that
// was lost.
func (k *Kernel) Workers() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.workers
}

// Close ends the worker, and with it everything that it holds. A job that is under
// way is given up.
func (k *Kernel) Close() error {
	k.stop()
	<-k.turn
	defer func() { k.turn <- struct{}{} }()
	k.mu.Lock()
	w := k.w
	k.w = nil
	k.mu.Unlock()
	if w != nil {
		w.end()
	}
	return nil
}

// Load gives a program to the kernel and returns what it said. A program that the
// kernel refuses is a result, not an error. Errors are a job that names what it
// does not have, a *PrivilegeError, a *WorkerError, and ctx's.
func (k *Kernel) Load(ctx context.Context, job Job) (*LoadResult, error) {
	wire, err := prepare(&job, false)
	if err != nil {
		return nil, err
	}
	a, err := k.ask(ctx, &request{Load: wire})
	if err != nil {
		return nil, err
	}
	return a.Load, nil
}

// Run loads a program and runs it on the inputs in turn, on the same maps unless
// job.Fresh, then reads the maps. A program that the kernel does not take gives a
// *LoadError; one of a type that the kernel cannot run by itself an
// *UnsupportedError (see TestRun). That an input is refused is in its result.
func (k *Kernel) Run(ctx context.Context, job Job, inputs []Input) (*Outcome, error) {
	wire, err := prepare(&job, true)
	if err != nil {
		return nil, err
	}
	kind, err := TestRun(wire.Progs[0].Type, wire.Progs[0].Attach)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", job.Program, err)
	}
	for i := range inputs {
		if err := inputs[i].check(kind); err != nil {
			return nil, fmt.Errorf("%s: input %d: %w", job.Program, i, err)
		}
	}
	a, err := k.ask(ctx, &request{Load: wire, Inputs: inputs, Run: true})
	if err != nil {
		return nil, err
	}
	if a.Load.Verdict != Accepted {
		return nil, &LoadError{Program: job.Program, Result: a.Load}
	}
	return &Outcome{
		Load: a.Load, Runs: a.Runs, Maps: a.Maps,
		RunCount: a.Count.Runs, Misses: a.Count.Misses, RunTime: a.Count.Time,
	}, nil
}

// flagLiveFrames is BPF_F_TEST_XDP_LIVE_FRAMES: packets that the program lets pass
// go to the real network stack.
const flagLiveFrames = 1 << 1

// check refuses what the kernel would answer EINVAL to without saying why.
func (in *Input) check(kind string) error {
	switch {
	case in.Flags&flagLiveFrames != 0:
		return &UnsupportedError{What: "live frames: packets would leave the test"}
	case kind == RunCtx && in.Data != nil:
		return errors.New("has a packet, but programs of this type get a context only")
	case kind == RunNone && (in.Data != nil || in.Ctx != nil):
		return errors.New("is not empty, but the kernel makes the arguments of traced functions itself")
	case kind != RunData && in.Repeat > 1:
		return &UnsupportedError{What: "repeated runs of a program that gets no packet"}
	case kind == RunData && len(in.Data) == 0:
		return errors.New("has no packet")
	}
	return nil
}

// Status asks what may be done here. It loads short programs of every type, which
// are gone again when it returns.
func (k *Kernel) Status(ctx context.Context) (*Status, error) {
	a, err := k.ask(ctx, &request{Status: true})
	if err != nil {
		return nil, err
	}
	return a.Status, nil
}

// ask has the worker do something, and replaces it if it cannot.
func (k *Kernel) ask(ctx context.Context, r *request) (*answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(k.stopped, cancel)()
	select {
	case <-k.turn:
		defer func() { k.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, k.why(ctx)
	}
	if ctx.Err() != nil {
		return nil, k.why(ctx)
	}
	if k.w == nil {
		w, err := startWorker(ctx, k.opts)
		switch {
		case err != nil && k.stopped.Err() != nil:
			return nil, ErrClosed // Close came while the worker started
		case err != nil:
			return nil, err
		}
		k.setWorker(w)
	}
	r.Hook = k.hook
	a, err := k.w.do(ctx, r, k.opts.Deadline)
	if err != nil {
		k.w.kill()
		k.setWorker(nil)
		if k.stopped.Err() != nil {
			return nil, ErrClosed
		}
		return nil, err
	}
	return a, a.Failure.err()
}

// why tells a closed Kernel from a caller's context.
func (k *Kernel) why(ctx context.Context) error {
	if k.stopped.Err() != nil {
		return ErrClosed
	}
	return ctx.Err()
}
