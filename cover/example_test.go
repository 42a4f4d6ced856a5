package cover_test

import (
	"context"
	"fmt"
	"os"

	"bpfvm/cover"
	"bpfvm/unittest"
	"bpfvm/vm"
)

// The one case of a test goes one way only.
func Example() {
	f, err := unittest.Parse("arp.txtar", []byte(`object drop.s
xdp packet="eth/arp"
expect r0 == XDP_DROP
-- drop.s --
.program drop xdp
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r0 = 2
    r4 = r2
    r4 += 14
    if r4 > r3 goto out
    r5 = *(u16 *)(r2 +12)
    if r5 != 0x608 goto out
    r0 = 1
out:
    exit
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	rec := cover.New()
	f.Run(context.Background(), unittest.Options{
		Engines: []string{"step"},
		Engine:  func(string) (vm.Engine, error) { return rec.Engine(), nil },
	})
	if err := rec.Report().WriteText(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// coverage  insns 10/10 100%  branches 2/4 50%
	//
	//   PROG     RUNS  INSNS           BRANCHES
	// ~ drop        1  10/10 100%      2/4 50%
	//
	// drop, no source lines
	//       0        1  r2 = *(u32 *)(r1 +0)
	//       1        1  r3 = *(u32 *)(r1 +4)
	//       2        1  r0 = 2
	//       3        1  r4 = r2
	//       4        1  r4 += 14
	// ~     5        1  if r4 > r3 goto pc+3  was never taken
	//       6        1  r5 = *(u16 *)(r2 +12)
	// ~     7        1  if r5 != 0x608 goto pc+1  was never taken
	//       8        1  r0 = 1
	//       9        1  exit
}
