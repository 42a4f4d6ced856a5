package difftest

import (
	"context"
	"fmt"

	"bpfvm/kernel"
	"bpfvm/scenario"
	"bpfvm/spec"
)

// Result gives a case to the kernel and returns what came of it in the form in which
// our own runs are shown. Events, times and tasks are the script's: the kernel is only
// given the inputs that it can take, packets and contexts, one after the other. What
// it does not tell is empty: instructions, lines of trace_pipe. Expectations are not
// looked at.
func (k *Kernel) Result(ctx context.Context, c *Case) (*scenario.Result, error) {
	p, in, err := inputsFor(ctx, c)
	if err != nil {
		return nil, err
	}
	res, err := k.k.Run(ctx, kernel.Job{Spec: c.Spec, Program: p.Name, Contents: in.maps}, in.inputs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, runError(err))
	}
	out := in.result
	out.Insns, out.Trapped, out.Expect = 0, 0, nil
	for i, r := range res.Runs {
		if r.Errno != 0 {
			return nil, fmt.Errorf("%s, input %d: BPF_PROG_TEST_RUN: %w", p.Name, i+1, r.Errno)
		}
		run := out.Runs[i]
		run.R0, run.Ret = uint64(r.R0), spec.RetName(p.Type, uint64(r.R0))
		run.Insns, run.Trap, run.Trace, run.Records, run.Maps, run.Redirect = 0, nil, nil, nil, nil, nil
		if run.Packet != nil && r.Data != nil {
			run.Packet.After = r.Data[min(in.strip, len(r.Data)):]
		}
		for _, rec := range r.Records {
			run.Records = append(run.Records, scenario.Record{Map: rec.Map, Data: rec.Data})
		}
	}
	for _, m := range res.Maps {
		if own := out.Maps.Map(m.Name); own != nil && m.Errno == 0 {
			own.Elems = kernelMap(m, in.after).Elems
		}
	}
	out.Changes = scenario.DiffMaps(out.Before, out.Maps)
	return out, nil
}
