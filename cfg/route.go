package cfg

import (
	"cmp"
	"slices"
)

// segment is the horizontal part of an edge in the gap between two ranks.
type segment struct {
	top, bottom int // where it comes from above, and where it goes on below
	track       int
	upper       bool // comes from above: false for the end of a back edge
	lower       bool // goes on below: false for the start of a back edge
}

func (s *segment) lo() int { return min(s.top, s.bottom) }
func (s *segment) hi() int { return max(s.top, s.bottom) }

// route finds the ways of the edges. All horizontal parts lie between the ranks, each
// on a track of its own where they would touch; back edges go round on the left.
func (l *layouter) route() *Layout {
	gaps := make([][]*segment, len(l.ranks)+1) // gap r is above rank r
	parts := make([][]*segment, len(l.ways))
	lanes := l.lanes()
	left := 0
	for _, lane := range lanes {
		left = max(left, lane+1)
	}
	margin := left * l.space.Track
	for i := range l.nodes {
		l.nodes[i].x += margin
	}
	for k := range l.ways {
		w := &l.ways[k]
		from, to := w.nodes[0], w.nodes[len(w.nodes)-1]
		start, end := l.nodes[from].x+w.out, l.nodes[to].x+w.in
		if w.back {
			lane := margin - (lanes[k]+1)*l.space.Track
			down := &segment{top: start, bottom: lane, upper: true}
			up := &segment{top: lane, bottom: end, lower: true}
			gaps[l.nodes[from].rank+1] = append(gaps[l.nodes[from].rank+1], down)
			gaps[l.nodes[to].rank] = append(gaps[l.nodes[to].rank], up)
			parts[k] = []*segment{down, up}
			continue
		}
		for i := 1; i < len(w.nodes); i++ {
			s := &segment{top: start, bottom: end, upper: true, lower: true}
			if n := &l.nodes[w.nodes[i-1]]; n.block < 0 {
				s.top = n.x
			}
			if n := &l.nodes[w.nodes[i]]; n.block < 0 {
				s.bottom = n.x
			}
			r := l.nodes[w.nodes[i]].rank
			gaps[r] = append(gaps[r], s)
			parts[k] = append(parts[k], s)
		}
	}
	tops, bottoms := l.heights(gaps)
	return l.draw(parts, tops, bottoms)
}

// lanes gives each back edge a lane left of everything, the shortest nearest.
func (l *layouter) lanes() map[int]int {
	type span struct{ way, top, bottom int }
	var spans []span
	for k := range l.ways {
		if w := &l.ways[k]; w.back {
			spans = append(spans, span{k, l.nodes[w.nodes[1]].rank, l.nodes[w.nodes[0]].rank + 1})
		}
	}
	slices.SortStableFunc(spans, func(a, b span) int { return cmp.Compare(a.bottom-a.top, b.bottom-b.top) })
	lanes := map[int]int{}
	var used [][]span
	for _, s := range spans {
		lane := slices.IndexFunc(used, func(in []span) bool {
			return !slices.ContainsFunc(in, func(o span) bool { return s.top <= o.bottom && o.top <= s.bottom })
		})
		if lane < 0 {
			lane = len(used)
			used = append(used, nil)
		}
		used[lane] = append(used[lane], s)
		lanes[s.way] = lane
	}
	return lanes
}

// assign gives the segments of a gap tracks, from the top. Segments that overlap have
// different ones; one that comes from above where another goes on below lies above
// it, so that their vertical parts do not meet. It returns the number of tracks.
func assign(segs []*segment) int {
	var bent []*segment
	for _, s := range segs {
		if s.top != s.bottom {
			bent = append(bent, s)
		}
	}
	slices.SortStableFunc(bent, func(a, b *segment) int {
		return cmp.Or(cmp.Compare(a.lo(), b.lo()), cmp.Compare(a.hi(), b.hi()))
	})
	before := func(a, b *segment) bool { return a != b && a.upper && b.lower && a.top == b.bottom }
	tracks := 0
	var placed []*segment
	for len(placed) < len(bent) {
		// The first one that has nothing left to wait for; a cycle is cut anywhere.
		next := slices.IndexFunc(bent, func(s *segment) bool {
			return !slices.Contains(placed, s) && !slices.ContainsFunc(bent, func(o *segment) bool {
				return before(o, s) && !slices.Contains(placed, o)
			})
		})
		if next < 0 {
			next = slices.IndexFunc(bent, func(s *segment) bool { return !slices.Contains(placed, s) })
		}
		s := bent[next]
		for free := false; !free; {
			free = true
			for _, o := range placed {
				if o.track == s.track && s.lo() <= o.hi() && o.lo() <= s.hi() || before(o, s) && o.track >= s.track {
					s.track, free = s.track+1, false
				}
			}
		}
		tracks = max(tracks, s.track+1)
		placed = append(placed, s)
	}
	return tracks
}

// heights assigns the tracks and returns where each gap and each rank begins.
func (l *layouter) heights(gaps [][]*segment) (gapTop, rankTop []int) {
	y := 0
	for r := range gaps {
		gapTop = append(gapTop, y)
		tracks := assign(gaps[r])
		switch {
		case len(gaps[r]) == 0:
		default: // room for an arrow's head below the last track
			y += 2*l.space.Pad + max(tracks-1, 0)*l.space.Track + 1
		}
		if r == len(l.ranks) {
			break
		}
		rankTop = append(rankTop, y)
		tall := 0
		for _, n := range l.ranks[r] {
			tall = max(tall, l.nodes[n].h)
		}
		y += tall
	}
	return append(gapTop, y), rankTop
}

// draw turns places and tracks into boxes and corners.
func (l *layouter) draw(parts [][]*segment, gapTop, rankTop []int) *Layout {
	out := &Layout{Height: gapTop[len(gapTop)-1]}
	for i := range l.g.Blocks {
		n := &l.nodes[i]
		out.Boxes = append(out.Boxes, Box{n.x, rankTop[n.rank], n.w, n.h})
		out.Width = max(out.Width, n.x+n.w)
	}
	for i := range l.nodes {
		out.Width = max(out.Width, l.nodes[i].x+l.nodes[i].w)
	}
	for _, nodes := range l.ranks {
		var blocks []int
		for _, n := range nodes {
			if l.nodes[n].block >= 0 {
				blocks = append(blocks, n)
			}
		}
		out.Ranks = append(out.Ranks, blocks)
	}
	for k := range l.ways {
		w := &l.ways[k]
		line := Line{From: w.from, Edge: w.edge, Back: w.back}
		from, to := out.Boxes[w.nodes[0]], out.Boxes[w.nodes[len(w.nodes)-1]]
		line.add(parts[k][0].top, from.Y+from.H)
		for i, s := range parts[k] {
			gap := l.nodes[w.nodes[min(i+1, len(w.nodes)-1)]].rank
			if w.back && i == 0 {
				gap = l.nodes[w.nodes[0]].rank + 1
			}
			y := gapTop[gap] + l.space.Pad + s.track*l.space.Track
			line.add(s.top, y)
			line.add(s.bottom, y)
		}
		line.add(parts[k][len(parts[k])-1].bottom, to.Y)
		out.Lines = append(out.Lines, line)
	}
	return out
}

// add goes on to a corner; corners on a straight line are left out.
func (l *Line) add(x, y int) {
	p := [2]int{x, y}
	if n := len(l.Points); n > 0 && l.Points[n-1] == p {
		return
	}
	if n := len(l.Points); n > 1 {
		a, b := l.Points[n-2], l.Points[n-1]
		if a[0] == b[0] && b[0] == x || a[1] == b[1] && b[1] == y {
			l.Points[n-1] = p
			return
		}
	}
	l.Points = append(l.Points, p)
}
