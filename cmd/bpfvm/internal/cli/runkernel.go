package cli

import (
	"errors"
	"strings"

	"bpfvm/difftest"
	"bpfvm/runtime"
	"bpfvm/scenario"
)

// runKernel gives the program to the kernel of this machine, input by input, and
// shows what came of it as it shows a run of our own.
func (r *running) runKernel() error {
	f := r.f
	switch {
	case f.ctx != "":
		return usageErr("--engine=kernel takes packets and events; \"bpfvm kernel run --ctx\" gives it a context")
	case f.changes:
		return usageErr("--changes: the kernel's maps are read once, at the end")
	case f.expect != "":
		return usageErr("--expect: the kernel's runs are not looked at; \"bpfvm diff\" compares")
	case f.events == "" && f.pcap == "" && len(f.pkts) == 0:
		return usageErr("--engine=kernel: say what happens: --pkt, --pcap or --events")
	}
	c, err := r.asCase()
	if err != nil {
		return err
	}
	if r.prog != "" {
		c.Programs = []string{r.prog}
	} else if names := r.o.programNames(); len(names) > 1 {
		return usageErr("--engine=kernel runs one program; say which: %s", strings.Join(targets(display(r.o.path), names), ", "))
	}
	r.start = scriptStart(c.Script)
	k, err := difftest.StartKernel(r.a.ctx)
	if err != nil {
		return withCode(exitPrivilege, err)
	}
	defer k.Close()
	res, err := k.Result(r.a.ctx, c)
	if refused, ok := errors.AsType[*difftest.Refused](err); ok && refused.Rejected {
		r.a.suggest(r.o.path, "bpfvm kernel verify "+display(r.o.path))
		return withCode(exitNegative, err)
	}
	if err != nil {
		return err
	}
	if len(res.Runs) == 0 {
		return inputErr("nothing happened that the program runs on")
	}
	if c.Script != nil && hasExpectations(c.Script) {
		r.a.warn("expectations are not looked at with --engine=kernel; \"bpfvm diff\" compares the kernel with bpfvm")
	}
	r.take(res)
	r.accepted = []string{res.Runs[0].Program}
	return nil
}

func hasExpectations(s *scenario.Script) bool {
	for _, st := range s.Stmts {
		if _, ok := st.(*scenario.Expect); ok {
			return true
		}
	}
	return false
}

// asCase is what the flags say, for engines that are compared.
func (r *running) asCase() (*difftest.Case, error) {
	if err := r.setVariables(); err != nil {
		return nil, err
	}
	target, err := r.a.targetBTF()
	if err != nil {
		return nil, err
	}
	c := &difftest.Case{
		Name: display(r.o.path), Spec: r.o.coll, Repeat: r.f.repeat,
		Runtime: runtime.Options{Target: target, Budget: r.f.maxSteps},
	}
	if r.f.events != "" || r.f.pcap != "" || len(r.f.pkts) > 0 {
		in, err := r.inputs()
		if err != nil {
			return nil, err
		}
		c.Script, c.Frames, c.Files = in.script, in.frames, in.files
	}
	if len(r.f.maps) > 0 {
		c.Prepare = func(rt *runtime.Runtime, coll *runtime.Collection) error {
			fill := *r
			fill.rt, fill.coll = rt, coll
			if fill.maps, err = scenario.NewMaps(rt, coll); err != nil {
				return err
			}
			for _, m := range r.f.maps {
				if err := fill.fillMap(m); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return c, nil
}
