package cfg

import "slices"

// Dominators returns the immediate dominator of each block, -1 for the entry and
// for blocks that are not reachable. A block dominates another when every path
// from the entry to the other goes through it. The method is the iterative one
// over reverse postorder (Cooper, Harvey and Kennedy, "A Simple, Fast Dominance
// Algorithm").
func (g *Graph) Dominators() []int {
	order := g.ReversePostorder()
	place := make([]int, len(g.Blocks))
	idom := make([]int, len(g.Blocks))
	for i := range idom {
		idom[i] = -1
	}
	for i, b := range order {
		place[b] = i
	}
	idom[0] = 0
	for changed := true; changed; {
		changed = false
		for _, b := range order[1:] {
			dom := -1
			for _, p := range g.Blocks[b].Preds {
				if idom[p] < 0 {
					continue // not reachable, or not yet visited
				}
				if dom < 0 {
					dom = p
				} else {
					dom = meet(idom, place, dom, p)
				}
			}
			if idom[b] != dom {
				idom[b] = dom
				changed = true
			}
		}
	}
	idom[0] = -1
	return idom
}

// meet walks two blocks up the dominator tree to their common ancestor.
func meet(idom, place []int, a, b int) int {
	for a != b {
		for place[a] > place[b] {
			a = idom[a]
		}
		for place[b] > place[a] {
			b = idom[b]
		}
	}
	return a
}

// Loop is a natural loop: the blocks from which a back edge to Head is reached
// without passing Head.
type Loop struct {
	Head   int
	Latch  []int // blocks with an edge back to Head, sorted
	Blocks []int // all blocks of the loop, sorted, Head included
	Depth  int   // 1 for an outermost loop
}

// Loops returns the natural loops, outer ones first. Loops that share a head are
// one. Cycles that can be entered at several places (irreducible ones) have no
// head and are not reported; [Graph.Irreducible] finds them.
func (g *Graph) Loops() []Loop {
	idom := g.Dominators()
	byHead := map[int]*Loop{}
	for _, b := range g.ReversePostorder() {
		for _, e := range g.Blocks[b].Succs {
			if !dominates(idom, e.To, b) {
				continue
			}
			l := byHead[e.To]
			if l == nil {
				l = &Loop{Head: e.To}
				byHead[e.To] = l
			}
			if !slices.Contains(l.Latch, b) {
				l.Latch = append(l.Latch, b)
			}
		}
	}
	loops := make([]Loop, 0, len(byHead))
	for _, l := range byHead {
		slices.Sort(l.Latch)
		l.Blocks = g.body(l)
		loops = append(loops, *l)
	}
	for i := range loops {
		for j := range loops {
			if slices.Contains(loops[j].Blocks, loops[i].Head) {
				loops[i].Depth++
			}
		}
	}
	slices.SortFunc(loops, func(a, b Loop) int {
		if a.Depth != b.Depth {
			return a.Depth - b.Depth
		}
		return a.Head - b.Head
	})
	return loops
}

// body collects the loop's blocks backwards from its latches.
func (g *Graph) body(l *Loop) []int {
	in := map[int]bool{l.Head: true}
	work := slices.Clone(l.Latch)
	for len(work) > 0 {
		b := work[len(work)-1]
		work = work[:len(work)-1]
		if in[b] {
			continue
		}
		in[b] = true
		work = append(work, g.Blocks[b].Preds...)
	}
	blocks := make([]int, 0, len(in))
	for b := range in {
		blocks = append(blocks, b)
	}
	slices.Sort(blocks)
	return blocks
}

func dominates(idom []int, a, b int) bool {
	for b >= 0 {
		if a == b {
			return true
		}
		b = idom[b]
	}
	return false
}

// Irreducible reports whether some cycle has no single head.
func (g *Graph) Irreducible() bool {
	idom := g.Dominators()
	order := g.ReversePostorder()
	place := make([]int, len(g.Blocks))
	for i, b := range order {
		place[b] = i
	}
	for _, b := range order {
		for _, e := range g.Blocks[b].Succs {
			// A retreating edge whose target does not dominate its source.
			if place[e.To] <= place[b] && !dominates(idom, e.To, b) {
				return true
			}
		}
	}
	return false
}
