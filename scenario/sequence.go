package scenario

import (
	"container/heap"
	"time"
)

// sequence merges the blocks of a plan into the order of time; what happens at the
// same time happens in the order of the script.
type sequence struct {
	blocks  []block
	pending cursors
	over    []bool
	// prefix is the number of blocks at the beginning of the script that are over.
	prefix int
}

// cursor is the next firing of one block.
type cursor struct {
	block int
	round uint64
	frame int
	base  time.Duration // when the round began
	at    time.Duration
}

// cursors is a heap, the earliest first.
type cursors []cursor

func (c cursors) Len() int      { return len(c) }
func (c cursors) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *cursors) Push(x any)   { *c = append(*c, x.(cursor)) }
func (c cursors) Less(i, j int) bool {
	return c[i].at < c[j].at || c[i].at == c[j].at && c[i].block < c[j].block
}

func (c *cursors) Pop() any {
	last := len(*c) - 1
	x := (*c)[last]
	*c = (*c)[:last]
	return x
}

func newSequence(blocks []block) *sequence {
	s := &sequence{blocks: blocks, over: make([]bool, len(blocks))}
	for i, b := range blocks {
		if b.repeat == 0 {
			s.over[i] = true
			continue
		}
		s.pending = append(s.pending, cursor{block: i, base: b.at, at: b.at})
	}
	heap.Init(&s.pending)
	s.count()
	return s
}

func (s *sequence) count() {
	for s.prefix < len(s.over) && s.over[s.prefix] {
		s.prefix++
	}
}

// next returns the next firing and its block, false at the end.
func (s *sequence) next() (firing, int, bool) {
	if len(s.pending) == 0 {
		return firing{}, 0, false
	}
	c := &s.pending[0]
	b, index := &s.blocks[c.block], c.block
	f := b.frames[c.frame]
	out := firing{source: b.source, at: c.at, pkt: f.Data, link: f.Link}
	c.frame++
	if c.frame == len(b.frames) {
		c.frame = 0
		c.round++
		c.base = c.at + b.every
		c.at = c.base
	} else {
		// A capture whose clock ran backwards stands still until it has caught up.
		c.at = max(c.at, c.base+b.frames[c.frame].Time.Sub(b.frames[0].Time))
	}
	if c.round < b.repeat {
		heap.Fix(&s.pending, 0)
		return out, index, true
	}
	heap.Pop(&s.pending)
	s.over[index] = true
	s.count()
	return out, index, true
}
