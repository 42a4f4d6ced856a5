package cfg

import (
	"cmp"
	"slices"
)

// Layout is where the blocks and edges of a graph are drawn. The unit is the
// caller's: pixels or characters. Y grows downwards.
type Layout struct {
	Width, Height int
	Boxes         []Box   // by block
	Lines         []Line  // by block, in the order of its edges
	Ranks         [][]int // blocks from top to bottom, each from left to right
}

// Box is the place of a block.
type Box struct{ X, Y, W, H int }

// Line is the way of an edge: its corners, from the bottom of a block to the top of
// another. All its parts are horizontal or vertical.
type Line struct {
	From, Edge int // Blocks[From].Succs[Edge]
	Back       bool
	Points     [][2]int
}

// Spacing says how far apart things are drawn.
type Spacing struct {
	X     int // between blocks side by side
	Track int // between parallel lines
	Pad   int // between a block and the lines above and below it
}

// Layout places the blocks in ranks, so that all edges but the back edges of loops
// lead downwards, and finds ways for the edges that cross no block. It is the method
// of Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical
// System Structures": ranks by longest path, few crossings by barycentres, places by
// least squares. size gives the width and height of a block.
//
// The same graph gives the same layout.
func (g *Graph) Layout(size func(block int) (w, h int), s Spacing) *Layout {
	l := &layouter{g: g, space: s}
	for i := range g.Blocks {
		w, h := size(i)
		l.nodes = append(l.nodes, node{block: i, w: w, h: h})
	}
	l.findBack()
	l.rank()
	l.addBends()
	l.order()
	l.ports()
	l.place()
	return l.route()
}

type layouter struct {
	g     *Graph
	space Spacing
	back  [][]bool // by block and edge
	nodes []node   // blocks first, then bends
	ways  []way
	ranks [][]int // of nodes, from left to right
}

// node is a block, or a place where an edge passes through a rank.
type node struct {
	block, rank, order int // block is -1 for a bend
	x, w, h            int
	up, down           []int       // neighbours along forward edges
	anchors            [2][]anchor // the same with places: above, below
}

// anchor is one end of an edge part as a node sees it: how far from its own left side
// and from the neighbour's the part is tied.
type anchor struct{ node, own, other int }

// way is an edge with the nodes that it passes, both ends included.
type way struct {
	from, edge int
	back       bool
	nodes      []int
	out, in    int // ports: distance from the left side of the first and last block
}

// findBack marks the edges that a depth-first walk finds leading to a block which it
// has not left yet: without them the graph has no cycle.
func (l *layouter) findBack() {
	const fresh, open, done = 0, 1, 2
	state := make([]uint8, len(l.g.Blocks))
	l.back = make([][]bool, len(l.g.Blocks))
	for i := range l.g.Blocks {
		l.back[i] = make([]bool, len(l.g.Blocks[i].Succs))
	}
	type visit struct{ block, next int }
	for root := range l.g.Blocks {
		if state[root] != fresh {
			continue
		}
		state[root] = open
		for stack := []visit{{root, 0}}; len(stack) > 0; {
			v := &stack[len(stack)-1]
			succs := l.g.Blocks[v.block].Succs
			if v.next == len(succs) {
				state[v.block] = done
				stack = stack[:len(stack)-1]
				continue
			}
			e := v.next
			v.next++
			switch to := succs[e].To; state[to] {
			case open:
				l.back[v.block][e] = true
			case fresh:
				state[to] = open
				stack = append(stack, visit{to, 0})
			}
		}
	}
}

// rank puts each block one below the lowest of those that lead to it.
func (l *layouter) rank() {
	blocks := l.g.Blocks
	waiting := make([]int, len(blocks)) // edges that have not been counted
	for i := range blocks {
		for e, edge := range blocks[i].Succs {
			if !l.back[i][e] {
				waiting[edge.To]++
			}
		}
	}
	var ready []int
	for i, n := range waiting {
		if n == 0 {
			ready = append(ready, i)
		}
	}
	for len(ready) > 0 {
		i := ready[0]
		ready = ready[1:]
		for e, edge := range blocks[i].Succs {
			if l.back[i][e] {
				continue
			}
			to := &l.nodes[edge.To]
			to.rank = max(to.rank, l.nodes[i].rank+1)
			if waiting[edge.To]--; waiting[edge.To] == 0 {
				ready = append(ready, edge.To)
			}
		}
	}
}

// addBends cuts the edges that skip ranks, so that each part leads to the next rank.
func (l *layouter) addBends() {
	for i := range l.g.Blocks {
		for e, edge := range l.g.Blocks[i].Succs {
			w := way{from: i, edge: e, back: l.back[i][e], nodes: []int{i}}
			if !w.back {
				for r := l.nodes[i].rank + 1; r < l.nodes[edge.To].rank; r++ {
					w.nodes = append(w.nodes, len(l.nodes))
					l.nodes = append(l.nodes, node{block: -1, rank: r, w: 1})
				}
			}
			w.nodes = append(w.nodes, edge.To)
			for k := 1; k < len(w.nodes) && !w.back; k++ {
				a, b := w.nodes[k-1], w.nodes[k]
				l.nodes[a].down = append(l.nodes[a].down, b)
				l.nodes[b].up = append(l.nodes[b].up, a)
			}
			l.ways = append(l.ways, w)
		}
	}
	for i := range l.nodes {
		n := &l.nodes[i]
		for len(l.ranks) <= n.rank {
			l.ranks = append(l.ranks, nil)
		}
		n.order = len(l.ranks[n.rank])
		l.ranks[n.rank] = append(l.ranks[n.rank], i)
	}
}

// orderSweeps is how often the ranks are sorted in each direction. More changes
// little for graphs of this size.
const orderSweeps = 8

// order sorts each rank by where its neighbours are, downwards and upwards in turns,
// and keeps the order with the fewest crossings.
func (l *layouter) order() {
	best := l.crossings()
	kept := l.orders()
	for i := range orderSweeps {
		down := i%2 == 0
		for k := range l.ranks {
			r := k
			if !down {
				r = len(l.ranks) - 1 - k
			}
			l.sortRank(r, down)
		}
		if n := l.crossings(); n < best {
			best, kept = n, l.orders()
		}
	}
	for r, nodes := range kept {
		l.setRank(r, nodes)
	}
}

func (l *layouter) orders() [][]int {
	out := make([][]int, len(l.ranks))
	for r := range l.ranks {
		out[r] = slices.Clone(l.ranks[r])
	}
	return out
}

func (l *layouter) setRank(r int, nodes []int) {
	l.ranks[r] = nodes
	for k, n := range nodes {
		l.nodes[n].order = k
	}
}

// sortRank sorts by the mean order of the neighbours above, or below; a node without
// any keeps its place.
func (l *layouter) sortRank(r int, above bool) {
	mean := map[int]float64{}
	for _, i := range l.ranks[r] {
		n := &l.nodes[i]
		near := n.down
		if above {
			near = n.up
		}
		mean[i] = float64(n.order)
		if len(near) > 0 {
			sum := 0
			for _, m := range near {
				sum += l.nodes[m].order
			}
			mean[i] = float64(sum) / float64(len(near))
		}
	}
	nodes := slices.Clone(l.ranks[r])
	slices.SortStableFunc(nodes, func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
	l.setRank(r, nodes)
}

// crossings counts the pairs of edge parts between neighbouring ranks that cross.
func (l *layouter) crossings() int {
	sum := 0
	for _, nodes := range l.ranks {
		var ends []int // orders of the lower ends, by the upper ends' order
		for _, i := range nodes {
			own := make([]int, 0, len(l.nodes[i].down))
			for _, m := range l.nodes[i].down {
				own = append(own, l.nodes[m].order)
			}
			slices.Sort(own)
			for _, o := range own {
				// Those before it that end further right.
				at, _ := slices.BinarySearch(ends, o+1)
				sum += len(ends) - at
			}
			for _, o := range own {
				at, _ := slices.BinarySearch(ends, o)
				ends = slices.Insert(ends, at, o)
			}
		}
	}
	return sum
}
