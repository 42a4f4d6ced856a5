package amd64

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"bpfvm/vm"
)

// Machine code looks at the flag that stops runs each time its slice is used up.
func TestStop(t *testing.T) {
	needNative(t)
	b := newBench(t)
	var stop atomic.Bool
	b.m.Stop, b.m.Limit = &stop, 1<<60
	b.m.Reset()
	p := compile(t, Engine{}, assemble(t, "r0 = 0\nagain:\n r0 += 1\n goto again\n exit"))
	var begun atomic.Int64
	time.AfterFunc(20*time.Millisecond, func() { begun.Store(time.Now().UnixNano()); stop.Store(true) })
	_, err := p.Run(b.m, b.ctx.Base)
	took := time.Since(time.Unix(0, begun.Load()))
	trap, ok := errors.AsType[*vm.Trap](err)
	if !ok || trap.Kind != vm.TrapStopped || trap.Insns == 0 {
		t.Fatalf("got %v", err)
	}
	if took > time.Second {
		t.Errorf("it took %v", took)
	}
}
