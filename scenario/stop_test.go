package scenario

import (
	"context"
	"errors"
	"testing"
	"time"

	"bpfvm/vm"
)

// A run ends soon after its context, also in the middle of a program, and what it
// did so far is there.
func TestStop(t *testing.T) {
	o := assembled(t, ".program p xdp\nagain:\n\tr0 = 1\n\tgoto again\n\texit\n", `xdp packet="eth"`)
	o.Runtime.Machine(0).Limit = 1 << 60
	var res *Result
	var err error
	for wait := 20 * time.Millisecond; wait < time.Minute; wait *= 4 { // a busy host may not even begin
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		res, err = Run(ctx, o)
		cancel()
		if res != nil && len(res.Runs) > 0 {
			break
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) || res == nil || len(res.Runs) != 1 || res.Runs[0].Trap == nil ||
		res.Runs[0].Trap.Err.Kind != vm.TrapStopped {
		t.Fatalf("%+v %v", res, err)
	}
	o.Runtime.Machine(0).Limit = 1000
	if res, err = Run(context.Background(), o); err != nil || res.Runs[0].Trap.Err.Kind != vm.TrapBudget {
		t.Errorf("the next run: %+v %v", res, err)
	}
}
