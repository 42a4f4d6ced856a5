package cli

import (
	"fmt"
	"math/rand/v2"

	"bpfvm/difftest"
)

// mutants compares programs of real objects with a few slips in each.
func (d *differ) mutants() error {
	var base []*difftest.Case
	t := splitTarget(d.f.mutate)
	err := d.a.eachObject(t.path, &d.doc.Refused, func(o *object) error {
		progs, err := o.programs(t.prog)
		if err != nil {
			return err
		}
		whole, err := d.caseOf(o, t.prog)
		if err != nil {
			return err
		}
		for _, p := range progs {
			c := *whole
			c.Name += ":" + p.Name
			c.Programs = []string{p.Name}
			if len(c.Frames) == 0 && c.Script == nil {
				if err := c.AddInputs(); err != nil {
					d.skip(c.Name, err)
					continue
				}
				c.Frames = c.Frames[:min(len(c.Frames), mutantPackets)]
			}
			base = append(base, &c)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(base) == 0 {
		return withCode(exitInput, fmt.Errorf("--mutate=%s: no program there can be run", d.f.mutate))
	}
	rng := rand.New(rand.NewPCG(d.f.seed, 0))
	for n := 1; d.f.gen == 0 || n <= d.f.gen; n++ {
		c, err := difftest.Mutate(base[rng.IntN(len(base))], rng.Uint64()>>16)
		if err != nil {
			continue // a program of two instructions
		}
		if err := d.compare(c); err != nil {
			return err
		}
		if n%1000 == 0 {
			d.a.progress("%d mutants, %d mismatches, %d skipped", n, d.c.Summary.Mismatches, d.c.Summary.Skipped)
		}
	}
	return nil
}

// mutantPackets is how many of the sample packets each mutant gets.
const mutantPackets = 4
