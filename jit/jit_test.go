package jit_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"bpfvm/isa"
	"bpfvm/jit"
	"bpfvm/vm"
)

// The machine code of two instructions, with the entry before and the way out
// behind them left away.
func ExampleList() {
	insns, err := isa.AssembleProgram("r0 = 5\n r0 += r1\n exit")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := jit.List(&firstLines{skip: 10, n: 6}, &vm.Code{Name: "add", Insns: insns}, isa.Printer{}); err != nil {
		fmt.Println(err)
	}
	// Output:
	//    0: r0 = 5
	//          16  b805000000             mov eax, 0x5
	//    1: r0 += r1
	//          1b  4801f8                 add rax, rdi
	//    2: exit
	//          1e  4983e903               sub r9, 0x3
}

// firstLines writes n lines of what it is given, after skip others.
type firstLines struct{ skip, n int }

func (f *firstLines) Write(b []byte) (int, error) {
	switch {
	case f.skip > 0:
		f.skip--
	case f.n > 0:
		f.n--
		os.Stdout.Write(b)
	}
	return len(b), nil
}

func TestEngine(t *testing.T) {
	insns, err := isa.AssembleProgram("r0 = 5\n r0 += r1\n exit")
	if err != nil {
		t.Fatal(err)
	}
	r, err := jit.Engine.Compile(&vm.Code{Name: "add", Insns: insns})
	if err != nil {
		t.Fatal(err)
	}
	mem, err := vm.NewMemory(0)
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	m, err := vm.NewMachine(mem)
	if err != nil {
		t.Fatal(err)
	}
	x, err := r.Run(m, 37)
	switch {
	case !jit.Native():
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v, want an error that wraps ErrUnsupported", err)
		}
	case err != nil || x.R0 != 42 || x.Insns != 3:
		t.Errorf("%+v, %v", x, err)
	}
}
