package cfg

import (
	"cmp"
	"slices"
)

// placeSweeps is how often the ranks are moved below and above each other.
const placeSweeps = 12

// bendWeight makes long edges straight at the cost of blocks being off centre.
const bendWeight = 4

// ports spreads the edges over the bottom and the top of their blocks, in the order in
// which they go on, so that they do not cross at once.
func (l *layouter) ports() {
	starts, ends := make([][]*way, len(l.g.Blocks)), make([][]*way, len(l.g.Blocks))
	for k := range l.ways {
		w := &l.ways[k]
		first, last := w.nodes[0], w.nodes[len(w.nodes)-1]
		starts[first] = append(starts[first], w)
		ends[last] = append(ends[last], w)
	}
	order := func(w *way, next int) int {
		if w.back {
			return -1 // to the left
		}
		return l.nodes[next].order
	}
	after := func(w *way) int { return order(w, w.nodes[1]) }
	before := func(w *way) int { return order(w, w.nodes[len(w.nodes)-2]) }
	for block := range l.g.Blocks {
		out, in := starts[block], ends[block]
		slices.SortStableFunc(out, func(a, b *way) int { return cmp.Compare(after(a), after(b)) })
		slices.SortStableFunc(in, func(a, b *way) int { return cmp.Compare(before(a), before(b)) })
		for i, w := range out {
			w.out = l.nodes[block].w * (i + 1) / (len(out) + 1)
		}
		for i, w := range in {
			w.in = l.nodes[block].w * (i + 1) / (len(in) + 1)
		}
	}
	for k := range l.ways {
		w := &l.ways[k]
		for i := 1; i < len(w.nodes) && !w.back; i++ {
			from, to := 0, 0 // bends have no width
			if i == 1 {
				from = w.out
			}
			if i == len(w.nodes)-1 {
				to = w.in
			}
			a, b := &l.nodes[w.nodes[i-1]], &l.nodes[w.nodes[i]]
			a.anchors[1] = append(a.anchors[1], anchor{w.nodes[i], from, to})
			b.anchors[0] = append(b.anchors[0], anchor{w.nodes[i-1], to, from})
		}
	}
}

// place finds the horizontal places: first side by side, then each rank is moved
// towards its neighbours, as near as the order and the gaps allow.
func (l *layouter) place() {
	for _, nodes := range l.ranks {
		x := 0
		for _, i := range nodes {
			l.nodes[i].x = x
			x += l.nodes[i].w + l.gap(i)
		}
	}
	for i := range placeSweeps {
		for k := range l.ranks {
			if i%2 == 0 {
				l.moveRank(k, true)
			} else {
				l.moveRank(len(l.ranks)-1-k, false)
			}
		}
	}
	left := 0
	for i := range l.nodes {
		left = min(left, l.nodes[i].x)
	}
	for i := range l.nodes {
		l.nodes[i].x -= left
	}
}

// gap is the space to the right of a node.
func (l *layouter) gap(i int) int {
	if l.nodes[i].block < 0 {
		return max(l.space.Track, 1)
	}
	return l.space.X
}

// moveRank puts the nodes of a rank below (or above) their neighbours: the places
// with the least sum of squared distances that keep order and gaps. With the widths
// to the left subtracted, places only have to grow, and the best growing sequence is
// found by joining neighbours that are out of order ("pool adjacent violators").
func (l *layouter) moveRank(r int, above bool) {
	type pool struct {
		sum, weight float64 // of wanted places, with widths to the left subtracted
		count       int
	}
	var pools []pool
	offset := 0.0
	for _, i := range l.ranks[r] {
		n := &l.nodes[i]
		near, weight := n.anchors[1], 1.0
		if above {
			near = n.anchors[0]
		}
		want := float64(n.x)
		if len(near) > 0 {
			sum := 0
			for _, m := range near {
				sum += l.nodes[m.node].x + m.other - m.own
				if n.block < 0 && l.nodes[m.node].block < 0 {
					weight = bendWeight
				}
			}
			want = float64(sum) / float64(len(near))
		}
		pools = append(pools, pool{(want - offset) * weight, weight, 1})
		for k := len(pools) - 1; k > 0 && pools[k-1].sum/pools[k-1].weight > pools[k].sum/pools[k].weight; k-- {
			pools[k-1].sum += pools[k].sum
			pools[k-1].weight += pools[k].weight
			pools[k-1].count += pools[k].count
			pools = pools[:k]
		}
		offset += float64(n.w + l.gap(i))
	}
	k, at := 0, 0
	for _, p := range pools {
		base := int(p.sum/p.weight + 0.5)
		if p.sum < 0 {
			base = int(p.sum/p.weight - 0.5)
		}
		for range p.count {
			n := l.ranks[r][k]
			l.nodes[n].x = base + at
			at += l.nodes[n].w + l.gap(n)
			k++
		}
	}
}
