package debug_test

import (
	"context"
	"fmt"
	"testing"

	"bpfvm/debug"
	"bpfvm/trace"
)

// loop makes about n steps a run, repeat times.
func loop(t testing.TB, n int, repeat int) trace.Inputs {
	return trace.Inputs{Name: "loop.o", Ctx: []byte{}, Repeat: repeat, Object: assemble(t, fmt.Sprintf(`
.program main syscall
	r0 = 0
	r1 = %d
again:
	*(u64 *)(r10 -8) = r1
	r0 += r1
	r1 += -1
	if r1 != 0 goto again
	exit
`, n/4))}
}

func BenchmarkOpen(b *testing.B) {
	ctx := context.Background()
	tr, err := trace.New(loop(b, 1_000_000, 1))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := debug.Open(ctx, tr, debug.Options{})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/step")
}

// BenchmarkBack is one step back from the end of a recording, where it is dearest.
func BenchmarkBack(b *testing.B) {
	ctx := context.Background()
	for _, size := range []struct {
		name      string
		n, repeat int
	}{{"run=1e5", 1e5, 1}, {"run=1e6", 1e6, 1}, {"runs=1e4x100", 100, 10_000}} {
		b.Run(size.name, func(b *testing.B) {
			tr, err := trace.New(loop(b, size.n, size.repeat))
			if err != nil {
				b.Fatal(err)
			}
			s, err := debug.Open(ctx, tr, debug.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			for b.Loop() {
				if _, err := s.Goto(ctx, s.Steps()); err != nil {
					b.Fatal(err)
				}
				if _, err := s.Goto(ctx, s.Steps()-2); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkWhy asks at the end of a run for what the last steps wrote.
func BenchmarkWhy(b *testing.B) {
	ctx := context.Background()
	tr, err := trace.New(loop(b, 1e5, 1))
	if err != nil {
		b.Fatal(err)
	}
	s, err := debug.Open(ctx, tr, debug.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Goto(ctx, s.Steps()-1); err != nil {
		b.Fatal(err)
	}
	for _, what := range []string{"r0", "fp-8"} {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Why(ctx, what); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
