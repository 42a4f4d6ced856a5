package difftest

import (
	"context"
	"slices"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/scenario"
	"bpfvm/vm"
)

// expected names what may let two outcomes differ although no engine is wrong. Only
// the kernel's can: ours see the same world.
//
// It does not guess from the values. It runs the case again in a world that differs
// in one thing, and looks whether that changes what is compared: with memory at
// other addresses, and with an eye on bytes of the stack that were never written,
// where the kernel has what happened to be there.
func expected(ctx context.Context, c *Case, a, b *Outcome) []string {
	if a.Knows&b.Knows&KnowsMemory != 0 {
		return nil
	}
	var out []string
	for _, o := range []*Outcome{a, b} {
		out = append(out, o.Expected...)
		if slices.ContainsFunc(o.Runs, func(r Run) bool { return r.Trap != nil && r.Trap.Kind == vm.TrapBudget }) {
			out = append(out, "our budget of instructions")
		}
		if t := o.poisoned(); t != nil {
			out = append(out, "not here: "+t.Msg)
		}
	}
	if len(out) > 0 {
		return out // enough, and runs without end need no repetition
	}
	uninit, numeric := false, false
	plain, err := Machine(interp.StepEngine{
		UninitRead: func(*interp.Stepper, interp.UninitRead) { uninit = true },
		Before:     func(s *interp.Stepper) { numeric = numeric || pointerAsNumber(s) },
	}).Run(ctx, c)
	if err != nil {
		return out
	}
	if uninit {
		out = append(out, "stack bytes that were never written")
	}
	if numeric {
		return append(out, "addresses")
	}
	moved, err := c.moved()
	if err != nil {
		return out
	}
	other, err := Machine(interp.Step).Run(ctx, moved)
	if err != nil {
		return out
	}
	if slices.ContainsFunc(Compare(plain.onlyShared(), other.onlyShared()), func(d Difference) bool {
		return slices.Contains([]string{"r0", "packet", "map", "records", "trace"}, d.What)
	}) {
		out = append(out, "addresses")
	}
	return out
}

// pointerAsNumber reports whether the next instruction compares a pointer with a
// number or computes with it as if it were one. Addresses of ours are small and
// those of the kernel are negative, so that moving ours does not show all that the
// outcome depends on.
func pointerAsNumber(s *interp.Stepper) bool {
	ins := s.Code().Insns[s.PC()]
	to, dst := s.Object(ins.Dst())
	src, apart := false, false // apart: in different objects, whose order is the kernel's
	if ins.Op.Source() == isa.SrcX {
		var from vm.Object
		from, src = s.Object(ins.Src())
		apart = dst && src && from.Region != to.Region
	}
	if !dst && !src {
		return false
	}
	switch class := ins.Op.Class(); class {
	case isa.ClassALU:
		return ins.Op.Code() != isa.CodeMov || src
	case isa.ClassALU64:
		switch ins.Op.Code() {
		case isa.CodeMov:
			return src && ins.Off != 0
		case isa.CodeAdd, isa.CodeSub:
			return apart
		}
		return true
	case isa.ClassJMP, isa.ClassJMP32:
		switch ins.Op.Code() {
		case isa.CodeCall, isa.CodeExit, isa.CodeJa, isa.CodeJcond:
			return false
		case isa.CodeJeq, isa.CodeJne:
			return class == isa.ClassJMP32 || dst != src && (ins.Op.Source() == isa.SrcX || ins.Imm != 0)
		}
		return class == isa.ClassJMP32 || dst != src || apart
	}
	return false
}

// moved is the case with all memory at other addresses: on another CPU, which has a
// stack of its own, and with the rest moved up.
func (c *Case) moved() (*Case, error) {
	p, err := c.program()
	if err != nil {
		return nil, err
	}
	m := *c
	m.shift = 1<<20 + 1<<12 + 1<<4 // changes several bytes of an address
	m.Frames = nil
	m.Script, err = scenario.Parse(c.Name, []byte("cpu 1\n"+events(c, p)))
	return &m, err
}

// onlyShared is the outcome without per-CPU maps, which differ on another CPU.
func (o *Outcome) onlyShared() *Outcome {
	s := *o
	s.Maps = slices.DeleteFunc(slices.Clone(o.Maps), func(m MapState) bool { return m.Spec.Type.PerCPU() })
	return &s
}
