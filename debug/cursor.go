package debug

import (
	"context"
	"errors"
	"iter"

	"bpfvm/scenario"
	"bpfvm/trace"
	"bpfvm/vm"
)

// cursor is a playback under way, paused between two steps. It goes forward only.
type cursor struct {
	e    *engine
	next func() (struct{}, bool)
	stop func()
	err  error
	// began is false before the first call of seek; at is then no place.
	began bool
}

// newCursor prepares a playback. It must be closed.
func newCursor(ctx context.Context, t *trace.Trace, x *index) *cursor {
	e := &engine{ctx: ctx, index: x, code: map[*vm.Code]*codeInfo{}}
	c := &cursor{e: e}
	c.next, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		e.yield = yield
		c.err = t.Play(ctx, trace.Player{
			Engine: e,
			Start:  func(w *trace.World) { e.world = w },
			End:    func(*trace.World, *scenario.Result) error { return c.atEnd() },
		})
	})
	return c
}

// atEnd pauses after the last step: the world still exists.
func (c *cursor) atEnd() error {
	e := c.e
	if e.step != e.index.steps {
		return errDiffers
	}
	e.at = Point{Step: e.step, Run: len(e.index.runs), e: e, paused: true}
	if e.visit != nil {
		e.visit(&e.at)
	}
	for e.yield(struct{}{}) { // the end is the end, however often one asks
	}
	return errStopped
}

// seek plays on, from the next step, until visit says to pause or the end is
// reached. Steps before from are not visited.
func (c *cursor) seek(from uint64, visit func(*Point) bool) (*Point, error) {
	c.e.from, c.e.visit = from, visit
	if _, ok := c.next(); !ok {
		if c.err == nil || errors.Is(c.err, errStopped) {
			return nil, errDiffers
		}
		return nil, c.err
	}
	c.began = true
	return &c.e.at, nil
}

// close ends the playback.
func (c *cursor) close() { c.stop() }
