package kernel_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"bpfvm/elf"
	"bpfvm/kernel"
	"bpfvm/spec"
)

// What the kernel says to a program, and why if it does not like it. A main
// function begins with kernel.WorkerMain().
func Example() {
	ctx := context.Background()
	k, err := kernel.Start(ctx, kernel.Options{})
	if e, ok := errors.AsType[*kernel.PrivilegeError](err); ok {
		log.Fatalf("run it with %s", e.Missing)
	} else if err != nil {
		log.Fatal(err)
	}
	defer k.Close()
	c, err := elf.Load("drop.bpf.o", elf.Options{})
	if err != nil {
		log.Fatal(err)
	}
	r, err := k.Load(ctx, kernel.Job{Spec: c, Program: "drop_arp", Log: kernel.LogInsns})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Verdict, r.Errno, r.Message())
}

// Not every program can be run without its event.
func ExampleTestRun() {
	for _, t := range []spec.ProgType{spec.ProgXDP, spec.ProgRawTracepoint, spec.ProgKprobe} {
		takes, err := kernel.TestRun(t, 0)
		fmt.Printf("%s: %q, %v\n", t, takes, err)
	}
	// Output:
	// xdp: "data", <nil>
	// raw_tracepoint: "ctx", <nil>
	// kprobe: "", test run of kprobe programs: the kernel answers ENOTSUPP
}
