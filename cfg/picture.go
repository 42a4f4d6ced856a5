package cfg

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"bpfvm/isa"
)

// Picture is what is drawn of a graph.
type Picture struct {
	Graph *Graph
	Name  string // of the function
	// Insn is the text of an instruction.
	Insn func(isa.PC) string
	// Source is the line of source that begins at a slot, or "". Nil: no source.
	Source func(isa.PC) string
}

// maxDrawn bounds the blocks of a picture: the way of each edge is found with respect
// to all others, and nobody can read more.
const maxDrawn = 1500

// ErrTooLarge says that a graph has too many blocks to be drawn. It wraps
// errors.ErrUnsupported.
var ErrTooLarge = fmt.Errorf("too large to be drawn: %w", errors.ErrUnsupported)

func (p *Picture) check() error {
	if n := len(p.Graph.Blocks); n > maxDrawn {
		return fmt.Errorf("%s has %d blocks, more than %d: %w", p.Name, n, maxDrawn, ErrTooLarge)
	}
	return nil
}

// row is a line of text in a block.
type row struct {
	text   string
	source bool
}

// rows is the text of each block. Tabs and control characters are the caller's matter.
func (p *Picture) rows() [][]row {
	out := make([][]row, len(p.Graph.Blocks))
	for i := range out {
		out[i] = p.block(&p.Graph.Blocks[i])
	}
	return out
}

func (p *Picture) block(b *Block) []row {
	var out []row
	for pc := b.Start; pc <= b.Last; pc++ {
		if p.Source != nil {
			if s := p.Source(pc); s != "" {
				out = append(out, row{s, true})
			}
		}
		out = append(out, row{fmt.Sprintf("%d: %s", pc, p.Insn(pc)), false})
		if p.Graph.Prog[pc].IsWide() {
			pc++
		}
	}
	return out
}

// columns is the width of the widest row, in characters.
func columns(rows []row) int {
	w := 0
	for _, r := range rows {
		w = max(w, utf8.RuneCountInString(r.text))
	}
	return w
}

// way names an edge for a reader: why control goes along it.
func (g *Graph) way(l *Line) string {
	switch k := g.Blocks[l.From].Succs[l.Edge].Kind; {
	case l.Back:
		return "loop"
	case k == Taken:
		return "taken"
	case k == Jump:
		return "goto"
	}
	return ""
}
