package cfg

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bpfvm/isa"
)

func build(t *testing.T, src string) *Graph {
	t.Helper()
	prog, err := isa.AssembleProgram(src)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Build(prog, 0, isa.PC(len(prog)))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// shape prints "start-last>succs" of each block.
func shape(g *Graph) string {
	var s []string
	for _, b := range g.Blocks {
		var to []string
		for _, e := range b.Succs {
			to = append(to, fmt.Sprint(e.To))
		}
		s = append(s, fmt.Sprintf("%d-%d>%s", b.Start, b.Last, strings.Join(to, ",")))
	}
	return strings.Join(s, " ")
}

func TestShapes(t *testing.T) {
	tests := []struct {
		name, src, want string
		loops           string
		unreachable     []isa.PC
	}{
		{name: "straight", src: "r0 = 0\nexit", want: "0-1>"},
		{name: "wide at the end of a block", src: `
			r0 = 0
			if r1 == 0 goto a
			r2 = 0x1122334455667788 ll
		a:	exit`, want: "0-1>1,2 2-2>2 4-4>"},
		{name: "loop", src: `
			r1 = 10
		l:	r1 -= 1
			if r1 != 0 goto l
			r0 = 0
			exit`, want: "0-0>1 1-2>2,1 3-4>", loops: "1:[1]"},
		{name: "nested loops", src: `
			r1 = 3
		o:	r2 = 3
		i:	r2 -= 1
			if r2 != 0 goto i
			r1 -= 1
			if r1 != 0 goto o
			r0 = 0
			exit`, want: "0-0>1 1-1>2 2-3>3,2 4-5>4,1 6-7>", loops: "1:[1 2 3] 2:[2]"},
		{name: "dead code", src: `
			r0 = 0
			exit
			r0 = 1
			exit`, want: "0-1> 2-3>", unreachable: []isa.PC{2}},
		{name: "both ways to the same place", src: `
			r0 = 0
			if r1 == 0 goto a
		a:	exit`, want: "0-1>1,1 2-2>"},
		{name: "may_goto", src: `
		l:	r0 = 0
			may_goto e
			goto l
		e:	exit`, want: "0-1>1,2 2-2>0 3-3>", loops: "0:[0 1]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := build(t, tt.src)
			if got := shape(g); got != tt.want {
				t.Errorf("shape %q, want %q", got, tt.want)
			}
			var loops []string
			for _, l := range g.Loops() {
				loops = append(loops, fmt.Sprintf("%d:%v", l.Head, l.Blocks))
			}
			if got := strings.Join(loops, " "); got != tt.loops {
				t.Errorf("loops %q, want %q", got, tt.loops)
			}
			if diff := cmp.Diff(tt.unreachable, g.Unreachable()); diff != "" {
				t.Errorf("unreachable (-want +got):\n%s", diff)
			}
			if g.Irreducible() {
				t.Error("irreducible")
			}
		})
	}
}

func TestIrreducible(t *testing.T) {
	g := build(t, `
		r0 = 0
		if r1 == 0 goto b
	a:	r0 += 1
	b:	r0 += 2
		if r0 < 100 goto a
		exit`)
	if !g.Irreducible() || len(g.Loops()) != 0 {
		t.Errorf("irreducible %v, loops %v", g.Irreducible(), g.Loops())
	}
}

func TestFlowErrors(t *testing.T) {
	tests := []struct {
		prog isa.Program
		want string
	}{
		{isa.Program{{Op: isa.OpJa, Off: 5}, {Op: isa.OpExit}}, "insn 0: jump out of range from insn 0 to 6"},
		{isa.Program{{Op: 0xb7}}, "insn 0: last insn is not an exit or jmp"},
		{isa.Program{{Op: isa.OpJa, Off: 1}, {Op: isa.OpLdImm64}, {}, {Op: isa.OpExit}},
			"insn 0: jump from insn 0 into the middle of the wide instruction at 1"},
		{isa.Program{{Op: isa.OpJa, Off: -2}}, "insn 0: jump out of range from insn 0 to -1"},
		{isa.Program{{Op: isa.OpLdImm64}}, "insn 0: wide instruction is cut off"},
	}
	for _, tt := range tests {
		_, err := Build(tt.prog, 0, isa.PC(len(tt.prog)))
		if _, ok := errors.AsType[*FlowError](err); !ok || err.Error() != tt.want {
			t.Errorf("%v: %v, want %s", tt.prog, err, tt.want)
		}
	}
}

func ExampleBuild() {
	prog, err := isa.AssembleProgram(`
		r1 = 10
	loop:	r1 -= 1
		if r1 != 0 goto loop
		r0 = 0
		exit`)
	if err != nil {
		fmt.Println(err)
		return
	}
	g, err := Build(prog, 0, isa.PC(len(prog)))
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, b := range g.Blocks {
		fmt.Println("block", i, "slots", b.Start, "to", b.Last)
	}
	fmt.Println("loops:", len(g.Loops()))
	// Output:
	// block 0 slots 0 to 0
	// block 1 slots 1 to 2
	// block 2 slots 3 to 4
	// loops: 1
}

func TestDOT(t *testing.T) {
	g := build(t, `
		r1 = 3
	l:	r1 -= 1
		if r1 != 0 goto l
		r0 = 0
		exit`)
	var b strings.Builder
	if err := g.DOT(&b, "f", isa.Printer{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`digraph "f" {`,
		`b0 [label="0: r1 = 3\l"];`,
		`b1 -> b1 [style=bold label="loop"];`,
		"b1 -> b2 [];",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
}
