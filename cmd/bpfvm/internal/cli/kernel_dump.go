package cli

import (
	"encoding/hex"
	"fmt"
	"strings"

	"bpfvm/isa"
	"bpfvm/jit/amd64"
	"bpfvm/kernel"
	"bpfvm/scenario"
	"bpfvm/spec"
)

// kernelDump reads back what the kernel made of the programs.
func (a *app) kernelDump(k *kernel.Kernel, arg string, f kernelFlags) error {
	want := kernel.WantXlated
	if f.jited {
		want = kernel.WantJited
	}
	return a.kernelPrograms(k, "dump", arg, func(o *object, p *spec.ProgramSpec) (kernelProgram, error) {
		r, err := k.Load(a.ctx, kernel.Job{Spec: o.coll, Program: p.Name, Log: kernel.LogStats, Want: want})
		if err != nil {
			return kernelProgram{}, err
		}
		kp := said(r, false)
		if r.Prog == nil {
			return kp, nil
		}
		pr := isa.Printer{HelperName: spec.HelperName}
		for pc := range r.Prog.Xlated.All() {
			kp.Xlated = append(kp.Xlated, fmt.Sprintf("%3d: %s", pc, pr.Insn(r.Prog.Xlated, pc)))
		}
		for _, fn := range r.Prog.Jited {
			for _, x := range amd64.Disassemble(fn.Code, 0) {
				kp.Jited = append(kp.Jited, x86Row{x.Addr, fmt.Sprintf("% x", x.Bytes), x.Text})
			}
		}
		return kp, nil
	})
}

// writeKernelProgram prints one program with whatever is known of it.
func (a *app) writeKernelProgram(p kernelProgram) {
	w, s := a.out, a.style
	name := s.name(p.Section + "/" + p.Name)
	switch p.Verdict {
	case "accepted":
		fmt.Fprintf(w, "%s  %s  %s\n", s.good("ACCEPTED"), name, s.dim(fmt.Sprintf("%d insns processed, tag %s, %d bytes of machine code", p.Insns, p.Tag, p.JitBytes)))
	case "rejected":
		fmt.Fprintf(w, "%s  %s  %s  %s\n", s.bad("REJECTED"), name, p.Errno, s.dim(fmt.Sprintf("%d insns processed", p.Insns)))
	default:
		fmt.Fprintf(w, "%s  %s  %s\n", s.warn("NOT TRIED"), name, p.Reason)
	}
	if p.Log != "" {
		fmt.Fprint(w, p.Log)
	} else if p.Message != "" {
		fmt.Fprintln(w, "  "+strings.ReplaceAll(p.Message, "\n", "\n  "))
	}
	for i, r := range p.Runs {
		if r.Errno != "" {
			fmt.Fprintf(w, "#%d %s\n", i+1, s.bad(r.Errno))
			continue
		}
		if r.Before == "" {
			fmt.Fprintf(w, "#%d %s  %s\n", i+1, s.good(fmt.Sprintf("r0=%d %s", r.R0, r.Ret)), s.dim(fmt.Sprintf("%d ns", r.TimeNS)))
			if r.Ctx != "" {
				fmt.Fprintf(w, "     context %s\n", r.Ctx)
			}
			continue
		}
		change := s.dim("packet unchanged")
		before, _ := hex.DecodeString(r.Before)
		if r.After != "" {
			change = s.warn("packet changed")
		}
		fmt.Fprintf(w, "#%d %s %s  %s  %s\n", i+1, scenario.DecodePacket(before).Summary(), s.good(fmt.Sprintf("r0=%d %s", r.R0, r.Ret)),
			s.dim(fmt.Sprintf("%d ns", r.TimeNS)), change)
		if r.After != "" {
			after, _ := hex.DecodeString(r.After)
			fmt.Fprintln(w, "     "+strings.ReplaceAll(strings.TrimRight(scenario.DiffPackets(before, after).String(), "\n"), "\n", "\n     "))
		}
	}
	if p.RunCount > 0 {
		fmt.Fprintf(w, "%s\n", s.dim(fmt.Sprintf("run_cnt %d  run_time_ns %d", p.RunCount, p.RunTimeNS)))
	}
	for _, r := range p.Records[:min(len(p.Records), maxShown)] {
		fmt.Fprintf(w, "record %s %s\n", r.Map, r.Data)
	}
	for _, m := range p.Maps {
		a.writeKernelMap(m)
	}
	for _, line := range p.Xlated {
		fmt.Fprintln(w, line)
	}
	for _, x := range p.Jited {
		fmt.Fprintf(w, "%s %s\n", s.dim(fmt.Sprintf("%5x  %-30s", x.Addr, x.Bytes)), s.name(x.Text))
	}
}
