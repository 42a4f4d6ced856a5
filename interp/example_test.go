package interp_test

import (
	"fmt"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/vm"
)

// The same program on both loops; only the step loop knows that the second read
// leaves its object.
func Example() {
	insns, err := isa.AssembleProgram(`
		r0 = *(u32 *)(r1 +0)
		if r0 == 0 goto pc+1
		exit
		r2 = map[fd:0]
		r0 = *(u32 *)(r2 +8)
		exit
	`)
	if err != nil {
		fmt.Println(err)
		return
	}
	mem, err := vm.NewMemory(0)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mem.Close()
	m, err := vm.NewMachine(mem)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, err := mem.Alloc(vm.Spec{Kind: vm.RegionCtx, Size: 4, Perm: vm.PermRead})
	if err != nil {
		fmt.Println(err)
		return
	}
	values, err := mem.Alloc(vm.Spec{Kind: vm.RegionMapValue, Name: "m", Elem: 8, Count: 2, Perm: vm.PermRW})
	if err != nil {
		fmt.Println(err)
		return
	}
	insns.SetImm64(3, values.Base) // what a loader does
	for _, e := range []vm.Engine{interp.Fast, interp.Step} {
		r, err := e.Compile(&vm.Code{Name: "prog", Insns: insns})
		if err != nil {
			fmt.Println(err)
			return
		}
		m.Reset()
		exit, err := r.Run(m, ctx.Base)
		fmt.Println(e.Name(), exit, err)
	}
	// Output:
	// interp {0 5} <nil>
	// step {0 0} prog insn 5 (0x61): read of 4 bytes at map_value(m)[0]+8: 4 bytes past the end, the object has 8 bytes
}
