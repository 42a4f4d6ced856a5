package runtime_test

import (
	"testing"

	"bpfvm/interp"
	"bpfvm/runtime"
)

// One run with everything around it: the packet's and context's layout, the
// result.
func BenchmarkRun(b *testing.B) {
	rt := newRuntime(b, runtime.Options{Engine: interp.Fast})
	p := load(b, rt, loadObject(b, "bench/alu.bpf.o"), "empty").Program("empty")
	in := &runtime.XDP{Data: eth(64)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Run(in); err != nil {
			b.Fatal(err)
		}
	}
}

// The programs of testdata/bench/calls.c: 5,000 helper calls, 1,000 lookups of an
// array, 1,000 lookups and updates of a hash.
func BenchmarkCalls(b *testing.B) {
	for _, name := range []string{"helpers", "array_map", "hash_map"} {
		b.Run(name, func(b *testing.B) {
			rt := newRuntime(b, runtime.Options{Engine: interp.Fast})
			p := load(b, rt, loadObject(b, "bench/calls.bpf.o"), name).Program(name)
			in := &runtime.XDP{Data: eth(64)}
			for b.Loop() {
				if _, err := p.Run(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
