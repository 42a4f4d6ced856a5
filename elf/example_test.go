package elf_test

import (
	"bytes"
	"errors"
	"fmt"

	"bpfvm/elf"
	"bpfvm/isa"
)

// An object is written from assembly, read back, and shows its programs, maps
// and references.
func Example() {
	unit, err := isa.Assemble("count.s", []byte(`
		.license "GPL"
		.map counts type=array key=4 value=8 max_entries=1
		.program count xdp
			r1 = map[counts]
			call one
			exit
		.section ".text"
		.func one static
			r0 = 1
			exit
	`), isa.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	object, err := elf.Write(unit)
	if err != nil {
		fmt.Println(err)
		return
	}

	c, err := elf.LoadReader(bytes.NewReader(object), int64(len(object)), elf.Options{Name: "count"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range c.Maps {
		fmt.Printf("map %s: %v, %d to %d bytes, %d entries\n", m.Name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries)
	}
	for _, p := range c.Programs {
		fmt.Printf("program %s: %v, %d slots, license %s\n", p.Name, p.Type, len(p.Insns), p.License)
		pr := isa.Printer{
			Imm64:      func(pc isa.PC, _ isa.Pseudo, _ uint64) string { return "map[" + p.RefAt(pc).Name + "]" },
			CallTarget: func(to isa.PC) string { return p.FuncAt(to).Name },
		}
		for pc := range p.Insns.All() {
			fmt.Printf("%4d: %s\n", pc, pr.Insn(p.Insns, pc))
		}
	}
	// Output:
	// map counts: array, 4 to 8 bytes, 1 entries
	// program count: xdp, 6 slots, license GPL
	//    0: r1 = map[counts]
	//    2: call one
	//    3: exit
	//    4: r0 = 1
	//    5: exit
}

// The error of a load lists what cannot be used, with its place.
func ExampleErrorList() {
	unit, _ := isa.Assemble("x.s", []byte(`
		.program good xdp
			r0 = 2
			exit
		.program bad xdp
			call elsewhere
			exit
	`), isa.Options{AllowUndefined: true})
	object, _ := elf.Write(unit)

	c, err := elf.LoadReader(bytes.NewReader(object), int64(len(object)), elf.Options{})
	for _, p := range c.Programs {
		fmt.Println("usable:", p.Name)
	}
	if list, ok := errors.AsType[elf.ErrorList](err); ok {
		for _, pe := range list.Programs() {
			fmt.Printf("refused: %s at %s+%#x, symbol %s\n", pe.Program, pe.Section, pe.Off, pe.Symbol)
		}
	}
	// Output:
	// usable: good
	// refused: bad at xdp+0x10, symbol elsewhere
}
