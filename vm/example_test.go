package vm_test

import (
	"fmt"

	"bpfvm/isa"
	"bpfvm/vm"
)

// Addresses print as what they are, and a refused access says why.
func Example() {
	mem, err := vm.NewMemory(0)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mem.Close()
	counts, err := mem.Alloc(vm.Spec{Kind: vm.RegionMapValue, Name: "counts", Elem: 12, Count: 4, Perm: vm.PermRW})
	if err != nil {
		fmt.Println(err)
		return
	}
	addr := counts.Base + counts.Stride + 8
	fmt.Println(mem.Symbolize(addr))
	fmt.Println(mem.Store(addr, 8, 1))
	// Output:
	// map_value(counts)[1]+8
	// write of 8 bytes at map_value(counts)[1]+8: 4 bytes past the end, the object has 12 bytes
}

// Prepare finds the functions of a program, and how much of their stacks they use.
func ExamplePrepare() {
	insns, err := isa.AssembleProgram(`
		r1 = 20
		call double
		exit
	double:
		*(u64 *)(r10 -8) = r1
		r0 = *(u64 *)(r10 -8)
		r0 *= 2
		exit
	`)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := vm.Prepare(&vm.Code{Name: "twice", Insns: insns})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range p.Subprogs {
		fmt.Printf("slots %d to %d: %d bytes of stack\n", s.Start, s.End-1, s.Reach)
	}
	_, err = vm.Prepare(&vm.Code{Name: "half", Insns: insns[:2]})
	fmt.Println(err)
	// Output:
	// slots 0 to 2: 0 bytes of stack
	// slots 3 to 6: 8 bytes of stack
	// half insn 1 (0x85): call to slot 3, outside of the program's 2
	// half insn 1 (0x85): the last instruction is not an exit or a jump
}
