package difftest

import (
	"context"
	"errors"
	"fmt"

	"bpfvm/interp"
	"bpfvm/jit"
	"bpfvm/scenario"
	"bpfvm/vm"
)

// Engine runs cases.
type Engine interface {
	// Name is the word for it on the command line.
	Name() string
	// Run runs a case from its beginning. The error says that it could not be run;
	// it wraps errors.ErrUnsupported where the engine or this machine lacks
	// something.
	Run(ctx context.Context, c *Case) (*Outcome, error)
}

// Names are the engines in the order in which they are compared: each with the
// first one.
func Names() []string { return []string{"step", "interp", "jit", "kernel", KernelVM, KernelInterp} }

// EngineByName returns an engine that runs in this process. It knows "step",
// "interp" and "jit"; for kernels see [StartKernel] and [StartVM].
func EngineByName(name string) (Engine, error) {
	switch name {
	case "step":
		return Machine(interp.Step), nil
	case "interp":
		return Machine(interp.Fast), nil
	case "jit":
		return Machine(jit.Engine), nil
	}
	return nil, fmt.Errorf("no engine %q: there are %v", name, Names())
}

// Machine makes an Engine of one of ours, which runs programs in a small kernel of
// package runtime.
func Machine(e vm.Engine) Engine { return machine{engine: e} }

type machine struct {
	engine vm.Engine
	onRun  func(*scenario.ProgRun) // called after each run; may be nil
}

// Name returns the engine's name.
func (m machine) Name() string { return m.engine.Name() }

// Run runs a case in a new runtime.
func (m machine) Run(ctx context.Context, c *Case) (*Outcome, error) {
	o := c.Runtime
	o.Engine = m.engine
	l, err := c.load(o)
	if err != nil {
		return nil, fmt.Errorf("%s on %s: %w", c.Name, m.Name(), err)
	}
	defer l.rt.Close()
	out := &Outcome{Engine: m.Name(), Knows: knowsAll}
	l.opts.OnRun = func(r *scenario.ProgRun) error {
		if t := r.Raw.Trap; t != nil && t.Kind == vm.TrapStopped && errors.Is(t, errors.ErrUnsupported) {
			return t
		}
		if m.onRun != nil {
			m.onRun(r)
		}
		run := newRun(r)
		run.Memory = digests(l.rt.Memory())
		out.Runs = append(out.Runs, run)
		return nil
	}
	res, err := scenario.Run(ctx, l.opts)
	if err != nil {
		return nil, fmt.Errorf("%s on %s: %w", c.Name, m.Name(), err)
	}
	out.Maps = mapStates(res.Maps)
	return out, nil
}

// machineOf returns the engine of ours behind an Engine, or nil.
func machineOf(e Engine) vm.Engine {
	if m, ok := e.(machine); ok {
		return m.engine
	}
	return nil
}

// Missing stands for an engine that cannot be used here: each case is counted as
// skipped on it.
func Missing(name string, why error) Engine { return missing{name, why} }

type missing struct {
	name string
	why  error
}

// Name returns the engine's name.
func (m missing) Name() string { return m.name }

// Run returns the reason.
func (m missing) Run(context.Context, *Case) (*Outcome, error) {
	return nil, &Refused{Reason: m.why.Error()}
}
