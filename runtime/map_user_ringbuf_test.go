package runtime_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"bpfvm/runtime"
	"bpfvm/spec"
)

// A program reads what user space has written: sample by sample, until the callback has
// enough, and across the end of the buffer.
func TestUserRingBuf(t *testing.T) {
	const src = `
.license "GPL"
.map samples type=user_ringbuf max_entries=4096
.program drain xdp
	r2 = 0
	*(u64 *)(r10 -8) = r2
	r1 = map[samples]
	r2 = func[each]
	r3 = r10
	r3 += -8
	r4 = 0
	call bpf_user_ringbuf_drain
	r1 = *(u64 *)(r10 -8)
	r1 *= 1000
	r0 += r1
	exit
.func each
	r6 = r2
	r3 = r1
	r1 = r10
	r1 += -8
	r2 = 8
	r4 = 0
	r5 = 0
	call bpf_dynptr_read
	r0 = 1
	r1 = *(u64 *)(r10 -8)
	r2 = *(u64 *)(r6 +0)
	r2 += r1
	*(u64 *)(r6 +0) = r2
	if r1 == 99 goto done   // enough
	r0 = 0
done:
	exit
.program flags xdp
	r1 = map[samples]
	r2 = func[nothing]
	r3 = r10
	r4 = 4
	call bpf_user_ringbuf_drain
	exit
.func nothing
	r0 = 0
	exit`
	onEngines(t, runtime.Options{}, func(t *testing.T, rt *runtime.Runtime) {
		cs := assemble(t, src)
		c := load(t, rt, cs)
		ring := c.Map("samples").(*runtime.UserRingBuf)
		submit := func(n uint64, size int) {
			t.Helper()
			b := make([]byte, size)
			binary.LittleEndian.PutUint64(b, n)
			if err := ring.Submit(b); err != nil {
				t.Fatal(err)
			}
		}
		drain := func(want uint64) {
			t.Helper()
			if got := mustRun(t, c.Program("drain"), eth(64)); got != want {
				t.Errorf("samples and sum: %d, want %d", got, want)
			}
		}
		drain(0)
		submit(1, 8)
		submit(2, 16)
		drain(3002)
		submit(5, 8)
		submit(99, 8)
		submit(7, 8)
		drain(104002)
		if n := ring.Waiting(); n != 1 {
			t.Errorf("%d samples wait", n)
		}
		drain(7001)
		for range 20 { // several times around
			submit(1, 1500)
			submit(2, 1500)
			drain(3002)
		}
		if err := ring.Submit(make([]byte, 4089)); err != spec.E2BIG {
			t.Errorf("too large: %v", err)
		}
		submit(1, 4088)
		if err := ring.Submit(nil); err != spec.ENOSPC {
			t.Errorf("full: %v", err)
		}
		if got := int64(mustRun(t, c.Program("flags"), eth(64))); got != -22 {
			t.Errorf("unknown flags: %d", got)
		}
		if _, err := ring.Lookup(nil); !errors.Is(err, spec.ENOTSUPP) {
			t.Error(err)
		}
		if err := runtime.Restore(ring, nil, bytes.Repeat([]byte{1}, 8)); err != spec.ENOSPC {
			t.Error(err)
		}
	})
}
