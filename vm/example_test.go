package vm_test

import (
	"fmt"

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
