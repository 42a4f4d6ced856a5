package cli

import (
	"errors"

	"bpfvm/scenario"
	"bpfvm/spec"
	"bpfvm/vm"
)

// bareProgram returns the program if its section says no type: a few instructions
// for trying out. It gets bytes and their number instead of a context.
func (o *object) bareProgram(name string) *spec.ProgramSpec {
	p, err := o.program(name)
	if err != nil || p.Type != spec.ProgUnspec {
		return nil
	}
	return p
}

// runBare runs a program without a type as conformance-plugin does: r1 points to
// the bytes of --ctx, r2 is their number.
func (r *running) runBare(p *spec.ProgramSpec, engine vm.Engine) error {
	if len(p.Refs) > 0 {
		return inputErr("%s: section %q says no program type, so %q cannot be loaded; write \".program %s xdp\" or another section",
			display(r.o.path), p.Section, p.Refs[0].Name, p.Name)
	}
	var memory []byte
	var err error
	if r.f.ctx != "" {
		if memory, err = r.a.readContext(r.f.ctx); err != nil {
			return err
		}
	}
	exit, err := runBytes(engine, p.Name, p.Insns, memory)
	run := &scenario.ProgRun{Program: p.Name, Event: p.Name, Index: 1, R0: exit.R0, Insns: exit.Insns}
	res := &scenario.Result{Runs: []*scenario.ProgRun{run}, Events: 1}
	if trap, ok := errors.AsType[*vm.Trap](err); ok {
		run.Trap = &scenario.Trap{Kind: trap.Kind.String(), Slot: int(trap.PC), Msg: trap.Error(), Err: trap}
		run.Insns = trap.Insns
		res.Trapped = 1
	} else if err != nil {
		return err
	}
	res.Insns = run.Insns
	r.take(res)
	r.finish()
	if r.a.jsonWanted() {
		r.a.writeJSON(r.doc)
	} else {
		r.write()
	}
	if run.Trap != nil {
		return withCode(exitFault, errAnswered)
	}
	return nil
}
