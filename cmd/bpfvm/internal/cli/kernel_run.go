package cli

import (
	"fmt"

	"bpfvm/kernel"
	"bpfvm/scenario"
	"bpfvm/spec"
)

// kernelFrames reads the packets that the flags name.
func (a *app) kernelFrames(f kernelFlags) ([]scenario.Frame, error) {
	var frames []scenario.Frame
	for _, p := range f.pkts {
		more, err := a.readPacket(p)
		if err != nil {
			return nil, err
		}
		frames = append(frames, more...)
	}
	if f.pcap != "" {
		b, err := a.readInput(f.pcap)
		if err != nil {
			return nil, err
		}
		more, err := scenario.ReadPcap(b)
		if err != nil {
			return nil, inputCause(display(f.pcap), err)
		}
		frames = append(frames, more...)
	}
	return frames, nil
}

// kernelRun test-runs programs, on what their type takes.
func (a *app) kernelRun(k *kernel.Kernel, arg string, f kernelFlags) error {
	frames, err := a.kernelFrames(f)
	if err != nil {
		return err
	}
	var ctx []byte
	if f.ctx != "" {
		if ctx, err = a.readContext(f.ctx); err != nil {
			return err
		}
	}
	return a.kernelPrograms(k, "run", arg, func(o *object, p *spec.ProgramSpec) (kernelProgram, error) {
		kind, err := kernel.TestRun(p.Type, p.Attach)
		if err != nil {
			return kernelProgram{}, fmt.Errorf("%s: %w", p.Name, err)
		}
		var inputs []kernel.Input
		switch {
		case kind == kernel.RunData && len(frames) == 0:
			return kernelProgram{}, usageErr("kernel run: %s programs run on packets: give it some with --pkt or --pcap", p.Type)
		case kind == kernel.RunData:
			for _, fr := range frames {
				inputs = append(inputs, kernel.Input{Data: fr.Data, Ctx: ctx, Repeat: uint32(f.repeat)})
			}
		default:
			for range f.repeat {
				inputs = append(inputs, kernel.Input{Ctx: ctx})
			}
		}
		out, err := k.Run(a.ctx, kernel.Job{Spec: o.coll, Program: p.Name, Log: kernel.LogStats, Want: kernel.WantStats}, inputs)
		if err != nil {
			return kernelProgram{}, err
		}
		kp := said(out.Load, false)
		for i, r := range out.Runs {
			kp.Runs = append(kp.Runs, newKernelRun(p, &inputs[i], &r))
			for _, rec := range r.Records {
				kp.Records = append(kp.Records, kernelRecord{rec.Map, rec.CPU, fmt.Sprintf("%x", rec.Data)})
			}
		}
		kp.RunCount, kp.RunTimeNS = out.RunCount, out.RunTime.Nanoseconds()
		for _, m := range out.Maps {
			kp.Maps = append(kp.Maps, newKernelMap(m))
		}
		return kp, nil
	})
}

func newKernelRun(p *spec.ProgramSpec, in *kernel.Input, r *kernel.RunResult) kernelRun {
	row := kernelRun{R0: r.R0, TimeNS: r.Duration.Nanoseconds(), Before: fmt.Sprintf("%x", in.Data)}
	if r.Errno != 0 {
		row.Errno = r.Errno.Error()
		return row
	}
	row.Ret = spec.RetName(p.Type, uint64(r.R0))
	if after := fmt.Sprintf("%x", r.Data); in.Data != nil && after != row.Before {
		row.After = after
	}
	if in.Ctx != nil {
		row.Ctx = fmt.Sprintf("%x", r.Ctx)
	}
	return row
}
