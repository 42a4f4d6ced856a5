package cfg

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bpfvm/isa"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func picture(t *testing.T, src string) *Picture {
	t.Helper()
	p, err := isa.AssembleProgram(src)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Build(p, 0, isa.PC(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	pr := isa.Printer{}
	return &Picture{Graph: g, Name: "f<g>", Insn: func(pc isa.PC) string { return pr.Insn(p, pc) }}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// Straight code, an if, a loop in a loop, a loop of one block, an edge over several
// ranks, code that is never reached.
const shapes = `
	r1 = 3
	if r1 == 7 goto end
outer:
	r2 = 0x1122334455667788 ll
inner:
	r2 -= 1
	if r2 != 0 goto inner
	r1 -= 1
	if r1 != 0 goto outer
	if r2 > 5 goto high
	r0 = 1
	goto end
	r0 = 9
high:
	r0 = 2
end:
	exit`

func TestPictures(t *testing.T) {
	p := picture(t, shapes)
	p.Source = func(pc isa.PC) string {
		if pc == 1 {
			return "12  if (n == 7)"
		}
		return ""
	}
	var text, ascii, svg bytes.Buffer
	for _, err := range []error{p.WriteText(&text, false), p.WriteText(&ascii, true), p.WriteSVG(&svg)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "shapes.txt", text.Bytes())
	golden(t, "shapes.ascii", ascii.Bytes())
	golden(t, "shapes.svg", svg.Bytes())
}

// randomGraph is a function of n blocks with edges to anywhere.
func randomGraph(r *rand.Rand, n int) *Graph {
	var p isa.Program
	for i := range n {
		to := r.IntN(n)
		switch r.IntN(5) {
		case 0:
			p = append(p, isa.Instruction{Op: isa.OpExit})
		case 1:
			p = append(p, isa.Instruction{Op: 0x05, Off: int16(to - i - 1)}) // goto
		default:
			p = append(p, isa.Instruction{Op: 0x15, Off: int16(to - i - 1)}) // if r0 == 0 goto
		}
	}
	p = append(p, isa.Instruction{Op: isa.OpExit})
	g, err := Build(p, 0, isa.PC(len(p)))
	if err != nil {
		panic(err)
	}
	return g
}

// Whatever the graph is: boxes do not touch, lines cross no box, begin below their
// block and end above the other, and lead downwards unless they close a loop.
func TestLayoutProperties(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		g := randomGraph(r, 1+r.IntN(40))
		size := func(block int) (int, int) { return 5 + block*7%23, 3 + block%4 }
		lay := g.Layout(size, Spacing{X: 3, Track: 2, Pad: 1})
		if diff := cmp.Diff(lay, g.Layout(size, Spacing{X: 3, Track: 2, Pad: 1})); diff != "" {
			t.Fatalf("seed %d: not the same again:\n%s", seed, diff)
		}
		if msg := wrong(g, lay); msg != "" {
			t.Fatalf("seed %d: %s", seed, msg)
		}
	}
}

func wrong(g *Graph, lay *Layout) string {
	inside := func(b Box, x0, y0, x1, y1 int) bool {
		return max(x0, b.X) <= min(x1, b.X+b.W-1) && max(y0, b.Y) <= min(y1, b.Y+b.H-1)
	}
	for i, a := range lay.Boxes {
		if a.X < 0 || a.Y < 0 || a.X+a.W > lay.Width || a.Y+a.H > lay.Height {
			return fmt.Sprintf("block %d at %v is outside of %dx%d", i, a, lay.Width, lay.Height)
		}
		for k, b := range lay.Boxes[:i] {
			if inside(b, a.X, a.Y, a.X+a.W-1, a.Y+a.H-1) {
				return fmt.Sprintf("blocks %d and %d touch: %v %v", k, i, b, a)
			}
		}
	}
	for _, l := range lay.Lines {
		from, to := lay.Boxes[l.From], lay.Boxes[g.Blocks[l.From].Succs[l.Edge].To]
		first, last := l.Points[0], l.Points[len(l.Points)-1]
		if first[1] != from.Y+from.H || first[0] < from.X || first[0] >= from.X+from.W {
			return fmt.Sprintf("line %v does not begin below %v", l, from)
		}
		if last[1] != to.Y || last[0] < to.X || last[0] >= to.X+to.W {
			return fmt.Sprintf("line %v does not end at %v", l, to)
		}
		if !l.Back && last[1] <= first[1] {
			return fmt.Sprintf("line %v leads upwards", l)
		}
		for i := 1; i < len(l.Points); i++ {
			a, b := l.Points[i-1], l.Points[i]
			if a[0] != b[0] && a[1] != b[1] {
				return fmt.Sprintf("line %v is slanted", l)
			}
			bottom := max(a[1], b[1])
			if i == len(l.Points)-1 {
				bottom-- // the arrow touches its block
			}
			for k, box := range lay.Boxes {
				if inside(box, min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), bottom) {
					return fmt.Sprintf("line %v crosses block %d at %v", l, k, box)
				}
			}
		}
	}
	return ""
}

// The largest graph that is drawn takes a moment, and a larger one is refused.
func TestLayoutOfMuch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	g := randomGraph(r, maxDrawn-1)
	start := time.Now()
	g.Layout(func(int) (int, int) { return 20, 3 }, Spacing{X: 3, Track: 2, Pad: 1})
	t.Logf("%d blocks in %s", len(g.Blocks), time.Since(start))
	p := &Picture{Graph: randomGraph(r, 3*maxDrawn), Name: "f", Insn: func(isa.PC) string { return "" }}
	if err := p.WriteText(&bytes.Buffer{}, false); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%d blocks: %v", len(p.Graph.Blocks), err)
	}
}
