package labs

import (
	"fmt"

	"bpfvm/interp"
	"bpfvm/isa"
	"bpfvm/vm"
)

// slots reads the student's bytes; what is wrong with their form is a finding.
func (c *checking) slots(name string) (isa.Program, *finding, error) {
	text, err := c.read(name)
	if err != nil {
		return nil, nil, err
	}
	raw, err := parseHex(text)
	if err != nil {
		return nil, &finding{want: "eight bytes a line", got: name + " " + err.Error(), again: "bpfvm asm FILE.s --hex"}, nil
	}
	p, err := isa.Decode(raw)
	if err != nil {
		return nil, nil, err
	}
	if len(p) == 0 {
		return nil, &finding{empty: true, want: "slots in hexadecimal", got: "nothing yet in " + name}, nil
	}
	return p, nil, nil
}

// against returns the student's slots and those of the lab's source.
func (c *checking) against(args []string) (got, want isa.Program, f *finding, err error) {
	if got, f, err = c.slots(args[0]); f != nil || err != nil {
		return nil, nil, f, err
	}
	text, err := c.file(args[1])
	if err != nil {
		return nil, nil, nil, err
	}
	want, err = isa.AssembleProgram(string(text))
	return got, want, nil, err
}

func (c *checking) bytes(args []string) (*finding, error) {
	got, want, f, err := c.against(args)
	if f != nil || err != nil {
		return f, err
	}
	pr := isa.Printer{}
	for pc := range want {
		upper := pc > 0 && want[pc-1].IsWide()
		task := pr.Insn(want, isa.PC(pc))
		if upper {
			task = "the upper half of the constant of slot " + fmt.Sprint(pc-1)
		}
		f := &finding{want: task, where: fmt.Sprintf("slot %d", pc),
			again: fmt.Sprintf("bpfvm explain %#02x", uint8(want[pc].Op))}
		if upper {
			f.again = "bpfvm explain 0x18"
		}
		if pc >= len(got) {
			f.empty, f.got = pc <= 1, fmt.Sprintf("nothing: the program has %d of %d slots", len(got), len(want))
			return f, nil
		}
		if got[pc] == want[pc] {
			continue
		}
		mine := got[:min(len(got), pc+2)]
		f.got = fmt.Sprintf("% x, which is %s", isa.Encode(got[pc:pc+1]), pr.Insn(mine, isa.PC(pc)))
		if upper {
			f.got = fmt.Sprintf("% x, imm %#x", isa.Encode(got[pc:pc+1]), uint32(got[pc].Imm))
		}
		f.where += ": " + differs(got[pc], want[pc])
		return f, nil
	}
	if len(got) > len(want) {
		return &finding{want: fmt.Sprintf("%d slots", len(want)), got: fmt.Sprintf("%d", len(got)), where: fmt.Sprintf("slot %d is too much", len(want))}, nil
	}
	return nil, nil
}

// differs names the first field that is another.
func differs(got, want isa.Instruction) string {
	switch {
	case got.Op.Class() != want.Op.Class():
		return fmt.Sprintf("the class (lower 3 bits of byte 0) is %d", got.Op.Class())
	case got.Op != want.Op:
		return "operation or source bit in byte 0"
	case got.Dst() != want.Dst() && got.Dst() == want.Src() && got.Src() == want.Dst():
		return "dst and src in byte 1 have changed places"
	case got.Dst() != want.Dst():
		return "dst, the lower half of byte 1"
	case got.Src() != want.Src():
		return "src, the upper half of byte 1"
	case got.Off != want.Off:
		return fmt.Sprintf("off in bytes 2 and 3 is %d", got.Off)
	}
	return fmt.Sprintf("imm in bytes 4 to 7 is %d", got.Imm)
}

func (c *checking) returns(args []string) (*finding, error) {
	got, ref, f, err := c.against(args)
	if f != nil || err != nil {
		return f, err
	}
	want, err := runBare(ref)
	if err != nil {
		return nil, err
	}
	r0, err := runBare(got)
	switch {
	case err != nil:
		return &finding{want: fmt.Sprintf("r0 = %d", int64(want)), got: firstLine(err.Error())}, nil
	case r0 != want:
		return &finding{want: fmt.Sprintf("r0 = %d", int64(want)), got: fmt.Sprintf("r0 = %d", int64(r0))}, nil
	}
	return nil, nil
}

// runBare runs slots that need nothing but registers, on the checked interpreter.
func runBare(p isa.Program) (uint64, error) {
	mem, err := vm.NewMemory(0)
	if err != nil {
		return 0, err
	}
	defer mem.Close()
	m, err := vm.NewMachine(mem)
	if err != nil {
		return 0, err
	}
	run, err := interp.Step.Compile(&vm.Code{Name: "program", Insns: p})
	if err != nil {
		return 0, err
	}
	m.Limit = budget
	m.Reset()
	exit, err := run.Run(m, 0)
	return exit.R0, err
}
