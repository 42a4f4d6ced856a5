package isa_test

import (
	"fmt"
	"os"

	"bpfvm/isa"
)

// A program goes from text to slots and back.
func Example() {
	p, err := isa.AssembleProgram(`
		r0 = 0
		r2 = 10
	loop:	r0 += r2
		r2 += -1
		if r2 != 0 goto loop
		exit`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%x\n", isa.Encode(p[4:5]))
	isa.Disassemble(os.Stdout, p, isa.Printer{Slots: true, Opcodes: true})
	// Output:
	// 5502fdff00000000
	// 0: (b7) r0 = 0
	// 1: (b7) r2 = 10
	// 2: (0f) r0 += r2
	// 3: (07) r2 += -1
	// 4: (55) if r2 != 0x0 goto pc-3
	// 5: (95) exit
}

// The table explains an instruction.
func ExampleLookup() {
	op, ok := isa.Lookup(isa.Instruction{Op: 0xbf, Regs: isa.MakeRegs(isa.R1, isa.R2), Off: 8})
	fmt.Println(ok, op.Name, op.Group, op.Since)
	fmt.Println(op.Doc)
	// Output:
	// true movsx64_8_reg base64 v4
	// Copies the lowest 8 bits of src into dst and extends their sign.
}

// Check names each field that does not fit.
func ExampleProgram_Check() {
	p := isa.Program{
		{Op: isa.OpExit, Imm: 1},
		{Op: isa.ALUOp(isa.ClassALU64, isa.CodeAdd, isa.SrcX), Regs: isa.MakeRegs(11, 0)},
		{Op: isa.OpLdImm64},
	}
	fmt.Println(p.Check())
	// Output:
	// insn 0 (0x95): imm: reserved field is 1, must be 0
	// insn 1 (0x0f): dst: register r11 does not exist
	// insn 2 (0x18): opcode: the second slot of this wide instruction is missing
}

// A source with a map and a subprogram leaves references for a loader.
func ExampleAssemble() {
	u, err := isa.Assemble("count.s", []byte(`
.license "GPL"
.map counts type=array key=4 value=8 max_entries=1
.section "xdp"
.func count
	r1 = map[counts]
	call store
	r0 = 2
	exit
.section ".text"
.func store static
	exit`), isa.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range u.Sections {
		fmt.Println(s.Name, s.Funcs[0].Name, len(s.Insns), "slots")
		for _, r := range s.Refs {
			fmt.Printf("  slot %d: %s %s\n", r.PC, r.Kind, r.Symbol)
		}
	}
	// Output:
	// xdp count 5 slots
	//   slot 0: map counts
	//   slot 2: call store
	// .text store 1 slots
}

// Errors name file, line and column.
func ExampleAssemble_errors() {
	_, err := isa.Assemble("bad.s", []byte("r1 = w2\n\tgoto nowhere\n\tmov r1, r2\n"), isa.Options{})
	fmt.Println(err)
	// Output:
	// bad.s:1:6: w2 is 32 bits wide where 64 are meant; write r2
	// bad.s:2:7: label "nowhere" is not defined in this function
	// bad.s:3:2: unknown instruction "mov"; the verifier's syntax is used here, as in "r1 = r2"
}
