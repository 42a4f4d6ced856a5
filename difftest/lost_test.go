package difftest

import (
	"context"
	"strings"
	"testing"
	"time"

	"bpfvm/kernel"
)

// losing is a kernel that fails on every program.
type losing struct{}

func (losing) Name() string { return "kernel" }

func (losing) Run(context.Context, *Case) (*Outcome, error) {
	return nil, &Lost{&kernel.WorkerError{Err: kernel.ErrOops, Doing: "load gen", After: time.Second}}
}

// A program that takes the kernel with it is told and can be saved, and is counted
// apart from mismatches.
func TestKernelLost(t *testing.T) {
	c := &Campaign{Engines: []Engine{engine(t, "step"), losing{}, engine(t, "interp")}, Shrink: true, Sound: true}
	found, err := c.Compare(t.Context(), Generate(1, 1, GenOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || !found[0].KernelLost || c.Summary.Lost != 1 || c.Summary.Mismatches != 0 || c.Summary.Skipped != 1 {
		t.Fatalf("%+v %+v", found, c.Summary)
	}
	text, err := found[0].Repro().Format()
	if err != nil || !strings.Contains(string(text), "# lost: an outcome / kernel worker: load gen: the kernel killed the thread that asked it") {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := Open("lost", text); err != nil {
		t.Error(err)
	}
}
