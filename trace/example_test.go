package trace_test

import (
	"context"
	"fmt"
	"os"

	"bpfvm/interp"
	"bpfvm/scenario"
	"bpfvm/trace"
)

// A trace is inputs; written to a file and read again, the same happens.
func Example() {
	object, err := os.ReadFile("../testdata/xdp/good.bpf.o")
	if err != nil {
		fmt.Println(err)
		return
	}
	t, err := trace.New(trace.Inputs{
		Name: "good.bpf.o", Object: object, ScriptName: "two.events",
		Script: []byte("at 1ms xdp packet=\"eth/arp\"\nat 2ms xdp packet=\"eth/ipv4/udp\"\n"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	file, err := t.Format()
	if err != nil {
		fmt.Println(err)
		return
	}
	again, err := trace.Parse("two.trace", file)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = again.Play(context.Background(), trace.Player{
		Engine: interp.Fast,
		OnRun: func(r *scenario.ProgRun) error {
			fmt.Println(r.Index, r.Program, r.Ret)
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// 1 drop_arp XDP_DROP
	// 2 drop_arp XDP_PASS
}
