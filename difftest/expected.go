package difftest

import (
	"context"
	"slices"

	"bpfvm/interp"
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
	uninit := false
	plain, err := Machine(interp.StepEngine{UninitRead: func(*interp.Stepper, interp.UninitRead) { uninit = true }}).Run(ctx, c)
	if err != nil {
		return out
	}
	if uninit {
		out = append(out, "stack bytes that were never written")
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
