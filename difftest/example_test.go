package difftest_test

import (
	"context"
	"fmt"

	"bpfvm/difftest"
)

// Two engines run a hundred random programs.
func Example() {
	step, _ := difftest.EngineByName("step")
	interp, _ := difftest.EngineByName("interp")
	c := difftest.Campaign{Engines: []difftest.Engine{step, interp}, Shrink: true}
	for n := range 100 {
		if _, err := c.Compare(context.Background(), difftest.Generate(7, n, difftest.GenOptions{})); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(c.Summary.Programs, "programs", c.Summary.Mismatches, "mismatches")
	// Output: 100 programs 0 mismatches
}
