package judge_test

import (
	"fmt"
	"os"
	"testing"

	"bpfvm/internal/tools/corpus/judge"
	"bpfvm/types"
)

func Example() {
	target, err := types.Target()
	if err != nil {
		fmt.Println(err)
		return
	}
	o, err := judge.Judge("../../../../testdata/kmem/kmem_modern.bpf.o", target)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(o.Linked, "programs,", o.Same, "the same,", o.Slots, "slots")
	// Output: 2 programs, 2 the same, 83 slots
}

// TestBrokenObject: what neither library reads is reported for both.
func TestBrokenObject(t *testing.T) {
	raw, err := os.ReadFile("../../../../testdata/xdp/good.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	o := judge.JudgeBytes("good", raw[:len(raw)-200], nil)
	if o.Err == nil || o.Theirs == nil {
		t.Errorf("bpfvm %v, cilium/ebpf %v", o.Err, o.Theirs)
	}
}
