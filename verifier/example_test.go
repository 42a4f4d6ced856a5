package verifier_test

import (
	"fmt"

	"bpfvm/isa"
	"bpfvm/spec"
	"bpfvm/verifier"
)

// A program that reads byte 12 of a packet after proving 12 bytes only.
func ExampleVerify() {
	insns, err := isa.AssembleProgram(`
		r2 = *(u32 *)(r1 +0)     // data
		r3 = *(u32 *)(r1 +4)     // data_end
		r4 = r2
		r4 += 12
		r0 = 2
		if r4 > r3 goto out
		r0 = *(u8 *)(r2 +12)
	out:	exit`)
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := verifier.Verify(&spec.ProgramSpec{Name: "drop", Type: spec.ProgXDP, License: "GPL", Insns: insns}, verifier.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Verdict, r.Code, verifier.Explain(r.Code).Title)
	fmt.Println(r.Message)
	fmt.Println("fix:", r.Fix)
	fmt.Println("slice:", r.Slice)
	// Output:
	// rejected V012 packet bytes that are not proven to be there
	// invalid access to packet, off=12 size=1, R2(id=0,off=12,r=12)
	// R2 offset is outside of the packet
	// fix: prove 13 bytes: the access ends at byte 13, and 12 are proven
	// slice: [0 1 2 3 5 6]
}

// Facts tell what holds in every run, for compilers.
func ExampleFacts() {
	insns, err := isa.AssembleProgram(`
		r2 = *(u32 *)(r1 +0)
		r2 &= 7
		r3 = r10
		r3 += -16
		r3 += r2
		*(u8 *)(r3 +0) = 1
		r0 = 0
		exit`)
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := verifier.Verify(&spec.ProgramSpec{Name: "p", Type: spec.ProgSocketFilter, Insns: insns}, verifier.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	a := r.Facts.Slots[5].Access
	fmt.Println(a.Kind, a.MinOff, a.MaxOff, a.Size)
	fmt.Println(r.Facts.Slots[2].Regs[2].UMax)
	// Output:
	// fp -16 -9 1
	// 7
}
