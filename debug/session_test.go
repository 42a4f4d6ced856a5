package debug_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"bpfvm/debug"
	"bpfvm/scenario"
	"bpfvm/trace"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// open records one of the repository's examples.
func open(t testing.TB, in trace.Inputs) *debug.Session {
	t.Helper()
	tr, err := trace.New(in)
	if err != nil {
		t.Fatal(err)
	}
	s, err := debug.Open(context.Background(), tr, debug.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func kmem(t testing.TB) *debug.Session {
	return open(t, trace.Inputs{
		Name: "kmem_modern.bpf.o", Object: read(t, "kmem/kmem_modern.bpf.o"),
		ScriptName: "kmem.events", Script: read(t, "kmem/kmem.events"),
	})
}

func firewall(t testing.TB) *debug.Session {
	frames, err := scenario.ReadPcap(read(t, "xdp/packets.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	return open(t, trace.Inputs{Name: "firewall.bpf.o", Object: read(t, "xdp/firewall.bpf.o"), Frames: frames})
}

func tailcall(t testing.TB) *debug.Session {
	return open(t, trace.Inputs{
		Name: "tailcall.bpf.o", Object: read(t, "trace/tailcall.bpf.o"),
		ScriptName: "tailcall.events", Script: read(t, "trace/tailcall.events"),
	})
}

func globals(t testing.TB) *debug.Session {
	return open(t, trace.Inputs{
		Name: "globals.bpf.o", Object: read(t, "trace/globals.bpf.o"),
		ScriptName: "globals.events", Script: read(t, "trace/globals.events"),
	})
}

// short gives a program that does not look far enough a packet that ends too early:
// the second of three runs faults.
func short(t testing.TB) *debug.Session {
	frame := func(n int) scenario.Frame {
		return scenario.Frame{Data: make([]byte, n), Size: n, Link: scenario.LinkEthernet}
	}
	return open(t, trace.Inputs{
		Name: "fault.o", Object: assemble(t, faulty),
		Frames: []scenario.Frame{frame(60), frame(14), frame(61)},
	})
}

var examples = map[string]func(testing.TB) *debug.Session{
	"kmem": kmem, "firewall": firewall, "tailcall": tailcall, "globals": globals, "short": short,
}

func mustState(t testing.TB, s *debug.Session) *debug.State {
	t.Helper()
	st, err := s.State(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// sameState compares what depends on the step alone; runs hold results of the
// recording, which are the same object.
var sameState = cmp.Options{
	cmpopts.IgnoreFields(debug.State{}, "Fault"),
	cmp.Comparer(func(a, b *debug.Run) bool { return a == b }),
	cmp.Comparer(func(a, b scenario.MapChange) bool { return a.String() == b.String() }),
}

// Forward to the end and back again, one instruction at a time, gives the same
// states.
func TestThereAndBack(t *testing.T) {
	ctx := context.Background()
	for name, mk := range examples {
		t.Run(name, func(t *testing.T) {
			s := mk(t)
			n := min(s.Steps(), 250)
			states := []*debug.State{mustState(t, s)}
			for range n {
				if _, err := s.StepInsn(ctx, 1); err != nil {
					t.Fatal(err)
				}
				states = append(states, mustState(t, s))
			}
			for i := int(n) - 1; i >= 0; i-- {
				if _, err := s.StepInsn(ctx, -1); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(states[i], mustState(t, s), sameState); diff != "" {
					t.Fatalf("step %d, forwards and backwards:\n%s", i, diff)
				}
			}
		})
	}
}

// Whatever way one takes, a step looks the same.
func TestRandomWalks(t *testing.T) {
	ctx := context.Background()
	for name, mk := range examples {
		t.Run(name, func(t *testing.T) {
			s := mk(t)
			s.Break("ret")
			seen := map[uint64]*debug.State{}
			moves := []func(context.Context) (debug.Stop, error){
				s.StepLine, s.BackLine, s.Next, s.BackNext, s.NextInsn, s.BackNextInsn, s.Finish, s.BackFinish,
				s.Continue, s.BackContinue, s.NextEvent, s.PrevEvent,
			}
			rapid.Check(t, func(r *rapid.T) {
				if _, err := s.Goto(ctx, rapid.Uint64Range(0, s.Steps()).Draw(r, "start")); err != nil {
					r.Fatal(err)
				}
				for range rapid.IntRange(1, 6).Draw(r, "moves") {
					before := s.Step()
					i := rapid.IntRange(0, len(moves)-1).Draw(r, "move")
					stop, err := moves[i](ctx)
					if err != nil {
						r.Fatal(err)
					}
					if stop.Step != s.Step() {
						r.Fatalf("the stop says step %d, the session is at %d", stop.Step, s.Step())
					}
					if back := i%2 == 1; back && s.Step() > before || !back && s.Step() < before {
						r.Fatalf("move %d went from %d to %d", i, before, s.Step())
					}
					if s.Step() == before && stop.Reason != debug.ReasonStart && stop.Reason != debug.ReasonEnd {
						r.Fatalf("move %d stood still at %d: %s", i, before, stop.Reason)
					}
					st := mustState(t, s)
					if old := seen[st.Step]; old == nil {
						seen[st.Step] = st
					} else if diff := cmp.Diff(old, st, sameState); diff != "" {
						r.Fatalf("step %d looks different:\n%s", st.Step, diff)
					}
				}
			})
		})
	}
}

// A backward move stops exactly where forward moves would have stopped.
func TestBackwardIsForwardReversed(t *testing.T) {
	ctx := context.Background()
	for name, mk := range examples {
		t.Run(name, func(t *testing.T) {
			s := mk(t)
			if _, err := s.Break("ret hit%2"); err != nil {
				t.Fatal(err)
			}
			type pair struct {
				forth, back func(context.Context) (debug.Stop, error)
			}
			for i, p := range []pair{{s.StepLine, s.BackLine}, {s.NextInsn, nil}, {s.Continue, s.BackContinue}} {
				if p.back == nil {
					continue
				}
				s.Goto(ctx, 0)
				var forth, back []uint64
				for range 60 {
					stop, err := p.forth(ctx)
					if err != nil {
						t.Fatal(err)
					}
					if stop.Reason == debug.ReasonEnd {
						break
					}
					forth = append(forth, stop.Step)
				}
				for s.Step() > 0 {
					stop, err := p.back(ctx)
					if err != nil {
						t.Fatal(err)
					}
					back = append(back, stop.Step)
				}
				var want []uint64
				for j := len(forth) - 1; j >= 0; j-- {
					want = append(want, forth[j])
				}
				if len(back) > 0 && s.Steps() > uint64(len(forth)) && len(forth) == 60 {
					want = want[1:]
				}
				want = append(want, 0)
				if diff := cmp.Diff(want, back); diff != "" {
					t.Errorf("pair %d: %s", i, diff)
				}
			}
		})
	}
}
