package layout_test

import (
	"fmt"
	"testing"

	"bpfvm/vm/layout"
)

func Example() {
	counters := layout.Array{Base: 0x10010, Stride: 8, Count: 4, CPUs: 2, Distance: 0x30}
	fmt.Printf("%#x\n", counters.Lookup(0, 3))
	fmt.Printf("%#x\n", counters.Lookup(1, 3))
	fmt.Printf("%#x\n", counters.Lookup(0, 4))
	// Output:
	// 0x10028
	// 0x10058
	// 0x0
}

func TestLookup(t *testing.T) {
	shared := layout.Array{Base: 0x10000, Stride: 16, Count: 3, CPUs: 1}
	perCPU := layout.Array{Base: 0x20000, Stride: 8, Count: 2, CPUs: 3, Distance: 0x100}
	for _, c := range []struct {
		a     layout.Array
		cpu   int
		index uint32
		want  uint64
	}{
		{shared, 0, 0, 0x10000}, {shared, 7, 2, 0x10020}, {shared, 0, 3, 0}, {shared, 0, 1<<32 - 1, 0},
		{perCPU, 0, 1, 0x20008}, {perCPU, 2, 0, 0x20200}, {perCPU, 3, 0, 0}, {perCPU, -1, 0, 0}, {perCPU, 2, 2, 0},
	} {
		if got := c.a.Lookup(c.cpu, c.index); got != c.want {
			t.Errorf("%+v, CPU %d, index %d: %#x, want %#x", c.a, c.cpu, c.index, got, c.want)
		}
	}
	if shared.End() != 0x10030 || perCPU.End() != 0x20210 {
		t.Errorf("ends: %#x, %#x", shared.End(), perCPU.End())
	}
}
