package amd64_test

import (
	"fmt"

	"bpfvm/isa"
	"bpfvm/jit/amd64"
	"bpfvm/vm"
)

// A memory access as machine code: the check, then the access. Where it is refused,
// control goes on at the end of the image.
func ExampleProgram_Listing() {
	insns, err := isa.AssembleProgram("r0 = *(u8 *)(r1 +4)\n exit")
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := amd64.Compile(&vm.Code{Name: "byte", Insns: insns}, amd64.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	lines, err := p.Listing(isa.Printer{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range lines {
		if l.PC != 0 {
			continue
		}
		fmt.Println(l.Text)
		for _, x := range l.X86 {
			fmt.Println("   ", x.Text)
		}
	}
	// Output:
	// r0 = *(u8 *)(r1 +4)
	//     lea r11, ptr [rdi+0x4]
	//     cmp r11, 0x7ffdfff9
	//     jnb 0x38
	//     test byte ptr [r12+r11+0x80010000], 0x1
	//     jz 0x38
	//     movzx eax, byte ptr [r12+r11]
	// r0 = *(u8 *)(r1 +4)
	//     mov r10d, 0x2000000
	//     jmp 0x40
}
