package amd64

import (
	"slices"

	"bpfvm/isa"
)

// edge is a way from one block to another that does not lead back: from the
// instruction at a slot to a leader.
type edge struct {
	from   isa.PC
	a, b   int32 // blocks
	weight int
}

// potentials gives each slot its phi. Within a block it rises by one an
// instruction; where each block begins is free, and a way between two blocks costs
// nothing when phi goes on along it. As in the counting of paths by a spanning tree,
// as many ways as possible are made free, those in loops first.
//
// Where control passes by a conditional jump a correction costs two instructions and
// a jump out of the way, elsewhere one. Outside of loops code mostly runs straight on,
// past jumps to where errors are dealt with.
func (s *source) potentials() []int32 {
	phi := make([]int32, len(s.Insns)+1)
	if s.Crossing {
		copy(phi, s.Pos)
		return phi
	}
	blockOf := make([]int32, len(s.Insns))
	now := int32(-1)
	for pc := range blockOf {
		if l := s.flow.leader[pc]; l >= 0 {
			now = l
		}
		blockOf[pc] = now
	}
	depth := s.loopDepths()
	var edges []edge
	for pc, ins := range s.Insns.All() {
		next := pc + 1
		if ins.IsWide() {
			next++
		}
		target, jumps := s.Insns.JumpTarget(pc)
		add := func(to isa.PC, fraction int) {
			d := min(depth[pc], depth[to], 8)
			w := 4 * d
			if (d > 0) == (fraction > 0) {
				w++
			}
			edges = append(edges, edge{pc, blockOf[pc], blockOf[to], w})
		}
		if jumps && target > pc {
			conditional := 1
			if ins.Op == isa.OpJa || ins.Op == isa.OpJa32 {
				conditional = 0
			}
			add(target, conditional)
		}
		if !endsBlock(ins) && int(next) < len(blockOf) && s.flow.leader[next] >= 0 {
			add(next, 0)
		}
	}
	slices.SortStableFunc(edges, func(x, y edge) int { return y.weight - x.weight })
	t := newTree(len(s.flow.slots))
	for _, e := range edges {
		// phi(b) = phi(a) + the instructions from a's first to the last of the way
		t.link(e.a, e.b, s.Pos[e.from]-s.Pos[s.flow.slots[e.a]]+1)
	}
	lowest := make([]int32, len(s.flow.slots)) // of each tree
	for b := range s.flow.slots {
		root, v := t.find(int32(b))
		lowest[root] = min(lowest[root], v)
	}
	for pc := range s.Insns.All() {
		b := blockOf[pc]
		root, v := t.find(b)
		phi[pc] = v - lowest[root] + s.Pos[pc] - s.Pos[s.flow.slots[b]]
	}
	return phi
}

// endsBlock reports whether control never goes on behind an instruction with what is
// in the budget register: not behind a jump, nor behind a call, which sets it anew.
func endsBlock(ins isa.Instruction) bool {
	return ins.Op == isa.OpExit || ins.Op == isa.OpJa || ins.Op == isa.OpJa32 || ins.IsPseudoCall()
}

// loopDepths counts for each slot the jumps back that lead over it.
func (s *source) loopDepths() []int {
	d := make([]int, len(s.Insns)+1)
	for pc := range s.Insns.All() {
		if t, ok := s.Insns.JumpTarget(pc); ok && t <= pc {
			d[t]++
			d[pc+1]--
		}
	}
	for pc := 1; pc < len(d); pc++ {
		d[pc] += d[pc-1]
	}
	return d
}

// tree is a forest of blocks; each knows how much its phi is above that of its
// parent.
type tree struct {
	parent []int32
	above  []int32
}

func newTree(n int) *tree {
	t := &tree{parent: make([]int32, n), above: make([]int32, n)}
	for i := range t.parent {
		t.parent[i] = int32(i)
	}
	return t
}

// find returns the root of a block and how much its phi is above the root's.
func (t *tree) find(b int32) (root, above int32) {
	for t.parent[b] != b {
		p := t.parent[b]
		if g := t.parent[p]; g != p { // halve the path
			t.above[b] += t.above[p]
			t.parent[b] = g
			above += t.above[b]
			b = g
			continue
		}
		above += t.above[b]
		b = p
	}
	return b, above
}

// link makes phi(b) = phi(a) + d hold, unless something else does already.
func (t *tree) link(a, b, d int32) {
	ra, va := t.find(a)
	rb, vb := t.find(b)
	if ra == rb {
		return
	}
	t.parent[rb] = ra
	t.above[rb] = va + d - vb
}
