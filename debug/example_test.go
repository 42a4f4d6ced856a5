package debug_test

import (
	"context"
	"fmt"
	"os"

	"bpfvm/debug"
	"bpfvm/trace"
)

// A program is stepped to its end; then it is asked where its result came from.
func Example() {
	object, err := os.ReadFile("../testdata/xdp/good.bpf.o")
	if err != nil {
		fmt.Println(err)
		return
	}
	t, err := trace.New(trace.Inputs{
		Name: "good.bpf.o", Object: object, ScriptName: "arp.events",
		Script: []byte("at 1ms xdp packet=\"eth/arp\"\n"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	s, err := debug.Open(ctx, t, debug.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	if _, err := s.Break("ret if r0 == XDP_DROP"); err != nil {
		fmt.Println(err)
		return
	}
	stop, err := s.Continue(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: step %d of %d, line %d, %s\n", stop.Reason, stop.Step, s.Steps(), stop.Line.Line, stop.What)
	why, err := s.Why(ctx, "r0")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("step %d, slot %d: %s\n", why.Step, why.PC, why.Insn)
	stop, err = s.BackLine(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("back to step %d, line %d: %s\n", stop.Step, stop.Line.Line, stop.Line.Text)
	// Output:
	// breakpoint: step 12 of 13, line 14, r0 = 1
	// step 10, slot 10: w0 = 1
	// back to step 6, line 11: 	if (eth->h_proto == 0x0608)
}
