package debug

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"bpfvm/scenario"
	"bpfvm/trace"
	"bpfvm/vm"
)

// Run is one run of one program within the recording.
type Run struct {
	Index   int    // among all runs, from 0
	First   uint64 // number of its first step
	Steps   uint64 // at least 1
	Program string
	Event   string // "kprobe:vfs_read", "xdp"
	Number  int    // of the event, from 1
	Time    time.Duration
	CPU     int
	PID     uint32
	Comm    string

	R0    uint64
	Ret   string   // the name of R0: "XDP_DROP"
	Fault *vm.Trap // what the last step does wrong; nil when the program exits
	// Result is the run as the scenario tells it.
	Result *scenario.ProgRun
}

// End is the number of the first step after the run.
func (r *Run) End() uint64 { return r.First + r.Steps }

// String is the run in a few words: "event 3 xdp xdp_main steps 40..53 r0=1 XDP_DROP".
func (r *Run) String() string {
	s := fmt.Sprintf("event %d %s %s steps %d..%d", r.Number, r.Event, r.Program, r.First, r.End()-1)
	switch {
	case r.Fault != nil:
		return s + " fault: " + r.Fault.Msg
	case r.Ret != "":
		return s + fmt.Sprintf(" r0=%s %s", number(r.R0), r.Ret)
	}
	return s + " r0=" + number(r.R0)
}

// index is the table of contents of a recording.
type index struct {
	runs     []Run
	steps    uint64
	warnings []string
	expect   []scenario.ExpectResult
	skipped  map[string]error
}

// Errors of a recording.
var (
	// ErrTooLong is the cause when the run has more steps than Options.MaxSteps.
	ErrTooLong = errors.New("the run is too long to be recorded")
	// ErrNothingRan is the cause when no program ran.
	ErrNothingRan = errors.New("no program ran")
)

// record plays the trace once and notes what runs when.
func record(ctx context.Context, t *trace.Trace, maxSteps uint64) (*index, error) {
	x := &index{}
	e := &engine{ctx: ctx, max: maxSteps, code: map[*vm.Code]*codeInfo{}}
	first := uint64(0)
	err := t.Play(ctx, trace.Player{
		Engine: e,
		Start:  func(w *trace.World) { e.world, x.skipped = w, w.Skipped },
		OnRun: func(r *scenario.ProgRun) error {
			// All programs of an event have run before the first is told of.
			end := e.ends[len(x.runs)]
			run := Run{
				Index: len(x.runs), First: first, Steps: end - first, Program: r.Program, Event: r.Event, Number: r.Index,
				Time: r.Time, CPU: r.CPU, PID: r.PID, Comm: r.Comm, R0: r.R0, Ret: r.Ret, Result: r,
			}
			if r.Trap != nil {
				run.Fault = r.Trap.Err
			}
			x.runs = append(x.runs, run)
			first = end
			return nil
		},
		End: func(_ *trace.World, res *scenario.Result) error {
			if res != nil {
				x.warnings, x.expect = res.Warnings, res.Expect
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	x.steps = e.step
	if x.steps == 0 {
		err := ErrNothingRan
		if len(x.warnings) > 0 {
			err = fmt.Errorf("%w: %s", err, strings.Join(x.warnings, "; "))
		}
		return nil, err
	}
	return x, nil
}

// runAt returns the index of the run that the step belongs to, len(runs) at the end.
func (x *index) runAt(step uint64) int {
	return sort.Search(len(x.runs), func(i int) bool { return x.runs[i].End() > step })
}

// faultAt returns what the step does wrong, or nil.
func (x *index) faultAt(step uint64) *vm.Trap {
	if i := x.runAt(step); i < len(x.runs) && x.runs[i].End()-1 == step {
		return x.runs[i].Fault
	}
	return nil
}
