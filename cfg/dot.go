package cfg

import (
	"fmt"
	"io"
	"strings"

	"bpfvm/isa"
)

// DOT writes the graph in Graphviz' language, one node a block with its
// instructions as p prints them. Back edges are bold and carry "loop".
func (g *Graph) DOT(w io.Writer, name string, p isa.Printer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %q {\n\tnode [shape=box fontname=monospace];\n", name)
	idom := g.Dominators()
	for i := range g.Blocks {
		blk := &g.Blocks[i]
		var text strings.Builder
		for pc := blk.Start; pc <= blk.Last; pc++ {
			fmt.Fprintf(&text, "%d: %s\n", pc, p.Insn(g.Prog, pc))
			if g.Prog[pc].IsWide() {
				pc++
			}
		}
		fmt.Fprintf(&b, "\tb%d [label=\"%s\"];\n", i, dotEscape(text.String()))
	}
	for i := range g.Blocks {
		for _, e := range g.Blocks[i].Succs {
			attr := ""
			if dominates(idom, e.To, i) {
				attr = ` style=bold label="loop"`
			} else if e.Kind == Taken {
				attr = ` label="taken"`
			}
			fmt.Fprintf(&b, "\tb%d -> b%d [%s];\n", i, e.To, strings.TrimSpace(attr))
		}
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// dotEscape makes text safe inside a quoted label; lines are left-aligned.
func dotEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\l`).Replace(s)
}
